/* iq1_m: 256 weights in 1.75 bits each: 8 at a time an entry of a grid of 2048, shifted.
 *
 *   w[i] = d * (2 s[i / 16] + 1) * (grid value + shift[i / 8])         shift +-1/8
 *
 * Group g = 0..31 has the low 8 bits of its entry in low[g]; nibble g of high has the upper 3 and the shift's sign. The
 * 16-bit words of scales hold four 3-bit s each and in their top nibbles, lowest first, the f16 d. */
#ifndef DTYPE_IQ1_M_LAYOUT
#define DTYPE_IQ1_M_LAYOUT
#include <assert.h>

#include "dtype/iq.h"

enum { iq1_m_offset = IQ1_OFFSET, iq1_m_most = 2 * IQ1_OFFSET };
struct block_iq1_m {
    uint8_t low[32];
    uint8_t high[16];
    uint8_t scales[4][2];
};
static_assert(sizeof(struct block_iq1_m) == 56, "iq1_m blocks are packed in files");

static inline float iq1_m_expand(uint8_t codes[256], int16_t scale[16], const void *block)
{
    const struct block_iq1_m *b = block;
    uint64_t entry[32], plus[32];
    for (int i = 0; i < 32; i++) {
        uint32_t high = b->high[i / 2] >> 4 * (i % 2);
        entry[i] = iq1_grid[b->low[i] | (high & 7) << 8];
        plus[i] = high & 8 ? 0 : 2;
    }
    uint32_t d = 0;
    for (int i = 0; i < 16; i++) {
        uint32_t word = iq_u16(b->scales[i / 4]);
        scale[i] = (int16_t)(2 * (word >> 3 * (i % 4) & 7) + 1);
        d |= i % 4 == 0 ? word >> 12 << i : 0;
    }
    iq1_put(codes, entry, plus);
    return f16_to_f32((uint16_t)d) * 0.125f;
}

static inline void iq1_m_block_to_f32(float *out, const void *block)
{
    iq_block_to_f32(out, block, iq1_m_expand, iq1_m_offset);
}
#define iq1_m_block_from_f32 NULL
#endif
