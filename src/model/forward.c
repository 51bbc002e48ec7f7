#include "model/forward.h"

#include <string.h>

#include "kernel/num.h"
#include "model/pass.h"

/* Adds a row of a table to x. */
static void add_row(const struct pass *p, float *x, const struct weight *table, int row, float *scratch)
{
    const struct mat *t = &table->mat;
    if (!t->data)
        return;
    p->k->row_to_f32[t->type](scratch, t->data + (size_t)row * t->row_bytes, t->n_cols);
    p->k->add(x, scratch, t->n_cols);
}

/* Embedding row, position and rotation angles of one token. */
static void begin_row(struct pass *p, int row, float *scratch)
{
    const struct model *m = p->m;
    struct workspace *ws = p->ws;
    const struct mat *embd = &m->global[G_TOKEN_EMBD].mat;
    size_t r = (size_t)row;
    float *x = ws->x + r * (size_t)m->hp.n_embd;
    p->k->row_to_f32[embd->type](x, embd->data + (size_t)p->b->tokens[row] * embd->row_bytes, m->hp.n_embd);
    if (m->embedding_scale != 1)
        p->k->scale(x, x, m->embedding_scale, m->hp.n_embd);
    add_row(p, x, &m->global[G_TOKEN_TYPES], 0, scratch);
    add_row(p, x, &m->global[G_POSITION_EMBD], ws->row_pos[row], scratch);
    if (m->global[G_EMBD_NORM].vec)
        pass_norm(p, x, x, m->global[G_EMBD_NORM].vec, m->global[G_EMBD_NORM_BIAS].vec, m->hp.n_embd);
    for (int i = 0; i < m->n_ropes; i++) {
        size_t at = r * (size_t)m->rope[i].n_rot / 2;
        rope_angles(&m->rope[i], ws->row_pos[row], ws->cos[i] + at, ws->sin[i] + at);
    }
}

static void stage_begin(void *pass, int thread, int n_threads)
{
    (void)n_threads;
    struct pass *p = pass;
    float *scratch = (float *)(void *)pass_scratch(p, thread);
    for (int tile; (tile = tiles_take(&p->tiles)) < p->tiles.n;)
        for (int row = tile * TILE_TOKENS; row < min_int(p->b->n_tokens, (tile + 1) * TILE_TOKENS); row++)
            begin_row(p, row, scratch);
}

static void place_rows(struct workspace *ws, const struct batch *b)
{
    for (int s = 0; s < b->n_slices; s++) {
        const struct batch_slice *slice = &b->slices[s];
        for (int i = 0; i < slice->n_tokens; i++) {
            ws->row_pos[slice->first_row + i] = slice->first_pos + i;
            ws->row_slice[slice->first_row + i] = s;
        }
    }
}

/* What a layer does before its feed-forward, where it keeps a state. */
static void (*const mixers[])(struct pass *p) = {
    [RECURRENCE_SHORT_CONV] = layer_short_conv,
    [RECURRENCE_DELTA] = layer_delta,
    [RECURRENCE_MAMBA] = layer_mamba,
};

void model_forward(const struct model *m, const struct kernels *k, struct pool *pool, struct workspace *ws,
                   const struct batch *b, struct probe *probe, const struct observer *observer)
{
    struct pass p = { .m = m, .k = k, .pool = pool, .ws = ws, .b = b, .probe = probe, .n_rows = b->n_tokens };
    p.observer = ws->seen && observer && observer->see ? observer : NULL;
    int token_tiles = (b->n_tokens + TILE_TOKENS - 1) / TILE_TOKENS;
    place_rows(ws, b);
    pass_run(&p, stage_begin, token_tiles);
    pass_probe(&p, ws->x, (size_t)b->n_tokens * (size_t)m->hp.n_embd, &m->global[G_TOKEN_EMBD]);
    if (m->hp.n_embd_layer)
        pass_layer_pieces(&p);
    for (int i = 0; i < m->hp.n_layers; i++) {
        p.layer_index = i;
        p.layer = &m->layers[i];
        if (p.layer->recurrent)
            mixers[m->arch->recurrence](&p);
        else if (m->arch->latent)
            layer_latent(&p);
        else
            layer_attention(&p);
        if (p.layer->w[W_UP].mat.data)
            layer_ffn(&p);
        if (p.layer->w[W_ROUTER].mat.data)
            layer_moe(&p);
        if (p.layer->w[W_EMBD_GATE].mat.data)
            layer_embd(&p);
    }
    p.no_act = true; /* only the last block's sum */
    p.layer = NULL;
    pass_run(&p, stage_norm, token_tiles);
}

static void stage_states(void *pass, int thread, int n_threads)
{
    (void)thread;
    (void)n_threads;
    struct pass *p = pass;
    size_t n = (size_t)p->m->hp.n_embd;
    const float *weight = p->m->global[G_OUTPUT_NORM].vec, *bias = p->m->global[G_OUTPUT_NORM_BIAS].vec;
    for (int tile; (tile = tiles_take(&p->tiles)) < p->tiles.n;)
        for (int i = tile * TILE_TOKENS; i < min_int(p->n_rows, (tile + 1) * TILE_TOKENS); i++) {
            const float *x = p->ws->x + (size_t)p->rows[i] * n;
            float *y = p->ws->out + (size_t)i * n;
            if (weight)
                pass_norm(p, y, x, weight, bias, (int)n);
            else
                memcpy(y, x, n * sizeof *y);
        }
}

void model_states(const struct model *m, const struct kernels *k, struct pool *pool, struct workspace *ws,
                  const int *rows, int n)
{
    struct pass p = { .m = m, .k = k, .pool = pool, .ws = ws, .rows = rows, .n_rows = n };
    pass_run(&p, stage_states, (n + TILE_TOKENS - 1) / TILE_TOKENS);
}

/* y = w x, of one column. */
static void multiply_one(struct pass *p, const struct weight *w, float *y, const float *x)
{
    pass_act_begin(p, 1, w->mat.n_cols, &w, 1);
    pass_act_row(p, 0, x);
    pass_gemm_begin(p);
    pass_gemm_add(p, w, y, (size_t)w->mat.n_rows);
    pass_gemm_run(p);
}

void model_dense(const struct model *m, const struct kernels *k, struct pool *pool, struct workspace *ws, float *y,
                 const float *x)
{
    struct pass p = { .m = m, .k = k, .pool = pool, .ws = ws };
    multiply_one(&p, &m->global[G_DENSE_2], ws->dense, x);
    multiply_one(&p, &m->global[G_DENSE_3], y, ws->dense);
}

/* Scale and cap of logits. */
static void stage_finish_logits(void *pass, int thread, int n_threads)
{
    (void)thread;
    (void)n_threads;
    struct pass *p = pass;
    const struct model *m = p->m;
    int n = m->hp.n_vocab;
    for (int row; (row = tiles_take(&p->tiles)) < p->tiles.n;) {
        float *logits = p->ws->logits + (size_t)row * (size_t)n;
        if (m->logit_scale != 1)
            p->k->scale(logits, logits, m->logit_scale, n);
        if (m->hp.logit_cap > 0)
            p->k->soft_cap(logits, logits, n, m->hp.logit_cap);
    }
}

void model_logits(const struct model *m, const struct kernels *k, struct pool *pool, struct workspace *ws,
                  const int *rows, int n, const struct observer *observer)
{
    struct pass p = { .m = m, .k = k, .pool = pool, .ws = ws, .rows = rows, .n_rows = n };
    p.observer = ws->seen && observer && observer->see ? observer : NULL;
    const struct weight *out = &m->global[G_OUTPUT];
    p.norm = &m->global[G_OUTPUT_NORM];
    p.norm_bias = &m->global[G_OUTPUT_NORM_BIAS];
    pass_act_begin(&p, n, m->hp.n_embd, &out, 1);
    pass_run(&p, stage_norm, (n + TILE_TOKENS - 1) / TILE_TOKENS);
    pass_gemm_begin(&p);
    pass_gemm_add(&p, out, ws->logits, (size_t)m->hp.n_vocab);
    pass_gemm_run(&p);
    if (m->logit_scale != 1 || m->hp.logit_cap > 0)
        pass_run(&p, stage_finish_logits, n);
}
