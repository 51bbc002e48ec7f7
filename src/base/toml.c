#include "base/toml.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

/* One line at a time: no value goes on in the next. */
struct reader {
    struct arena *arena;
    const char *file;
    int line;
    const char *p, *end; /* what is left of the line */
    struct toml_section *sections;
    int n_sections;
    struct toml_pair *pairs;
    int n_pairs;
    hearth_error *err;
};

PRINTF(2, 3)
static bool wrong(const struct reader *r, const char *fmt, ...)
{
    char why[300];
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    return fail(r->err, HEARTH_ERR_FORMAT, "%.180s:%d: %s", r->file, r->line, why);
}

static bool no_memory(const struct reader *r) { return fail_memory(r->err, r->file); }

static void skip_blanks(struct reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\t'))
        r->p++;
}

static bool at_end(const struct reader *r) { return r->p == r->end || *r->p == '#'; }

static bool next_is(const struct reader *r, const char *what)
{
    size_t n = strlen(what);
    return (size_t)(r->end - r->p) >= n && memcmp(r->p, what, n) == 0;
}

/* What is left of the line up to a blank, for a message. */
static struct str word(const struct reader *r)
{
    const char *q = r->p;
    while (q < r->end && *q != ' ' && *q != '\t' && *q != '#' && q - r->p < 40)
        q++;
    while (q < r->end && ((unsigned char)*q & 0xc0) == 0x80)
        q++; /* not inside of a character */
    return (struct str){ r->p, (size_t)(q - r->p) };
}

/* ---- texts ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int put_code_point(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    int n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint32_t lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
    for (int i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(lead[n] | c);
    return n;
}

/* \uXXXX or \UXXXXXXXX, r->p behind the letter. Writes at most 4 bytes, fewer than it read. */
static bool read_code_point(struct reader *r, int n_digits, char *out, size_t *used)
{
    uint32_t c = 0;
    for (int i = 0; i < n_digits; i++, r->p++) {
        int digit = r->p < r->end ? hex_digit(*r->p) : -1;
        if (digit < 0)
            return wrong(r, "an escape \\%c has %d hexadecimal digits; write all of them", n_digits == 4 ? 'u' : 'U',
                         n_digits);
        if (c > 0x10ffff >> 4)
            return wrong(r, "an escape \\U is above 10FFFF, the last character there is; write another");
        c = c << 4 | (uint32_t)digit;
    }
    if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return wrong(r, "the escape of U+%04X is no character that a text can have; write another", (unsigned)c);
    *used += (size_t)put_code_point(out + *used, c);
    return true;
}

/* Behind the backslash. */
static bool read_escape(struct reader *r, char *out, size_t *used)
{
    static const char letters[] = "btnfr\"\\", bytes[] = "\b\t\n\f\r\"\\";
    char c = r->p < r->end ? *r->p++ : 0;
    const char *at = c ? strchr(letters, c) : NULL;
    if (c == 'u' || c == 'U')
        return read_code_point(r, c == 'u' ? 4 : 8, out, used);
    if (!at)
        return wrong(r, "a \\ is followed by none of b t n f r u U \" \\; write \\\\ for one, or the text in single "
                     "quotes");
    out[(*used)++] = bytes[at - letters];
    return true;
}

/* r->p at the quote. */
static bool read_string(struct reader *r, const char **out)
{
    char quote = *r->p;
    size_t room = (size_t)(r->end - r->p), n = 1, used = 0;
    if (next_is(r, "\"\"\"") || next_is(r, "'''"))
        return wrong(r, "texts of several lines are not read here; write one line in \"...\", with \\n where a line "
                     "ends");
    while (n < room && r->p[n] != quote)
        n += quote == '"' && r->p[n] == '\\' ? 2 : 1;
    if (n >= room)
        return wrong(r, "a text begins with %c and does not end in its line; close it with %c", quote, quote);
    const char *close = r->p + n;
    char *text = arena_array(r->arena, char, n); /* no escape is shorter than what it stands for */
    if (!text)
        return no_memory(r);
    r->p++;
    while (r->p < close) {
        char c = *r->p++;
        if (quote == '"' && c == '\\') {
            if (!read_escape(r, text, &used))
                return false;
        } else {
            text[used++] = c;
        }
    }
    r->p = close + 1;
    text[used] = 0;
    *out = text;
    return true;
}

static bool read_list(struct reader *r, struct toml_pair *pair)
{
    const char **items = arena_array(r->arena, const char *, TOML_MAX_ITEMS);
    if (!items)
        return no_memory(r);
    pair->type = TOML_STRINGS;
    pair->items = items;
    r->p++;
    for (skip_blanks(r); !next_is(r, "]"); skip_blanks(r)) {
        if (at_end(r))
            return wrong(r, "the list of %.60s does not end in its line; close it with ]", pair->key);
        if (*r->p != '"' && *r->p != '\'')
            return wrong(r, "the list of %.60s has something else than texts; put each of them into quotes", pair->key);
        if (pair->n_items == TOML_MAX_ITEMS)
            return wrong(r, "the list of %.60s has more than %d texts; give fewer", pair->key, TOML_MAX_ITEMS);
        if (!read_string(r, &items[pair->n_items++]))
            return false;
        skip_blanks(r);
        if (next_is(r, ","))
            r->p++;
        else if (!next_is(r, "]") && !at_end(r))
            return wrong(r, "the list of %.60s has two texts with no comma between; write [\"a\", \"b\"]", pair->key);
    }
    r->p++;
    return true;
}

/* ---- numbers ---- */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Digits with single _ between them, which are left out. How many bytes of n were read; 0: they are none. */
static size_t read_digits(const char *p, size_t n, char *out, size_t *used)
{
    size_t i = 0;
    while (i < n && (is_digit(p[i]) || (p[i] == '_' && i > 0 && p[i - 1] != '_' && i + 1 < n && is_digit(p[i + 1])))) {
        if (p[i] != '_')
            out[(*used)++] = p[i];
        i++;
    }
    return i;
}

/* As TOML has whole numbers and fractions. out has room for n bytes and a NUL. */
static bool scan_number(const char *p, size_t n, char *out, bool *whole)
{
    size_t used = 0, i = 0, m;
    *whole = true;
    if (n > 0 && (p[0] == '-' || p[0] == '+'))
        out[used++] = p[i++];
    size_t first = i;
    if ((m = read_digits(p + i, n - i, out, &used)) == 0 || (p[first] == '0' && m > 1))
        return false;
    i += m;
    if (i < n && p[i] == '.') {
        *whole = false;
        out[used++] = p[i++];
        if ((m = read_digits(p + i, n - i, out, &used)) == 0)
            return false;
        i += m;
    }
    if (i < n && (p[i] == 'e' || p[i] == 'E')) {
        *whole = false;
        out[used++] = p[i++];
        if (i < n && (p[i] == '-' || p[i] == '+'))
            out[used++] = p[i++];
        if ((m = read_digits(p + i, n - i, out, &used)) == 0)
            return false;
        i += m;
    }
    out[used] = 0;
    return i == n;
}

static bool read_number(struct reader *r, struct toml_pair *pair)
{
    const char *q = r->p;
    while (q < r->end && *q != ' ' && *q != '\t' && *q != '#')
        q++;
    size_t n = (size_t)(q - r->p);
    char *text = arena_array(r->arena, char, n + 1);
    bool whole;
    if (!text)
        return no_memory(r);
    if (!scan_number(r->p, n, text, &whole))
        return wrong(r, "%.60s is '" STR_FMT "', which is no text, decimal number, true, false or list of texts; put a "
                     "text into quotes", pair->key, STR_ARG(word(r)));
    pair->type = whole ? TOML_INTEGER : TOML_FLOAT;
    pair->text = text;
    r->p = q;
    return true;
}

/* ---- lines ---- */

static bool is_bare(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_' || c == '-';
}

/* One name: bare, or with quotes where these are allowed. */
static bool read_name(struct reader *r, bool quotes, const char **out)
{
    const char *q = r->p;
    if (quotes && q < r->end && (*q == '"' || *q == '\'')) {
        if (!read_string(r, out))
            return false;
    } else {
        while (q < r->end && is_bare(*q))
            q++;
        struct str name = arena_strdup(r->arena, (struct str){ r->p, (size_t)(q - r->p) });
        if (!name.ptr)
            return no_memory(r);
        *out = name.ptr;
        r->p = q;
    }
    return strlen(*out) <= TOML_MAX_NAME_BYTES
           || wrong(r, "a name has more than %d bytes; give a shorter one", TOML_MAX_NAME_BYTES);
}

static bool read_value(struct reader *r, struct toml_pair *pair)
{
    if (at_end(r))
        return wrong(r, "%.60s has no value; write %.60s = VALUE, or take the line out", pair->key, pair->key);
    if (*r->p == '{')
        return wrong(r, "tables in a value are not read here; write a [section]");
    if (*r->p == '[')
        return read_list(r, pair);
    if (*r->p == '"' || *r->p == '\'')
        return read_string(r, &pair->text);
    static const char *const booleans[] = { "true", "false" };
    for (int i = 0; i < 2; i++) {
        if (!str_eq_z(word(r), booleans[i]))
            continue;
        pair->type = TOML_BOOLEAN;
        pair->text = booleans[i];
        r->p += strlen(booleans[i]);
        return true;
    }
    return read_number(r, pair);
}

static bool read_pair(struct reader *r)
{
    struct toml_section *section = &r->sections[r->n_sections - 1];
    if (r->n_pairs == TOML_MAX_KEYS)
        return wrong(r, "this is one key more than %d; take some out", TOML_MAX_KEYS);
    struct toml_pair *pair = &r->pairs[r->n_pairs];
    *pair = (struct toml_pair){ .line = r->line };
    if (*r->p == '"' || *r->p == '\'')
        return wrong(r, "keys have no quotes here; write the name of an option without them");
    if (!read_name(r, false, &pair->key))
        return false;
    if (!*pair->key)
        return wrong(r, "'" STR_FMT "' is no key; a line is KEY = VALUE, [SECTION] or # a comment", STR_ARG(word(r)));
    skip_blanks(r);
    if (next_is(r, "."))
        return wrong(r, "a key has no dots; write a [section] above its keys");
    if (!next_is(r, "="))
        return wrong(r, "behind %.60s there is no =; write %.60s = VALUE", pair->key, pair->key);
    r->p++;
    skip_blanks(r);
    for (int i = section->first; i < r->n_pairs; i++)
        if (strcmp(r->pairs[i].key, pair->key) == 0)
            return wrong(r, "%.60s stands in line %d already; take one out", pair->key, r->pairs[i].line);
    if (!read_value(r, pair))
        return false;
    r->n_pairs++;
    section->n++;
    return true;
}

static bool read_section(struct reader *r)
{
    struct toml_section s = { .sub = "", .line = r->line, .first = r->n_pairs };
    if (next_is(r, "[["))
        return wrong(r, "arrays of tables are not read here; write [section]");
    if (r->n_sections == TOML_MAX_SECTIONS)
        return wrong(r, "this is one section more than %d; take some out", TOML_MAX_SECTIONS - 1);
    r->p++;
    skip_blanks(r);
    if (!read_name(r, false, &s.name))
        return false;
    skip_blanks(r);
    if (*s.name && next_is(r, ".")) {
        r->p++;
        skip_blanks(r);
        if (!read_name(r, true, &s.sub))
            return false;
        skip_blanks(r);
        if (!*s.sub)
            return wrong(r, "behind [%.60s. there is no name; write [%.60s.NAME]", s.name, s.name);
        if (next_is(r, "."))
            return wrong(r, "a section has at most two names; put one with a dot into quotes: [%.60s.\"NAME\"]",
                         s.name);
    }
    if (!*s.name || !next_is(r, "]"))
        return wrong(r, "this is no section; write [NAME] or [NAME.\"OTHER NAME\"]");
    r->p++;
    struct toml t = { .sections = r->sections, .n_sections = r->n_sections };
    const struct toml_section *other = toml_section_find(&t, s.name, s.sub);
    if (other)
        return wrong(r, "the section stands in line %d already; put its keys there", other->line);
    r->sections[r->n_sections++] = s;
    return true;
}

/* Well-formed, and nothing in it that an editor does not show. */
static bool check_line(const struct reader *r, const char *text)
{
    struct str line = { r->p, (size_t)(r->end - r->p) };
    if (line.len > TOML_MAX_LINE_BYTES)
        return wrong(r, "the line has %zu bytes; at most %d are read", line.len, TOML_MAX_LINE_BYTES);
    if (!utf8_valid(line))
        return wrong(r, "the line is not UTF-8; save the file in that encoding");
    for (const char *q = r->p; q < r->end; q++)
        if (((unsigned char)*q < 0x20 && *q != '\t') || *q == 0x7f)
            return wrong(r, "byte %zu of the file is the control character 0x%02x; take it out, or write \\u%04X in "
                         "\"...\"", (size_t)(q - text), (unsigned)*q, (unsigned)*q);
    return true;
}

static bool read_line(struct reader *r)
{
    skip_blanks(r);
    if (at_end(r))
        return true;
    if (!(*r->p == '[' ? read_section(r) : read_pair(r)))
        return false;
    skip_blanks(r);
    return at_end(r) || wrong(r, "'" STR_FMT "' is left over; a line holds one key and its value, or one section",
                              STR_ARG(word(r)));
}

bool toml_read(struct toml *out, struct arena *a, struct str text, const char *name, hearth_error *err)
{
    struct reader r = { .arena = a, .file = name, .err = err };
    *out = (struct toml){ 0 };
    if (text.len > TOML_MAX_BYTES)
        return fail(err, HEARTH_ERR_FORMAT, "%.180s has %zu bytes; settings have at most %d: take some out", name,
                    text.len, TOML_MAX_BYTES);
    r.sections = arena_array(a, struct toml_section, TOML_MAX_SECTIONS);
    r.pairs = arena_array(a, struct toml_pair, TOML_MAX_KEYS);
    if (!r.sections || !r.pairs)
        return no_memory(&r);
    r.sections[r.n_sections++] = (struct toml_section){ .name = "", .sub = "" };
    size_t at = str_starts(text, STR("\xef\xbb\xbf")) ? 3 : 0; /* some editors begin a file with it */
    while (at < text.len) {
        const char *begin = text.ptr + at, *newline = memchr(begin, '\n', text.len - at);
        size_t n = newline ? (size_t)(newline - begin) : text.len - at;
        r.line++;
        r.p = begin;
        r.end = begin + n - (newline && n > 0 && begin[n - 1] == '\r');
        if (!check_line(&r, text.ptr) || !read_line(&r))
            return false;
        at += n + 1;
    }
    *out = (struct toml){ r.sections, r.n_sections, r.pairs, r.n_pairs };
    return true;
}

const struct toml_section *toml_section_find(const struct toml *t, const char *name, const char *sub)
{
    for (int i = 0; i < t->n_sections; i++)
        if (strcmp(t->sections[i].name, name) == 0 && strcmp(t->sections[i].sub, sub) == 0)
            return &t->sections[i];
    return NULL;
}
