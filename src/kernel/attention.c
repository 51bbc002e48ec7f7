#include "kernel/attention.h"

#include <math.h>

/* Scratch of one task: pointers to each query and its sums, the state (m, l), and the sums themselves. */
struct task {
    const float **q;
    float **o;
    int *n_keys;
    float *m, *l, *sums;
};

/* Hands out the next part of the scratch; with mem NULL it only counts. */
static void *take(uint8_t *mem, size_t *used, size_t bytes)
{
    size_t at = *used;
    *used += align_size(bytes, 64);
    return mem ? mem + at : NULL;
}

static size_t task_layout(struct task *t, void *mem, int n_heads_per_kv, int head_dim)
{
    size_t n = (size_t)n_heads_per_kv * ATTENTION_TASK_TOKENS, used = 0;
    t->q = take(mem, &used, n * sizeof *t->q);
    t->o = take(mem, &used, n * sizeof *t->o);
    t->n_keys = take(mem, &used, n * sizeof *t->n_keys);
    t->m = take(mem, &used, n * sizeof *t->m);
    t->l = take(mem, &used, n * sizeof *t->l);
    t->sums = take(mem, &used, n * (size_t)head_dim * sizeof *t->sums);
    return used;
}

size_t attention_scratch_bytes(int n_heads_per_kv, int head_dim)
{
    struct task t;
    return task_layout(&t, NULL, n_heads_per_kv, head_dim);
}

void attention_task(const struct attention *a, int kv_head, int t0, int t1, void *scratch)
{
    struct task t;
    int per_kv = a->n_heads / a->n_kv_heads, head_dim = a->kv.head_dim;
    int n_q = (t1 - t0) * per_kv;
    task_layout(&t, scratch, per_kv, head_dim);
    for (int i = 0; i < n_q; i++) {
        size_t head = (size_t)(kv_head * per_kv + i % per_kv);
        t.q[i] = a->q + (size_t)(t0 + i / per_kv) * a->q_stride + head * (size_t)head_dim;
        t.o[i] = t.sums + (size_t)i * (size_t)head_dim;
        t.m[i] = -INFINITY;
        t.l[i] = 0;
    }
    int last = a->first_pos + t1 - 1;
    for (int page = 0; page <= last / KV_PAGE_TOKENS; page++) {
        for (int i = 0; i < n_q; i++) {
            int seen = a->first_pos + t0 + i / per_kv + 1 - page * KV_PAGE_TOKENS;
            t.n_keys[i] = max_int(0, min_int(seen, KV_PAGE_TOKENS));
        }
        a->k->attend_page(t.q, t.n_keys, n_q, kv_k(&a->kv, page, a->layer, kv_head),
                          kv_v(&a->kv, page, a->layer, kv_head), head_dim, a->scale, t.m, t.l, t.o);
    }
    for (int i = 0; i < n_q; i++) {
        size_t head = (size_t)(kv_head * per_kv + i % per_kv);
        float *out = a->out + (size_t)(t0 + i / per_kv) * a->out_stride + head * (size_t)head_dim;
        a->k->attend_finish(out, t.o[i], t.l[i], head_dim);
    }
}
