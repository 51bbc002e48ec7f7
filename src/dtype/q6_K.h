/* q6_K: 256 weights in 6 bits each, in 16 sub-blocks of 16 with 8-bit scales.
 *
 *   w[i] = d * scales[i / 16] * (code(i) - 32)
 *
 * With n = i / 128, k = i % 128 / 32, l = i % 32: the low 4 bits of a code are a nibble of
 * low[64 n + l + 32 (k % 2)], the lower one for k < 2; its high 2 bits are bits 2k, 2k + 1 of
 * high[32 n + l]. */
#ifndef DTYPE_Q6_K_LAYOUT
#define DTYPE_Q6_K_LAYOUT
#include <assert.h>

#include "dtype/half.h"

struct block_q6_K {
    uint8_t low[128];
    uint8_t high[64];
    int8_t scales[16];
    uint16_t d; /* f16 */
};
static_assert(sizeof(struct block_q6_K) == 210, "q6_K blocks are packed in files");

static inline void q6_K_block_to_f32(float *out, const void *block)
{
    const struct block_q6_K *b = block;
    float d = f16_to_f32(b->d);
    for (int i = 0; i < 256; i++) {
        int n = i / 128, k = i % 128 / 32, l = i % 32;
        int nibble = b->low[64 * n + l + 32 * (k % 2)] >> (k < 2 ? 0 : 4) & 15;
        int code = nibble | (b->high[32 * n + l] >> 2 * k & 3) << 4;
        out[i] = d * (float)b->scales[i / 16] * (float)(code - 32);
    }
}

static inline void q6_K_block_from_f32(void *block, const float *x)
{
    struct block_q6_K *b = block;
    float step[16], step_max = 0;
    for (int s = 0; s < 16; s++) {
        float largest = 0;
        for (int i = 0; i < 16; i++) {
            float v = x[16 * s + i];
            largest = v > largest ? v : -v > largest ? -v : largest;
        }
        step[s] = largest / 31;
        step_max = step[s] > step_max ? step[s] : step_max;
    }
    memset(b, 0, sizeof *b);
    b->d = f16_from_f32(step_max / 127);
    float d = f16_to_f32(b->d);
    for (int s = 0; s < 16; s++)
        b->scales[s] = (int8_t)(d > 0 ? nearest_int(step[s] / d, 0, 127) : 0);
    for (int i = 0; i < 256; i++) {
        int n = i / 128, k = i % 128 / 32, l = i % 32;
        float unit = d * (float)b->scales[i / 16];
        int code = 32 + (unit > 0 ? nearest_int(x[i] / unit, -32, 31) : 0);
        b->low[64 * n + l + 32 * (k % 2)] |= (uint8_t)((code & 15) << (k < 2 ? 0 : 4));
        b->high[32 * n + l] |= (uint8_t)(code >> 4 << 2 * k);
    }
}
#endif

#ifdef ISA
enum { q6_K_form = A256_PER16, q6_K_offset = 32, q6_K_most = 63 };
/* Vector j of the codes holds these two sub-blocks of 32. */
static const uint8_t q6_K_order[4][2] = { { 0, 1 }, { 2, 3 }, { 4, 5 }, { 6, 7 } };

/* Codes 0..63, 32 too high. */
TEMPLATE void q6_K_codes(const uint8_t *block, vi8 codes[4])
{
    for (int n = 0; n < 2; n++) {
        vi8 low = v_load8_once(block + 64 * n);
        vi8 high = v_load_halves(block + 128 + 32 * n, block + 128 + 32 * n);
        codes[2 * n] = v_or8(v_nib_lo(low), v_bits(high, 4, 2, 0x30));
        codes[2 * n + 1] = v_or8(v_nib_hi(low), v_bits(high, 0, -2, 0x30));
    }
}

TEMPLATE void q6_K_heads(struct a256_heads *h, const uint8_t *const rows[16], size_t offset)
{
    h->d = rows_f16(rows, offset + 208);
    for (int r = 0; r < 16; r++)
        v_widen16(h->scale16[r], (const int8_t *)(rows[r] + offset + 192));
}

TEMPLATE void q6_K_side(struct a256_side *s, const uint8_t *const rows[16], size_t offset)
{
    vi32 bytes[4];
    v_storef(s->d, rows_f16(rows, offset + 208));
    v_load_heads(rows, offset + 192, bytes);
    a256_scales16(s, bytes);
    a256_offset16(s, q6_K_offset);
}

TEMPLATE void q6_K_words(uint8_t (*to)[64], const uint8_t *const rows[16], size_t offset)
{
    vi8 high[16];
    rows_turned(high, rows, offset + 128);
    UNROLLED
    for (int n = 0; n < 2; n++) {
        vi8 t[16];
        rows_turned(t, rows, offset + 64 * (size_t)n);
        UNROLLED
        for (int i = 0; i < 16; i++) {
            const int left = 4 - 2 * (i / 8), at = 32 * n + i;
            vi8 h = high[8 * n + i % 8];
            v_store8(to[at], v_or8(v_nib_lo(t[i]), v_bits(h, left, left, 0x30)));
            v_store8(to[at + 16], v_or8(v_nib_hi(t[i]), v_bits(h, left - 4, left - 4, 0x30)));
        }
    }
}
#endif
