/* iq4_nl: 32 weights as indices of 16 values, one half-precision scale.
 *
 *   w[i] = scale * iq4_values[nibble(i)]
 *
 * Byte j holds weight j in its low nibble and weight j + 16 in its high one. */
#ifndef DTYPE_IQ4_NL_LAYOUT
#define DTYPE_IQ4_NL_LAYOUT
#include <assert.h>

#include "dtype/iq4.h"

struct block_iq4_nl {
    uint16_t scale; /* f16 */
    uint8_t nibbles[16];
};
static_assert(sizeof(struct block_iq4_nl) == 18, "iq4_nl blocks are packed in files");

static inline void iq4_nl_block_to_f32(float *out, const void *block)
{
    const struct block_iq4_nl *b = block;
    float scale = f16_to_f32(b->scale);
    for (int j = 0; j < 16; j++) {
        out[j] = scale * (float)iq4_values[b->nibbles[j] & 15];
        out[j + 16] = scale * (float)iq4_values[b->nibbles[j] >> 4];
    }
}

/* The value of largest magnitude gets -127, so its sign decides the scale's. */
static inline void iq4_nl_block_from_f32(void *block, const float *x)
{
    struct block_iq4_nl *b = block;
    float largest = 0;
    for (int i = 0; i < 32; i++)
        if ((x[i] < 0 ? -x[i] : x[i]) > (largest < 0 ? -largest : largest))
            largest = x[i];
    b->scale = f16_from_f32(largest / -127);
    float scale = f16_to_f32(b->scale);
    for (int j = 0; j < 16; j++) {
        int low = iq4_nearest(scale != 0 ? x[j] / scale : 0);
        int high = iq4_nearest(scale != 0 ? x[j + 16] / scale : 0);
        b->nibbles[j] = (uint8_t)(low | high << 4);
    }
}
#endif

#ifdef ISA
enum { iq4_nl_form = 0, iq4_nl_most = 127 };

TEMPLATE vi8 iq4_nl_word(const vi32 *w, const int at, const int i)
{
    return v_code_i8(v_lookup16(iq4_values, word_nibbles(w, at + 2, i)));
}

TEMPLATE vi8 iq4_nl_pair(const uint8_t *block0, const uint8_t *block1)
{
    return v_code_i8(v_lookup16(iq4_values, v_nibbles(block0 + 2, block1 + 2)));
}
#endif
