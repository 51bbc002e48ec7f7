/* attention.c: the attention half of a layer: norm, Q K V, biases, head norms, RoPE,
 * KV write, attention over the pages, output projection. */
#include <math.h>
#include <string.h>

#include "kernel/num.h"
#include "model/pass.h"

/* Over pieces as long as the norm is: each head, or the whole row. All by the same weights, or each by its own. */
static void qk_norm(const struct pass *p, float *x, size_t n, const struct weight *w)
{
    size_t step = (size_t)w->mat.n_cols;
    for (size_t at = 0; w->vec && at < n; at += step)
        pass_norm(p, x + at, x + at, w->vec + (w->n_mats > 1 ? at : 0), NULL, w->mat.n_cols);
}

/* Queries that see far are made longer: Llama 4's and Ministral 3's temperature. */
static void lengthen(const struct pass *p, float *q, int n, int pos)
{
    const struct hparams *hp = &p->m->hp;
    int far = pos / hp->rope.n_ctx_original;
    if (hp->temperature_scale > 0 && far > 0)
        p->k->scale(q, q, (float)(1 + (double)hp->temperature_scale * num_log(1 + far)), n);
}

/* Queries that came with their gates, to where attention reads them. */
static void part_from_gates(const struct pass *p, int row)
{
    size_t n = (size_t)p->layer->shape.head_dim, n_heads = (size_t)p->m->hp.n_heads, at = (size_t)row * n_heads;
    for (size_t h = at; p->m->arch->query_gates && h < at + n_heads; h++)
        memcpy(p->ws->q + h * n, p->ws->mix + 2 * h * n, n * sizeof *p->ws->q);
}

static void stage_gate(void *pass, int thread, int n_threads)
{
    (void)thread;
    (void)n_threads;
    struct pass *p = pass;
    int n = p->layer->shape.head_dim, n_heads = p->m->hp.n_heads;
    for (int row; (row = tiles_take(&p->tiles)) < p->tiles.n;)
        for (int h = row * n_heads; h < (row + 1) * n_heads; h++) {
            float *out = p->ws->att + (ptrdiff_t)h * n;
            p->k->activate[ACTIVATION_SIGMOID](out, p->ws->mix + (ptrdiff_t)(2 * h + 1) * n, out, n);
        }
}

/* Values of all heads of a token: queries; keys, or values. */
static size_t n_query(const struct pass *p) { return (size_t)p->m->hp.n_heads * (size_t)p->layer->shape.head_dim; }
static size_t n_key(const struct pass *p)
{
    return (size_t)p->layer->shape.n_kv_heads * (size_t)p->layer->shape.head_dim;
}

/* Else it reads those of a layer before it. */
static bool has_kv(const struct pass *p) { return p->layer->shape.kv_layer == p->layer_index; }

void pass_rotate(const struct pass *p, int row, float *x, int n_heads, int head_dim)
{
    int table = p->layer->rope;
    if (table == ROPE_NONE)
        return;
    int n_rot = p->m->rope[table].n_rot;
    size_t at = (size_t)row * (size_t)n_rot / 2;
    p->k->rope(x, n_heads, head_dim, n_rot, p->ws->cos[table] + at, p->ws->sin[table] + at, p->m->arch->rope_halves);
}

static void norm_and_rotate(const struct pass *p, int row, float *x, int n_heads, const struct weight *norm)
{
    int head_dim = p->layer->shape.head_dim;
    size_t n = (size_t)n_heads * (size_t)head_dim;
    if (!p->m->arch->qk_norm_rotated)
        qk_norm(p, x, n, norm);
    pass_rotate(p, row, x, n_heads, head_dim);
    if (p->m->arch->qk_norm_rotated)
        qk_norm(p, x, n, norm);
}

/* An RMS norm of each head. */
static void norm_values(const struct pass *p, float *v)
{
    int n = p->layer->shape.head_dim;
    for (int h = 0; p->m->arch->value_norm && h < p->layer->shape.n_kv_heads; h++)
        p->k->unit(v + (ptrdiff_t)h * n, v + (ptrdiff_t)h * n, n, (float)n * p->m->hp.norm_eps, sqrtf((float)n));
}

/* K is cached after RoPE, so a shared prefix is only valid at the same positions. */
void pass_store(const struct pass *p, int row, const float *k, const float *v)
{
    const struct kv_view *kv = &p->b->slices[p->ws->row_slice[row]].kv;
    const struct kv_place *layer = &p->layer->kv[kv->type];
    int page = p->ws->row_pos[row] / KV_PAGE_TOKENS, slot = p->ws->row_pos[row] % KV_PAGE_TOKENS;
    int head_dim = p->layer->shape.head_dim;
    for (int h = 0; h < p->layer->shape.n_kv_heads; h++) {
        size_t at = (size_t)h * (size_t)head_dim;
        p->k->kv_store[kv->type](kv_k(kv, layer, page, h), kv_v(kv, layer, page, h), k + at,
                                 v ? v + at : NULL, head_dim, slot);
    }
}

/* From raw products to what attention reads: one token. */
static void finish_query(const struct pass *p, int row)
{
    const struct weight *w = p->layer->w;
    size_t n = n_query(p);
    float *q = p->ws->q + (size_t)row * n;
    part_from_gates(p, row);
    norm_and_rotate(p, row, q, p->m->hp.n_heads, &w[W_Q_NORM]);
    lengthen(p, q, (int)n, p->ws->row_pos[row]);
}

static void finish_key(const struct pass *p, int row)
{
    const struct weight *w = p->layer->w;
    size_t n = n_key(p), at = (size_t)row * n;
    float *k = p->ws->k + at, *v = p->ws->v + at;
    if (!w[W_V].mat.data)
        memcpy(v, k, n * sizeof *v);
    norm_values(p, v);
    norm_and_rotate(p, row, k, p->layer->shape.n_kv_heads, &w[W_K_NORM]);
    pass_store(p, row, k, v);
}

static void stage_finish_qkv(void *pass, int thread, int n_threads)
{
    (void)thread;
    (void)n_threads;
    struct pass *p = pass;
    for (int tile; (tile = tiles_take(&p->tiles)) < p->tiles.n;)
        for (int row = tile * TILE_TOKENS; row < min_int(p->b->n_tokens, (tile + 1) * TILE_TOKENS); row++) {
            finish_query(p, row);
            if (has_kv(p))
                finish_key(p, row);
        }
}

enum { FEW_TOKENS = 8 };

static int latent_parts(const struct pass *p)
{
    int n_heads = p->m->hp.n_heads, parts = 0, others = max_int(p->b->n_slices, p->b->n_tokens / FEW_TOKENS);
    for (int heads = min_int(n_heads, LATENT_MOST_HEADS); heads > 0 && parts * others < p->ws->n_threads; heads--) {
        if (parts && heads < LATENT_FEW_HEADS)
            break;
        if (n_heads % heads == 0)
            parts = n_heads / heads;
    }
    return parts;
}

/* In how many parts query heads are taken: those of each KV head. */
static int n_parts(const struct pass *p)
{
    return p->m->hp.n_latent ? latent_parts(p) : p->layer->shape.n_kv_heads;
}

/* Tokens of a task: many, for they share the work on a page; fewer where some threads would have nothing to do. */
static int task_tokens(const struct pass *p)
{
    enum { TASKS_PER_THREAD = 4 };
    int most = attention_task_tokens(p->m->hp.n_heads / n_parts(p));
    int fair = p->b->n_tokens * n_parts(p) / (TASKS_PER_THREAD * p->ws->n_threads);
    return min_int(most, max_int(FEW_TOKENS, fair));
}

/* A task is some tokens of one slice and one KV head; tasks of a slice are numbered head first, so that neighbours
 * read the same pages, and the last tokens, which see the most, come first. */
static void attend(struct pass *p, int task, void *scratch)
{
    const struct hparams *hp = &p->m->hp;
    struct workspace *ws = p->ws;
    int s = p->b->n_slices - 1;
    while (ws->slice_task[s] > task)
        s--;
    const struct batch_slice *slice = &p->b->slices[s];
    size_t n_q = n_query(p), n_out = hp->n_latent ? (size_t)hp->n_heads * (size_t)hp->n_latent : n_q;
    int most = task_tokens(p), n_groups = (slice->n_tokens + most - 1) / most;
    int head = (task - ws->slice_task[s]) / n_groups;
    int group = n_groups - 1 - (task - ws->slice_task[s]) % n_groups;
    struct attention a = {
        .k = p->k,
        .kv = slice->kv,
        .layer = p->layer->kv[slice->kv.type],
        .n_heads = hp->n_heads,
        .n_kv_heads = n_parts(p),
        .head_dim = p->layer->shape.head_dim,
        .n_shared = hp->n_latent,
        .scale = p->layer->attention_scale,
        .window = p->layer->window,
        .both_ways = !hp->causal,
        .soft_cap = hp->score_cap,
        .sinks = p->layer->w[W_SINKS].vec,
        .n_tokens = slice->n_tokens,
        .first_pos = slice->first_pos,
        .q = ws->q + (size_t)slice->first_row * n_q,
        .q_stride = n_q,
        .out = ws->att + (size_t)slice->first_row * n_out,
        .out_stride = n_out,
    };
    attention_task(&a, head, group * most, min_int(slice->n_tokens, (group + 1) * most), scratch);
}

static void stage_attend(void *pass, int thread, int n_threads)
{
    (void)n_threads;
    struct pass *p = pass;
    for (int tile; (tile = tiles_take(&p->tiles)) < p->tiles.n;)
        attend(p, tile, pass_scratch(p, thread));
}

static int number_tasks(struct pass *p)
{
    int n = 0, most = task_tokens(p);
    for (int s = 0; s < p->b->n_slices; s++) {
        p->ws->slice_task[s] = n;
        n += (p->b->slices[s].n_tokens + most - 1) / most * n_parts(p);
    }
    return n;
}

void pass_attend(struct pass *p) { pass_run(p, stage_attend, number_tasks(p)); }

void layer_attention(struct pass *p)
{
    const struct weight *w = p->layer->w;
    struct workspace *ws = p->ws;
    int t = p->b->n_tokens, token_tiles = (t + TILE_TOKENS - 1) / TILE_TOKENS;
    size_t n_q = n_query(p), n_kv = n_key(p);

    p->norm = &w[W_ATTN_NORM];
    p->norm_bias = &w[W_ATTN_NORM_BIAS];
    pass_act_begin(p, t, p->m->hp.n_embd, (const struct weight *[]){ &w[W_Q], &w[W_K], &w[W_V] }, 3);
    pass_run(p, stage_norm, token_tiles);

    pass_gemm_begin(p);
    if (p->m->arch->query_gates)
        pass_gemm_add(p, &w[W_Q], ws->mix, 2 * n_q);
    else
        pass_gemm_add(p, &w[W_Q], ws->q, n_q);
    pass_gemm_add(p, &w[W_K], ws->k, n_kv);
    pass_gemm_add(p, &w[W_V], ws->v, n_kv);
    pass_gemm_run(p);
    pass_probe(p, p->m->arch->query_gates ? ws->mix : ws->q, (size_t)t * (size_t)w[W_Q].mat.n_rows, &w[W_Q]);
    pass_probe(p, ws->k, w[W_K].mat.data ? (size_t)t * n_kv : 0, &w[W_K]);
    pass_probe(p, ws->v, w[W_V].mat.data ? (size_t)t * n_kv : 0, &w[W_V]);

    pass_run(p, stage_finish_qkv, token_tiles);
    pass_attend(p);
    pass_probe(p, ws->att, (size_t)t * n_q, &w[w[W_V].mat.data ? W_V : w[W_K].mat.data ? W_K : W_Q]);
    if (p->m->arch->query_gates)
        pass_run(p, stage_gate, t);

    pass_end_mixer(p, &w[W_O]);
}
