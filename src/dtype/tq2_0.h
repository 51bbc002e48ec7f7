/* tq2_0: 256 weights that are -1, 0 or 1 in 2 bits each, one half-precision scale.
 *
 *   w[i] = d * (code(i) - 1)
 *
 * With n = i / 128, k = i % 128 / 32, l = i % 32: code i is bits 2k, 2k + 1 of codes[32 n + l]. */
#ifndef DTYPE_TQ2_0_LAYOUT
#define DTYPE_TQ2_0_LAYOUT
#include <assert.h>

#include "dtype/half.h"

struct block_tq2_0 {
    uint8_t codes[64];
    uint16_t d; /* f16 */
};
static_assert(sizeof(struct block_tq2_0) == 66, "tq2_0 blocks are packed in files");

static inline void tq2_0_block_to_f32(float *out, const void *block)
{
    const struct block_tq2_0 *b = block;
    float d = f16_to_f32(b->d);
    for (int i = 0; i < 256; i++)
        out[i] = d * (float)((b->codes[32 * (i / 128) + i % 32] >> 2 * (i % 128 / 32) & 3) - 1);
}

/* The largest magnitude is the scale. */
static inline void tq2_0_block_from_f32(void *block, const float *x)
{
    struct block_tq2_0 *b = block;
    float largest = 0;
    for (int i = 0; i < 256; i++)
        largest = x[i] > largest ? x[i] : -x[i] > largest ? -x[i] : largest;
    memset(b, 0, sizeof *b);
    b->d = f16_from_f32(largest);
    for (int i = 0; i < 256; i++) {
        int code = 1 + (largest > 0 ? nearest_int(x[i] / largest, -1, 1) : 0);
        b->codes[32 * (i / 128) + i % 32] |= (uint8_t)(code << 2 * (i % 128 / 32));
    }
}
#endif

#ifdef ISA
enum { tq2_0_form = A256_SIGNED | A256_ONE, tq2_0_offset = 0, tq2_0_most = 1 };
static const uint8_t tq2_0_order[4][2] = { { 0, 1 }, { 2, 3 }, { 4, 5 }, { 6, 7 } };

TEMPLATE void tq2_0_codes(const uint8_t *block, vi8 codes[4])
{
    a256_crumbs(block, codes);
    UNROLLED
    for (int j = 0; j < 4; j++)
        codes[j] = v_code_u8(codes[j], 1);
}

TEMPLATE void tq2_0_heads(struct a256_heads *h, const uint8_t *const rows[16], size_t offset)
{
    h->d = rows_f16(rows, offset + 64);
}

TEMPLATE void tq2_0_side(struct a256_side *s, const uint8_t *const rows[16], size_t offset)
{
    vi32 one[2] = { v_set32(0x01010101), v_set32(0x01010101) };
    v_storef(s->d, rows_f16(rows, offset + 64));
    a256_signed_scales(s, one);
}

TEMPLATE void tq2_0_words(uint8_t (*to)[64], const uint8_t *const rows[16], size_t offset)
{
    vi8 t[16];
    rows_turned(t, rows, offset);
    UNROLLED
    for (int k = 0; k < 4; k++) {
        UNROLLED
        for (int i = 0; i < 16; i++)
            v_store8(to[word_crumb_place(i, k)], v_code_u8(word_crumbs(t[i], k), 1));
    }
}
#endif
