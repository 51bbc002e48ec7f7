/* iq2_s: 256 weights in 2.56 bits each: 8 at a time an entry of a grid of 1024, with a byte of signs.
 *
 *   w[i] = d / 8 * (2 s[i / 16] + 1) * grid value * sign
 *
 * Group g has the low 8 bits of its entry in low[g] and the upper 2 in bits 2 (g % 4) of high[g / 4]. s are the
 * nibbles of scales, low ones first. */
#ifndef DTYPE_IQ2_S_LAYOUT
#define DTYPE_IQ2_S_LAYOUT
#include <assert.h>

#include "dtype/iq.h"

enum { iq2_s_offset = IQ2_OFFSET, iq2_s_most = 2 * IQ2_OFFSET };
struct block_iq2_s {
    uint16_t d; /* f16 */
    uint8_t low[32];
    uint8_t signs[32];
    uint8_t high[8];
    uint8_t scales[8];
};
static_assert(sizeof(struct block_iq2_s) == 82, "iq2_s blocks are packed in files");

static inline float iq2_s_expand(uint8_t codes[256], int16_t scale[16], const void *block)
{
    const struct block_iq2_s *b = block;
    uint64_t entry[32], signs[32];
    for (int i = 0; i < 32; i++) {
        entry[i] = iq2_s_grid[b->low[i] | (b->high[i / 4] >> 2 * (i % 4) & 3) << 8];
        signs[i] = b->signs[i];
    }
    iq2_scales(scale, b->scales);
    iq2_put(codes, entry, signs);
    return f16_to_f32(b->d) * 0.125f;
}

static inline void iq2_s_block_to_f32(float *out, const void *block)
{
    iq_block_to_f32(out, block, iq2_s_expand, iq2_s_offset);
}
#define iq2_s_block_from_f32 NULL
#endif
