/* kernel.h: the arithmetic, as one table per instruction set.
 *
 * A kernel is a leaf: no allocation, no threads, no errors. Rows are contiguous; no
 * alignment is assumed unless said; no load passes a row's last byte. Drivers (gemm.c,
 * attention.c) do blocking and are written once, on top of this table.
 *
 * Every function gives the same bits in every table (docs/kernels.md, "Bits"): sums of
 * floats run over 16 partial sums (term i into partial i mod 16, ascending, fused) that are
 * added by one fixed tree; integer sums are exact; a quantized dot is one chain of fused
 * multiply-adds over ascending blocks. */
#pragma once
#include "base/err.h"
#include "dtype/dtype.h"

enum { KERNEL_LANES = 16 };        /* logical vector: 16 x 32 bit, whatever the hardware has */
enum { KERNEL_PANEL_ROWS = 16 };   /* weight rows computed together */
enum { KERNEL_MAX_TILE_COLS = 16 };
enum { ACT_SUMS = 24 };            /* sums of codes per 256 activations */
enum { KV_PAGE_TOKENS = 64 };      /* keys per page, and per attention block */

enum { KERNEL_MAX_BLOCK = 128 };   /* logits that share one value of block_max */

/* What stands between the two matrices of a feed-forward block. */
enum activation {
    ACTIVATION_SILU,      /* x / (1 + e^-x) */
    ACTIVATION_GELU_TANH, /* x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
    ACTIVATION_GELU_ERF,  /* x/2 (1 + erf(x / sqrt 2)) */
    ACTIVATION_RELU2,     /* max(x, 0)^2 */
    ACTIVATION_SIGMOID,   /* 1 / (1 + e^-x) */
    ACTIVATION_SWIGLU_CLAMPED, /* g = min(gate, 7), u = up within -7..7: g / (1 + e^(-1.702 g)) (u + 1); gpt-oss */
    N_ACTIVATIONS
};

/* A token and its logit. */
struct candidate {
    int32_t id;
    float logit;
};

/* Columns of activations in kernel order; made by act.c, read by the matrix kernels. */
struct act_view {
    const int8_t *q;       /* [n_cols/32][n_group][32] codes */
    const float *d;        /* A32: [n_cols/32][n_group]; A256: [n_cols/256][n_group] scales */
    const int32_t *start32; /* A32: [n_cols/32][n_group] -128 * sum of the 32 codes: where a dot product
                             * that takes its weights 128 too high starts */
    const int16_t *sums;   /* A256: [n_cols/256][n_group][ACT_SUMS]: the sums of each 16 codes, then those of
                            * each 32 in the order 0 2 1 3 4 6 5 7 */
    const float *f;        /* ACT_F32: [n_group][f_stride] the values */
    size_t f_stride;
    int n_group;           /* columns side by side, 1..tile_cols (floats: float_tile_cols) */
};

/* What attention needs to know about a page of one layer and KV head, the same for all queries. */
struct attend_page {
    const uint8_t *k, *v;           /* layout: tmpl/kv_tmpl.h */
    const uint8_t *next_k, *next_v; /* what will be read after k and v, for asking memory early; any address will do */
    float *scratch;                 /* [attend_scratch_floats()] aligned to 64 bytes */
    int head_dim;
    int n_shared;      /* above 0, a multiple of 16: the values are the first so many of each key, and v is where the
                        * keys end; 0: they are apart, as many as a key has */
    float scale;       /* multiplies each score; above 0 */
    float soft_cap;    /* scores are then cap * tanh(score / cap); 0: as they are */
};

/* Keys of a page that a query sees: first..end - 1, of 0..63; first >= end: none. */
struct key_span {
    int first, end;
};

/* Scratch of a page for n_q queries: keys or values as floats (both where they are shared), 64 scores of each query and
 * 5 numbers. */
static inline size_t attend_scratch_floats(int head_dim, int n_shared, int n_q)
{
    return KV_PAGE_TOKENS * ((size_t)head_dim + (size_t)n_shared)
           + (KV_PAGE_TOKENS + 5) * align_size((size_t)n_q, KERNEL_LANES);
}

struct kernels {
    const char *isa;
    const struct roof_loops *roof; /* what the machine can do at most is measured with: roof.h */
    int tile_cols, float_tile_cols; /* widest group of columns the gemm kernels take: of codes, of floats */

    /* One activation row -> codes. col: its place in the group (strides as in act_view). */
    void (*quantize_a32)(const float *x, int n, int8_t *q, float *d, int32_t *start32, int n_group, int col);
    void (*quantize_a256)(const float *x, int n, int8_t *q, float *d, int16_t *sums, int n_group, int col);

    /* y[r] = dot(row r, x) for n_rows rows of n_cols values, one column (x->n_group == 1),
     * straight from the file's layout. */
    void (*gemv[N_DTYPES])(float *y, const void *w, size_t row_bytes, int n_rows, int n_cols,
                           const struct act_view *x);
    /* y[c * y_stride + r] for 1..tile_cols (floats: float_tile_cols) columns a view; bias[r] is added to what the dot
     * product was rounded to, NULL: nothing. scratch: kernel_scratch_bytes(n_cols) of 64-byte aligned memory, used by
     * formats that are unpacked first. */
    void (*gemm[N_DTYPES])(float *y, size_t y_stride, const float *bias, const void *w, size_t row_bytes, int n_rows,
                           int n_cols, const struct act_view *x, int n_views, void *scratch);

    /* One row of weights to f32: embedding lookup. */
    void (*row_to_f32[N_DTYPES])(float *out, const void *row, int n);

    /* y[i] = (x[i] / sqrt(mean(x^2) + eps)) * weight[i]. y may be x. */
    void (*rmsnorm)(float *y, const float *x, const float *weight, int n, float eps);
    /* y[i] = (x[i] - mean) / sqrt(variance + eps) * weight[i] + bias[i]; bias NULL: none. y may be x. */
    void (*layernorm)(float *y, const float *x, const float *weight, const float *bias, int n, float eps);
    void (*add)(float *y, const float *x, int n);                     /* y += x */
    void (*add_scaled)(float *y, const float *x, float scale, int n); /* y += x * scale, one rounding */
    void (*scale)(float *y, const float *x, float scale, int n);      /* y = x * scale; y may be x */
    /* y = activation(gate) * up; up NULL: y = activation(gate); y may be either. */
    void (*activate[N_ACTIVATIONS])(float *y, const float *gate, const float *up, int n);
    void (*mul)(float *y, const float *a, const float *b, int n); /* y = a * b; y may be either */
    /* y[i] = bias[i] + sum over j < n_taps of x[j][i] * taps[j * stride + i]: a chain of fused multiply-adds, from the
     * bias on; bias NULL: 0. */
    void (*convolve)(float *y, const float *const *x, const float *taps, size_t stride, const float *bias, int n_taps,
                     int n);
    /* y = x / sqrt(sum of x^2 + eps) * scale; y may be x. */
    void (*unit)(float *y, const float *x, int n, float eps, float scale);
    /* A matrix m[n_rows][n_cols], n_cols a multiple of 16, that forgets and remembers.
     * y[c] = sum over r of key[r] * (keep * m[r][c]): what it has under a key. */
    void (*recall)(float *y, const float *m, const float *key, float keep, int n_rows, int n_cols);
    /* m[r][c] = keep * m[r][c] + key[r] * value[c], then y[c] = sum over r of query[r] * m[r][c]. */
    void (*remember)(float *y, float *m, const float *key, const float *value, const float *query, float keep,
                     int n_rows, int n_cols);
    /* Rotate n_rot leading values of each head in place. cos/sin: [n_rot/2]. halves: pair
     * (i, i + n_rot/2); else pair (2i, 2i + 1). */
    void (*rope)(float *x, int n_heads, int head_dim, int n_rot, const float *cos, const float *sin, bool halves);

    /* K and V of one token and one KV head into slot 0..63 of a page; v NULL: there is none. */
    void (*kv_store[HEARTH_N_KV_TYPES])(uint8_t *k_page, uint8_t *v_page, const float *k, const float *v, int head_dim,
                                        int slot);
    /* One page of attention for n_q query vectors q[i] (each head_dim values), of which query i sees the keys
     * seen[i]. State per query: m (largest score so far; starts at -INFINITY), l (sum of weights), o (weighted V, not
     * yet divided); the page is computed on its own maximum and merged into the state. */
    void (*attend_page[HEARTH_N_KV_TYPES])(const struct attend_page *page, const float *const *q,
                                           const struct key_span *seen, int n_q, float *m, float *l, float *const *o);
    /* out = o / l; with a sink, its e^(sink - m) joins l first: a logit that takes weight and has no value. */
    void (*attend_finish)(float *out, const float *o, float m, float l, const float *sink, int value_dim);

    /* Over logits: the arg-max (ties: lowest id; NaN never wins), and sum over exp(x - max)
     * of a tile of at most 4096 values. */
    int (*argmax)(const float *x, int n, float *max);
    float (*sum_exp)(const float *x, int n, float max);
    /* The largest value of every KERNEL_MAX_BLOCK values, the last block may be shorter: max[(n + block - 1) /
     * block]. A NaN never is; -INFINITY where there is nothing else. */
    void (*block_max)(float *max, const float *x, int n);
    /* Every x[i] >= least, ascending, as { first_id + i, x[i] }; out: [n]. Returns how many. No NaN is among them. */
    int (*collect)(struct candidate *out, const float *x, int n, float least, int32_t first_id);
    bool (*all_finite)(const float *x, int n);
    void (*exp_row)(float *y, const float *x, int n, float minus); /* y = exp(x - minus); tests and sampling */
    void (*soft_cap)(float *y, const float *x, int n, float cap);  /* y = cap * tanh(x / cap); cap > 0; y may be x */
};

/* Bytes of scratch the gemm kernels need for rows of n_cols values. The same for every table: they
 * work on strips of columns, so it does not grow with n_cols. */
enum { KERNEL_SCRATCH_BYTES = 160 * 1024 };
size_t kernel_scratch_bytes(int n_cols);

/* The table in use: the best that this CPU runs, or the one HEARTH_ISA names. NULL when that
 * name is unknown or cannot run here: the error lists the runnable ones. Constant after the first
 * call that succeeds. */
const struct kernels *kernels_get(hearth_error *err);

/* The one of this name; NULL as above. */
const struct kernels *kernels_named(const char *isa, hearth_error *err);

/* All tables compiled in, best first, NULL-terminated; for tests and benchmarks. */
extern const struct kernels *const kernels_all[];
bool kernels_usable(const struct kernels *k);
/* Space-separated names of the usable ones. Static. */
const char *kernels_usable_names(void);
/* Raised with any change of bits; a golden digest in the tests guards it. */
enum { ARITHMETIC_REVISION = 1 };
