/* dtype.h: the number formats of weights, as one table. */
#pragma once
#include "base/base.h"

/* What form of activations a weight format is multiplied with. */
enum act_kind {
    ACT_F32,  /* as they are */
    ACT_A32,  /* int8 codes, one f32 scale per 32 values, int32 sum per 32 */
    ACT_A256, /* int8 codes, one f32 scale per 256 values, int16 sums per 16 */
    N_ACT_KINDS,
    ACT_A256_EXPANDED = ACT_A256 /* the same, for weights that plain code expands first (kernel/tmpl/expand_tmpl.h) */
};

enum dtype {
#define DTYPE(name, id, n_values, block_bytes, act, ...) DTYPE_##name,
#include "dtype/dtype.def"
    N_DTYPES
};

/* What a scale is written as. */
enum scale_kind {
    SCALE_F32,
    SCALE_F16,
    SCALE_BF16,
    SCALE_E8M0,    /* a byte, of which 255 is NaN */
    SCALE_NIBBLES, /* f16 in the high nibbles of every second byte, lowest first */
    N_SCALE_KINDS
};

struct dtype_info {
    const char *name;     /* "q4_K" */
    uint32_t gguf_id;
    int n_values;         /* per block */
    int block_bytes;
    enum act_kind act;
    enum scale_kind scale;
    int scale_at, min_at; /* bytes into the block; min_at -1: there is none */
    /* The plain definitions, one block at a time. Tests hold every kernel to to_f32. */
    void (*to_f32)(float *out, const void *block);
    void (*from_f32)(void *block, const float *x); /* nearest codes, simple scale choice; NULL: decoded only */
};

extern const struct dtype_info dtype_table[N_DTYPES];

bool dtype_from_gguf(uint32_t gguf_id, enum dtype *out); /* false: no kernels for it in this build */
bool dtype_from_name(const char *name, enum dtype *out); /* any case */
/* "f32, f16, bf16, ...". Static. */
const char *dtype_names(void);
static inline size_t dtype_row_bytes(enum dtype t, size_t n_values)
{
    return n_values / (size_t)dtype_table[t].n_values * (size_t)dtype_table[t].block_bytes;
}
