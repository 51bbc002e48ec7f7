/* q5_0: 32 weights in 5 bits each, one half-precision scale.
 *
 *   w[i] = scale * (code(i) - 16)
 *
 * The low 4 bits of the codes: byte j holds those of weight j in its low nibble and of weight j + 16 in its high
 * one. Bit 4 of code i is bit i of the four bytes `high`, the lowest bit first. */
#ifndef DTYPE_Q5_0_LAYOUT
#define DTYPE_Q5_0_LAYOUT
#include <assert.h>

#include "dtype/half.h"

struct block_q5_0 {
    uint16_t scale; /* f16 */
    uint8_t high[4];
    uint8_t nibbles[16];
};
static_assert(sizeof(struct block_q5_0) == 22, "q5_0 blocks are packed in files");

static inline void q5_0_block_to_f32(float *out, const void *block)
{
    const struct block_q5_0 *b = block;
    float scale = f16_to_f32(b->scale);
    for (int i = 0; i < 32; i++) {
        int nibble = b->nibbles[i % 16] >> (i < 16 ? 0 : 4) & 15;
        out[i] = scale * (float)((nibble | (b->high[i / 8] >> i % 8 & 1) << 4) - 16);
    }
}

/* The value of largest magnitude gets code -16, so its sign decides the scale's. */
static inline void q5_0_block_from_f32(void *block, const float *x)
{
    struct block_q5_0 *b = block;
    float largest = 0;
    for (int i = 0; i < 32; i++)
        if ((x[i] < 0 ? -x[i] : x[i]) > (largest < 0 ? -largest : largest))
            largest = x[i];
    memset(b, 0, sizeof *b);
    b->scale = f16_from_f32(largest / -16);
    float scale = f16_to_f32(b->scale);
    for (int i = 0; i < 32; i++) {
        int code = 16 + (scale != 0 ? nearest_int(x[i] / scale, -16, 15) : 0);
        b->nibbles[i % 16] |= (uint8_t)((code & 15) << (i < 16 ? 0 : 4));
        b->high[i / 8] |= (uint8_t)(code >> 4 << i % 8);
    }
}
#endif

#ifdef ISA
enum { q5_0_form = 0, q5_0_most = 16 };

TEMPLATE vi8 q5_0_word(const vi32 *w, const int at, const int i)
{
    return v_code_u8(v_or8(word_nibbles(w, at + 6, i), word_bits(word_at(w, at + 2), i, 4)), 16);
}

TEMPLATE vi8 q5_0_pair(const uint8_t *block0, const uint8_t *block1)
{
    return v_code_u8(v_or8(v_nibbles(block0 + 6, block1 + 6), v_bit_bytes(block0 + 2, block1 + 2, 16)), 16);
}
#endif
