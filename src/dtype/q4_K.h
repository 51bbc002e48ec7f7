/* q4_K: 256 weights in 4 bits each, in 8 sub-blocks of 32 with 6-bit scales and minima.
 *
 *   w = d * scale[b] * nibble - dmin * min[b]         b = 0..7
 *
 * Sub-block b has nibbles[32 * (b / 2) ..], low halves for even b, high for odd b. The 12
 * scale bytes: q4_K_scales.h. */
#ifndef DTYPE_Q4_K_LAYOUT
#define DTYPE_Q4_K_LAYOUT
#include <assert.h>

#include "dtype/q4_K_scales.h"

struct block_q4_K {
    uint16_t d, dmin; /* f16 */
    uint8_t scales[12];
    uint8_t nibbles[128];
};
static_assert(sizeof(struct block_q4_K) == 144, "q4_K blocks are packed in files");

static inline void q4_K_block_to_f32(float *out, const void *block)
{
    const struct block_q4_K *b = block;
    float d = f16_to_f32(b->d), dmin = f16_to_f32(b->dmin);
    for (int s = 0; s < 8; s++) {
        float scale = d * (float)q4_K_scale(b->scales, s);
        float min = dmin * (float)q4_K_min(b->scales, s);
        for (int i = 0; i < 32; i++) {
            int byte = b->nibbles[32 * (s / 2) + i];
            out[32 * s + i] = scale * (float)(s % 2 ? byte >> 4 : byte & 15) - min;
        }
    }
}

static inline void q4_K_block_from_f32(void *block, const float *x)
{
    struct block_q4_K *out = block;
    q4_K_choose_scales(&out->d, &out->dmin, out->scales, x, 15);
    float d = f16_to_f32(out->d), dmin = f16_to_f32(out->dmin);
    for (int i = 0; i < 256; i++) {
        int s = i / 32;
        float unit = d * (float)q4_K_scale(out->scales, s);
        int q = unit > 0 ? nearest_int((x[i] + dmin * (float)q4_K_min(out->scales, s)) / unit, 0, 15) : 0;
        uint8_t *byte = &out->nibbles[32 * (s / 2) + i % 32];
        *byte = (uint8_t)(s % 2 ? (*byte & 15) | q << 4 : q);
    }
}
#endif

#ifdef ISA
enum { q4_K_form = A256_MINS, q4_K_offset = 0, q4_K_most = 15 };
/* Vector j of the codes holds these two sub-blocks. */
static const uint8_t q4_K_order[4][2] = { { 0, 2 }, { 1, 3 }, { 4, 6 }, { 5, 7 } };

/* Codes 0..15. */
TEMPLATE void q4_K_codes(const uint8_t *block, vi8 codes[4])
{
    vi8 a = v_load8_once(block + 16), b = v_load8_once(block + 80);
    codes[0] = v_nib_lo(a);
    codes[1] = v_nib_hi(a);
    codes[2] = v_nib_lo(b);
    codes[3] = v_nib_hi(b);
}

/* Heads of 16 blocks, lanes = rows. scale[i], min[i]: sub-blocks 4i..4i+3 as bytes. */
TEMPLATE void q4_K_load(const uint8_t *const rows[16], size_t offset, vi32 *d_dmin, vi32 scale[2], vi32 min[2])
{
    vi32 w[4];
    v_load_heads(rows, offset, w);
    *d_dmin = w[0];
    scale[0] = v_and32(w[1], v_set32(0x3f3f3f3f));
    min[0] = v_and32(w[2], v_set32(0x3f3f3f3f));
    scale[1] = v_or32(v_and32(w[3], v_set32(0x0f0f0f0f)), v_and32(v_shr32(w[1], 2), v_set32(0x30303030)));
    min[1] = v_or32(v_and32(v_shr32(w[3], 4), v_set32(0x0f0f0f0f)), v_and32(v_shr32(w[2], 2), v_set32(0x30303030)));
}
/* As 16-bit pairs (0,2) (1,3) (4,6) (5,7): the order of act_view's sums of 32. */
TEMPLATE void q4_K_min_pairs(const vi32 min[2], vi32 pairs[4])
{
    for (int i = 0; i < 2; i++) {
        pairs[2 * i] = v_and32(min[i], v_set32(0x00ff00ff));
        pairs[2 * i + 1] = v_and32(v_shr32(min[i], 8), v_set32(0x00ff00ff));
    }
}

TEMPLATE void q4_K_heads(struct a256_heads *h, const uint8_t *const rows[16], size_t offset)
{
    vi32 d_dmin, scale[2], min[2];
    q4_K_load(rows, offset, &d_dmin, scale, min);
    h->d = v_f16_low(d_dmin);
    h->dmin = v_f16_high(d_dmin);
    q4_K_min_pairs(min, h->min_pairs);
    v_store32(h->scale32[0], scale[0]);
    v_store32(h->scale32[1], scale[1]);
}

TEMPLATE void q4_K_side(struct a256_side *s, const uint8_t *const rows[16], size_t offset)
{
    vi32 d_dmin, scale[2], min[2], pairs[4];
    q4_K_load(rows, offset, &d_dmin, scale, min);
    v_storef(s->d, v_f16_low(d_dmin));
    v_storef(s->dmin, v_f16_high(d_dmin));
    q4_K_min_pairs(min, pairs);
    for (int i = 0; i < 4; i++)
        v_store32(s->pairs[i], pairs[i]);
    for (int b = 0; b < 8; b++)
        v_store32(s->scale[b], v_scale(v_bytes_signed(scale[b / 4], b % 4)));
}

TEMPLATE void q4_K_words(uint8_t (*to)[64], const uint8_t *const rows[16], size_t offset)
{
    for (int n = 0; n < 2; n++) {
        vi8 t[16];
        rows_turned(t, rows, offset + 16 + 64 * (size_t)n);
        UNROLLED
        for (int i = 0; i < 16; i++) {
            int at = 32 * n + 16 * (i / 8) + i % 8;
            v_store8(to[at], v_nib_lo(t[i]));
            v_store8(to[at + 8], v_nib_hi(t[i]));
        }
    }
}
#endif
