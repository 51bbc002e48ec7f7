/* table_tmpl.h: the templates, and their instances gathered into one instruction set's table. Included once
 * by inst/<isa>.c after isa/<isa>.h; the templates have no include guards on purpose. */
#include <assert.h>
#include <stdalign.h>

#include "kernel/tmpl/vec_tmpl.h"

#include "kernel/tmpl/kv_tmpl.h"
#include "kernel/tmpl/state_tmpl.h"

#include "kernel/tmpl/attention_tmpl.h"
#include "kernel/tmpl/float_tmpl.h"
#include "kernel/tmpl/gemv_tmpl.h"

#include "kernel/tmpl/gemv_a256_tmpl.h"
#include "kernel/tmpl/gemv_a32_tmpl.h"

#include "kernel/tmpl/gemm_tmpl.h"
#include "kernel/tmpl/quantize_tmpl.h"

#include "dtype/all.h"

#include "kernel/tmpl/expand_tmpl.h"

#include "kernel/isa/roof.h"

#define GEMV_ARGS float *y, const void *w, size_t row_bytes, int n_rows, int n_cols, const struct act_view *x
#define GEMM_ARGS                                                                                                   \
    float *y, size_t y_stride, const float *bias, const void *w, size_t row_bytes, int n_rows, int n_cols,          \
        const struct act_view *x, int n_views, void *scratch

/* A format's rows times a number of columns, in place. */
typedef void rows_fn(float *y, size_t y_stride, const uint8_t *w, size_t row_bytes, int n_rows, int n_cols,
                     const struct act_view *x);

/* <name>_few, by number of columns: those for which going through panels costs more, as the vocabulary says. */
#define FEW_ENTRY(nc, name) [nc] = name##_rows_##nc,

/* Formats as they multiply A32 activations. */
#define A32_ROWS(nc, name, n_values, block_bytes)                                                                   \
    static void name##_rows_##nc(float *y, size_t y_stride, const uint8_t *w, size_t row_bytes, int n_rows,         \
                                 int n_cols, const struct act_view *x)                                              \
    {                                                                                                               \
        if (nc == 1)                                                                                                \
            a32_column(y, w, row_bytes, n_rows, n_cols, x, n_values, block_bytes, name##_pair, name##_form);        \
        else                                                                                                        \
            a32_rows(y, y_stride, w, row_bytes, n_rows, n_cols, x, nc, n_values, block_bytes, name##_word,          \
                     name##_form);                                                                                  \
    }
#define A32_UNPACK(name, n_values, block_bytes)                                                                     \
    static void name##_unpack(struct panel *p, const uint8_t *const rows[16], int k0, int n_k)                      \
    {                                                                                                               \
        a32_unpack(p, rows, k0, n_k, n_values, block_bytes, name##_word, name##_form, name##_most);                 \
    }
#define MATRIX_ACT_A32(name, n_values, block_bytes)                                                                 \
    ISA_A32_FEW(A32_ROWS, name, n_values, block_bytes)                                                              \
    static rows_fn *const name##_few[] = { ISA_A32_FEW(FEW_ENTRY, name) };                                        \
    A32_UNPACK(name, n_values, block_bytes)                                                                         \
    MATRIX_QUANT(name, a32_tiles_of)

/* Formats as they multiply A256 activations. */
#define A256_ROWS(nc, name, n_values, block_bytes)                                                                  \
    static void name##_rows_##nc(float *y, size_t y_stride, const uint8_t *w, size_t row_bytes, int n_rows,         \
                                 int n_cols, const struct act_view *x)                                              \
    {                                                                                                               \
        a256_rows(y, y_stride, w, row_bytes, n_rows, n_cols, x, nc, block_bytes, name##_codes, name##_heads,        \
                  name##_order, name##_form, name##_offset);                                                        \
    }
#define A256_UNPACK(name, n_values, block_bytes)                                                                    \
    static void name##_unpack(struct panel *p, const uint8_t *const rows[16], int k0, int n_k)                      \
    {                                                                                                               \
        a256_unpack(p, rows, k0, n_k, block_bytes, name##_words, name##_side);                                      \
    }
#define MATRIX_ACT_A256(name, n_values, block_bytes)                                                                \
    ISA_A256_FEW(A256_ROWS, name, n_values, block_bytes)                                                            \
    static rows_fn *const name##_few[] = { ISA_A256_FEW(FEW_ENTRY, name) };                                       \
    A256_UNPACK(name, n_values, block_bytes)                                                                        \
    MATRIX_QUANT(name, a256_tiles_of)

#define MATRIX_QUANT(name, tiles_of)                                                                                \
    static void gemv_##name(GEMV_ARGS) { name##_few[1](y, 0, w, row_bytes, n_rows, n_cols, x); }                    \
    static void gemm_##name(GEMM_ARGS)                                                                              \
    {                                                                                                               \
        if (n_views == 1 && (size_t)x->n_group < sizeof name##_few / sizeof *name##_few)                            \
            name##_few[x->n_group](y, y_stride, w, row_bytes, n_rows, n_cols, x);                                   \
        else                                                                                                        \
            gemm_quant(y, y_stride, w, row_bytes, n_rows, n_cols, x, n_views, scratch, name##_unpack,               \
                       tiles_of(name##_form, name##_most));                                                           \
        add_bias(y, y_stride, bias, n_rows, x, n_views);                                                            \
    }

/* Formats as they multiply f32 activations. */
#define MATRIX_ACT_F32(name, n_values, value_bytes)                                                                 \
    ISA_FLOAT_TILES(FLOAT_TILE, name, value_bytes)                                                                  \
    static float_tiles name##_tiles[ISA_FLOAT_ROWS + 1] = { ISA_FLOAT_TILES(FLOAT_TILE_ENTRY, name) };              \
    static void gemv_##name(GEMV_ARGS)                                                                              \
    {                                                                                                               \
        float_gemv(y, w, row_bytes, n_rows, n_cols, x->f, value_bytes, name##_values);                              \
    }                                                                                                               \
    static void gemm_##name(GEMM_ARGS)                                                                              \
    {                                                                                                               \
        const struct float_matrix m = { w, row_bytes, value_bytes, n_rows, n_cols, bias, name##_tiles };               \
        float_gemm(&m, y, y_stride, x, n_views, scratch);                                                         \
    }

#define DTYPE(name, id, n_values, block_bytes, act, ...)                                                            \
    MATRIX_##act(name, n_values, block_bytes)                                                                       \
    static void row_##name(float *out, const void *row, int n)                                                      \
    {                                                                                                               \
        const uint8_t *block = row;                                                                                 \
        for (int i = 0; i < n; i += n_values, block += block_bytes)                                                 \
            name##_block_to_f32(out + i, block);                                                                    \
    }
#include "dtype/dtype.def"

#define PASTE_(a, b) a##b
#define PASTE(a, b)  PASTE_(a, b)
#define TEXT_(a)     #a
#define TEXT(a)      TEXT_(a)

extern const struct kernels PASTE(kernels_, ISA);
const struct kernels PASTE(kernels_, ISA) = {
    .isa = TEXT(ISA),
    .roof = &roof_loops,
    .tile_cols = ISA_TILE_COLS,
    .float_tile_cols = ISA_FLOAT_GROUP,
    .quantize_a32 = quantize_a32,
    .quantize_a256 = quantize_a256,
#define DTYPE(name, id, n_values, block_bytes, act, ...) .gemv[DTYPE_##name] = gemv_##name,
#include "dtype/dtype.def"
#define DTYPE(name, id, n_values, block_bytes, act, ...) .gemm[DTYPE_##name] = gemm_##name,
#include "dtype/dtype.def"
#define DTYPE(name, id, n_values, block_bytes, act, ...) .row_to_f32[DTYPE_##name] = row_##name,
#include "dtype/dtype.def"
    .rmsnorm = rmsnorm,
    .layernorm = layernorm,
    .add = add,
    .add_scaled = add_scaled,
    .scale = scale,
    .activate = { [ACTIVATION_SILU] = activate_silu,
                  [ACTIVATION_GELU_TANH] = activate_gelu_tanh,
                  [ACTIVATION_GELU_ERF] = activate_gelu_erf,
                  [ACTIVATION_RELU2] = activate_relu2,
                  [ACTIVATION_SIGMOID] = activate_sigmoid,
                  [ACTIVATION_SWIGLU_CLAMPED] = activate_swiglu_clamped },
    .mul = mul,
    .convolve = convolve,
    .unit = unit,
    .recall = recall,
    .remember = remember,
    .rope = rope,
#define KV_TYPE(name, value_bytes, group, help) .kv_store[HEARTH_KV_##name] = kv_store_##name,
#include "hearth/kv_types.def"
#define KV_TYPE(name, value_bytes, group, help) .attend_page[HEARTH_KV_##name] = attend_page_##name,
#include "hearth/kv_types.def"
    .attend_finish = attend_finish,
    .argmax = argmax,
    .block_max = block_max,
    .collect = collect,
    .sum_exp = sum_exp,
    .all_finite = all_finite,
    .exp_row = exp_row,
    .soft_cap = soft_cap,
};
