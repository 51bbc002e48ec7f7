#include "format/gguf_index.h"

#include <pthread.h>

#include "base/rng.h"

static uint64_t secret;
static pthread_once_t secret_once = PTHREAD_ONCE_INIT;

static void make_secret(void) { secret = rng_entropy() | 1; }

static uint32_t slot_of(struct str name, uint32_t mask) { return (uint32_t)(rng_mix(str_hash(name) * secret) & mask); }

static uint32_t mask_for(uint64_t n)
{
    uint32_t size = 16;
    while (size < n * 2)
        size *= 2;
    return size - 1;
}

bool gguf_index_make(struct gguf *g, uint64_t n_values, uint64_t n_tensors)
{
    pthread_once(&secret_once, make_secret);
    g->value_mask = mask_for(n_values);
    g->tensor_mask = mask_for(n_tensors);
    g->value_index = arena_array(&g->arena, uint32_t, g->value_mask + 1ull);
    g->tensor_index = arena_array(&g->arena, uint32_t, g->tensor_mask + 1ull);
    return g->value_index && g->tensor_index;
}

/* Slots hold item + 1; 0 is free. */
bool gguf_index_value(struct gguf *g, uint32_t i)
{
    uint32_t slot = slot_of(g->values[i].key, g->value_mask);
    for (; g->value_index[slot]; slot = (slot + 1) & g->value_mask)
        if (str_eq(g->values[g->value_index[slot] - 1].key, g->values[i].key))
            return false;
    g->value_index[slot] = i + 1;
    return true;
}

bool gguf_index_tensor(struct gguf *g, uint32_t i)
{
    uint32_t slot = slot_of(g->tensors[i].name, g->tensor_mask);
    for (; g->tensor_index[slot]; slot = (slot + 1) & g->tensor_mask)
        if (str_eq(g->tensors[g->tensor_index[slot] - 1].name, g->tensors[i].name))
            return false;
    g->tensor_index[slot] = i + 1;
    return true;
}

const struct gguf_value *gguf_find(const struct gguf *g, const char *key)
{
    if (!g->value_index)
        return NULL;
    struct str k = str_z(key);
    for (uint32_t slot = slot_of(k, g->value_mask); g->value_index[slot]; slot = (slot + 1) & g->value_mask)
        if (str_eq(g->values[g->value_index[slot] - 1].key, k))
            return &g->values[g->value_index[slot] - 1];
    return NULL;
}

const struct gguf_tensor *gguf_find_tensor(const struct gguf *g, struct str name)
{
    if (!g->tensor_index)
        return NULL;
    for (uint32_t slot = slot_of(name, g->tensor_mask); g->tensor_index[slot]; slot = (slot + 1) & g->tensor_mask)
        if (str_eq(g->tensors[g->tensor_index[slot] - 1].name, name))
            return &g->tensors[g->tensor_index[slot] - 1];
    return NULL;
}
