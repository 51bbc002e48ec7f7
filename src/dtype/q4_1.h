/* q4_1: 32 weights in 4 bits each, a half-precision scale and minimum.
 *
 *   w[i] = scale * nibble(i) + min
 *
 * Byte j holds weight j in its low nibble and weight j + 16 in its high one. */
#ifndef DTYPE_Q4_1_LAYOUT
#define DTYPE_Q4_1_LAYOUT
#include <assert.h>

#include "dtype/half.h"

struct block_q4_1 {
    uint16_t scale, min; /* f16 */
    uint8_t nibbles[16];
};
static_assert(sizeof(struct block_q4_1) == 20, "q4_1 blocks are packed in files");

static inline void q4_1_block_to_f32(float *out, const void *block)
{
    const struct block_q4_1 *b = block;
    float scale = f16_to_f32(b->scale), min = f16_to_f32(b->min);
    for (int j = 0; j < 16; j++) {
        out[j] = scale * (float)(b->nibbles[j] & 15) + min;
        out[j + 16] = scale * (float)(b->nibbles[j] >> 4) + min;
    }
}

/* The block spans its smallest value to its largest. */
static inline void q4_1_block_from_f32(void *block, const float *x)
{
    struct block_q4_1 *b = block;
    float least = x[0], most = x[0];
    for (int i = 1; i < 32; i++) {
        least = x[i] < least ? x[i] : least;
        most = x[i] > most ? x[i] : most;
    }
    b->scale = f16_from_f32((most - least) / 15);
    b->min = f16_from_f32(least);
    float scale = f16_to_f32(b->scale), min = f16_to_f32(b->min);
    for (int j = 0; j < 16; j++) {
        int low = scale > 0 ? nearest_int((x[j] - min) / scale, 0, 15) : 0;
        int high = scale > 0 ? nearest_int((x[j + 16] - min) / scale, 0, 15) : 0;
        b->nibbles[j] = (uint8_t)(low | high << 4);
    }
}
#endif

#ifdef ISA
enum { q4_1_form = A32_MINS, q4_1_most = 15 };

TEMPLATE vi8 q4_1_word(const vi32 *w, const int at, const int i)
{
    return word_nibbles(w, at + 4, i);
}

TEMPLATE vi8 q4_1_pair(const uint8_t *block0, const uint8_t *block1) { return v_nibbles(block0 + 4, block1 + 4); }
#endif
