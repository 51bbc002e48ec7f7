#include "kernel/attention.h"

#include <math.h>

size_t kv_half_bytes(hearth_kv_type type, int head_dim)
{
    static const struct { size_t value_bytes, group; } types[HEARTH_N_KV_TYPES] = {
#define KV_TYPE(name, value_bytes, group, help) [HEARTH_KV_##name] = { value_bytes, group },
#include "hearth/kv_types.def"
    };
    size_t n = (size_t)head_dim, group = types[type].group;
    size_t scale_bytes = group ? (n + group - 1) / group * sizeof(uint16_t) : 0;
    return KV_PAGE_TOKENS * (n * types[type].value_bytes + scale_bytes);
}

/* Scratch of one task: pointers to each query and its sums, the state (m, l), the sums themselves, and what the kernel
 * needs for a page. */
struct task {
    const float **q;
    float **o;
    struct key_span *seen;
    float *m, *l, *sums, *page;
};

/* Hands out the next part of the scratch; with mem NULL it only counts. */
static void *take(uint8_t *mem, size_t *used, size_t bytes)
{
    size_t at = *used;
    *used += align_size(bytes, 64);
    return mem ? mem + at : NULL;
}

static size_t task_layout(struct task *t, void *mem, int n_heads_per_kv, int head_dim, int n_shared)
{
    size_t n = (size_t)(n_heads_per_kv * attention_task_tokens(n_heads_per_kv)), used = 0;
    t->q = take(mem, &used, n * sizeof *t->q);
    t->o = take(mem, &used, n * sizeof *t->o);
    t->seen = take(mem, &used, n * sizeof *t->seen);
    t->m = take(mem, &used, n * sizeof *t->m);
    t->l = take(mem, &used, n * sizeof *t->l);
    t->sums = take(mem, &used, n * (size_t)(n_shared > 0 ? n_shared : head_dim) * sizeof *t->sums);
    t->page = take(mem, &used, attend_scratch_floats(head_dim, n_shared, (int)n) * sizeof *t->page);
    return used;
}

size_t attention_scratch_bytes(int n_heads_per_kv, int head_dim, int n_shared)
{
    struct task t;
    return task_layout(&t, NULL, n_heads_per_kv, head_dim, n_shared);
}

/* The oldest position that one at pos sees. */
static int first_key(const struct attention *a, int pos)
{
    int before = a->both_ways ? a->window / 2 : a->window - 1;
    return a->window > 0 ? max_int(0, pos - before) : 0;
}

/* The one after the newest that it sees. */
static int end_key(const struct attention *a, int pos)
{
    int end = a->first_pos + a->n_tokens;
    if (!a->both_ways)
        return pos + 1;
    return a->window > 0 ? min_int(end, pos + a->window / 2 + 1) : end;
}

static struct key_span keys_seen(const struct attention *a, int pos, int page)
{
    int start = page * KV_PAGE_TOKENS;
    return (struct key_span){ .first = max_int(0, first_key(a, pos) - start),
                              .end = max_int(0, min_int(end_key(a, pos) - start, KV_PAGE_TOKENS)) };
}

void attention_task(const struct attention *a, int kv_head, int t0, int t1, void *scratch)
{
    struct task t;
    int per_kv = a->n_heads / a->n_kv_heads, head_dim = a->head_dim;
    int value_dim = a->n_shared > 0 ? a->n_shared : head_dim, keys = a->n_shared > 0 ? 0 : kv_head;
    int n_q = (t1 - t0) * per_kv;
    task_layout(&t, scratch, per_kv, head_dim, a->n_shared);
    for (int i = 0; i < n_q; i++) {
        size_t head = (size_t)(kv_head * per_kv + i % per_kv);
        t.q[i] = a->q + (size_t)(t0 + i / per_kv) * a->q_stride + head * (size_t)head_dim;
        t.o[i] = t.sums + (size_t)i * (size_t)value_dim;
        t.m[i] = -INFINITY;
        t.l[i] = 0;
    }
    const float *sinks = a->sinks ? a->sinks + (ptrdiff_t)kv_head * per_kv : NULL;
    int last = (end_key(a, a->first_pos + t1 - 1) - 1) / KV_PAGE_TOKENS;
    bool all_seen = false; /* all keys of the page before, by all */
    for (int page = first_key(a, a->first_pos + t0) / KV_PAGE_TOKENS; page <= last; page++) {
        bool were = all_seen;
        struct key_span oldest = keys_seen(a, a->first_pos + t0, page);
        struct key_span newest = keys_seen(a, a->first_pos + t1 - 1, page);
        all_seen = newest.first == 0 && oldest.end == KV_PAGE_TOKENS;
        for (int i = 0; i < n_q && !(were && all_seen); i++)
            t.seen[i] = keys_seen(a, a->first_pos + t0 + i / per_kv, page);
        int next = min_int(page + 1, last);
        struct attend_page p = { .k = kv_k(&a->kv, &a->layer, page, keys),
                                 .v = kv_v(&a->kv, &a->layer, page, keys),
                                 .next_k = kv_k(&a->kv, &a->layer, next, keys),
                                 .next_v = kv_v(&a->kv, &a->layer, next, keys),
                                 .scratch = t.page,
                                 .head_dim = head_dim,
                                 .n_shared = a->n_shared,
                                 .scale = a->scale,
                                 .soft_cap = a->soft_cap };
        a->k->attend_page[a->kv.type](&p, t.q, t.seen, n_q, t.m, t.l, t.o);
    }
    for (int i = 0; i < n_q; i++) {
        size_t head = (size_t)(kv_head * per_kv + i % per_kv);
        float *out = a->out + (size_t)(t0 + i / per_kv) * a->out_stride + head * (size_t)value_dim;
        a->k->attend_finish(out, t.o[i], t.m[i], t.l[i], sinks ? &sinks[i % per_kv] : NULL, value_dim);
    }
}
