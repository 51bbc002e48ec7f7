/* iq4_xs: 256 weights as indices of 16 values, in 8 sub-blocks of 32 with 6-bit scales.
 *
 *   w = d * (scale[b] - 32) * iq4_values[nibble]         b = 0..7
 *
 * Byte j of sub-block b, nibbles[16 b + j], holds weight j in its low nibble and weight j + 16 in its high one. The
 * low 4 bits of scale b are nibble b of scales_low, its upper 2 bits 2b and 2b + 1 of scales_high. */
#ifndef DTYPE_IQ4_XS_LAYOUT
#define DTYPE_IQ4_XS_LAYOUT
#include <assert.h>

#include "dtype/iq4.h"

struct block_iq4_xs {
    uint16_t d; /* f16 */
    uint16_t scales_high;
    uint8_t scales_low[4];
    uint8_t nibbles[128];
};
static_assert(sizeof(struct block_iq4_xs) == 136, "iq4_xs blocks are packed in files");

static inline int iq4_xs_scale(const struct block_iq4_xs *x, int b)
{
    return ((x->scales_low[b / 2] >> 4 * (b % 2) & 15) | (x->scales_high >> 2 * b & 3) << 4) - 32;
}

static inline void iq4_xs_block_to_f32(float *out, const void *block)
{
    const struct block_iq4_xs *x = block;
    float d = f16_to_f32(x->d);
    for (int i = 0; i < 256; i++) {
        int b = i / 32, nibble = x->nibbles[16 * b + i % 16] >> (i % 32 < 16 ? 0 : 4) & 15;
        out[i] = d * (float)iq4_xs_scale(x, b) * (float)iq4_values[nibble];
    }
}

/* The value of largest magnitude in a sub-block gets -127, so its sign decides the scale's. */
static inline void iq4_xs_block_from_f32(void *block, const float *x)
{
    struct block_iq4_xs *out = block;
    float step[8], step_max = 0;
    for (int b = 0; b < 8; b++) {
        float largest = 0;
        for (int i = 32 * b; i < 32 * b + 32; i++)
            if ((x[i] < 0 ? -x[i] : x[i]) > (largest < 0 ? -largest : largest))
                largest = x[i];
        step[b] = largest / -127;
        float size = step[b] < 0 ? -step[b] : step[b];
        step_max = size > step_max ? size : step_max;
    }
    memset(out, 0, sizeof *out);
    out->d = f16_from_f32(step_max / 31);
    float d = f16_to_f32(out->d);
    for (int b = 0; b < 8; b++) {
        int scale = 32 + (d > 0 ? nearest_int(step[b] / d, -32, 31) : 0);
        out->scales_low[b / 2] |= (uint8_t)((scale & 15) << 4 * (b % 2));
        out->scales_high = (uint16_t)(out->scales_high | scale >> 4 << 2 * b);
    }
    for (int i = 0; i < 256; i++) {
        int b = i / 32;
        float unit = d * (float)iq4_xs_scale(out, b);
        int code = iq4_nearest(unit != 0 ? x[i] / unit : 0);
        out->nibbles[16 * b + i % 16] |= (uint8_t)(code << (i % 32 < 16 ? 0 : 4));
    }
}
#endif

#ifdef ISA
enum { iq4_xs_form = A256_SIGNED, iq4_xs_offset = 0, iq4_xs_most = 127 };
static const uint8_t iq4_xs_order[4][2] = { { 0, 1 }, { 2, 3 }, { 4, 5 }, { 6, 7 } };

TEMPLATE void iq4_xs_codes(const uint8_t *block, vi8 codes[4])
{
    UNROLLED
    for (int j = 0; j < 4; j++)
        codes[j] = v_code_i8(v_lookup16(iq4_values, v_nibbles(block + 8 + 32 * j, block + 24 + 32 * j)));
}

/* scale[i]: sub-blocks 4i..4i+3 as signed bytes; lanes = rows. */
TEMPLATE vf32 iq4_xs_load(const uint8_t *const rows[16], size_t offset, vi32 scale[2])
{
    vi32 w[4];
    v_load_heads(rows, offset, w);
    UNROLLED
    for (int i = 0; i < 2; i++) {
        vi32 low = v_and32(v_shr32(w[1], 16 * i), v_set32(0xffff));
        vi32 high = v_and32(v_shr32(w[0], 16 + 8 * i), v_set32(0xff));
        low = v_and32(v_or32(low, v_shl32(low, 8)), v_set32(0x00ff00ff));
        low = v_and32(v_or32(low, v_shl32(low, 4)), v_set32(0x0f0f0f0f));
        high = v_and32(v_or32(high, v_shl32(high, 12)), v_set32(0x000f000f));
        high = v_and32(v_or32(high, v_shl32(high, 6)), v_set32(0x03030303));
        scale[i] = a256_minus_32(v_or32(low, v_shl32(high, 4)));
    }
    return v_f16_low(w[0]);
}

TEMPLATE void iq4_xs_heads(struct a256_heads *h, const uint8_t *const rows[16], size_t offset)
{
    vi32 scale[2];
    h->d = iq4_xs_load(rows, offset, scale);
    v_store32(h->scale32[0], scale[0]);
    v_store32(h->scale32[1], scale[1]);
}

TEMPLATE void iq4_xs_side(struct a256_side *s, const uint8_t *const rows[16], size_t offset)
{
    vi32 scale[2];
    v_storef(s->d, iq4_xs_load(rows, offset, scale));
    a256_signed_scales(s, scale);
}

TEMPLATE void iq4_xs_words(uint8_t (*to)[64], const uint8_t *const rows[16], size_t offset)
{
    for (int n = 0; n < 2; n++) {
        vi8 t[16];
        rows_turned(t, rows, offset + 8 + 64 * (size_t)n);
        UNROLLED
        for (int i = 0; i < 16; i++) {
            int at = 32 * n + 8 * (i / 4) + i % 4;
            v_store8(to[at], v_code_i8(v_lookup16(iq4_values, v_nib_lo(t[i]))));
            v_store8(to[at + 4], v_code_i8(v_lookup16(iq4_values, v_nib_hi(t[i]))));
        }
    }
}
#endif
