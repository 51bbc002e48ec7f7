/* q5_1: 32 weights in 5 bits each, a half-precision scale and minimum.
 *
 *   w[i] = scale * code(i) + min
 *
 * The codes' bits lie as in q5_0. */
#ifndef DTYPE_Q5_1_LAYOUT
#define DTYPE_Q5_1_LAYOUT
#include <assert.h>

#include "dtype/half.h"

struct block_q5_1 {
    uint16_t scale, min; /* f16 */
    uint8_t high[4];
    uint8_t nibbles[16];
};
static_assert(sizeof(struct block_q5_1) == 24, "q5_1 blocks are packed in files");

static inline void q5_1_block_to_f32(float *out, const void *block)
{
    const struct block_q5_1 *b = block;
    float scale = f16_to_f32(b->scale), min = f16_to_f32(b->min);
    for (int i = 0; i < 32; i++) {
        int nibble = b->nibbles[i % 16] >> (i < 16 ? 0 : 4) & 15;
        out[i] = scale * (float)(nibble | (b->high[i / 8] >> i % 8 & 1) << 4) + min;
    }
}

/* The block spans its smallest value to its largest. */
static inline void q5_1_block_from_f32(void *block, const float *x)
{
    struct block_q5_1 *b = block;
    float least = x[0], most = x[0];
    for (int i = 1; i < 32; i++) {
        least = x[i] < least ? x[i] : least;
        most = x[i] > most ? x[i] : most;
    }
    memset(b, 0, sizeof *b);
    b->scale = f16_from_f32((most - least) / 31);
    b->min = f16_from_f32(least);
    float scale = f16_to_f32(b->scale), min = f16_to_f32(b->min);
    for (int i = 0; i < 32; i++) {
        int code = scale > 0 ? nearest_int((x[i] - min) / scale, 0, 31) : 0;
        b->nibbles[i % 16] |= (uint8_t)((code & 15) << (i < 16 ? 0 : 4));
        b->high[i / 8] |= (uint8_t)(code >> 4 << i % 8);
    }
}
#endif

#ifdef ISA
enum { q5_1_form = A32_MINS, q5_1_most = 31 };

TEMPLATE vi8 q5_1_word(const vi32 *w, const int at, const int i)
{
    return v_or8(word_nibbles(w, at + 8, i), word_bits(word_at(w, at + 4), i, 4));
}

TEMPLATE vi8 q5_1_pair(const uint8_t *block0, const uint8_t *block1)
{
    return v_or8(v_nibbles(block0 + 8, block1 + 8), v_bit_bytes(block0 + 4, block1 + 4, 16));
}
#endif
