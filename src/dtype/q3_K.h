/* q3_K: 256 weights in 3 bits each, in 16 sub-blocks of 16 with 6-bit scales.
 *
 *   w[i] = d * (scale(s) - 32) * (code(i) - 4)         s = i / 16
 *
 * With n = i / 128, k = i % 128 / 32, l = i % 32: the low 2 bits of code i are bits 2k, 2k + 1 of low[32 n + l], its
 * bit 2 is bit 4n + k of high[l]. The low 4 bits of the scales are the low nibbles of scales[0..7], then the high ones;
 * the upper 2 of scale s are bits 2 * (s / 4) and the one above of scales[8 + s % 4]. */
#ifndef DTYPE_Q3_K_LAYOUT
#define DTYPE_Q3_K_LAYOUT
#include <assert.h>

#include "dtype/half.h"

struct block_q3_K {
    uint8_t high[32];
    uint8_t low[64];
    uint8_t scales[12];
    uint16_t d; /* f16 */
};
static_assert(sizeof(struct block_q3_K) == 110, "q3_K blocks are packed in files");

static inline int q3_K_scale(const uint8_t *scales, int s)
{
    int low = s < 8 ? scales[s] & 15 : scales[s - 8] >> 4;
    return low | (scales[8 + s % 4] >> 2 * (s / 4) & 3) << 4;
}

static inline void q3_K_block_to_f32(float *out, const void *block)
{
    const struct block_q3_K *b = block;
    float d = f16_to_f32(b->d);
    for (int i = 0; i < 256; i++) {
        int n = i / 128, k = i % 128 / 32, l = i % 32;
        int code = (b->low[32 * n + l] >> 2 * k & 3) | (b->high[l] >> (4 * n + k) & 1) << 2;
        out[i] = d * (float)(q3_K_scale(b->scales, i / 16) - 32) * (float)(code - 4);
    }
}

/* The value of largest magnitude in a sub-block gets code -4, so its sign decides the scale's. */
static inline void q3_K_block_from_f32(void *block, const float *x)
{
    struct block_q3_K *b = block;
    float step[16], step_max = 0;
    for (int s = 0; s < 16; s++) {
        float largest = 0;
        for (int i = 16 * s; i < 16 * s + 16; i++)
            if ((x[i] < 0 ? -x[i] : x[i]) > (largest < 0 ? -largest : largest))
                largest = x[i];
        step[s] = largest / -4;
        float size = step[s] < 0 ? -step[s] : step[s];
        step_max = size > step_max ? size : step_max;
    }
    memset(b, 0, sizeof *b);
    b->d = f16_from_f32(step_max / 31);
    float d = f16_to_f32(b->d);
    for (int s = 0; s < 16; s++) {
        int scale = 32 + (d > 0 ? nearest_int(step[s] / d, -32, 31) : 0);
        b->scales[s % 8] |= (uint8_t)((scale & 15) << (s < 8 ? 0 : 4));
        b->scales[8 + s % 4] |= (uint8_t)(scale >> 4 << 2 * (s / 4));
    }
    for (int i = 0; i < 256; i++) {
        int n = i / 128, k = i % 128 / 32, l = i % 32;
        float unit = d * (float)(q3_K_scale(b->scales, i / 16) - 32);
        int code = 4 + (unit != 0 ? nearest_int(x[i] / unit, -4, 3) : 0);
        b->low[32 * n + l] |= (uint8_t)((code & 3) << 2 * k);
        b->high[l] |= (uint8_t)(code >> 2 << (4 * n + k));
    }
}
#endif

#ifdef ISA
enum { q3_K_form = A256_PER16, q3_K_offset = 4, q3_K_most = 7 };
static const uint8_t q3_K_order[4][2] = { { 0, 1 }, { 2, 3 }, { 4, 5 }, { 6, 7 } };

/* Codes 0..7, 4 too high. */
TEMPLATE void q3_K_codes(const uint8_t *block, vi8 codes[4])
{
    vi8 high = v_load_halves(block, block);
    a256_crumbs(block + 32, codes);
    codes[0] = v_or8(codes[0], v_bits(high, 2, 1, 4));
    codes[1] = v_or8(codes[1], v_bits(high, 0, -1, 4));
    codes[2] = v_or8(codes[2], v_bits(high, -2, -3, 4));
    codes[3] = v_or8(codes[3], v_bits(high, -4, -5, 4));
}

TEMPLATE void q3_K_heads(struct a256_heads *h, const uint8_t *const rows[16], size_t offset)
{
    h->d = rows_f16(rows, offset + 108);
    for (int r = 0; r < 16; r++) {
        uint32_t u[3], words[4];
        uint8_t bytes[16];
        memcpy(u, rows[r] + offset + 96, 12);
        words[0] = (u[0] & 0x0f0f0f0f) | (u[2] << 4 & 0x30303030);
        words[1] = (u[1] & 0x0f0f0f0f) | (u[2] << 2 & 0x30303030);
        words[2] = (u[0] >> 4 & 0x0f0f0f0f) | (u[2] & 0x30303030);
        words[3] = (u[1] >> 4 & 0x0f0f0f0f) | (u[2] >> 2 & 0x30303030);
        memcpy(bytes, words, 16);
        for (int i = 0; i < 16; i++)
            h->scale16[r][i] = (int16_t)(bytes[i] - 32);
    }
}

/* The 16 bytes that end with the block hold the scales and d, half a word late. */
TEMPLATE void q3_K_side(struct a256_side *s, const uint8_t *const rows[16], size_t offset)
{
    vi32 w[4], u[3], bytes[4];
    v_load_heads(rows, offset + 94, w);
    UNROLLED
    for (int i = 0; i < 3; i++)
        u[i] = v_or32(v_shr32(w[i], 16), v_shl32(w[i + 1], 16));
    vi32 low = v_set32(0x0f0f0f0f), high = v_set32(0x30303030);
    bytes[0] = v_or32(v_and32(u[0], low), v_and32(v_shl32(u[2], 4), high));
    bytes[1] = v_or32(v_and32(u[1], low), v_and32(v_shl32(u[2], 2), high));
    bytes[2] = v_or32(v_and32(v_shr32(u[0], 4), low), v_and32(u[2], high));
    bytes[3] = v_or32(v_and32(v_shr32(u[1], 4), low), v_and32(v_shr32(u[2], 2), high));
    UNROLLED
    for (int i = 0; i < 4; i++)
        bytes[i] = a256_minus_32(bytes[i]);
    v_storef(s->d, v_f16_high(w[3]));
    a256_scales16(s, bytes);
    a256_offset16(s, q3_K_offset);
}

TEMPLATE void q3_K_words(uint8_t (*to)[64], const uint8_t *const rows[16], size_t offset)
{
    vi8 t[16];
    vi32 high[8];
    rows_turned(t, rows, offset + 32);
    rows_turned_half(high, rows, offset);
    UNROLLED
    for (int k = 0; k < 4; k++) {
        UNROLLED
        for (int i = 0; i < 16; i++) {
            const int left = 2 - 4 * (i / 8) - k;
            vi8 h = v_bits(v_as8(high[i % 8]), left, left, 4);
            v_store8(to[word_crumb_place(i, k)], v_or8(word_crumbs(t[i], k), h));
        }
    }
}
#endif
