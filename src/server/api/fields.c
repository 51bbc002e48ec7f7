#include "server/api/fields.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "server/api/json_text.h"

/* The words of the table. */
enum {
    CHAT = ON_CHAT,
    TEXT = ON_TEXT,
    NATIVE = ON_NATIVE,
    TOKENIZE = ON_TOKENIZE,
    DETOKENIZE = ON_DETOKENIZE,
    TEMPLATE = ON_TEMPLATE,
    INFILL = ON_INFILL,
    EMBED = ON_EMBED,
    RERANK = ON_RERANK,
    EVERY = ON_EVERY,
};

const struct field_info field_table[N_FIELDS] = {
#define FIELD(id, name, type, least, most, dflt, unit, on, use, help) \
    [F_##id] = { name, FIELD_##type, least, most, dflt, unit, help, on, FIELD_##use, -1 },
#define FIELD_OF_SAMPLER(name, type, dflt, least, most, help) \
    [F_##name] = { #name, FIELD_SAMPLER_##type, least, most, #dflt, "", help, ON_EVERY, FIELD_USED, \
                   HEARTH_SAMPLING_##name },
#define FIELD_SAMPLER_int FIELD_WHOLE
#define FIELD_SAMPLER_float FIELD_REAL
#include "server/api/fields.def"
};

static const struct {
    const char *name;
    enum field id;
} spellings[] = {
#define SPELLING(name, field) { name, F_##field },
#define MEANS(field, value, taken, why)
#include "server/api/field_spellings.def"
};

static const struct {
    enum field id;
    double value, taken;
    const char *why;
} meanings[] = {
#define SPELLING(name, field)
#define MEANS(field, value, taken, why) { F_##field, value, taken, why },
#include "server/api/field_spellings.def"
};

/* ---- notes ---- */

bool notes_init(struct notes *n)
{
    *n = (struct notes){ .ignored = json_array(), .adjusted = json_array() };
    return n->ignored && n->adjusted;
}

void notes_free(struct notes *n)
{
    json_decref(n->ignored);
    json_decref(n->adjusted);
    *n = (struct notes){ 0 };
}

static void add_note(struct notes *n, json_t *list, int count, const char *sentence)
{
    char rest[64];
    if (count > NOTES_MOST)
        return;
    if (count == NOTES_MOST) {
        snprintf(rest, sizeof rest, "... and more, %d are listed", NOTES_MOST);
        sentence = rest;
    }
    n->failed |= json_array_append_new(list, json_string(sentence)) != 0;
}

void notes_ignored(struct notes *n, const char *name)
{
    char shortened[84];
    size_t length = min_size(strlen(name), 80);
    while (length > 0 && ((unsigned char)name[length] & 0xc0) == 0x80)
        length--; /* not inside of a character */
    snprintf(shortened, sizeof shortened, "%.*s", (int)length, name);
    add_note(n, n->ignored, n->n_ignored++, shortened);
}

void notes_adjusted(struct notes *n, const char *fmt, ...)
{
    char sentence[300];
    va_list args;
    va_start(args, fmt);
    vsnprintf(sentence, sizeof sentence, fmt, args);
    va_end(args);
    add_note(n, n->adjusted, n->n_adjusted++, sentence);
}

/* ---- types ---- */

bool field_wrong_type(struct problem *p, const char *name, const json_t *got, const char *want)
{
    return refuse(p, PROBLEM_invalid_type, name, "%s is %s; it must be %s", name, json_kind(got), want);
}

static const char *type_name(enum field_type type)
{
    switch (type) {
    case FIELD_FLAG: return "true or false";
    case FIELD_WHOLE: return "a whole number";
    case FIELD_REAL: return "a number";
    case FIELD_TEXT: return "a text";
    case FIELD_LIST: return "a list";
    case FIELD_OBJECT: return "an object";
    case FIELD_ANY: break;
    }
    return "";
}

static bool has_type(const json_t *j, enum field_type type)
{
    switch (type) {
    case FIELD_FLAG: return json_is_boolean(j);
    case FIELD_WHOLE: return json_is_integer(j) || (json_is_real(j) && rint(json_real_value(j)) == json_real_value(j));
    case FIELD_REAL: return json_is_number(j);
    case FIELD_TEXT: return json_is_string(j);
    case FIELD_LIST: return json_is_array(j);
    case FIELD_OBJECT: return json_is_object(j);
    case FIELD_ANY: break;
    }
    return true;
}

/* Limits of tokens and seeds: -1 is "none" to many clients, and no value of its own. */
static bool is_unset(enum field id, double v)
{
    return v == -1 && (id == F_max_tokens || id == F_max_completion_tokens || id == F_n_predict || id == F_seed);
}

static bool take_number(struct fields *out, enum field id, const json_t *j, struct notes *notes, struct problem *p)
{
    const struct field_info *info = &field_table[id];
    double v = json_number_value(j);
    if (is_unset(id, v)) {
        out->value[id] = NULL;
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(meanings); i++) {
        if (meanings[i].id == id && meanings[i].value == v) {
            v = meanings[i].taken;
            notes_adjusted(notes, "%s %g is taken as %g: %s", info->name, meanings[i].value, v, meanings[i].why);
        }
    }
    if (!(v >= info->least && v <= info->most))
        return refuse(p, PROBLEM_invalid_value, info->name, "%s is %.10g; it must lie between %.10g and %.10g",
                      info->name, v, info->least, info->most);
    out->number[id] = v;
    return true;
}

/* ---- reading ---- */

static int find_field(const char *key, unsigned on)
{
    for (int i = 0; i < N_FIELDS; i++)
        if ((field_table[i].on & on) && strcmp(field_table[i].name, key) == 0)
            return i;
    for (size_t i = 0; i < ARRAY_LEN(spellings); i++)
        if ((field_table[spellings[i].id].on & on) && strcmp(spellings[i].name, key) == 0)
            return (int)spellings[i].id;
    return -1;
}

static bool take(struct fields *out, const char *key, const json_t *j, unsigned on, bool strict, struct notes *notes,
                 struct problem *p)
{
    int id = find_field(key, on);
    if (json_is_null(j))
        return true;
    if (id < 0 || field_table[id].use == FIELD_UNUSED) {
        if (strict)
            return refuse(p, PROBLEM_unknown_field, key, id < 0 ? "%.80s is not known here, and this server is strict; "
                          "leave it out" : "%.80s has no effect here, and this server is strict; leave it out", key);
        notes_ignored(notes, key);
        return true;
    }
    const struct field_info *info = &field_table[id];
    if (!has_type(j, info->type))
        return field_wrong_type(p, info->name, j, type_name(info->type));
    if (info->use == FIELD_INERT) {
        notes_ignored(notes, key);
        return true;
    }
    if (out->value[id] && !json_equal(out->value[id], j))
        return refuse(p, PROBLEM_invalid_value, info->name, "%s is given under two names with two values; give one",
                      info->name);
    out->value[id] = j;
    return (info->type != FIELD_WHOLE && info->type != FIELD_REAL) || take_number(out, (enum field)id, j, notes, p);
}

bool fields_read(struct fields *out, const json_t *body, unsigned on, bool strict, struct notes *notes,
                 struct problem *p)
{
    const char *key;
    json_t *value;
    *out = (struct fields){ 0 };
    json_object_foreach((json_t *)(uintptr_t)body, key, value)
        if (!take(out, key, value, on, strict, notes, p))
            return false;
    return true;
}

bool field_flag(const struct fields *f, enum field id, bool dflt)
{
    return f->value[id] ? json_is_true(f->value[id]) : dflt;
}

/* ---- documentation ---- */

static void put_range(struct buf *out, const struct field_info *info)
{
    if (info->type == FIELD_WHOLE && info->most > 9e18)
        buf_puts(out, " from 0 to 2^63-1");
    else if (info->type == FIELD_WHOLE || info->type == FIELD_REAL)
        buf_printf(out, " from %.10g to %.10g%s%s", info->least, info->most, info->unit[0] ? " " : "", info->unit);
}

/* '|' ends a cell. */
static void put_cell(struct buf *out, const char *text)
{
    for (; *text; text++)
        buf_printf(out, *text == '|' ? "\\%c" : "%c", *text);
}

static void put_where(struct buf *out, unsigned on)
{
    static const struct {
        unsigned bit;
        const char *name;
    } names[] = { { ON_CHAT, "chat" }, { ON_TEXT, "completions" }, { ON_NATIVE, "native" }, { ON_INFILL, "infill" } };
    const char *between = "";
    if ((on & ON_EVERY) == ON_EVERY)
        return;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (on & names[i].bit) {
            buf_printf(out, "%s%s", between, names[i].name);
            between = ", ";
        }
    }
}

void fields_markdown(struct buf *out, unsigned on)
{
    bool several = (on & (on - 1)) != 0;
    buf_puts(out, several ? "| field | takes | default | only | meaning |\n|---|---|---|---|---|\n"
                          : "| field | takes | default | meaning |\n|---|---|---|---|\n");
    for (int i = 0; i < N_FIELDS; i++) {
        const struct field_info *info = &field_table[i];
        if (!(info->on & on))
            continue;
        buf_printf(out, "| `%s` | %s", info->name, info->type == FIELD_ANY ? "" : type_name(info->type));
        put_range(out, info);
        buf_puts(out, " | ");
        put_cell(out, info->dflt);
        buf_puts(out, " | ");
        if (several) {
            put_where(out, info->on);
            buf_puts(out, " | ");
        }
        put_cell(out, info->help);
        buf_printf(out, "%s |\n", info->use == FIELD_USED ? "" : info->help[0] ? "; no effect" : "no effect");
    }
}
