/* iq2_xs: 256 weights in 2.31 bits each: 8 at a time an entry of a grid of 512, with an even number of minus signs.
 *
 *   w[i] = d / 8 * (2 s[i / 16] + 1) * grid value * sign
 *
 * A group of 8 is a 16-bit word: 9 bits of entry, 7 signs above them. s are the nibbles of scales, low ones first. */
#ifndef DTYPE_IQ2_XS_LAYOUT
#define DTYPE_IQ2_XS_LAYOUT
#include <assert.h>

#include "dtype/iq.h"

enum { iq2_xs_offset = IQ2_OFFSET, iq2_xs_most = 2 * IQ2_OFFSET };
struct block_iq2_xs {
    uint16_t d; /* f16 */
    uint8_t groups[32][2];
    uint8_t scales[8];
};
static_assert(sizeof(struct block_iq2_xs) == 74, "iq2_xs blocks are packed in files");

static inline float iq2_xs_expand(uint8_t codes[256], int16_t scale[16], const void *block)
{
    const struct block_iq2_xs *b = block;
    uint64_t entry[32], signs[32];
    for (int i = 0; i < 32; i++) {
        uint32_t group = iq_u16(b->groups[i]);
        entry[i] = iq2_xs_grid[group & 511];
        signs[i] = iq_signs7(group >> 9);
    }
    iq2_scales(scale, b->scales);
    iq2_put(codes, entry, signs);
    return f16_to_f32(b->d) * 0.125f;
}

static inline void iq2_xs_block_to_f32(float *out, const void *block)
{
    iq_block_to_f32(out, block, iq2_xs_expand, iq2_xs_offset);
}
#define iq2_xs_block_from_f32 NULL
#endif
