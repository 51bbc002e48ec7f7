/* attention.h: attention of a batch of tokens over the paged KV cache.
 *
 * The layout of a page is a contract between this file and infer/kv.c:
 *
 *   page = [layer][kv head][ K | V ], each kv_half_bytes(): scales if the type has them, then
 *          K: values [head_dim][64], V: values [64][head_dim]
 *
 * Where values are the first n_shared values of their key (latent attention), there is no V. Layers may differ in
 * heads and their size: a kv_place says where one is.
 *
 * Allocation, sharing and eviction live in infer/kv.c, which fills these views. */
#pragma once
#include "kernel/kernel.h"

/* One sequence's keys and values. */
struct kv_view {
    uint8_t *base;          /* first byte of the pool */
    const uint32_t *pages;  /* page table of the sequence: pool page of each 64 positions */
    size_t page_bytes;
    hearth_kv_type type;
};

/* One layer's part of a page, for one type of keys and values. */
struct kv_place {
    size_t at;         /* bytes of a page before it */
    size_t head_bytes; /* of a KV head */
    size_t values_at;  /* bytes of a head before its values; where they are shared, all */
};

/* Bytes of the 64 keys, or of the 64 values, of one KV head: a multiple of 64. */
size_t kv_half_bytes(hearth_kv_type type, int head_dim);

static inline uint8_t *kv_k(const struct kv_view *v, const struct kv_place *layer, int page, int head)
{
    return v->base + (size_t)v->pages[page] * v->page_bytes + layer->at + (size_t)head * layer->head_bytes;
}
static inline uint8_t *kv_v(const struct kv_view *v, const struct kv_place *layer, int page, int head)
{
    return kv_k(v, layer, page, head) + layer->values_at;
}

struct attention {
    const struct kernels *k;
    struct kv_view kv;
    struct kv_place layer;
    int n_heads, n_kv_heads, head_dim; /* n_heads is a multiple of n_kv_heads */
    int n_shared;            /* above 0, a multiple of 16: values are the first so many of each key, all heads have the
                              * same, and n_kv_heads is in how many parts the heads are taken; 0: they are apart */
    float scale;
    int window;              /* a position sees itself and window - 1 before it; 0: all before it. Pages of which
                              * nothing is seen are not read */
    float soft_cap;          /* scores become cap * tanh(score / cap) before they are weighed; 0: as they are */
    const float *sinks;      /* [n_heads] a logit of each query head that joins the sum of its weights and has no
                              * value (attention sinks as in gpt-oss); NULL: none */
    bool both_ways;          /* a position sees all of the sequence, of which these rows are the last, also what comes
                              * after it; with a window those at most window / 2 away on either side */
    int n_tokens, first_pos; /* these rows are positions first_pos .. first_pos + n_tokens - 1 */
    const float *q;          /* [n_tokens][q_stride], head h at h * head_dim, already rotated */
    size_t q_stride;
    float *out;              /* [n_tokens][out_stride], head h at h * the length of a value */
    size_t out_stride;
};

/* Tokens that one task takes at most: a page's keys and values are made floats once a task, so many queries share
 * that, and their sums stay in the L2 cache. Scratch for one task. */
enum { ATTENTION_TASK_QUERIES = 192, ATTENTION_TASK_TOKENS = 64 };
static inline int attention_task_tokens(int n_heads_per_kv)
{
    return max_int(1, min_int(ATTENTION_TASK_TOKENS, ATTENTION_TASK_QUERIES / n_heads_per_kv));
}
size_t attention_scratch_bytes(int n_heads_per_kv, int head_dim, int n_shared);

/* The query heads of one KV head for tokens t0 <= t < t1 (at most attention_task_tokens()). Keys of these
 * positions are in the cache already. Tasks are independent: any thread, any order. */
void attention_task(const struct attention *a, int kv_head, int t0, int t1, void *scratch);
