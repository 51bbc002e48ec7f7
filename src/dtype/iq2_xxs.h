/* iq2_xxs: 256 weights in 2.06 bits each: 8 at a time an entry of a grid of 256, with an even number of minus signs.
 *
 *   w[i] = d / 8 * (2 s[b] + 1) * grid value * sign         b = i / 32
 *
 * Sub-block b has 8 bytes: 4 entries of 8 bits, then a 32-bit word with 4 times 7 signs and s in the top 4 bits. */
#ifndef DTYPE_IQ2_XXS_LAYOUT
#define DTYPE_IQ2_XXS_LAYOUT
#include <assert.h>

#include "dtype/iq.h"

enum { iq2_xxs_offset = IQ2_OFFSET, iq2_xxs_most = 2 * IQ2_OFFSET };
struct block_iq2_xxs {
    uint16_t d; /* f16 */
    struct {
        uint8_t entry[4];
        uint8_t signs_scale[4];
    } sub[8];
};
static_assert(sizeof(struct block_iq2_xxs) == 66, "iq2_xxs blocks are packed in files");

static inline float iq2_xxs_expand(uint8_t codes[256], int16_t scale[16], const void *block)
{
    const struct block_iq2_xxs *b = block;
    uint64_t entry[32], signs[32];
    for (int i = 0; i < 32; i++) {
        uint32_t word = iq_u32(b->sub[i / 4].signs_scale);
        entry[i] = iq2_xxs_grid[b->sub[i / 4].entry[i % 4]];
        signs[i] = iq_signs7(word >> 7 * (i % 4));
    }
    for (int i = 0; i < 16; i++)
        scale[i] = (int16_t)(2 * (b->sub[i / 2].signs_scale[3] >> 4) + 1);
    iq2_put(codes, entry, signs);
    return f16_to_f32(b->d) * 0.125f;
}

static inline void iq2_xxs_block_to_f32(float *out, const void *block)
{
    iq_block_to_f32(out, block, iq2_xxs_expand, iq2_xxs_offset);
}
#define iq2_xxs_block_from_f32 NULL
#endif
