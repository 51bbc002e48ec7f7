/* conv.c: the causal convolution of recurrent layers, and LFM2's layer of it: C * conv(B * x). */
#include <string.h>

#include "model/pass.h"

/* Some channels of all tokens of a slice: from what ws->mix has from column `from` on to ws->conv. The tail of the
 * sequence stands before the slice's first token, and is brought up to date. */
static void convolve(struct pass *p, const struct batch_slice *slice, int from, int first, int n, float *taps)
{
    const struct hparams *hp = &p->m->hp;
    const struct weight *w = &p->layer->w[W_TAPS];
    const float *bias = p->layer->w[W_TAPS_BIAS].vec;
    int n_taps = hp->n_taps, n_tail = n_taps - 1;
    size_t n_mix = (size_t)hp->n_mix, n_conv = (size_t)hp->n_conv, row = (size_t)slice->first_row;
    const float *in = p->ws->mix + row * n_mix + (size_t)from + (size_t)first;
    float *out = p->ws->conv + row * n_conv + (size_t)first, *tail = pass_state(p, slice) + first;
    const float *x[RECURRENCE_MAX_TAPS];
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n_taps; j++)
            taps[j * RECURRENCE_CHANNELS + i] = w->vec[(size_t)(first + i) * (size_t)n_taps + (size_t)j];
    for (int j = 0; slice->first_pos == 0 && j < n_tail; j++)
        memset(tail + (size_t)j * n_conv, 0, (size_t)n * sizeof *tail);
    for (int t = 0; t < slice->n_tokens; t++) {
        for (int j = 0; j < n_taps; j++)
            x[j] = t + j < n_tail ? tail + (size_t)(t + j) * n_conv : in + (size_t)(t + j - n_tail) * n_mix;
        p->k->convolve(out + (size_t)t * n_conv, x, taps, RECURRENCE_CHANNELS, bias ? bias + first : NULL, n_taps,
                       n);
    }
    for (int j = 0; j < n_tail; j++) {
        int t = slice->n_tokens + j; /* it moves towards the front */
        memcpy(tail + (size_t)j * n_conv,
               t < n_tail ? tail + (size_t)t * n_conv : in + (size_t)(t - n_tail) * n_mix, (size_t)n * sizeof *tail);
    }
}

static int n_blocks(const struct hparams *hp) { return (hp->n_conv + RECURRENCE_CHANNELS - 1) / RECURRENCE_CHANNELS; }

static void stage_convolve(void *pass, int thread, int n_threads)
{
    (void)n_threads;
    struct pass *p = pass;
    const struct hparams *hp = &p->m->hp;
    for (int tile; (tile = tiles_take(&p->tiles)) < p->tiles.n;) {
        const struct batch_slice *slice = &p->b->slices[tile / n_blocks(hp)];
        int first = tile % n_blocks(hp) * RECURRENCE_CHANNELS, n = min_int(RECURRENCE_CHANNELS, hp->n_conv - first);
        convolve(p, slice, p->convolve_from, first, n, (float *)(void *)pass_scratch(p, thread));
        for (int t = 0; t < slice->n_tokens; t++) {
            float *x = p->ws->conv + (size_t)(slice->first_row + t) * (size_t)hp->n_conv + (size_t)first;
            p->k->activate[ACTIVATION_SILU](x, x, NULL, n);
        }
    }
}

void pass_convolve(struct pass *p, int from)
{
    p->convolve_from = from;
    pass_run(p, stage_convolve, p->b->n_slices * n_blocks(&p->m->hp));
    pass_probe(p, p->ws->conv, (size_t)p->b->n_tokens * (size_t)p->m->hp.n_conv, &p->layer->w[W_TAPS]);
}

/* Of some channels B * x, its convolution, and C times that. */
static void short_conv(struct pass *p, int task, float *scratch)
{
    const struct hparams *hp = &p->m->hp;
    const struct batch_slice *slice = &p->b->slices[task / n_blocks(hp)];
    int first = task % n_blocks(hp) * RECURRENCE_CHANNELS, n = min_int(RECURRENCE_CHANNELS, hp->n_conv - first);
    size_t width = (size_t)hp->n_embd;
    for (int t = 0; t < slice->n_tokens; t++) {
        float *b = p->ws->mix + (size_t)(slice->first_row + t) * (size_t)hp->n_mix + (size_t)first;
        p->k->mul(b, b, b + 2 * width, n);
    }
    convolve(p, slice, 0, first, n, scratch);
    for (int t = 0; t < slice->n_tokens; t++) {
        size_t row = (size_t)(slice->first_row + t), at = row * width + (size_t)first;
        const float *c = p->ws->mix + row * (size_t)hp->n_mix + width + (size_t)first;
        p->k->mul(p->ws->att + at, p->ws->conv + at, c, n);
    }
}

static void stage_short_conv(void *pass, int thread, int n_threads)
{
    (void)n_threads;
    struct pass *p = pass;
    for (int tile; (tile = tiles_take(&p->tiles)) < p->tiles.n;)
        short_conv(p, tile, (float *)(void *)pass_scratch(p, thread));
}

void layer_short_conv(struct pass *p)
{
    const struct hparams *hp = &p->m->hp;
    const struct weight *w = p->layer->w, *in = &w[W_MIX_IN];
    size_t t = (size_t)p->b->n_tokens;
    pass_begin_mixer(p, &in, 1);
    pass_gemm_begin(p);
    pass_gemm_add(p, in, p->ws->mix, (size_t)hp->n_mix);
    pass_gemm_run(p);
    pass_probe(p, p->ws->mix, t * (size_t)hp->n_mix, in);
    pass_run(p, stage_short_conv, p->b->n_slices * n_blocks(hp));
    pass_probe(p, p->ws->att, t * (size_t)hp->n_inner, &w[W_TAPS]);
    pass_end_mixer(p, &w[W_MIX_OUT]);
}
