#include <stdalign.h>

#include "model/pass.h"

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

/* What feed-forward blocks of this model need for a token. */
struct ffn_needs {
    size_t inner;           /* values between the two matrices, of all blocks that a token goes through */
    int widest;             /* of a block that all tokens go through */
    bool beside;            /* experts beside a block of all tokens */
    unsigned expert_kinds;  /* bit k: rows of experts are prepared as kind k */
};

static struct ffn_needs ffn_needs(const struct model *m)
{
    const struct hparams *hp = &m->hp;
    struct ffn_needs n = { 0 };
    for (int i = 0; i < hp->n_layers; i++) {
        const struct weight *w = m->layers[i].w;
        int dense = w[W_UP].mat.data ? hp->layer[i].n_ff : 0, shared = w[W_SHARED_UP].mat.data ? hp->n_ff_shared : 0;
        size_t experts = w[W_ROUTER].mat.data ? (size_t)hp->n_experts_used * (size_t)hp->n_ff_expert : 0;
        n.inner = max_size(n.inner, max_size((size_t)dense, experts + (size_t)shared));
        n.inner = max_size(n.inner, (size_t)hp->n_embd_layer);
        n.widest = max_int(n.widest, max_int(max_int(dense, shared), hp->n_embd_layer));
        n.beside = n.beside || (dense && experts);
        n.expert_kinds |= pass_act_mask(
            (const struct weight *[]){ &w[W_EXPERT_GATE], &w[W_EXPERT_UP], &w[W_EXPERT_DOWN] }, 3);
    }
    return n;
}

static void cut_experts(struct workspace *ws, struct cutter *c, const struct model *m, unsigned kinds)
{
    const struct hparams *hp = &m->hp;
    struct expert_space *e = &ws->experts;
    size_t t = (size_t)ws->max_tokens, n = (size_t)hp->n_experts, used = (size_t)hp->n_experts_used, pairs = t * used;
    int widest = max_int(hp->n_embd, hp->n_ff_expert);
    e->logits = cut(c, t * n, sizeof(float));
    e->chosen = cut(c, pairs, sizeof *e->chosen);
    e->weight = cut(c, pairs, sizeof *e->weight);
    e->place = cut(c, pairs, sizeof *e->place);
    e->token = cut(c, pairs, sizeof *e->token);
    e->of = cut(c, pairs, sizeof *e->of);
    e->end = cut(c, n, sizeof *e->end);
    e->active = cut(c, min_size(n, pairs), sizeof *e->active);
    e->down = cut(c, pairs * (size_t)hp->n_embd, sizeof(float));
    e->shared_weight = cut(c, t, sizeof(float));
    for (int kind = 0; kind < N_ACT_KINDS; kind++)
        if (kinds >> kind & 1)
            e->act[kind] = cut(c, act_kind_bytes((enum act_kind)kind, (int)pairs, widest), 1);
}

/* The most values of a token that attention of some layer has. */
struct attention_needs {
    size_t q, k, v, mix, out;
    int widest;           /* that a matrix takes */
    size_t scratch_bytes; /* of a thread */
    unsigned head_kinds;  /* latent attention: rows of heads are prepared as these kinds, bit k is kind k */
};

/* Of a thread, for as many heads as a task may take. */
static size_t latent_scratch_bytes(const struct hparams *hp)
{
    size_t bytes = 0;
    for (int heads = 1; heads <= min_int(hp->n_heads, LATENT_MOST_HEADS); heads++)
        bytes = max_size(bytes, attention_scratch_bytes(heads, hp->head_dim, hp->n_latent));
    return bytes;
}

static struct attention_needs latent_needs(const struct model *m)
{
    const struct hparams *hp = &m->hp;
    size_t n_heads = (size_t)hp->n_heads, values = n_heads * (size_t)hp->n_head_value;
    struct attention_needs n = {
        .q = n_heads * (size_t)hp->head_dim,
        .k = (size_t)hp->head_dim,
        .v = (size_t)hp->n_q_rank,
        .mix = n_heads * (size_t)hp->n_head_key,
        .out = max_size(n_heads * (size_t)hp->n_latent, values),
        .widest = max_int((int)values, hp->n_q_rank),
        .scratch_bytes = latent_scratch_bytes(hp),
    };
    for (int i = 0; i < hp->n_layers; i++)
        n.head_kinds |= pass_act_mask((const struct weight *[]){ &m->layers[i].w[W_K_B], &m->layers[i].w[W_V_B] }, 2);
    return n;
}

static struct attention_needs attention_needs(const struct model *m)
{
    const struct hparams *hp = &m->hp;
    struct attention_needs n = { 0 };
    if (m->arch->latent)
        return latent_needs(m);
    for (int i = 0; i < hp->n_layers; i++) {
        const struct layer_shape *of = &hp->layer[i];
        if (hparams_is_recurrent(hp, i))
            continue;
        n.q = max_size(n.q, (size_t)hp->n_heads * (size_t)of->head_dim);
        n.k = max_size(n.k, (size_t)of->n_kv_heads * (size_t)of->head_dim);
        n.scratch_bytes =
            max_size(n.scratch_bytes, attention_scratch_bytes(hp->n_heads / of->n_kv_heads, of->head_dim, 0));
    }
    n.v = n.k;
    n.out = n.q;
    n.mix = m->arch->query_gates ? 2 * n.q : 0;
    n.widest = (int)n.q;
    return n;
}

/* Of a head's inputs. */
static int head_widest(const struct hparams *hp) { return max_int(hp->n_head_key, hp->n_latent); }

static void cut_seen(struct workspace *ws, struct cutter *c, const struct hparams *hp, int widest)
{
    size_t t = (size_t)ws->max_tokens, f = sizeof(float);
    size_t of_experts = t * (size_t)hp->n_experts_used * (size_t)max_int(hp->n_embd, hp->n_ff_expert);
    size_t of_heads = t * (size_t)hp->n_heads * (size_t)head_widest(hp);
    ws->seen = cut(c, max_size(t, (size_t)ws->max_logit_rows) * (size_t)widest, f);
    ws->seen_rows = cut(c, max_size(hp->n_experts ? of_experts : 0, hp->n_latent ? of_heads : 0), f);
}

static void cut_heads(struct workspace *ws, struct cutter *c, const struct hparams *hp, unsigned kinds)
{
    int widest = head_widest(hp);
    ws->heads = cut(c, (size_t)hp->n_heads, sizeof *ws->heads);
    for (int kind = 0; kind < N_ACT_KINDS; kind++)
        if (kinds >> kind & 1)
            ws->head_act[kind] = cut(c, act_kind_bytes((enum act_kind)kind, ws->max_tokens * hp->n_heads, widest), 1);
}

static size_t thread_scratch_bytes(const struct hparams *hp, int widest, size_t attention_bytes)
{
    size_t bytes = max_size(kernel_scratch_bytes(widest), attention_bytes);
    bytes = max_size(bytes, (size_t)widest * sizeof(float));
    bytes = max_size(bytes, (size_t)hp->n_layers * (size_t)hp->n_embd_layer * sizeof(float));
    bytes = max_size(bytes, 2 * (size_t)hp->n_experts * sizeof(float));
    bytes = max_size(bytes, recurrence_scratch_bytes(hp));
    return align_size(bytes, 4096); /* threads never share a page of scratch */
}

void workspace_layout(struct workspace *ws, const struct model *m, const struct workspace_shape *shape, void *base)
{
    const struct hparams *hp = &m->hp;
    size_t t = (size_t)shape->max_tokens, f = sizeof(float);
    const struct ffn_needs ffn = ffn_needs(m);
    const struct attention_needs attention = attention_needs(m);
    size_t n_embd = (size_t)hp->n_embd;
    int widest = max_int(max_int(hp->n_embd, attention.widest), max_int(ffn.widest, max_int(hp->n_dense, hp->n_inner)));
    struct cutter c = { base, 0 };

    *ws = (struct workspace){ .max_tokens = shape->max_tokens, .max_logit_rows = shape->max_logit_rows,
                              .n_threads = shape->n_threads };
    ws->x = cut(&c, t * n_embd, f);
    ws->q = cut(&c, t * attention.q, f);
    ws->k = cut(&c, t * attention.k, f);
    ws->v = cut(&c, t * attention.v, f);
    ws->att = cut(&c, t * max_size(attention.out, (size_t)hp->n_inner), f);
    ws->gate = cut(&c, t * ffn.inner, f);
    ws->up = cut(&c, t * ffn.inner, f);
    ws->mix = cut(&c, t * max_size((size_t)hp->n_mix, attention.mix), f);
    ws->conv = cut(&c, t * (size_t)hp->n_conv, f);
    ws->out = cut(&c, t * n_embd, f);
    size_t n_pieces = (size_t)hp->n_layers * (size_t)hp->n_embd_layer;
    if (n_pieces)
        ws->pieces = cut(&c, t * n_pieces, f);
    if (m->arch->parallel || ffn.beside)
        ws->beside = cut(&c, t * n_embd, f);
    for (int i = 0; i < m->n_ropes; i++) {
        size_t n_half = (size_t)m->rope[i].n_rot / 2;
        ws->cos[i] = cut(&c, t * n_half, f);
        ws->sin[i] = cut(&c, t * n_half, f);
    }
    for (int kind = 0; kind < N_ACT_KINDS; kind++)
        if (m->act_kinds >> kind & 1)
            ws->act[kind] = cut(&c, act_bytes(shape->max_tokens, widest), 1);
    if (hp->n_experts)
        cut_experts(ws, &c, m, ffn.expert_kinds);
    if (m->arch->latent)
        cut_heads(ws, &c, hp, attention.head_kinds);
    size_t expert_jobs = 2 * min_size((size_t)hp->n_experts, t * (size_t)hp->n_experts_used);
    ws->jobs = cut(&c, PASS_MAX_JOBS + max_size(expert_jobs, (size_t)hp->n_heads), sizeof *ws->jobs);
    ws->row_pos = cut(&c, t, sizeof(int32_t));
    ws->row_slice = cut(&c, t, sizeof(int32_t));
    ws->slice_task = cut(&c, t + 1, sizeof(int));
    if (model_has_dense(m))
        ws->dense = cut(&c, (size_t)hp->n_dense, f);
    if (hp->causal)
        ws->logits = cut(&c, (size_t)shape->max_logit_rows * (size_t)hp->n_vocab, f);
    if (shape->observed)
        cut_seen(ws, &c, hp, widest);
    ws->scratch_bytes = thread_scratch_bytes(hp, widest, attention.scratch_bytes);
    c.used = align_size(c.used, 4096);
    ws->scratch = cut(&c, (size_t)shape->n_threads, ws->scratch_bytes);
    ws->bytes = c.used;
}
