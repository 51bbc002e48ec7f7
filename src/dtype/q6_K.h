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
/* Vector j of the codes holds these two sub-blocks of 32. */
static const uint8_t q6_K_order[4][2] = { { 0, 1 }, { 2, 3 }, { 4, 5 }, { 6, 7 } };

/* Codes 0..63, 32 too high. */
TEMPLATE void q6_K_codes(const uint8_t *block, vi8 codes[4])
{
    for (int n = 0; n < 2; n++) {
        vi8 low = v_load8(block + 64 * n);
        vi8 high = v_load_halves(block + 128 + 32 * n, block + 128 + 32 * n);
        codes[2 * n] = v_or8(v_nib_lo(low), v_bits_45(high, 4, 2));
        codes[2 * n + 1] = v_or8(v_nib_hi(low), v_bits_45(high, 0, -2));
    }
}

TEMPLATE vf32 q6_K_d(const uint8_t *const rows[16], size_t offset)
{
    uint16_t d[16];
    for (int r = 0; r < 16; r++)
        memcpy(&d[r], rows[r] + offset + 208, 2);
    return v_load_f16(d);
}

TEMPLATE void q6_K_heads(struct a256_heads *h, const uint8_t *const rows[16], size_t offset)
{
    h->d = q6_K_d(rows, offset);
    for (int r = 0; r < 16; r++)
        v_widen16(h->scale16[r], (const int8_t *)(rows[r] + offset + 192));
}

/* pairs: -32 * scale, which with the sums of the activations takes back the 32. */
TEMPLATE void q6_K_side(struct a256_side *s, const uint8_t *const rows[16], size_t offset)
{
    vi32 bytes[4];
    v_storef(s->d, q6_K_d(rows, offset));
    v_load_heads(rows, offset + 192, bytes);
    for (int i = 0; i < 8; i++) {
        vi32 even = v_bytes_signed(bytes[i / 2], i % 2 * 2), odd = v_bytes_signed(bytes[i / 2], i % 2 * 2 + 1);
        v_store32(s->scale[2 * i], even);
        v_store32(s->scale[2 * i + 1], odd);
        vi32 low = v_and32(v_mul32(even, v_set32(-32)), v_set32(0xffff));
        v_store32(s->pairs[i], v_or32(low, v_shl32(v_mul32(odd, v_set32(-32)), 16)));
    }
}
#endif
