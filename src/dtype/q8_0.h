/* q8_0: 32 weights in 8 bits each, one half-precision scale.
 *
 *   w[i] = scale * codes[i] */
#ifndef DTYPE_Q8_0_LAYOUT
#define DTYPE_Q8_0_LAYOUT
#include <assert.h>

#include "dtype/half.h"

struct block_q8_0 {
    uint16_t scale; /* f16 */
    int8_t codes[32];
};
static_assert(sizeof(struct block_q8_0) == 34, "q8_0 blocks are packed in files");

static inline void q8_0_block_to_f32(float *out, const void *block)
{
    const struct block_q8_0 *b = block;
    float scale = f16_to_f32(b->scale);
    for (int i = 0; i < 32; i++)
        out[i] = scale * (float)b->codes[i];
}

static inline void q8_0_block_from_f32(void *block, const float *x)
{
    struct block_q8_0 *b = block;
    float largest = 0;
    for (int i = 0; i < 32; i++)
        largest = x[i] > largest ? x[i] : -x[i] > largest ? -x[i] : largest;
    b->scale = f16_from_f32(largest / 127);
    float scale = f16_to_f32(b->scale);
    for (int i = 0; i < 32; i++)
        b->codes[i] = (int8_t)(scale > 0 ? nearest_int(x[i] / scale, -127, 127) : 0);
}
#endif

#ifdef ISA
enum { q8_0_form = 0, q8_0_most = 128 };

TEMPLATE vi8 q8_0_word(const vi32 *w, const int at, const int i)
{
    return v_code_i8(v_as8(word_at(w, at + 2 + 4 * i)));
}

TEMPLATE vi8 q8_0_pair(const uint8_t *block0, const uint8_t *block1)
{
    return v_code_i8(v_load_halves(block0 + 2, block1 + 2));
}
#endif
