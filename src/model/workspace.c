#include <stdalign.h>

#include "model/forward.h"

enum { ALIGN_BYTES = 64 };

/* Hands out aligned pieces of one block; with base NULL it only counts. */
struct cutter {
    uint8_t *base;
    size_t used;
};

static void *cut(struct cutter *c, size_t n, size_t each)
{
    void *p = c->base ? c->base + c->used : NULL;
    c->used += align_size(n * each, ALIGN_BYTES);
    return p;
}

static size_t thread_scratch_bytes(const struct hparams *hp)
{
    int n_q = hp->n_heads * hp->head_dim;
    int widest = max_int(max_int(hp->n_embd, n_q), hp->n_ff);
    size_t bytes = kernel_scratch_bytes(widest);
    bytes = max_size(bytes, attention_scratch_bytes(hp->n_heads / hp->n_kv_heads, hp->head_dim));
    bytes = max_size(bytes, (size_t)widest * sizeof(float));
    return align_size(bytes, 4096); /* threads never share a page of scratch */
}

void workspace_layout(struct workspace *ws, const struct model *m, const struct workspace_shape *shape, void *base)
{
    const struct hparams *hp = &m->hp;
    size_t t = (size_t)shape->max_tokens, f = sizeof(float);
    size_t n_embd = (size_t)hp->n_embd, n_ff = (size_t)hp->n_ff, n_half = (size_t)hp->n_rot / 2;
    size_t n_q = (size_t)hp->n_heads * (size_t)hp->head_dim, n_kv = (size_t)hp->n_kv_heads * (size_t)hp->head_dim;
    int widest = max_int(max_int(hp->n_embd, (int)n_q), hp->n_ff);
    struct cutter c = { base, 0 };

    *ws = (struct workspace){ .max_tokens = shape->max_tokens, .max_logit_rows = shape->max_logit_rows,
                              .n_threads = shape->n_threads };
    ws->x = cut(&c, t * n_embd, f);
    ws->q = cut(&c, t * n_q, f);
    ws->k = cut(&c, t * n_kv, f);
    ws->v = cut(&c, t * n_kv, f);
    ws->att = cut(&c, t * n_q, f);
    ws->gate = cut(&c, t * n_ff, f);
    ws->up = cut(&c, t * n_ff, f);
    ws->out = cut(&c, t * n_embd, f);
    if (m->arch->parallel)
        ws->beside = cut(&c, t * n_embd, f);
    for (int i = 0; i < m->n_ropes; i++) {
        ws->cos[i] = cut(&c, t * n_half, f);
        ws->sin[i] = cut(&c, t * n_half, f);
    }
    for (int kind = 0; kind < N_ACT_KINDS; kind++)
        if (m->act_kinds >> kind & 1)
            ws->act[kind] = cut(&c, act_bytes(shape->max_tokens, widest), 1);
    ws->row_pos = cut(&c, t, sizeof(int32_t));
    ws->row_slice = cut(&c, t, sizeof(int32_t));
    ws->slice_task = cut(&c, t + 1, sizeof(int));
    if (hp->causal)
        ws->logits = cut(&c, (size_t)shape->max_logit_rows * (size_t)hp->n_vocab, f);
    if (shape->observed)
        ws->seen = cut(&c, max_size(t, (size_t)shape->max_logit_rows) * (size_t)widest, f);
    ws->scratch_bytes = thread_scratch_bytes(hp);
    c.used = align_size(c.used, 4096);
    ws->scratch = cut(&c, (size_t)shape->n_threads, ws->scratch_bytes);
    ws->bytes = c.used;
}
