/* q5_K: 256 weights in 5 bits each, in 8 sub-blocks of 32 with 6-bit scales and minima.
 *
 *   w = d * scale[b] * code - dmin * min[b]         b = 0..7
 *
 * Scales, minima and the low 4 bits of the codes lie as in q4_K; bit 4 of code l of sub-block b is bit b of high[l]. */
#ifndef DTYPE_Q5_K_LAYOUT
#define DTYPE_Q5_K_LAYOUT
#include <assert.h>

#include "dtype/q4_K_scales.h"

struct block_q5_K {
    uint16_t d, dmin; /* f16 */
    uint8_t scales[12];
    uint8_t high[32];
    uint8_t nibbles[128];
};
static_assert(sizeof(struct block_q5_K) == 176, "q5_K blocks are packed in files");

static inline void q5_K_block_to_f32(float *out, const void *block)
{
    const struct block_q5_K *b = block;
    float d = f16_to_f32(b->d), dmin = f16_to_f32(b->dmin);
    for (int s = 0; s < 8; s++) {
        float scale = d * (float)q4_K_scale(b->scales, s);
        float min = dmin * (float)q4_K_min(b->scales, s);
        for (int i = 0; i < 32; i++) {
            int nibble = b->nibbles[32 * (s / 2) + i] >> (s % 2 ? 4 : 0) & 15;
            out[32 * s + i] = scale * (float)(nibble | (b->high[i] >> s & 1) << 4) - min;
        }
    }
}

static inline void q5_K_block_from_f32(void *block, const float *x)
{
    struct block_q5_K *out = block;
    memset(out, 0, sizeof *out);
    q4_K_choose_scales(&out->d, &out->dmin, out->scales, x, 31);
    float d = f16_to_f32(out->d), dmin = f16_to_f32(out->dmin);
    for (int i = 0; i < 256; i++) {
        int s = i / 32;
        float unit = d * (float)q4_K_scale(out->scales, s);
        int q = unit > 0 ? nearest_int((x[i] + dmin * (float)q4_K_min(out->scales, s)) / unit, 0, 31) : 0;
        out->nibbles[32 * (s / 2) + i % 32] |= (uint8_t)((q & 15) << (s % 2 ? 4 : 0));
        out->high[i % 32] |= (uint8_t)(q >> 4 << s);
    }
}
#endif

#ifdef ISA
enum { q5_K_form = A256_MINS, q5_K_offset = 0, q5_K_most = 31 };
static const uint8_t q5_K_order[4][2] = { { 0, 2 }, { 1, 3 }, { 4, 6 }, { 5, 7 } };

TEMPLATE void q5_K_codes(const uint8_t *block, vi8 codes[4])
{
    vi8 a = v_load8(block + 48), b = v_load8(block + 112), high = v_load_halves(block + 16, block + 16);
    codes[0] = v_or8(v_nib_lo(a), v_bits(high, 4, 2, 0x10));
    codes[1] = v_or8(v_nib_hi(a), v_bits(high, 3, 1, 0x10));
    codes[2] = v_or8(v_nib_lo(b), v_bits(high, 0, -2, 0x10));
    codes[3] = v_or8(v_nib_hi(b), v_bits(high, -1, -3, 0x10));
}

TEMPLATE void q5_K_heads(struct a256_heads *h, const uint8_t *const rows[16], size_t offset)
{
    q4_K_heads(h, rows, offset);
}

TEMPLATE void q5_K_side(struct a256_side *s, const uint8_t *const rows[16], size_t offset)
{
    q4_K_side(s, rows, offset);
}

TEMPLATE void q5_K_words(uint8_t (*to)[64], const uint8_t *const rows[16], size_t offset)
{
    vi32 high[8];
    rows_turned_half(high, rows, offset + 16);
    UNROLLED
    for (int n = 0; n < 2; n++) {
        vi8 t[16];
        rows_turned(t, rows, offset + 48 + 64 * (size_t)n);
        UNROLLED
        for (int i = 0; i < 16; i++) {
            const int left = 4 - 4 * n - 2 * (i / 8), at = 32 * n + 16 * (i / 8) + i % 8;
            vi8 h = v_as8(high[i % 8]);
            v_store8(to[at], v_or8(v_nib_lo(t[i]), v_bits(h, left, left, 0x10)));
            v_store8(to[at + 8], v_or8(v_nib_hi(t[i]), v_bits(h, left - 1, left - 1, 0x10)));
        }
    }
}
#endif
