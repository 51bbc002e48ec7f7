/* neoni8mm.h: the vector vocabulary for aarch64 with the 8-bit matrix multiply instructions (2021 and later):
 * neondot.h, and tiles of two columns and more multiply 2 rows x 8 values by 8 values x 2 columns at once. */
#include "kernel/isa/neon.h"

#define ISA neoni8mm

TEMPLATE int32x4_t neon_dot(int32x4_t acc, uint8x16_t w, uint8x16_t a)
{
    return vdotq_s32(acc, vreinterpretq_s8_u8(w), vreinterpretq_s8_u8(a));
}

/* Rows 2j and 2j + 1 of a panel as 8 values each, from the vectors of values 0..3 and 4..7. */
TEMPLATE int8x16_t neon_two_rows(const uint8_t (*w)[64], const int j)
{
    int32x4_t low = vreinterpretq_s32_u8(vld1q_u8(w[0] + 16 * (j / 2)));
    int32x4_t high = vreinterpretq_s32_u8(vld1q_u8(w[1] + 16 * (j / 2)));
    return vreinterpretq_s8_s32(j % 2 ? vzip2q_s32(low, high) : vzip1q_s32(low, high));
}
/* Columns t0 and t1; sum[j] is (row 2j, t0), (row 2j, t1), (row 2j + 1, t0), (row 2j + 1, t1). */
TEMPLATE void neon_two_columns(vi32 *t0, vi32 *t1, const uint8_t (*w)[64], const int8_t *q, const int n)
{
    int32x4_t sum[8];
    UNROLLED
    for (int g = 0; g < 4; g++) {
        sum[2 * g] = vzip1q_s32(t0->v[g], t1->v[g]);
        sum[2 * g + 1] = vzip2q_s32(t0->v[g], t1->v[g]);
    }
    UNROLLED
    for (int i = 0; i < n; i += 2) {
        int8x16_t a = vcombine_s8(vld1_s8(q + 4 * i), vld1_s8(q + 32 + 4 * i));
        UNROLLED
        for (int j = 0; j < 8; j++)
            sum[j] = vmmlaq_s32(sum[j], neon_two_rows(w + i, j), a);
    }
    UNROLLED
    for (int g = 0; g < 4; g++) {
        t0->v[g] = vuzp1q_s32(sum[2 * g], sum[2 * g + 1]);
        t1->v[g] = vuzp2q_s32(sum[2 * g], sum[2 * g + 1]);
    }
}

/* In place of gemm_tmpl.h's; n is even. */
#define ISA_TILE_DOTS
TEMPLATE void tile_dots(vi32 *t, const int nc, const uint8_t (*w)[64], const int8_t *q, const int n, const bool u7)
{
    (void)u7;
    UNROLLED
    for (int c = 0; c + 2 <= nc; c += 2)
        neon_two_columns(&t[c], &t[c + 1], w, q + 32 * c, n);
    if (nc % 2) {
        const int8_t *last = q + 32 * (nc - 1);
        UNROLLED
        for (int i = 0; i < n; i++)
            t[nc - 1] = v_dot(t[nc - 1], v_load8(w[i]), v_bcast4(last + 4 * i));
    }
}
