#include "quant/fit.h"

#include <string.h>

#include "dtype/half.h"
#include "quant/sums.h"

enum { N_TRIES = 24, N_ROUNDS = 4 };

/* One group on its own: x ~ scale * level - min, both real numbers. */
struct group_fit {
    float scale, min, error;
    float level[QUANT_BLOCK_MAX];
};

struct block_fit {
    const struct quant_form *form;
    const float *x, *w;
    struct quant_fit codes;
    float level[QUANT_BLOCK_MAX];
    float error; /* of codes and level under the half-precision d and m */
};

static bool has_min(const struct quant_form *f) { return f->min_most != 0; }

/* ---- (1) a group alone ---- */

/* The scale and min that are best for the levels q, and the error that they leave. mins: has_min(f). */
static inline void solve_group(struct group_fit *g, const struct quant_form *f, bool mins, const float *x,
                               const float *w, int n)
{
    struct quant_sums s = quant_sum(x, w, g->level, n);
    double determinant = (double)s.w * s.wqq - (double)s.wq * s.wq;
    g->min = 0;
    g->scale = s.wqq > 0 ? s.wxq / s.wqq : 0;
    if (mins && determinant > 1e-7 * (double)s.w * s.wqq) {
        double min = ((double)s.wq * s.wxq - (double)s.wqq * s.wx) / determinant;
        if (min >= 0 || f->min_most < 0) { /* stored minima are not negative */
            g->min = (float)min;
            g->scale = (float)(((double)s.w * s.wxq - (double)s.wx * s.wq) / determinant);
        }
    } else if (mins && s.w > 0 && s.wqq == 0) {
        float min = -s.wx / s.w; /* one level for all: the mean is what is left to choose */
        g->min = min >= 0 || f->min_most < 0 ? min : 0;
    }
    g->error = quant_error(x, w, g->level, n, g->scale, g->min);
}

static inline void try_n(struct group_fit *best, const struct quant_form *f, bool mins, const float *x, const float *w,
                         int n, float inverse, float min)
{
    struct group_fit g;
    quant_nearest(f, x, n, min, inverse, g.level);
    solve_group(&g, f, mins, x, w, n);
    if (!(g.error < best->error))
        return;
    best->scale = g.scale;
    best->min = g.min;
    best->error = g.error;
    memcpy(best->level, g.level, (size_t)n * sizeof *g.level);
}

/* Start from an inverse scale and a min; codes and solution follow each other. Keeps the better in *best. The usual
 * sizes of a group are constants: their loops have no ends to look for, and without a min three sums fall away. */
static void try_group(struct group_fit *best, const struct quant_form *f, const float *x, const float *w, int n,
                      float inverse, float min)
{
    if (n == 16 && !has_min(f))
        try_n(best, f, false, x, w, 16, inverse, min);
    else if (n == 16)
        try_n(best, f, true, x, w, 16, inverse, min);
    else if (n == 32 && !has_min(f))
        try_n(best, f, false, x, w, 32, inverse, min);
    else if (n == 32)
        try_n(best, f, true, x, w, 32, inverse, min);
    else
        try_n(best, f, has_min(f), x, w, n, inverse, min);
}

static void polish_group(struct group_fit *best, const struct quant_form *f, const float *x, const float *w, int n)
{
    for (int i = 0; i < 2 && best->error > 0 && best->scale != 0; i++) {
        float before = best->error;
        try_group(best, f, x, w, n, 1 / best->scale, best->min);
        if (!(best->error < before))
            break;
    }
}

/* Where the largest value goes: from 0.62 of the levels' reach to a little beyond it (it is then clipped). */
static float reach_of_try(int i, float reach)
{
    float most = reach + (reach < 2 ? 0.75f : 0.95f), least = 0.62f * reach;
    return least + (most - least) * (float)i / (N_TRIES - 1);
}

static void fit_group_min(struct group_fit *best, const struct quant_form *f, const float *x, const float *w, int n,
                          float least, float most)
{
    if (f->min_most > 0 && least > 0)
        least = 0;
    if (!(most > least)) { /* one value; or nothing above a least of 0 */
        best->scale = 0;
        best->min = f->min_most > 0 && least > 0 ? 0 : -least;
        memset(best->level, 0, (size_t)n * sizeof *best->level);
        best->error = quant_error(x, w, best->level, n, 0, best->min);
        return;
    }
    try_group(best, f, x, w, n, (float)f->most / (most - least), -least);
    for (int i = 0; i < N_TRIES; i++)
        try_group(best, f, x, w, n, reach_of_try(i, (float)f->most) / (most - least), -least);
}

static void fit_group(struct group_fit *best, const struct quant_form *f, const float *x, const float *w, int n)
{
    float least = x[0], most = x[0];
    for (int i = 1; i < n; i++) {
        least = x[i] < least ? x[i] : least;
        most = x[i] > most ? x[i] : most;
    }
    *best = (struct group_fit){ 0 };
    best->error = 0x1p127f;
    if (has_min(f)) {
        fit_group_min(best, f, x, w, n, least, most);
    } else {
        float largest = -least > most ? least : most;
        if (largest == 0) {
            quant_nearest(f, x, n, 0, 1, best->level);
            best->error = 0;
            return;
        }
        /* The largest value takes a level at either end; the sign of the scale follows. */
        try_group(best, f, x, w, n, (float)f->least / largest, 0);
        try_group(best, f, x, w, n, (float)f->most / largest, 0);
        for (int i = 0; i < N_TRIES; i++) {
            try_group(best, f, x, w, n, -reach_of_try(i, (float)-f->least) / largest, 0);
            try_group(best, f, x, w, n, reach_of_try(i, (float)f->most) / largest, 0);
        }
    }
    polish_group(best, f, x, w, n);
}

/* ---- (2) and (3) the block ---- */

/* Levels and error of group g under codes (scale, min); the levels go to q. */
static float group_error(const struct block_fit *b, int g, int scale, int min, float *q)
{
    const struct quant_form *f = b->form;
    const float *x = b->x + g * f->n_group, *w = b->w + g * f->n_group;
    float unit = f16_to_f32(b->codes.d) * (float)scale, offset = f16_to_f32(b->codes.m) * (float)min;
    quant_nearest(f, x, f->n_group, offset, unit != 0 ? 1 / unit : 0, q);
    return quant_error(x, w, q, f->n_group, unit, offset);
}

/* The best codes of group g near (scale, min), at most `step` away. Returns its error. */
static float choose_group(struct block_fit *b, int g, int scale, int min, int step)
{
    const struct quant_form *f = b->form;
    float best = 0, q[QUANT_BLOCK_MAX];
    bool first = true;
    int min_step = f->min_most > 0 ? step : 0, scale_step = f->scale_least < f->scale_most ? step : 0;
    for (int s = scale - scale_step; s <= scale + scale_step; s++) {
        for (int m = min - min_step; m <= min + min_step; m++) {
            if (s < f->scale_least || s > f->scale_most || (f->min_most >= 0 && (m < 0 || m > f->min_most)))
                continue;
            float error = group_error(b, g, s, m, q);
            if (!first && !(error < best))
                continue;
            first = false;
            best = error;
            b->codes.scale[g] = s;
            b->codes.min[g] = m;
            memcpy(b->level + g * f->n_group, q, (size_t)f->n_group * sizeof *q);
        }
    }
    return best;
}

static float choose_groups(struct block_fit *b, int step)
{
    float error = 0;
    for (int g = 0; g < b->form->n_groups; g++)
        error += choose_group(b, g, b->codes.scale[g], b->codes.min[g], step);
    return error;
}

/* d and m that are best for all codes as they stand. */
static void solve_block(struct block_fit *b)
{
    const struct quant_form *f = b->form;
    double aa = 0, ab = 0, bb = 0, xa = 0, xb = 0; /* a = scale * level, b = -min */
    for (int g = 0; g < f->n_groups; g++) {
        int at = g * f->n_group;
        struct quant_sums s = quant_sum(b->x + at, b->w + at, b->level + at, f->n_group);
        double scale = b->codes.scale[g], min = -b->codes.min[g];
        aa += scale * scale * (double)s.wqq;
        ab += scale * min * (double)s.wq;
        bb += min * min * (double)s.w;
        xa += scale * (double)s.wxq;
        xb += min * (double)s.wx;
    }
    double determinant = aa * bb - ab * ab;
    if (determinant > 1e-7 * aa * bb) {
        b->codes.d = f16_from_f32((float)((bb * xa - ab * xb) / determinant));
        b->codes.m = f16_from_f32((float)((aa * xb - ab * xa) / determinant));
    } else if (aa > 0) {
        double m = (double)f16_to_f32(b->codes.m);
        b->codes.d = f16_from_f32((float)((xa - m * ab) / aa));
    }
}

/* Whole-number scales and minima out of the groups' own; the largest takes the code at the end of the range. */
static void spread(struct block_fit *b, const float *scale, const float *min, int top_scale, int top_min)
{
    const struct quant_form *f = b->form;
    float largest = 0, min_largest = 0;
    for (int g = 0; g < f->n_groups; g++) {
        float magnitude = largest < 0 ? -largest : largest;
        largest = scale[g] > magnitude || -scale[g] > magnitude ? scale[g] : largest;
        min_largest = min[g] > min_largest ? min[g] : min_largest;
    }
    b->codes.d = f16_from_f32(largest / (float)top_scale);
    if (f->min_most < 0)
        b->codes.m = f16_from_f32(-min[0]);
    else
        b->codes.m = top_min ? f16_from_f32(min_largest / (float)top_min) : 0;
    float d = f16_to_f32(b->codes.d), m = f16_to_f32(b->codes.m);
    for (int g = 0; g < f->n_groups; g++) {
        b->codes.scale[g] = d != 0 ? nearest_int(scale[g] / d, f->scale_least, f->scale_most) : f->scale_most;
        b->codes.min[g] = f->min_most < 0 ? -1 : m > 0 ? nearest_int(min[g] / m, 0, f->min_most) : 0;
    }
}

static bool overflows(uint16_t h) { return (h & 0x7fff) >= 0x7c00; }

static void refine(struct block_fit *b)
{
    b->error = choose_groups(b, 0);
    for (int round = 0; round < N_ROUNDS && b->error > 0; round++) {
        struct block_fit next = *b;
        solve_block(&next);
        if (overflows(next.codes.d) || overflows(next.codes.m))
            break;
        next.error = choose_groups(&next, 1);
        if (!(next.error < b->error))
            break;
        *b = next;
    }
}

bool quant_fit_block(struct quant_fit *fit, const struct quant_form *form, const float *x, const float *w)
{
    struct block_fit best = { .form = form, .x = x, .w = w };
    float scale[QUANT_GROUPS_MAX], min[QUANT_GROUPS_MAX];
    for (int g = 0; g < form->n_groups; g++) {
        struct group_fit alone;
        fit_group(&alone, form, x + g * form->n_group, w + g * form->n_group, form->n_group);
        scale[g] = alone.scale;
        min[g] = alone.min;
    }
    /* Few bits for the scales: d may be better off with a smaller code for the largest. */
    int n_tops = form->scale_most == 1 ? 1 : form->scale_most <= 31 ? 3 : 2;
    bool found = false;
    for (int i = 0; i < n_tops; i++) {
        struct block_fit b = best;
        int end = form->scale_least < 0 ? form->scale_least : form->scale_most;
        spread(&b, scale, min, end < 0 ? end + i : end - i, form->min_most > 0 ? form->min_most - i : 0);
        if (overflows(b.codes.d) || overflows(b.codes.m))
            continue;
        refine(&b);
        if (!found || b.error < best.error)
            best = b;
        found = true;
    }
    if (!found)
        return false;
    *fit = best.codes;
    for (int i = 0; i < form->n_groups * form->n_group; i++)
        fit->level[i] = (int8_t)best.level[i];
    return true;
}
