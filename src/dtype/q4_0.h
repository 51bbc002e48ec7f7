/* q4_0: 32 weights in 4 bits each, one half-precision scale.
 *
 *   w[i] = scale * (nibble(i) - 8)
 *
 * Byte j holds weight j in its low nibble and weight j + 16 in its high one. */
#ifndef DTYPE_Q4_0_LAYOUT
#define DTYPE_Q4_0_LAYOUT
#include <assert.h>

#include "dtype/half.h"

struct block_q4_0 {
    uint16_t scale; /* f16 */
    uint8_t nibbles[16];
};
static_assert(sizeof(struct block_q4_0) == 18, "q4_0 blocks are packed in files");

static inline void q4_0_block_to_f32(float *out, const void *block)
{
    const struct block_q4_0 *b = block;
    float scale = f16_to_f32(b->scale);
    for (int j = 0; j < 16; j++) {
        out[j] = scale * (float)((b->nibbles[j] & 15) - 8);
        out[j + 16] = scale * (float)((b->nibbles[j] >> 4) - 8);
    }
}

/* The value of largest magnitude gets code -8, so its sign decides the scale's. */
static inline void q4_0_block_from_f32(void *block, const float *x)
{
    struct block_q4_0 *b = block;
    float largest = 0;
    for (int i = 0; i < 32; i++)
        if ((x[i] < 0 ? -x[i] : x[i]) > (largest < 0 ? -largest : largest))
            largest = x[i];
    b->scale = f16_from_f32(largest / -8);
    float scale = f16_to_f32(b->scale);
    for (int j = 0; j < 16; j++) {
        int low = scale != 0 ? nearest_int(x[j] / scale, -8, 7) : 0;
        int high = scale != 0 ? nearest_int(x[j + 16] / scale, -8, 7) : 0;
        b->nibbles[j] = (uint8_t)((low + 8) | (high + 8) << 4);
    }
}
#endif

#ifdef ISA
enum { q4_0_form = 0, q4_0_most = 8 };

TEMPLATE vi8 q4_0_word(const vi32 *w, const int at, const int i)
{
    return v_code_u8(word_nibbles(w, at + 2, i), 8);
}

TEMPLATE vi8 q4_0_pair(const uint8_t *block0, const uint8_t *block1)
{
    return v_code_u8(v_nibbles(block0 + 2, block1 + 2), 8);
}
#endif
