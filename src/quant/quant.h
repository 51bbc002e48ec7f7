/* quant.h: numbers into the codes of a weight format, chosen with care.
 *
 * Where dtype's from_f32 takes the nearest codes under a scale that spans the values, these minimise
 *
 *   error = sum over a block of w[i] * (x[i] - decoded[i])^2
 *
 * over scales, minima and codes: a range of scales is tried, the best scale (and offset) for given codes is
 * the solution of a weighted least-squares problem, and the codes for a given scale are the nearest levels
 * (quant/fit.h). A block is never worse than from_f32's: both are decoded and compared.
 *
 * A block depends on its values and weights alone, and every sum has a fixed order: the same bits on every
 * machine and thread count. Ties go to the level nearer to the even code (tables: the lower level). */
#pragma once
#include "base/base.h"
#include "dtype/dtype.h"

enum { QUANT_BLOCK_MAX = 256 /* values of the largest block */ };

/* Is there a quantizer (or an exact conversion: f32, f16, bf16) for the format? */
bool quant_known(enum dtype type);

enum quant_result {
    QUANT_OK,
    QUANT_NOT_FINITE, /* a value is NaN or infinite */
    QUANT_TOO_LARGE,  /* the format's scale (or the format itself: f16) cannot reach the values */
};

/* One block of a format that quant_known(). x: dtype_table[type].n_values numbers; w: as many weights, finite, >= 0,
 * not all 0. After anything but QUANT_OK the block's bytes mean nothing. */
enum quant_result quant_block(enum dtype type, void *block, const float *x, const float *w);

/* A row of n numbers of such a format, a multiple of the block's. importance: [n], how much the square of an error
 * in that column matters (the mean square of the activations that meet it), or NULL: larger weights matter more.
 * *bad_index (may be NULL): where the block begins that failed. */
enum quant_result quant_row(enum dtype type, void *out, const float *x, const float *importance, size_t n,
                            size_t *bad_index);

/* The weights quant_row() gives a block of n values. */
void quant_weights(float *w, const float *x, const float *importance, int n);
