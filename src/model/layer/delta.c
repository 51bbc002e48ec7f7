/* delta.c: gated delta nets (Qwen3-Next, Qwen3.5): the projections of a token go through a convolution; then each head
 * keeps a matrix, forgets some of it, and writes what it did not know about a key: with S the matrix, S' = keep S,
 * S = S' + k beta (v - k S'), o = q S. */
#include <string.h>

#include "kernel/num.h"
#include "model/pass.h"

/* Where in a row of ws->mix what the convolution does not take lies: gates of the output, then two numbers of each
 * head. */
static size_t at_gate(const struct hparams *hp) { return (size_t)hp->n_conv; }
static size_t at_numbers(const struct hparams *hp) { return (size_t)hp->n_conv + (size_t)hp->n_inner; }

/* Queries and keys of a token to length 1, queries also by 1 / sqrt of their number of values. */
static void stage_unit_keys(void *pass, int thread, int n_threads)
{
    (void)thread;
    (void)n_threads;
    struct pass *p = pass;
    const struct hparams *hp = &p->m->hp;
    int n = hp->n_state, n_heads = hp->n_state_groups;
    float shorter = (float)(1 / num_pow((double)n, 0.5));
    for (int tile; (tile = tiles_take(&p->tiles)) < p->tiles.n;)
        for (int row = tile * TILE_TOKENS; row < min_int(p->b->n_tokens, (tile + 1) * TILE_TOKENS); row++)
            for (int h = 0; h < 2 * n_heads; h++) {
                float *x = p->ws->conv + (size_t)row * (size_t)hp->n_conv + (size_t)h * (size_t)n;
                p->k->unit(x, x, n, 1e-6f, h < n_heads ? shorter : 1);
            }
}

/* What a token says of a head: how much of the matrix is kept, and how much is written. */
static void gates_of(const struct pass *p, const float *mix, int head, float *keep, float *beta)
{
    const struct hparams *hp = &p->m->hp;
    const struct weight *w = p->layer->w;
    int n_heads = hp->n_state_heads, of_group = n_heads / hp->n_state_groups;
    const float *numbers = mix + at_numbers(hp);
    int b = head, a = n_heads + head;
    if (w[W_BETA_ALPHA].mat.data) { /* of each group those for beta, then those for keep */
        b = head / of_group * 2 * of_group + head % of_group;
        a = b + of_group;
    }
    double step = num_softplus((double)numbers[a] + (double)w[W_STEP_BIAS].vec[head]);
    *keep = (float)num_exp((double)w[W_DECAY].vec[head] * step);
    *beta = (float)(1 / (1 + num_exp(-(double)numbers[b])));
}

/* One value head of a slice, token after token. */
static void delta_head(struct pass *p, const struct batch_slice *slice, int head, float *scratch)
{
    const struct hparams *hp = &p->m->hp;
    int n = hp->n_state, n_values = hp->n_inner / hp->n_state_heads, n_groups = hp->n_state_groups;
    int group = p->m->arch->keys_in_turn ? head % n_groups : head / (hp->n_state_heads / n_groups);
    size_t keys = (size_t)n_groups * (size_t)n, of_head = (size_t)head * (size_t)n_values;
    float *matrix = pass_state(p, slice) + recurrence_tail_floats(hp) + of_head * (size_t)n, *value = scratch;
    if (slice->first_pos == 0)
        memset(matrix, 0, (size_t)n * (size_t)n_values * sizeof *matrix);
    for (int t = 0; t < slice->n_tokens; t++) {
        size_t row = (size_t)(slice->first_row + t);
        const float *mix = p->ws->mix + row * (size_t)hp->n_mix, *conv = p->ws->conv + row * (size_t)hp->n_conv;
        const float *q = conv + (size_t)group * (size_t)n, *k = q + keys;
        float *out = p->ws->att + row * (size_t)hp->n_inner + of_head, keep, beta;
        gates_of(p, mix, head, &keep, &beta);
        p->k->recall(out, matrix, k, keep, n, n_values);
        memcpy(value, conv + 2 * keys + of_head, (size_t)n_values * sizeof *value);
        p->k->add_scaled(value, out, -1, n_values);
        p->k->scale(value, value, beta, n_values);
        p->k->remember(out, matrix, k, value, q, keep, n, n_values);
        p->k->rmsnorm(out, out, p->layer->w[W_STATE_NORM].vec, n_values, hp->norm_eps);
        p->k->activate[ACTIVATION_SILU](out, mix + at_gate(hp) + of_head, out, n_values);
    }
}

static void stage_delta(void *pass, int thread, int n_threads)
{
    (void)n_threads;
    struct pass *p = pass;
    int n_heads = p->m->hp.n_state_heads;
    for (int tile; (tile = tiles_take(&p->tiles)) < p->tiles.n;)
        delta_head(p, &p->b->slices[tile / n_heads], tile % n_heads, (float *)(void *)pass_scratch(p, thread));
}

void layer_delta(struct pass *p)
{
    const struct hparams *hp = &p->m->hp;
    const struct weight *w = p->layer->w;
    struct workspace *ws = p->ws;
    int t = p->b->n_tokens, token_tiles = (t + TILE_TOKENS - 1) / TILE_TOKENS;
    size_t n_mix = (size_t)hp->n_mix;
    float *numbers = ws->mix + at_numbers(hp);
    pass_begin_mixer(p, (const struct weight *[]){ &w[W_MIX_IN], &w[W_MIX_GATE], &w[W_BETA], &w[W_ALPHA],
                                                   &w[W_BETA_ALPHA] }, 5);
    pass_gemm_begin(p);
    pass_gemm_add(p, &w[W_MIX_IN], ws->mix, n_mix);
    pass_gemm_add(p, &w[W_MIX_GATE], ws->mix + at_gate(hp), n_mix);
    pass_gemm_add(p, &w[W_BETA], numbers, n_mix);
    pass_gemm_add(p, &w[W_ALPHA], numbers + hp->n_state_heads, n_mix);
    pass_gemm_add(p, &w[W_BETA_ALPHA], numbers, n_mix);
    pass_gemm_run(p);
    pass_probe(p, ws->mix, (size_t)t * n_mix, &w[W_MIX_IN]);
    pass_convolve(p, 0);
    pass_run(p, stage_unit_keys, token_tiles);
    pass_run(p, stage_delta, p->b->n_slices * hp->n_state_heads);
    pass_probe(p, ws->att, (size_t)t * (size_t)hp->n_inner, &w[W_STATE_NORM]);
    pass_end_mixer(p, &w[W_MIX_OUT]);
}
