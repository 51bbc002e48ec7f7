/* iq3_s: 256 weights in 3.44 bits each: 4 at a time an entry of a grid of 512; 8 have a byte of signs.
 *
 *   w[i] = d * (2 s[b] + 1) * grid value * sign         b = i / 32
 *
 * Entry g = 0..63 has its low 8 bits in low[g] and the 9th in bit g % 8 of high[g / 8]. s are the nibbles of scales,
 * low ones first. */
#ifndef DTYPE_IQ3_S_LAYOUT
#define DTYPE_IQ3_S_LAYOUT
#include <assert.h>

#include "dtype/iq.h"

enum { iq3_s_offset = 15, iq3_s_most = 30 };
struct block_iq3_s {
    uint16_t d; /* f16 */
    uint8_t low[64];
    uint8_t high[8];
    uint8_t signs[32];
    uint8_t scales[4];
};
static_assert(sizeof(struct block_iq3_s) == 110, "iq3_s blocks are packed in files");

static inline float iq3_s_expand(uint8_t codes[256], int16_t scale[16], const void *block)
{
    const struct block_iq3_s *b = block;
    uint64_t words[32];
    for (int i = 0; i < 32; i++) {
        uint32_t ninths = b->high[i / 4] >> 2 * (i % 4);
        words[i] = iq3_s_grid[b->low[2 * i] | (ninths & 1) << 8] |
                   (uint64_t)iq3_s_grid[b->low[2 * i + 1] | (ninths >> 1 & 1) << 8] << 32;
    }
    for (int i = 0; i < 32; i++)
        words[i] = iq_signed((iq_spread3(words[i]) << 1) + IQ_BYTES(1), b->signs[i], iq3_s_offset); /* 1 3 .. 15 */
    for (int i = 0; i < 16; i++)
        scale[i] = (int16_t)(2 * (b->scales[i / 4] >> 4 * (i / 2 % 2) & 15) + 1);
    memcpy(codes, words, 256);
    return f16_to_f32(b->d);
}

static inline void iq3_s_block_to_f32(float *out, const void *block)
{
    iq_block_to_f32(out, block, iq3_s_expand, iq3_s_offset);
}
#define iq3_s_block_from_f32 NULL
#endif
