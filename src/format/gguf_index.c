#include "format/gguf_index.h"

#include <string.h>

#include "base/rng.h"

/* ---- the hash: SipHash-1-3 (Aumasson and Bernstein 2012), for which nobody can choose colliding
 * names without the key. An unkeyed hash with a secret mixed in afterwards is not enough: names
 * that collide in it collide under every secret. ---- */

struct sip {
    uint64_t v0, v1, v2, v3;
};

/* Wraps, as does what follows: additions modulo 2^64 and rotations are the hash. */
static WRAPS uint64_t rotated(uint64_t x, int n) { return x << n | x >> (64 - n); }

static WRAPS void sip_round(struct sip *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = rotated(s->v1, 13) ^ s->v0;
    s->v3 = rotated(s->v3, 16) ^ s->v2;
    s->v0 = rotated(s->v0, 32);
    s->v2 += s->v1;
    s->v0 += s->v3;
    s->v1 = rotated(s->v1, 17) ^ s->v2;
    s->v3 = rotated(s->v3, 21) ^ s->v0;
    s->v2 = rotated(s->v2, 32);
}

static void sip_word(struct sip *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    s->v0 ^= word;
}

static uint32_t slot_of(const struct gguf *g, struct str name, uint32_t mask)
{
    uint64_t k0 = g->hash_key[0], k1 = g->hash_key[1], word, tail = 0;
    struct sip s = { k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du, k0 ^ 0x6c7967656e657261u,
                     k1 ^ 0x7465646279746573u };
    size_t i = 0;
    for (; i + sizeof word <= name.len; i += sizeof word) {
        memcpy(&word, name.ptr + i, sizeof word);
        sip_word(&s, word);
    }
    if (i < name.len)
        memcpy(&tail, name.ptr + i, name.len - i);
    sip_word(&s, tail | (uint64_t)name.len << 56);
    s.v2 ^= 0xff;
    for (int n = 0; n < 3; n++)
        sip_round(&s);
    return (uint32_t)(s.v0 ^ s.v1 ^ s.v2 ^ s.v3) & mask;
}

/* ---- the tables ---- */

/* At most half full. */
static uint32_t mask_for(uint64_t n)
{
    uint32_t size = 16;
    while (size < n * 2)
        size *= 2;
    return size - 1;
}

bool gguf_index_make(struct gguf *g, uint64_t n_values, uint64_t n_tensors)
{
    g->hash_key[0] = rng_entropy();
    g->hash_key[1] = rng_entropy();
    g->value_mask = mask_for(n_values);
    g->tensor_mask = mask_for(n_tensors);
    g->value_index = arena_array(&g->arena, uint32_t, g->value_mask + 1ull);
    g->tensor_index = arena_array(&g->arena, uint32_t, g->tensor_mask + 1ull);
    return g->value_index && g->tensor_index;
}

bool gguf_index_grow_tensors(struct gguf *g, uint64_t n)
{
    uint32_t mask = mask_for(n);
    uint32_t *index = arena_array(&g->arena, uint32_t, mask + 1ull);
    if (!index)
        return false;
    g->tensor_index = index;
    g->tensor_mask = mask;
    for (uint32_t i = 0; i < g->n_tensors; i++)
        gguf_index_tensor(g, i);
    return true;
}

bool gguf_index_grow_values(struct gguf *g, uint64_t n)
{
    uint32_t mask = mask_for(n);
    uint32_t *index = arena_array(&g->arena, uint32_t, mask + 1ull);
    if (!index)
        return false;
    g->value_index = index;
    g->value_mask = mask;
    for (uint32_t i = 0; i < g->n_values; i++)
        gguf_index_value(g, i);
    return true;
}

bool gguf_index_value(struct gguf *g, uint32_t i)
{
    uint32_t slot = slot_of(g, g->values[i].key, g->value_mask);
    for (; g->value_index[slot]; slot = (slot + 1) & g->value_mask)
        if (str_eq(g->values[g->value_index[slot] - 1].key, g->values[i].key))
            return false;
    g->value_index[slot] = i + 1;
    return true;
}

bool gguf_index_tensor(struct gguf *g, uint32_t i)
{
    uint32_t slot = slot_of(g, g->tensors[i].name, g->tensor_mask);
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
    for (uint32_t slot = slot_of(g, k, g->value_mask); g->value_index[slot]; slot = (slot + 1) & g->value_mask)
        if (str_eq(g->values[g->value_index[slot] - 1].key, k))
            return &g->values[g->value_index[slot] - 1];
    return NULL;
}

const struct gguf_tensor *gguf_find_tensor(const struct gguf *g, struct str name)
{
    if (!g->tensor_index)
        return NULL;
    for (uint32_t slot = slot_of(g, name, g->tensor_mask); g->tensor_index[slot]; slot = (slot + 1) & g->tensor_mask)
        if (str_eq(g->tensors[g->tensor_index[slot] - 1].name, name))
            return &g->tensors[g->tensor_index[slot] - 1];
    return NULL;
}
