/* mamba.c: Mamba-2 (Granite 4 H): one projection gives of a token gates of the output, then x, B and C, which go
 * through a convolution, and a step of each head. A head keeps a matrix: S = keep S + B (step x), y = C S + d x. */
#include <string.h>

#include "kernel/num.h"
#include "model/pass.h"

/* One head of a slice, token after token. */
static void mamba_head(struct pass *p, const struct batch_slice *slice, int head, float *scratch)
{
    const struct hparams *hp = &p->m->hp;
    const struct weight *w = p->layer->w;
    int n = hp->n_state, n_values = hp->n_inner / hp->n_state_heads;
    size_t group = (size_t)(head / (hp->n_state_heads / hp->n_state_groups));
    size_t keys = (size_t)hp->n_state_groups * (size_t)n;
    size_t of_head = (size_t)head * (size_t)n_values, n_inner = (size_t)hp->n_inner;
    float *matrix = pass_state(p, slice) + recurrence_tail_floats(hp) + of_head * (size_t)n, *value = scratch;
    if (slice->first_pos == 0)
        memset(matrix, 0, (size_t)n * (size_t)n_values * sizeof *matrix);
    for (int t = 0; t < slice->n_tokens; t++) {
        size_t row = (size_t)(slice->first_row + t);
        const float *mix = p->ws->mix + row * (size_t)hp->n_mix, *conv = p->ws->conv + row * (size_t)hp->n_conv;
        const float *x = conv + of_head, *b = conv + n_inner + group * (size_t)n, *c = b + keys;
        float *out = p->ws->att + row * n_inner + of_head;
        float raw = mix[n_inner + (size_t)hp->n_conv + (size_t)head];
        double step = num_softplus((double)raw + (double)w[W_STEP_BIAS].vec[head]);
        float keep = (float)num_exp((double)w[W_DECAY].vec[head] * step);
        p->k->scale(value, x, (float)step, n_values);
        p->k->remember(out, matrix, b, value, c, keep, n, n_values);
        p->k->add_scaled(out, x, w[W_SKIP].vec[head], n_values);
        p->k->activate[ACTIVATION_SILU](out, mix + of_head, out, n_values);
    }
}

static void stage_mamba(void *pass, int thread, int n_threads)
{
    (void)n_threads;
    struct pass *p = pass;
    int n_heads = p->m->hp.n_state_heads;
    for (int tile; (tile = tiles_take(&p->tiles)) < p->tiles.n;)
        mamba_head(p, &p->b->slices[tile / n_heads], tile % n_heads, (float *)(void *)pass_scratch(p, thread));
}

/* Of each group of heads together. */
static void stage_norm_groups(void *pass, int thread, int n_threads)
{
    (void)thread;
    (void)n_threads;
    struct pass *p = pass;
    const struct hparams *hp = &p->m->hp;
    int n = hp->n_inner / hp->n_state_groups;
    for (int tile; (tile = tiles_take(&p->tiles)) < p->tiles.n;)
        for (int row = tile * TILE_TOKENS; row < min_int(p->b->n_tokens, (tile + 1) * TILE_TOKENS); row++)
            for (int at = 0; at < hp->n_inner; at += n) {
                float *x = p->ws->att + (size_t)row * (size_t)hp->n_inner + (size_t)at;
                p->k->rmsnorm(x, x, p->layer->w[W_STATE_NORM].vec + at, n, hp->norm_eps);
            }
}

void layer_mamba(struct pass *p)
{
    const struct hparams *hp = &p->m->hp;
    const struct weight *w = p->layer->w, *in = &w[W_MIX_IN];
    struct workspace *ws = p->ws;
    int t = p->b->n_tokens;
    pass_begin_mixer(p, &in, 1);
    pass_gemm_begin(p);
    pass_gemm_add(p, in, ws->mix, (size_t)hp->n_mix);
    pass_gemm_run(p);
    pass_probe(p, ws->mix, (size_t)t * (size_t)hp->n_mix, in);
    pass_convolve(p, hp->n_inner);
    pass_run(p, stage_mamba, p->b->n_slices * hp->n_state_heads);
    pass_probe(p, ws->att, (size_t)t * (size_t)hp->n_inner, &w[W_DECAY]);
    pass_run(p, stage_norm_groups, (t + TILE_TOKENS - 1) / TILE_TOKENS);
    pass_end_mixer(p, &w[W_MIX_OUT]);
}
