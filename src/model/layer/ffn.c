/* ffn.c: the gated feed-forward half of a decoder layer: norm, gate and up, SiLU, down. */
#include "model/pass.h"

static void stage_silu(void *pass, int thread, int n_threads)
{
    (void)thread;
    (void)n_threads;
    struct pass *p = pass;
    int n_ff = p->m->hp.n_ff;
    for (int tile; (tile = tiles_take(&p->tiles)) < p->tiles.n;) {
        for (int row = tile * TILE_TOKENS; row < min_int(p->b->n_tokens, (tile + 1) * TILE_TOKENS); row++) {
            size_t at = (size_t)row * (size_t)n_ff;
            p->k->silu_mul(p->ws->gate + at, p->ws->gate + at, p->ws->up + at, n_ff);
            pass_act_row(p, row, p->ws->gate + at);
        }
    }
}

void layer_ffn(struct pass *p)
{
    const struct hparams *hp = &p->m->hp;
    const struct weight *w = p->layer->w;
    struct workspace *ws = p->ws;
    int t = p->b->n_tokens, token_tiles = (t + TILE_TOKENS - 1) / TILE_TOKENS;
    size_t n_ff = (size_t)hp->n_ff, n_embd = (size_t)hp->n_embd;

    p->norm_weight = w[W_FFN_NORM].vec;
    pass_act_begin(p, t, hp->n_embd, (const struct weight *[]){ &w[W_GATE], &w[W_UP] }, 2);
    pass_run(p, stage_norm, token_tiles);

    pass_gemm_begin(p);
    pass_gemm_add(p, &w[W_GATE], ws->gate, n_ff);
    pass_gemm_add(p, &w[W_UP], ws->up, n_ff);
    pass_gemm_run(p);
    pass_probe(p, ws->gate, (size_t)t * n_ff, &w[W_GATE]);
    pass_probe(p, ws->up, (size_t)t * n_ff, &w[W_UP]);

    pass_act_begin(p, t, hp->n_ff, (const struct weight *[]){ &w[W_DOWN] }, 1);
    pass_run(p, stage_silu, token_tiles);
    pass_gemm_begin(p);
    pass_gemm_add(p, &w[W_DOWN], ws->out, n_embd);
    pass_gemm_run(p);
    pass_probe(p, ws->out, (size_t)t * n_embd, &w[W_DOWN]);
    p->add_out = true;
    p->out_bias = NULL;
}
