/* embd.c: embeddings of each layer's own (Gemma 3n, Gemma 4 E): a token has a piece for every layer, made of what its
 * row of a table says and of its first embedding, and a layer adds what a gate lets through of its piece.
 *
 *   piece = (norm(project x0 / sqrt(width)) + row * sqrt(width of a piece)) / sqrt(2)
 *   x     = x + post_norm(proj (activation(gate x) * piece))
 *
 * The table is gigabytes in real files; a row of it is read for a token, and nothing else. */
#include <math.h>
#include <string.h>

#include "model/pass.h"

static size_t all_pieces(const struct pass *p) { return (size_t)p->m->hp.n_layers * (size_t)p->m->hp.n_embd_layer; }

static void stage_project(void *pass, int thread, int n_threads)
{
    (void)thread;
    (void)n_threads;
    struct pass *p = pass;
    for (int tile; (tile = tiles_take(&p->tiles)) < p->tiles.n;)
        for (int row = tile * TILE_TOKENS; row < min_int(p->b->n_tokens, (tile + 1) * TILE_TOKENS); row++)
            pass_act_row(p, row, p->ws->x + (size_t)row * (size_t)p->m->hp.n_embd);
}

/* A row of the table, which is looked up in the thread's scratch, into the pieces that were projected. */
static void join_row(const struct pass *p, int row, float *looked_up)
{
    const struct mat *table = &p->m->global[G_LAYER_EMBD].mat;
    const float *norm = p->m->global[G_LAYER_PROJ_NORM].vec;
    int n = p->m->hp.n_embd_layer, n_all = (int)all_pieces(p);
    float *pieces = p->ws->pieces + (size_t)row * all_pieces(p);
    p->k->row_to_f32[table->type](looked_up, table->data + (size_t)p->b->tokens[row] * table->row_bytes, n_all);
    p->k->scale(looked_up, looked_up, sqrtf((float)n), n_all);
    p->k->scale(pieces, pieces, 1 / sqrtf((float)p->m->hp.n_embd), n_all);
    for (int at = 0; at < n_all; at += n)
        pass_norm(p, pieces + at, pieces + at, norm, NULL, n);
    p->k->add(pieces, looked_up, n_all);
    p->k->scale(pieces, pieces, sqrtf(0.5f), n_all);
}

static void stage_join(void *pass, int thread, int n_threads)
{
    (void)n_threads;
    struct pass *p = pass;
    float *looked_up = (float *)(void *)pass_scratch(p, thread);
    for (int tile; (tile = tiles_take(&p->tiles)) < p->tiles.n;)
        for (int row = tile * TILE_TOKENS; row < min_int(p->b->n_tokens, (tile + 1) * TILE_TOKENS); row++)
            join_row(p, row, looked_up);
}

void pass_layer_pieces(struct pass *p)
{
    const struct weight *w = &p->m->global[G_LAYER_PROJ];
    int t = p->b->n_tokens, token_tiles = (t + TILE_TOKENS - 1) / TILE_TOKENS;
    pass_act_begin(p, t, p->m->hp.n_embd, &w, 1);
    pass_run(p, stage_project, token_tiles);
    pass_gemm_begin(p);
    pass_gemm_add(p, w, p->ws->pieces, all_pieces(p));
    pass_gemm_run(p);
    pass_probe(p, p->ws->pieces, (size_t)t * all_pieces(p), w);
    pass_run(p, stage_join, token_tiles);
    pass_probe(p, p->ws->pieces, (size_t)t * all_pieces(p), &p->m->global[G_LAYER_EMBD]);
}

static void stage_gate(void *pass, int thread, int n_threads)
{
    (void)thread;
    (void)n_threads;
    struct pass *p = pass;
    int n = p->m->hp.n_embd_layer;
    const float *pieces = p->ws->pieces + (size_t)p->layer_index * (size_t)n;
    for (int tile; (tile = tiles_take(&p->tiles)) < p->tiles.n;)
        for (int row = tile * TILE_TOKENS; row < min_int(p->b->n_tokens, (tile + 1) * TILE_TOKENS); row++) {
            float *gate = p->ws->gate + (size_t)row * (size_t)n;
            p->k->activate[p->m->arch->activation](gate, gate, pieces + (size_t)row * all_pieces(p), n);
            pass_act_row(p, row, gate);
        }
}

void layer_embd(struct pass *p)
{
    const struct weight *w = p->layer->w, *gate = &w[W_EMBD_GATE], *proj = &w[W_EMBD_PROJ];
    struct workspace *ws = p->ws;
    int t = p->b->n_tokens, token_tiles = (t + TILE_TOKENS - 1) / TILE_TOKENS;
    size_t n = (size_t)p->m->hp.n_embd_layer, n_embd = (size_t)p->m->hp.n_embd;

    p->norm = p->norm_bias = NULL;
    pass_act_begin(p, t, (int)n_embd, &gate, 1);
    pass_run(p, stage_norm, token_tiles);
    pass_gemm_begin(p);
    pass_gemm_add(p, gate, ws->gate, n);
    pass_gemm_run(p);
    pass_probe(p, ws->gate, (size_t)t * n, gate);

    pass_act_begin(p, t, (int)n, &proj, 1);
    pass_run(p, stage_gate, token_tiles);
    pass_gemm_begin(p);
    pass_gemm_add(p, proj, ws->out, n_embd);
    pass_gemm_run(p);
    pass_probe(p, ws->out, (size_t)t * n_embd, proj);
    p->pending = (struct pending){ .out = true, .out_norm = w[W_EMBD_NORM].vec, .scale = w[W_OUT_SCALE].vec };
}
