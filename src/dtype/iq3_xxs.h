/* iq3_xxs: 256 weights in 3.06 bits each: 4 at a time an entry of a grid of 256; 8 have an even number of minus signs.
 *
 *   w[i] = d / 4 * (2 s[b] + 1) * grid value * sign         b = i / 32
 *
 * After the 64 entries comes a 32-bit word for each b: 4 times 7 signs and s in the top 4 bits. */
#ifndef DTYPE_IQ3_XXS_LAYOUT
#define DTYPE_IQ3_XXS_LAYOUT
#include <assert.h>

#include "dtype/iq.h"

enum { iq3_xxs_offset = 62, iq3_xxs_most = 124 };
struct block_iq3_xxs {
    uint16_t d; /* f16 */
    uint8_t entries[64];
    uint8_t signs_scale[8][4];
};
static_assert(sizeof(struct block_iq3_xxs) == 98, "iq3_xxs blocks are packed in files");

static inline float iq3_xxs_expand(uint8_t codes[256], int16_t scale[16], const void *block)
{
    const struct block_iq3_xxs *b = block;
    uint64_t words[32];
    for (int i = 0; i < 32; i++)
        words[i] = iq3_xxs_grid[b->entries[2 * i]] | (uint64_t)iq3_xxs_grid[b->entries[2 * i + 1]] << 32;
    for (int i = 0; i < 32; i++) {
        uint64_t v = iq_spread3(words[i]), seven = v & v >> 1 & v >> 2 & IQ_BYTES(1);
        uint64_t magnitude = IQ_BYTES(4) + (v << 3) + (seven << 1); /* 4 12 20 28 36 44 52 62 */
        words[i] = iq_signed(magnitude, iq_signs7(iq_u32(b->signs_scale[i / 4]) >> 7 * (i % 4)), iq3_xxs_offset);
    }
    for (int i = 0; i < 16; i++)
        scale[i] = (int16_t)(2 * (b->signs_scale[i / 2][3] >> 4) + 1);
    memcpy(codes, words, 256);
    return f16_to_f32(b->d) * 0.25f;
}

static inline void iq3_xxs_block_to_f32(float *out, const void *block)
{
    iq_block_to_f32(out, block, iq3_xxs_expand, iq3_xxs_offset);
}
#define iq3_xxs_block_from_f32 NULL
#endif
