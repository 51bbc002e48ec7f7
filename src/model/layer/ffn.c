/* ffn.c: the feed-forward half of a layer: norm, up with or without a gate, activation, down. Where experts run beside
 * it, they come next and add what is left in ws->beside. */
#include "model/pass.h"

static void activate_row(struct pass *p, int row)
{
    int n_ff = p->layer->shape.n_ff;
    float *up = p->ws->up + (size_t)row * (size_t)n_ff, *gate = p->ws->gate + (size_t)row * (size_t)n_ff;
    bool gated = p->layer->w[W_GATE].mat.data != NULL;
    pass_act_row(p, row, pass_activate(p, gate, up, gated, n_ff));
}

static void stage_activate(void *pass, int thread, int n_threads)
{
    (void)thread;
    (void)n_threads;
    struct pass *p = pass;
    for (int tile; (tile = tiles_take(&p->tiles)) < p->tiles.n;)
        for (int row = tile * TILE_TOKENS; row < min_int(p->b->n_tokens, (tile + 1) * TILE_TOKENS); row++)
            activate_row(p, row);
}

void layer_ffn(struct pass *p)
{
    const struct weight *w = p->layer->w;
    struct workspace *ws = p->ws;
    int t = p->b->n_tokens, token_tiles = (t + TILE_TOKENS - 1) / TILE_TOKENS;
    size_t n_ff = (size_t)p->layer->shape.n_ff, n_embd = (size_t)p->m->hp.n_embd;

    pass_begin_ffn(p, (const struct weight *[]){ &w[W_GATE], &w[W_UP] }, 2);

    pass_gemm_begin(p);
    pass_gemm_add(p, &w[W_GATE], ws->gate, n_ff);
    pass_gemm_add(p, &w[W_UP], ws->up, n_ff);
    pass_gemm_run(p);
    pass_probe(p, ws->gate, w[W_GATE].mat.data ? (size_t)t * n_ff : 0, &w[W_GATE]);
    pass_probe(p, ws->up, (size_t)t * n_ff, &w[W_UP]);

    pass_act_begin(p, t, p->layer->shape.n_ff, (const struct weight *[]){ &w[W_DOWN] }, 1);
    pass_run(p, stage_activate, token_tiles);
    pass_gemm_begin(p);
    float *out = w[W_ROUTER].mat.data ? ws->beside : ws->out;
    pass_gemm_add(p, &w[W_DOWN], out, n_embd);
    pass_gemm_run(p);
    pass_probe(p, out, (size_t)t * n_embd, &w[W_DOWN]);
    if (w[W_ROUTER].mat.data)
        p->pending = (struct pending){ 0 };
    else
        pass_end_ffn(p);
}
