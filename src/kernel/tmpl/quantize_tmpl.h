/* quantize_tmpl.h: activations as 8-bit codes with one scale per 32 or 256 values. A block's
 * codes are a function of its values alone. */

/* 127 / largest, and the scale; a block that holds a NaN or infinity gets scale NaN and codes 0, one so
 * small that the quotient overflows gets zeros. */
TEMPLATE float quant_scale(int32_t largest_bits, float *inverse)
{
    *inverse = 0;
    if (largest_bits >= 0x7f800000)
        return f32_of_bits(0x7fc00000);
    float largest = f32_of_bits((uint32_t)largest_bits);
    float quotient = 127.0f / largest;
    if (bits_of_f32(quotient) >= 0x7f800000)
        return 0;
    *inverse = quotient;
    return largest / 127.0f;
}

TEMPLATE vi32 quant_abs_bits(const float *x) { return v_and32(v_bitsf(v_loadf(x)), v_set32(0x7fffffff)); }

/* 16 codes; returns them as integers for the sums. |x * inverse| is at most 127 * (1 + 2^-23), so
 * rounding ends within +-127. */
TEMPLATE vi32 quant_16(int8_t *q, const float *x, float inverse)
{
    vf32 scaled = inverse != 0 ? v_mulf(v_loadf(x), v_setf(inverse)) : v_zerof();
    vi32 codes = v_rne32(scaled);
    v_narrow8(q, codes);
    return codes;
}

static void quantize_a32(const float *x, int n, int8_t *q, float *d, int32_t *start32, int n_group, int col)
{
    for (int b = 0; b < n / 32; b++) {
        const float *from = x + 32 * b;
        int place = b * n_group + col;
        float inverse;
        d[place] = quant_scale(v_max_lanes32(v_max32(quant_abs_bits(from), quant_abs_bits(from + 16))), &inverse);
        vi32 low = quant_16(q + 32 * (ptrdiff_t)place, from, inverse);
        vi32 high = quant_16(q + 32 * (ptrdiff_t)place + 16, from + 16, inverse);
        start32[place] = -128 * v_sum_lanes32(v_add32(low, high));
    }
}

static void quantize_a256(const float *x, int n, int8_t *q, float *d, int16_t *sums, int n_group, int col)
{
    static const uint8_t order[8] = { 0, 2, 1, 3, 4, 6, 5, 7 }; /* its own inverse */
    for (int b = 0; b < n / 256; b++) {
        const float *from = x + 256 * b;
        vi32 largest = v_zero32();
        for (int i = 0; i < 16; i++)
            largest = v_max32(largest, quant_abs_bits(from + 16 * i));
        float inverse;
        d[b * n_group + col] = quant_scale(v_max_lanes32(largest), &inverse);
        int16_t *sum = sums + ACT_SUMS * (ptrdiff_t)(b * n_group + col);
        for (int i = 0; i < 16; i++) {
            int8_t *to = q + 32 * (ptrdiff_t)((8 * b + i / 2) * n_group + col) + 16 * (i % 2);
            sum[i] = (int16_t)v_sum_lanes32(quant_16(to, from + 16 * i, inverse));
        }
        for (int i = 0; i < 8; i++)
            sum[16 + order[i]] = (int16_t)(sum[2 * i] + sum[2 * i + 1]);
    }
}
