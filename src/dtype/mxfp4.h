/* mxfp4: 32 weights as 4-bit floats (sign, 2 bits of exponent, 1 of mantissa), one scale that is a power of 2
 * (OCP Microscaling Formats, version 1.0).
 *
 *   w[i] = mxfp4_doubles[nibble(i)] * 2^(exponent - 128)
 *
 * Byte j holds weight j in its low nibble and weight j + 16 in its high one. */
#ifndef DTYPE_MXFP4_LAYOUT
#define DTYPE_MXFP4_LAYOUT
#include <assert.h>

#include "dtype/half.h"

struct block_mxfp4 {
    uint8_t exponent;
    uint8_t nibbles[16];
};
static_assert(sizeof(struct block_mxfp4) == 17, "mxfp4 blocks are packed in files");

/* Twice the 4-bit floats, so that they are whole. */
static const int8_t mxfp4_doubles[16] = { 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12 };

static inline void mxfp4_block_to_f32(float *out, const void *block)
{
    const struct block_mxfp4 *b = block;
    float scale = bf16_to_f32(e8m0_half_bf16(b->exponent));
    for (int j = 0; j < 16; j++) {
        out[j] = scale * (float)mxfp4_doubles[b->nibbles[j] & 15];
        out[j + 16] = scale * (float)mxfp4_doubles[b->nibbles[j] >> 4];
    }
}

/* The nibble for a magnitude of doubled 4-bit floats; ties go to the smaller. */
static inline int mxfp4_nearest(float x)
{
    int sign = x < 0 ? 8 : 0, best = 0;
    for (int i = 1; i < 8; i++)
        if ((x < 0 ? -x : x) > 0.5f * (float)(mxfp4_doubles[i - 1] + mxfp4_doubles[i]))
            best = i;
    return sign | best;
}

/* As the specification has it: the largest magnitude's power of 2 becomes 4. */
static inline void mxfp4_block_from_f32(void *block, const float *x)
{
    struct block_mxfp4 *b = block;
    uint32_t largest = 0;
    for (int i = 0; i < 32; i++) {
        uint32_t bits = bits_of_f32(x[i]) & 0x7fffffff;
        largest = bits > largest ? bits : largest;
    }
    int exponent = (int)(largest >> 23) - 2;
    b->exponent = (uint8_t)(exponent < 0 ? 0 : exponent);
    float scale = bf16_to_f32(e8m0_half_bf16(b->exponent));
    for (int j = 0; j < 16; j++)
        b->nibbles[j] = (uint8_t)(mxfp4_nearest(x[j] / scale) | mxfp4_nearest(x[j + 16] / scale) << 4);
}
#endif

#ifdef ISA
enum { mxfp4_form = A32_E8M0, mxfp4_most = 12 };

TEMPLATE vi8 mxfp4_word(const vi32 *w, const int at, const int i)
{
    return v_code_i8(v_lookup16(mxfp4_doubles, word_nibbles(w, at + 1, i)));
}

TEMPLATE vi8 mxfp4_pair(const uint8_t *block0, const uint8_t *block1)
{
    return v_code_i8(v_lookup16(mxfp4_doubles, v_nibbles(block0 + 1, block1 + 1)));
}
#endif
