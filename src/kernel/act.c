/* act.c: a batch of activation rows, laid out for the matrix kernels.
 *
 * Columns stand in groups as wide as one tile; groups are balanced (13 columns: 7 + 6, not 12 + 1). A
 * group is codes, scales, sums, or the floats themselves, one after the other, each 64-byte aligned. */
#include "kernel/act.h"

#include <string.h>

enum { ALIGN = 64 };

/* Sizes of the parts of one group of n columns. */
static size_t codes_bytes(const struct act *a, int n) { return align_size((size_t)a->n_cols * (size_t)n, ALIGN); }
static size_t scales_bytes(const struct act *a, int n)
{
    size_t n_blocks = (size_t)a->n_cols / (a->kind == ACT_A32 ? 32 : 256);
    return align_size(n_blocks * (size_t)n * sizeof(float), ALIGN);
}
static size_t sums_bytes(const struct act *a, int n)
{
    if (a->kind == ACT_A32)
        return align_size((size_t)a->n_cols / 32 * (size_t)n * sizeof(int32_t), ALIGN);
    return align_size((size_t)a->n_cols / 256 * (size_t)n * ACT_SUMS * sizeof(int16_t), ALIGN);
}
/* Columns of floats begin at odd multiples of 64 bytes, so that they do not meet in one set of the L1 cache. */
static size_t float_stride(int n_cols) { return (align_size((size_t)n_cols, 16) | 16); }

static size_t group_bytes(const struct act *a, int n)
{
    if (a->kind == ACT_F32)
        return float_stride(a->n_cols) * (size_t)n * sizeof(float);
    return codes_bytes(a, n) + scales_bytes(a, n) + sums_bytes(a, n);
}

size_t act_bytes(int n_tokens, int n_cols)
{
    /* Floats are the largest kind by far; the rest is rounding, at most once per part and token. */
    return (float_stride(n_cols) * sizeof(float) + 3 * ALIGN) * (size_t)n_tokens;
}

size_t act_kind_bytes(enum act_kind kind, int n_tokens, int n_cols)
{
    const struct act one = { .kind = kind, .n_cols = n_cols };
    return group_bytes(&one, 1) * (size_t)n_tokens; /* columns side by side are rounded up less often */
}

void act_init(struct act *a, const struct kernels *k, enum act_kind kind, int n_tokens, int n_cols, void *mem)
{
    a->kind = kind;
    a->n_tokens = n_tokens;
    a->n_cols = n_cols;
    const int widest = kind == ACT_F32 ? k->float_tile_cols : k->tile_cols;
    a->n_groups = (n_tokens + widest - 1) / widest;
    a->group_cols = a->n_groups ? (n_tokens + a->n_groups - 1) / a->n_groups : 0;
    a->n_groups = a->group_cols ? (n_tokens + a->group_cols - 1) / a->group_cols : 0;
    a->mem = mem;
    a->group_bytes = group_bytes(a, a->group_cols);
}

void act_view_of(const struct act *a, int group, struct act_view *v)
{
    uint8_t *at = a->mem + (size_t)group * a->group_bytes;
    int n = min_int(a->group_cols, a->n_tokens - group * a->group_cols);
    *v = (struct act_view){ .n_group = n };
    if (a->kind == ACT_F32) {
        v->f = (const float *)(const void *)at;
        v->f_stride = float_stride(a->n_cols);
        return;
    }
    v->q = (const int8_t *)at;
    at += codes_bytes(a, n);
    v->d = (const float *)(const void *)at;
    at += scales_bytes(a, n);
    if (a->kind == ACT_A32)
        v->start32 = (const int32_t *)(const void *)at;
    else
        v->sums = (const int16_t *)(const void *)at;
}

void act_fill(struct act *a, const struct kernels *k, int token, const float *x)
{
    struct act_view v;
    int col = token % a->group_cols;
    act_view_of(a, token / a->group_cols, &v);
    /* The batch's memory is ours to write; the view is read-only for the kernels that take it. */
    if (a->kind == ACT_F32)
        memcpy((float *)(uintptr_t)v.f + (size_t)col * v.f_stride, x, (size_t)a->n_cols * sizeof(float));
    else if (a->kind == ACT_A32)
        k->quantize_a32(x, a->n_cols, (int8_t *)(uintptr_t)v.q, (float *)(uintptr_t)v.d,
                        (int32_t *)(uintptr_t)v.start32, v.n_group, col);
    else
        k->quantize_a256(x, a->n_cols, (int8_t *)(uintptr_t)v.q, (float *)(uintptr_t)v.d,
                         (int16_t *)(uintptr_t)v.sums, v.n_group, col);
}
