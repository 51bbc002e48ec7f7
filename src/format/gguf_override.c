#include "format/gguf_override.h"

#include <math.h>
#include <string.h>

#include "format/gguf_index.h"

/* A value as it would stand in a file: `bytes` of it, behind its length where that is a text. */
static bool put_value(struct gguf *g, const char *key, enum gguf_type type, const void *bytes, size_t n,
                      hearth_error *err)
{
    uint64_t length = n;
    size_t before = type == GGUF_STRING ? sizeof length : 0;
    uint8_t *data = arena_alloc(&g->arena, before + n, sizeof length);
    struct str name = arena_strdup(&g->arena, str_z(key));
    if (!data || !name.ptr)
        return fail_memory(err, "an override");
    memcpy(data, &length, before);
    if (n > 0)
        memcpy(data + before, bytes, n);
    const struct gguf_value *old = gguf_find(g, key);
    uint32_t i = old ? (uint32_t)(old - g->values) : g->n_values++;
    g->values[i] = (struct gguf_value){ .key = name, .type = type, .n = 1, .data = data, .bytes = before + n };
    if (!old)
        gguf_index_value(g, i);
    return true;
}

static struct gguf_tensor *find(struct gguf *g, const char *name, hearth_error *err)
{
    const struct gguf_tensor *t = name ? gguf_find_tensor(g, str_z(name)) : NULL;
    if (!t)
        fail(err, HEARTH_ERR_USAGE, "an override names the tensor %.120s, which the file does not have",
             name ? name : "(none)");
    return t ? &g->tensors[t - g->tensors] : NULL;
}

static bool swap(struct gguf *g, const hearth_override *o, hearth_error *err)
{
    struct gguf_tensor *a = find(g, o->key, err), *b = a ? find(g, o->text, err) : NULL;
    if (!b)
        return false;
    if (a->n_dims != b->n_dims || memcmp(a->dim, b->dim, sizeof a->dim) != 0)
        return fail(err, HEARTH_ERR_USAGE, "an override swaps %.120s and %.120s, whose shapes differ", o->key, o->text);
    struct gguf_tensor was = *a;
    struct str name_b = b->name;
    *a = *b;
    a->name = was.name;
    *b = was;
    b->name = name_b;
    return true;
}

static bool apply(struct gguf *g, const hearth_override *o, hearth_error *err)
{
    if (!o->key || (o->type != HEARTH_OVERRIDE_FLOAT && !o->text))
        return fail(err, HEARTH_ERR_USAGE, "an override lacks its key or its text");
    switch (o->type) {
    case HEARTH_OVERRIDE_FLOAT:
        return isfinite(o->number) ? put_value(g, o->key, GGUF_F64, &o->number, sizeof o->number, err)
                                   : fail(err, HEARTH_ERR_USAGE, "an override of %.120s is no finite number", o->key);
    case HEARTH_OVERRIDE_TEXT:
        return put_value(g, o->key, GGUF_STRING, o->text, strlen(o->text), err);
    case HEARTH_OVERRIDE_SWAP:
        return swap(g, o, err);
    }
    return fail(err, HEARTH_ERR_USAGE, "an override has the unknown type %d", (int)o->type);
}

/* The list of values and its index with room for n more. */
static bool make_room(struct gguf *g, size_t n, hearth_error *err)
{
    struct gguf_value *values = arena_array(&g->arena, struct gguf_value, g->n_values + n);
    if (!values)
        return fail_memory(err, "overrides");
    if (g->n_values > 0)
        memcpy(values, g->values, g->n_values * sizeof *values);
    g->values = values;
    return gguf_index_grow_values(g, g->n_values + n) || fail_memory(err, "overrides");
}

bool gguf_override(struct gguf *g, const hearth_override *all, size_t n, hearth_error *err)
{
    if (n == 0)
        return true;
    if (n > HEARTH_MAX_OVERRIDES)
        return fail(err, HEARTH_ERR_USAGE, "%zu overrides are too many, at most %d are allowed", n,
                    HEARTH_MAX_OVERRIDES);
    if (!make_room(g, n, err))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!apply(g, &all[i], err))
            return false;
    return true;
}
