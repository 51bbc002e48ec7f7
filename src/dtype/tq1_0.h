/* tq1_0: 256 weights that are -1, 0 or 1, five to a byte, one half-precision scale.
 *
 *   w[i] = d * (digit(i) - 1)
 *
 * A byte is a fraction of 256 in base 3: digit k of byte q is the whole part of 3 * ((q * 3^k) mod 256) / 256, the most
 * significant first. Weights 32 k + l are digit k of five[l] (l < 32), weights 160 + 16 k + l digit k of five[32 + l]
 * (l < 16), weights 240 + 4 k + l digit k < 4 of four[l]. */
#ifndef DTYPE_TQ1_0_LAYOUT
#define DTYPE_TQ1_0_LAYOUT
#include <assert.h>

#include "dtype/half.h"

struct block_tq1_0 {
    uint8_t five[48];
    uint8_t four[4];
    uint16_t d; /* f16 */
};
static_assert(sizeof(struct block_tq1_0) == 54, "tq1_0 blocks are packed in files");

static inline int tq1_0_digit(int byte, int power) { return 3 * (byte * power & 255) >> 8; }

/* Digits of n bytes, 5 of each: out[n k + l]. */
static inline void tq1_0_digits(uint8_t *out, const uint8_t *bytes, const int n, const int n_digits)
{
    for (int k = 0, power = 1; k < n_digits; k++, power *= 3)
        for (int l = 0; l < n; l++)
            out[n * k + l] = (uint8_t)tq1_0_digit(bytes[l], power);
}

static inline void tq1_0_all_digits(uint8_t *out, const uint8_t *block)
{
    tq1_0_digits(out, block, 32, 5);
    tq1_0_digits(out + 160, block + 32, 16, 5);
    tq1_0_digits(out + 240, block + 48, 4, 4);
}

static inline void tq1_0_block_to_f32(float *out, const void *block)
{
    const struct block_tq1_0 *b = block;
    float d = f16_to_f32(b->d);
    uint8_t digits[256];
    tq1_0_all_digits(digits, block);
    for (int i = 0; i < 256; i++)
        out[i] = d * (float)(digits[i] - 1);
}

/* Digits stand n apart; a fifth that is missing is 0. Rounding up keeps every digit. */
static inline uint8_t tq1_0_pack(const uint8_t *digits, int n, int n_digits)
{
    int value = 0;
    for (int k = 0; k < 5; k++)
        value = 3 * value + (k < n_digits ? digits[n * k] : 0);
    return (uint8_t)((value * 256 + 242) / 243);
}

/* The largest magnitude is the scale. */
static inline void tq1_0_block_from_f32(void *block, const float *x)
{
    struct block_tq1_0 *b = block;
    float largest = 0;
    uint8_t digits[256];
    for (int i = 0; i < 256; i++)
        largest = x[i] > largest ? x[i] : -x[i] > largest ? -x[i] : largest;
    for (int i = 0; i < 256; i++)
        digits[i] = (uint8_t)(1 + (largest > 0 ? nearest_int(x[i] / largest, -1, 1) : 0));
    b->d = f16_from_f32(largest);
    for (int l = 0; l < 32; l++)
        b->five[l] = tq1_0_pack(digits + l, 32, 5);
    for (int l = 0; l < 16; l++)
        b->five[32 + l] = tq1_0_pack(digits + 160 + l, 16, 5);
    for (int l = 0; l < 4; l++)
        b->four[l] = tq1_0_pack(digits + 240 + l, 4, 4);
}
#endif

#ifdef ISA
enum { tq1_0_form = A256_SIGNED | A256_ONE, tq1_0_offset = 0, tq1_0_most = 1 };
static const uint8_t tq1_0_order[4][2] = { { 0, 1 }, { 2, 3 }, { 4, 5 }, { 6, 7 } };

/* Digits are made in plain C, over which compilers run vectors by themselves. */
TEMPLATE void tq1_0_codes(const uint8_t *block, vi8 codes[4])
{
    uint8_t digits[256];
    tq1_0_all_digits(digits, block);
    UNROLLED
    for (int j = 0; j < 4; j++)
        codes[j] = v_code_u8(v_load8(digits + 64 * j), 1);
}

TEMPLATE void tq1_0_heads(struct a256_heads *h, const uint8_t *const rows[16], size_t offset)
{
    h->d = rows_f16(rows, offset + 52);
}

TEMPLATE void tq1_0_side(struct a256_side *s, const uint8_t *const rows[16], size_t offset)
{
    vi32 one[2] = { v_set32(0x01010101), v_set32(0x01010101) };
    v_storef(s->d, rows_f16(rows, offset + 52));
    a256_signed_scales(s, one);
}

TEMPLATE void tq1_0_words(uint8_t (*to)[64], const uint8_t *const rows[16], size_t offset)
{
    a256_words_of(to, rows, offset, tq1_0_codes, tq1_0_order);
}
#endif
