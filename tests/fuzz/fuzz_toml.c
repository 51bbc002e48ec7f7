/* fuzz_toml.c: any bytes as a settings file. What is taken holds what toml.h promises, and means the same when it is
 * written down again; what is refused names file and line. */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/toml.h"
#include "base/utf8.h"
#include "fuzz.h"

enum { MOST_BYTES = TOML_MAX_BYTES + 64 };

static void check_text(const char *text)
{
    must(text);
    must(utf8_valid(str_z(text)));
    fuzz_read(text, strlen(text));
}

static void check_number(const struct toml_pair *p)
{
    char *end;
    strtod(p->text, &end);
    must(*p->text && !*end);
    must(p->type == TOML_FLOAT || strspn(p->text, "+-0123456789") == strlen(p->text));
}

static void check_pair(const struct toml_pair *p, int line)
{
    check_text(p->key);
    must(*p->key && strlen(p->key) <= TOML_MAX_NAME_BYTES && p->line > line);
    must(p->n_items <= TOML_MAX_ITEMS && (p->type == TOML_STRINGS) == (p->text == NULL));
    for (int i = 0; i < p->n_items; i++)
        check_text(p->items[i]);
    if (p->text)
        check_text(p->text);
    if (p->type == TOML_INTEGER || p->type == TOML_FLOAT)
        check_number(p);
    must(p->type != TOML_BOOLEAN || strcmp(p->text, "true") == 0 || strcmp(p->text, "false") == 0);
}

static void check(const struct toml *t)
{
    int at = 0, line = 0;
    must(t->n_sections >= 1 && t->n_sections <= TOML_MAX_SECTIONS && t->n_pairs <= TOML_MAX_KEYS);
    must(!*t->sections[0].name && !*t->sections[0].sub);
    for (int i = 0; i < t->n_sections; i++) {
        const struct toml_section *s = &t->sections[i];
        must(s->first == at && s->line >= line && (i == 0 || *s->name));
        must(toml_section_find(t, s->name, s->sub) == s);
        check_text(s->sub);
        for (line = s->line; at < s->first + s->n; line = t->pairs[at++].line)
            check_pair(&t->pairs[at], line);
    }
    must(at == t->n_pairs);
}

static void write_text(struct buf *out, const char *text)
{
    buf_puts(out, "\"");
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p < 0x20 || *p == 0x7f || *p == '"' || *p == '\\')
            buf_printf(out, "\\u%04x", *p);
        else
            buf_put(out, p, 1);
    }
    buf_puts(out, "\"");
}

static void write_all(struct buf *out, const struct toml *t)
{
    for (int i = 0; i < t->n_sections; i++) {
        const struct toml_section *s = &t->sections[i];
        if (i > 0)
            buf_printf(out, "[%s%s", s->name, *s->sub ? "." : "");
        if (*s->sub)
            write_text(out, s->sub);
        buf_puts(out, i > 0 ? "]\n" : "");
        for (int k = s->first; k < s->first + s->n; k++) {
            const struct toml_pair *p = &t->pairs[k];
            buf_printf(out, "%s = %s", p->key, p->type == TOML_STRINGS ? "[" : "");
            for (int m = 0; m < p->n_items; m++) {
                write_text(out, p->items[m]);
                buf_puts(out, ",");
            }
            if (p->type == TOML_STRING)
                write_text(out, p->text);
            else
                buf_puts(out, p->text ? p->text : "]");
            buf_puts(out, "\n");
        }
    }
}

static void check_same(const struct toml *a, const struct toml *b)
{
    must(a->n_pairs == b->n_pairs && a->n_sections == b->n_sections);
    for (int i = 0; i < a->n_sections; i++)
        must(strcmp(a->sections[i].name, b->sections[i].name) == 0 && a->sections[i].n == b->sections[i].n
             && strcmp(a->sections[i].sub, b->sections[i].sub) == 0);
    for (int i = 0; i < a->n_pairs; i++) {
        const struct toml_pair *p = &a->pairs[i], *q = &b->pairs[i];
        must(strcmp(p->key, q->key) == 0 && p->type == q->type && p->n_items == q->n_items);
        must(!p->text || strcmp(p->text, q->text) == 0);
        for (int k = 0; k < p->n_items; k++)
            must(strcmp(p->items[k], q->items[k]) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena, other;
    struct toml t, again;
    struct buf written = { 0 };
    hearth_error err = { 0 };
    if (size > MOST_BYTES)
        return 0;
    char *text = (char *)fuzz_copy(data, size);
    arena_init(&arena, TOML_ARENA_BYTES);
    arena_init(&other, TOML_ARENA_BYTES);
    bool ok = toml_read(&t, &arena, (struct str){ text, size }, "f", &err);
    free(text); /* nothing of it is kept */
    if (ok) {
        check(&t);
        write_all(&written, &t);
        must(!written.failed);
        /* Escapes may make a line or a file longer than what is read. */
        ok = toml_read(&again, &other, buf_str(&written), "g", &err);
        must(ok || strstr(err.message, "bytes"));
        if (ok)
            check_same(&t, &again);
    } else {
        must(err.status == HEARTH_ERR_FORMAT && t.n_pairs == 0 && utf8_valid(str_z(err.message)));
        must(strncmp(err.message, "f:", 2) == 0 || strncmp(err.message, "f has ", 6) == 0);
    }
    buf_free(&written);
    arena_free(&arena);
    arena_free(&other);
    return 0;
}
