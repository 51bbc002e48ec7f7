/* q2_K: 256 weights in 2 bits each, in 16 sub-blocks of 16 with 4-bit scales and minima.
 *
 *   w[i] = d * (scales[s] & 15) * code(i) - dmin * (scales[s] >> 4)         s = i / 16
 *
 * With n = i / 128, k = i % 128 / 32, l = i % 32: code i is bits 2k, 2k + 1 of codes[32 n + l]. */
#ifndef DTYPE_Q2_K_LAYOUT
#define DTYPE_Q2_K_LAYOUT
#include <assert.h>

#include "dtype/half.h"

struct block_q2_K {
    uint8_t scales[16];
    uint8_t codes[64];
    uint16_t d, dmin; /* f16 */
};
static_assert(sizeof(struct block_q2_K) == 84, "q2_K blocks are packed in files");

static inline void q2_K_block_to_f32(float *out, const void *block)
{
    const struct block_q2_K *b = block;
    float d = f16_to_f32(b->d), dmin = f16_to_f32(b->dmin);
    for (int i = 0; i < 256; i++) {
        int code = b->codes[32 * (i / 128) + i % 32] >> 2 * (i % 128 / 32) & 3;
        float scale = d * (float)(b->scales[i / 16] & 15), min = dmin * (float)(b->scales[i / 16] >> 4);
        out[i] = scale * (float)code - min;
    }
}

/* Each sub-block spans its smallest value (or 0) to its largest. */
static inline void q2_K_block_from_f32(void *block, const float *x)
{
    struct block_q2_K *b = block;
    float step[16], low[16], step_max = 0, low_max = 0;
    for (int s = 0; s < 16; s++) {
        float least = 0, most = 0;
        for (int i = 0; i < 16; i++) {
            least = x[16 * s + i] < least ? x[16 * s + i] : least;
            most = x[16 * s + i] > most ? x[16 * s + i] : most;
        }
        step[s] = (most - least) / 3;
        low[s] = -least;
        step_max = step[s] > step_max ? step[s] : step_max;
        low_max = low[s] > low_max ? low[s] : low_max;
    }
    memset(b, 0, sizeof *b);
    b->d = f16_from_f32(step_max / 15);
    b->dmin = f16_from_f32(low_max / 15);
    float d = f16_to_f32(b->d), dmin = f16_to_f32(b->dmin);
    for (int i = 0; i < 256; i++) {
        int s = i / 16;
        int scale = d > 0 ? nearest_int(step[s] / d, 0, 15) : 0, min = dmin > 0 ? nearest_int(low[s] / dmin, 0, 15) : 0;
        float unit = d * (float)scale;
        int code = unit > 0 ? nearest_int((x[i] + dmin * (float)min) / unit, 0, 3) : 0;
        b->scales[s] = (uint8_t)(scale | min << 4);
        b->codes[32 * (i / 128) + i % 32] |= (uint8_t)(code << 2 * (i % 128 / 32));
    }
}
#endif

#ifdef ISA
enum { q2_K_form = A256_PER16 | A256_MINS, q2_K_offset = 0, q2_K_most = 3 };
static const uint8_t q2_K_order[4][2] = { { 0, 1 }, { 2, 3 }, { 4, 5 }, { 6, 7 } };

TEMPLATE void q2_K_codes(const uint8_t *block, vi8 codes[4])
{
    a256_crumbs(block + 16, codes);
}

/* Minima as 16-bit pairs. */
TEMPLATE void q2_K_load(const uint8_t *const rows[16], size_t offset, vf32 *d, vf32 *dmin, vi32 scales[4],
                        vi32 min_pairs[8])
{
    vi32 tail[4];
    v_load_heads(rows, offset + 68, tail);
    *d = v_f16_low(tail[3]);
    *dmin = v_f16_high(tail[3]);
    v_load_heads(rows, offset, scales);
    UNROLLED
    for (int i = 0; i < 4; i++) {
        vi32 m = v_and32(v_shr32(scales[i], 4), v_set32(0x0f0f0f0f));
        scales[i] = v_and32(scales[i], v_set32(0x0f0f0f0f));
        vi32 low = v_and32(m, v_set32(0xffff)), high = v_shr32(m, 16);
        min_pairs[2 * i] = v_and32(v_or32(low, v_shl32(low, 8)), v_set32(0x00ff00ff));
        min_pairs[2 * i + 1] = v_and32(v_or32(high, v_shl32(high, 8)), v_set32(0x00ff00ff));
    }
}

TEMPLATE void q2_K_heads(struct a256_heads *h, const uint8_t *const rows[16], size_t offset)
{
    vi32 scales[4];
    q2_K_load(rows, offset, &h->d, &h->dmin, scales, h->min_pairs);
    for (int r = 0; r < 16; r++)
        for (int i = 0; i < 16; i++)
            h->scale16[r][i] = rows[r][offset + (size_t)i] & 15;
}

TEMPLATE void q2_K_side(struct a256_side *s, const uint8_t *const rows[16], size_t offset)
{
    vf32 d, dmin;
    vi32 scales[4], pairs[8];
    q2_K_load(rows, offset, &d, &dmin, scales, pairs);
    v_storef(s->d, d);
    v_storef(s->dmin, dmin);
    a256_scales16(s, scales);
    for (int i = 0; i < 8; i++)
        v_store32(s->pairs[i], pairs[i]);
}

TEMPLATE void q2_K_words(uint8_t (*to)[64], const uint8_t *const rows[16], size_t offset)
{
    vi8 t[16];
    rows_turned(t, rows, offset + 16);
    UNROLLED
    for (int k = 0; k < 4; k++) {
        UNROLLED
        for (int i = 0; i < 16; i++)
            v_store8(to[word_crumb_place(i, k)], word_crumbs(t[i], k));
    }
}
#endif
