/* fit_rows.c: rows of the catalogue that somebody wrote (base/toml.h):
 *
 *   [model."My-Model-3B"]
 *   architecture = "llama"
 *   layers = 28
 *   width = 3072
 *   ...
 *
 * The keys are those of the table below; each names a member of struct fit_row. */
#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/base.h"
#include "base/file.h"
#include "base/toml.h"
#include "cli/fit.h"

static const struct key {
    const char *name;
    size_t offset;
    enum toml_type type;
    bool needed;
    int least, most; /* TOML_INTEGER */
    size_t bytes;    /* TOML_STRING */
} keys[] = {
#define NUMBER(name, member, needed, least, most) \
    { name, offsetof(struct fit_row, member), TOML_INTEGER, needed, least, most, 0 }
#define YES_NO(name, member) { name, offsetof(struct fit_row, member), TOML_BOOLEAN, false, 0, 0, 0 }
#define WORDS(name, member, needed) \
    { name, offsetof(struct fit_row, member), TOML_STRING, needed, 0, 0, sizeof((struct fit_row *)0)->member }
    WORDS( "architecture", architecture, true ),
    WORDS( "source", source, false ),
    NUMBER( "layers", n_layers, true, 1, 1024 ),
    NUMBER( "width", n_embd, true, 32, 131072 ),
    NUMBER( "heads", n_heads, true, 1, 1024 ),
    NUMBER( "kv-heads", n_kv_heads, false, 1, 1024 ),
    NUMBER( "head-dim", head_dim, false, 1, 4096 ),
    NUMBER( "ffn", n_ff, false, 32, 1 << 20 ),
    NUMBER( "vocabulary", n_vocab, true, 1, 1 << 22 ),
    NUMBER( "context", n_ctx_train, true, 1, 1 << 24 ),
    NUMBER( "experts", n_experts, false, 1, 4096 ),
    NUMBER( "experts-used", n_used, false, 1, 4096 ),
    NUMBER( "expert-ffn", n_expert_ff, false, 32, 1 << 20 ),
    YES_NO( "tied", tied ),
    YES_NO( "plain-ffn", plain_ffn ),
    YES_NO( "fused-qkv", fused_qkv ),
#undef NUMBER
#undef YES_NO
#undef WORDS
};

static bool take(struct fit_row *row, const struct toml_pair *p, const char *path, hearth_error *err)
{
    static const char *const wanted[] = { [TOML_STRING] = "a text in quotes", [TOML_INTEGER] = "a whole number",
                                          [TOML_BOOLEAN] = "true or false" };
    const struct key *key = NULL;
    for (size_t i = 0; i < ARRAY_LEN(keys) && !key; i++)
        key = strcmp(keys[i].name, p->key) == 0 ? &keys[i] : NULL;
    if (!key)
        return fail(err, HEARTH_ERR_FORMAT, "%.180s:%d: %.60s is no dimension of a model; docs/fit.md lists them", path,
                    p->line, p->key);
    if (p->type != key->type)
        return fail(err, HEARTH_ERR_FORMAT, "%.180s:%d: %s must be %s", path, p->line, key->name, wanted[key->type]);
    void *to = (char *)row + key->offset;
    if (key->type == TOML_STRING) {
        if (strlen(p->text) >= key->bytes || !p->text[0])
            return fail(err, HEARTH_ERR_FORMAT, "%.180s:%d: %s has %zu bytes; give 1 to %zu", path, p->line, key->name,
                        strlen(p->text), key->bytes - 1);
        memcpy(to, p->text, strlen(p->text) + 1);
    } else if (key->type == TOML_BOOLEAN) {
        *(bool *)to = strcmp(p->text, "true") == 0;
    } else {
        long long n = strlen(p->text) < 12 ? atoll(p->text) : -1;
        if (n < key->least || n > key->most)
            return fail(err, HEARTH_ERR_FORMAT, "%.180s:%d: %s is %.40s; it must be %d to %d", path, p->line, key->name,
                        p->text, key->least, key->most);
        *(int *)to = (int)n;
    }
    return true;
}

static bool lacks(const struct fit_row *row, const struct key *key)
{
    const char *at = (const char *)row + key->offset;
    return key->needed && (key->type == TOML_STRING ? !at[0] : *(const int *)at == 0);
}

/* What follows from the rest, and whether that is all. */
static bool complete(struct fit_row *row, const struct toml_section *s, const char *path, hearth_error *err)
{
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (lacks(row, &keys[i]))
            return fail(err, HEARTH_ERR_FORMAT, "%.180s:%d: %.60s lacks '%s'", path, s->line, s->sub, keys[i].name);
    if (!row->n_kv_heads)
        row->n_kv_heads = row->n_heads;
    if (!row->head_dim)
        row->head_dim = row->n_embd / row->n_heads;
    if (!row->source[0])
        snprintf(row->source, sizeof row->source, "%.95s", path);
    if (row->head_dim == 0 || row->n_heads % row->n_kv_heads)
        return fail(err, HEARTH_ERR_FORMAT, "%.180s:%d: %.60s: %d heads do not go into a width of %d, or not %d to "
                    "each of %d KV heads", path, s->line, s->sub, row->n_heads, row->n_embd,
                    row->n_heads / row->n_kv_heads, row->n_kv_heads);
    if (row->n_experts ? !row->n_used || !row->n_expert_ff || row->n_used > row->n_experts : !row->n_ff)
        return fail(err, HEARTH_ERR_FORMAT, "%.180s:%d: %.60s lacks 'ffn', or with 'experts' 'experts-used' (no more "
                    "than them) and 'expert-ffn'", path, s->line, s->sub);
    return true;
}

static bool read_sections(struct fit_row *rows, int *n, const struct toml *t, const char *path, hearth_error *err)
{
    for (int i = 0; i < t->n_sections; i++) {
        const struct toml_section *s = &t->sections[i];
        struct fit_row *row = &rows[*n];
        if (i == 0 && s->n == 0)
            continue;
        if (strcmp(s->name, "model") != 0 || !s->sub[0])
            return fail(err, HEARTH_ERR_FORMAT, "%.180s:%d: each row of a catalogue begins with [model.\"NAME\"]", path,
                        i == 0 ? t->pairs[s->first].line : s->line);
        *row = (struct fit_row){ 0 };
        if (strlen(s->sub) >= sizeof row->name)
            return fail(err, HEARTH_ERR_FORMAT, "%.180s:%d: the name has %zu bytes; at most %zu", path, s->line,
                        strlen(s->sub), sizeof row->name - 1);
        memcpy(row->name, s->sub, strlen(s->sub) + 1);
        for (int k = s->first; k < s->first + s->n; k++)
            if (!take(row, &t->pairs[k], path, err))
                return false;
        if (!complete(row, s, path, err))
            return false;
        ++*n;
    }
    return *n > 0 || fail(err, HEARTH_ERR_FORMAT, "%.180s has no row; one begins with [model.\"NAME\"]", path);
}

bool fit_rows_read(struct fit_row rows[FIT_MOST_ROWS], int *n, const char *path, hearth_error *err)
{
    struct arena arena;
    struct toml toml;
    char *text = NULL;
    size_t n_bytes;
    static_assert((int)FIT_MOST_ROWS >= (int)TOML_MAX_SECTIONS, "a row for each section");
    *n = 0;
    if (!file_read(path, TOML_MAX_BYTES, &text, &n_bytes, err))
        return false;
    arena_init(&arena, TOML_ARENA_BYTES);
    bool ok = toml_read(&toml, &arena, (struct str){ text, n_bytes }, path, err)
              && read_sections(rows, n, &toml, path, err);
    arena_free(&arena);
    mem_free(text);
    return ok;
}
