/* q1_0: 128 weights that are plus or minus one half-precision scale.
 *
 *   w[i] = bit(i) ? scale : -scale
 *
 * Bit i is bit i % 8 of byte i / 8. */
#ifndef DTYPE_Q1_0_LAYOUT
#define DTYPE_Q1_0_LAYOUT
#include <assert.h>

#include "dtype/half.h"

struct block_q1_0 {
    uint16_t scale; /* f16 */
    uint8_t bits[16];
};
static_assert(sizeof(struct block_q1_0) == 18, "q1_0 blocks are packed in files");

static inline void q1_0_block_to_f32(float *out, const void *block)
{
    const struct block_q1_0 *b = block;
    float scale = f16_to_f32(b->scale);
    for (int i = 0; i < 128; i++)
        out[i] = b->bits[i / 8] >> i % 8 & 1 ? scale : -scale;
}

/* The mean magnitude is the scale of least square error. */
static inline void q1_0_block_from_f32(void *block, const float *x)
{
    struct block_q1_0 *b = block;
    float sum = 0;
    for (int i = 0; i < 128; i++)
        sum += x[i] < 0 ? -x[i] : x[i];
    memset(b, 0, sizeof *b);
    b->scale = f16_from_f32(sum / 128);
    for (int i = 0; i < 128; i++)
        b->bits[i / 8] |= (uint8_t)((x[i] >= 0) << i % 8);
}
#endif

#ifdef ISA
enum { q1_0_form = 0, q1_0_most = 1 };

TEMPLATE vi8 q1_0_word(const vi32 *w, const int at, const int i)
{
    return v_code_u8(word_bits(word_at(w, at + 2 + i / 8 * 4), i % 8, 1), 1);
}

TEMPLATE vi8 q1_0_pair(const uint8_t *part0, const uint8_t *part1)
{
    return v_code_u8(v_bit_bytes(part0 + 2, part1 + 2, 2), 1);
}
#endif
