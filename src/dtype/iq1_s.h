/* iq1_s: 256 weights in 1.56 bits each: 8 at a time an entry of a grid of 2048, shifted.
 *
 *   w[i] = d * (2 s[b] + 1) * (grid value + shift[b])         b = i / 32, shift +-1/8
 *
 * Group g = 0..31 has the low 8 bits of its entry in low[g]; the 16-bit word high[b] has the upper 3 of its four groups
 * in bits 3 (g % 4), then s in bits 12..14 and the shift's sign in bit 15. */
#ifndef DTYPE_IQ1_S_LAYOUT
#define DTYPE_IQ1_S_LAYOUT
#include <assert.h>

#include "dtype/iq.h"

enum { iq1_s_offset = IQ1_OFFSET, iq1_s_most = 2 * IQ1_OFFSET };
struct block_iq1_s {
    uint16_t d; /* f16 */
    uint8_t low[32];
    uint8_t high[8][2];
};
static_assert(sizeof(struct block_iq1_s) == 50, "iq1_s blocks are packed in files");

static inline float iq1_s_expand(uint8_t codes[256], int16_t scale[16], const void *block)
{
    const struct block_iq1_s *b = block;
    uint64_t entry[32], plus[32];
    for (int i = 0; i < 32; i++) {
        uint32_t high = iq_u16(b->high[i / 4]);
        entry[i] = iq1_grid[b->low[i] | (high >> 3 * (i % 4) & 7) << 8];
        plus[i] = high >> 15 ? 0 : 2;
    }
    for (int i = 0; i < 16; i++)
        scale[i] = (int16_t)(2 * (b->high[i / 2][1] >> 4 & 7) + 1);
    iq1_put(codes, entry, plus);
    return f16_to_f32(b->d) * 0.125f;
}

static inline void iq1_s_block_to_f32(float *out, const void *block)
{
    iq_block_to_f32(out, block, iq1_s_expand, iq1_s_offset);
}
#define iq1_s_block_from_f32 NULL
#endif
