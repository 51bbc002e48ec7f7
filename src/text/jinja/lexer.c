/* lexer.c: a template's text as tokens, with the rules of trim_blocks and lstrip_blocks.
 *
 * A tag's sign decides what happens to the white space beside it: '-' takes all of it; '+'
 * leaves it; without one, a block or comment that stands alone on its line takes the white
 * space before it on that line, and one newline behind it. */
#include <string.h>

#include "base/utf8.h"
#include "text/jinja/ast.h"

struct lexer {
    struct parser *p;
    struct str s;
    size_t at, room;
    bool line_starting; /* what was read last ended with a newline, or nothing was */
    uint8_t open[160];  /* brackets inside a tag */
    int n_open;
};

/* The first error; parsing meets it when it gets that far. */
static bool lex_fail(struct lexer *lx, size_t pos, const char *fmt, const char *what, size_t n_what)
{
    struct jinja_error *e = &lx->p->lex_error;
    e->failure = JINJA_SYNTAX;
    source_place(lx->s, pos, &e->line, &e->column);
    snprintf(e->message, sizeof e->message, fmt, (int)min_size(n_what, 100), what, pos);
    return false;
}

static bool add(struct lexer *lx, int type, size_t from, size_t to)
{
    struct jinja_template *t = lx->p->t;
    if (t->n_tokens == lx->room) {
        size_t room = lx->room ? 2 * lx->room : 256;
        struct token *more = arena_array(&t->arena, struct token, room);
        if (!more)
            return p_memory(lx->p);
        if (t->n_tokens)
            memcpy(more, t->tokens, t->n_tokens * sizeof *more);
        t->tokens = more;
        lx->room = room;
    }
    t->tokens[t->n_tokens++] = (struct token){ (uint8_t)type, (uint32_t)from, { lx->s.ptr + from, to - from } };
    return true;
}

static size_t skip_space(struct str s, size_t at)
{
    int n;
    while (at < s.len && j_is_space(j_char_at(s, at, &n)))
        at += (size_t)n;
    return at;
}

static bool have(struct str s, size_t at, const char *z)
{
    size_t n = strlen(z);
    return at <= s.len && n <= s.len - at && memcmp(s.ptr + at, z, n) == 0;
}

/* End of "raw" or "endraw" after the sign at `at`, up to the closing "%}" and what it takes
 * along; 0: this is another tag. */
static size_t raw_tag(struct str s, size_t at, const char *word, bool end)
{
    if (at < s.len && (s.ptr[at] == '-' || s.ptr[at] == '+'))
        at++;
    at = skip_space(s, at);
    if (!have(s, at, word))
        return 0;
    at = skip_space(s, at + strlen(word));
    if (have(s, at, "-%}"))
        return skip_space(s, at + 3);
    if (end && have(s, at, "+%}"))
        return at + 3;
    if (!have(s, at, "%}"))
        return 0;
    at += 2;
    return end && at < s.len && s.ptr[at] == '\n' ? at + 1 : at;
}

/* Text before a tag, less what the tag's sign and kind take from its end. */
static bool add_data(struct lexer *lx, size_t from, size_t to, char sign, bool variable)
{
    struct str s = lx->s;
    int n;
    if (sign == '-') {
        while (to > from && j_is_space(j_char_before(s, to, &n)))
            to -= (size_t)n;
    } else if (sign != '+' && !variable) {
        size_t line = to, at;
        while (line > from && s.ptr[line - 1] != '\n')
            line--;
        for (at = line; at < to && j_is_space(j_char_at(s, at, &n));)
            at += (size_t)n;
        if ((line > from || lx->line_starting) && at == to)
            to = line;
    }
    return to == from || add(lx, T_DATA, from, to);
}

static bool lex_raw(struct lexer *lx, size_t text)
{
    struct str s = lx->s;
    for (size_t at = text; at + 1 < s.len; at++) {
        size_t end = s.ptr[at] == '{' && s.ptr[at + 1] == '%' ? raw_tag(s, at + 2, "endraw", true) : 0;
        if (!end)
            continue;
        lx->line_starting = s.ptr[text - 1] == '\n';
        if (!add_data(lx, text, at, s.ptr[at + 2], false))
            return false;
        lx->line_starting = s.ptr[end - 1] == '\n';
        lx->at = end;
        return true;
    }
    return lex_fail(lx, text, "Missing end of raw directive", "", 0);
}

static bool lex_comment(struct lexer *lx, size_t text)
{
    struct str s = lx->s;
    for (size_t at = text; at + 1 < s.len; at++) {
        if (s.ptr[at] != '#' || s.ptr[at + 1] != '}')
            continue;
        lx->at = at + 2;
        if (at > text && s.ptr[at - 1] == '-')
            lx->at = skip_space(s, lx->at);
        else if (!(at > text && s.ptr[at - 1] == '+') && lx->at < s.len && s.ptr[lx->at] == '\n')
            lx->at++;
        lx->line_starting = s.ptr[lx->at - 1] == '\n';
        return true;
    }
    return lex_fail(lx, text, "Missing end of comment tag", "", 0);
}

/* A quoted string: position behind it, 0: it does not end. */
static size_t string_end(struct str s, size_t at)
{
    char quote = s.ptr[at];
    for (at++; at < s.len && s.ptr[at] != quote; at++)
        if (s.ptr[at] == '\\')
            at++;
    return at < s.len ? at + 1 : 0;
}

static bool is_digit(struct str s, size_t at, int base)
{
    if (at >= s.len)
        return false;
    char c = s.ptr[at];
    if (base == 16 && ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')))
        return true;
    return c >= '0' && c < '0' + (base < 10 ? base : 10);
}

/* Digits with single underscores between them. */
static size_t digits(struct str s, size_t at, int base)
{
    if (!is_digit(s, at, base))
        return at;
    while (is_digit(s, at, base) || (have(s, at, "_") && is_digit(s, at + 1, base)))
        at++;
    return at;
}

static size_t exponent(struct str s, size_t at)
{
    if (!have(s, at, "e") && !have(s, at, "E"))
        return at;
    size_t sign = at + 1 + (have(s, at + 1, "+") || have(s, at + 1, "-"));
    size_t end = digits(s, sign, 10);
    return end > sign ? end : at;
}

static bool lex_number(struct lexer *lx)
{
    struct str s = lx->s;
    size_t from = lx->at, end = digits(s, from, 10), point = end;
    if (have(s, end, ".") && is_digit(s, end + 1, 10))
        point = digits(s, end + 1, 10);
    size_t exp = exponent(s, point);
    if ((point > end || exp > point) && !(from && s.ptr[from - 1] == '.')) {
        lx->at = exp;
        return add(lx, T_FLOAT, from, exp);
    }
    if (s.ptr[from] == '0') {
        static const struct { char lower, upper; int base; } prefixes[] = { { 'b', 'B', 2 }, { 'o', 'O', 8 },
                                                                             { 'x', 'X', 16 } };
        for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
            char mark = from + 1 < s.len ? s.ptr[from + 1] : 0;
            size_t start = from + 2 + have(s, from + 2, "_");
            if ((mark == prefixes[i].lower || mark == prefixes[i].upper) && is_digit(s, start, prefixes[i].base)) {
                lx->at = digits(s, start, prefixes[i].base);
                return add(lx, T_INTEGER, from, lx->at);
            }
        }
        for (end = from + 1; have(s, end, "0") || have(s, end, "_0");)
            end++;
    }
    lx->at = end;
    return add(lx, T_INTEGER, from, end);
}

static bool lex_name(struct lexer *lx)
{
    struct str s = lx->s;
    size_t from = lx->at;
    int n;
    while (lx->at < s.len && j_is_word(j_char_at(s, lx->at, &n)))
        lx->at += (size_t)n;
    return add(lx, T_NAME, from, lx->at);
}

static const struct {
    const char *symbol;
    uint8_t type;
} operators[] = { { "//", T_FLOORDIV }, { "**", T_POW }, { "==", T_EQ }, { "!=", T_NE }, { ">=", T_GTEQ },
                  { "<=", T_LTEQ }, { "+", T_ADD }, { "-", T_SUB }, { "/", T_DIV }, { "*", T_MUL }, { "%", T_MOD },
                  { "~", T_TILDE }, { "[", T_LBRACKET }, { "]", T_RBRACKET }, { "(", T_LPAREN }, { ")", T_RPAREN },
                  { "{", T_LBRACE }, { "}", T_RBRACE }, { ">", T_GT }, { "<", T_LT }, { "=", T_ASSIGN },
                  { ".", T_DOT }, { ":", T_COLON }, { "|", T_PIPE }, { ",", T_COMMA }, { ";", T_SEMICOLON } };

const char *p_symbol(int type)
{
    for (size_t i = 0; i < ARRAY_LEN(operators); i++)
        if (operators[i].type == type)
            return operators[i].symbol;
    return NULL;
}

static bool balance(struct lexer *lx, int type, size_t at)
{
    if (type == T_LBRACKET || type == T_LPAREN || type == T_LBRACE) {
        if (lx->n_open == (int)ARRAY_LEN(lx->open))
            return p_fail(lx->p, (uint32_t)at, "more than %d brackets are open", lx->n_open);
        lx->open[lx->n_open++] = (uint8_t)(type + 1);
        return true;
    }
    if (type != T_RBRACKET && type != T_RPAREN && type != T_RBRACE)
        return true;
    if (lx->n_open == 0)
        return lex_fail(lx, at, "unexpected '%.*s'", lx->s.ptr + at, 1);
    int want = lx->open[--lx->n_open];
    if (want == type)
        return true;
    char two[64];
    snprintf(two, sizeof two, "unexpected '%c', expected '%s'", lx->s.ptr[at], p_symbol(want));
    return lex_fail(lx, at, "%.*s", two, strlen(two));
}

static bool lex_operator(struct lexer *lx)
{
    for (size_t i = 0; i < ARRAY_LEN(operators); i++) {
        if (!have(lx->s, lx->at, operators[i].symbol))
            continue;
        size_t from = lx->at;
        if (!balance(lx, operators[i].type, from))
            return false;
        lx->at += strlen(operators[i].symbol);
        return add(lx, operators[i].type, from, lx->at);
    }
    int n;
    j_char_at(lx->s, lx->at, &n);
    size_t n_chars = 0; /* jinja2 counts characters */
    for (size_t i = 0; i < lx->at; i++)
        n_chars += (lx->s.ptr[i] & 0xc0) != 0x80;
    bool quote = lx->s.ptr[lx->at] == '\'';
    char text[64];
    snprintf(text, sizeof text, "unexpected char %s%.*s%s at %zu", quote ? "\"" : "'", n, lx->s.ptr + lx->at,
             quote ? "\"" : "'", n_chars);
    return lex_fail(lx, lx->at, "%.*s", text, strlen(text));
}

/* The end of the tag at lx->at, and what it takes along? */
static bool lex_tag_end(struct lexer *lx, bool variable, bool *ended)
{
    struct str s = lx->s;
    const char *close = variable ? "}}" : "%}";
    char sign = s.ptr[lx->at];
    size_t from = lx->at, at = from + (sign == '-' || (sign == '+' && !variable));
    *ended = lx->n_open == 0 && have(s, at, close);
    if (!*ended)
        return true;
    lx->at = at + 2;
    if (sign == '-')
        lx->at = skip_space(s, lx->at);
    else if (sign != '+' && !variable && lx->at < s.len && s.ptr[lx->at] == '\n')
        lx->at++;
    lx->line_starting = s.ptr[lx->at - 1] == '\n';
    return add(lx, variable ? T_VARIABLE_END : T_BLOCK_END, from, lx->at);
}

static bool lex_tag(struct lexer *lx, bool variable)
{
    struct str s = lx->s;
    lx->n_open = 0;
    while (lx->at < s.len) {
        bool ended, ok;
        int n;
        if (!lex_tag_end(lx, variable, &ended))
            return false;
        if (ended)
            return true;
        uint32_t c = j_char_at(s, lx->at, &n);
        size_t end;
        if (j_is_space(c)) {
            lx->at = skip_space(s, lx->at);
            continue;
        }
        if (c >= '0' && c <= '9') {
            ok = lex_number(lx);
        } else if (j_is_word(c)) {
            ok = lex_name(lx);
        } else if ((c == '\'' || c == '"') && (end = string_end(s, lx->at)) != 0) {
            ok = add(lx, T_STRING, lx->at + 1, end - 1);
            lx->at = end;
        } else {
            ok = lex_operator(lx);
        }
        if (!ok)
            return false;
    }
    return true;
}

static bool lex_text(struct lexer *lx)
{
    struct str s = lx->s;
    size_t from = lx->at, at = from;
    while (at + 1 < s.len && !(s.ptr[at] == '{' && memchr("{%#", s.ptr[at + 1], 3)))
        at++;
    if (at + 1 >= s.len) {
        lx->at = s.len;
        return from == s.len || add(lx, T_DATA, from, s.len);
    }
    char kind = s.ptr[at + 1], sign = at + 2 < s.len ? s.ptr[at + 2] : 0;
    if (!add_data(lx, from, at, sign, kind == '{'))
        return false;
    size_t behind = at + 2 + (sign == '-' || sign == '+');
    size_t raw = kind == '%' ? raw_tag(s, at + 2, "raw", false) : 0;
    lx->line_starting = false;
    if (raw)
        return lex_raw(lx, raw);
    lx->at = behind;
    if (kind == '#')
        return lex_comment(lx, behind);
    return add(lx, kind == '{' ? T_VARIABLE_BEGIN : T_BLOCK_BEGIN, at, behind) && lex_tag(lx, kind == '{');
}

bool lex(struct parser *p)
{
    struct lexer lx = { .p = p, .s = p->t->source, .line_starting = true };
    while (lx.at < lx.s.len && lex_text(&lx))
        ;
    return !p->failed && add(&lx, T_EOF, lx.s.len, lx.s.len);
}
