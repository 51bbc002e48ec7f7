/* gemv_tmpl.h: 16 rows of quantized weights times 1..4 columns, straight from the file.
 *
 * Each row's integer products are summed in 16 lanes of its own; 16 such vectors are then turned and
 * added so that lanes = rows, and the float chain runs in 16 lanes at once, one column per accumulator.
 * With fewer than 16 rows left the last row stands in for the missing ones and is not stored. */

enum { GEMV_COLS = 4 };

typedef vi8 codes2_fn(const uint8_t *block0, const uint8_t *block1);
typedef void codes4_fn(const uint8_t *block, vi8 codes[4]);

TEMPLATE void take_rows(const uint8_t *rows[16], const uint8_t *w, size_t row_bytes, int n_rows)
{
    for (int r = 0; r < 16; r++)
        rows[r] = w + (size_t)min_int(r, n_rows - 1) * row_bytes;
}

/* Where, from a row's start, to prefetch when the 16 rows are being read at `offset`: the same row
 * further on, or past its end the row 16 below. */
TEMPLATE size_t ahead_of(size_t offset, size_t row_bytes)
{
    size_t ahead = offset + ISA_PREFETCH_BYTES / 16;
    return ahead < row_bytes ? ahead : ahead + 15 * row_bytes;
}

TEMPLATE void store_rows(float *y, size_t y_stride, int n_rows, const vf32 *acc, const int nc)
{
    UNROLLED
    for (int c = 0; c < nc; c++) {
        if (n_rows == 16)
            v_storef(y + (size_t)c * y_stride, acc[c]);
        else
            v_storef_n(y + (size_t)c * y_stride, acc[c], n_rows);
    }
}

/* 16 bits at `offset` of each row, as halves. */
TEMPLATE vf32 rows_f16(const uint8_t *const rows[16], size_t offset)
{
    uint16_t h[16];
    for (int r = 0; r < 16; r++)
        memcpy(&h[r], rows[r] + offset, 2);
    return v_load_f16(h);
}

/* --- formats with a scale per 32, or per a multiple of 32 ---
 *
 * A format says what it is: its values and bytes per block in dtype.def; in <name>_form, flags of a32_form; and
 * <name>_codes(), a codes2_fn that unpacks 32 codes of two blocks. Blocks start with the scale. In a block of more
 * than 32 values, the codes get the block's start moved on by the bytes of a part. */

enum a32_form {
    A32_MINS = 1, /* w = scale * code + min: an f16 min follows the scale; codes are 0..127 as they are */
    A32_E8M0 = 2, /* the scale is a byte, and twice as large as the codes want it; else f16 */
};

/* Where the 32 values number b of a row begin: their block, and their part of it. */
TEMPLATE size_t a32_block(int b, const int n_values, const size_t block_bytes)
{
    return (size_t)(b / (n_values / 32)) * block_bytes;
}
TEMPLATE size_t a32_part(int b, const int n_values, const size_t block_bytes)
{
    const int n_parts = n_values / 32;
    return a32_block(b, n_values, block_bytes) + (size_t)(b % n_parts) * ((block_bytes - 2) / (size_t)n_parts);
}
/* The scale as 16 bits that a32_scales() reads. */
TEMPLATE uint16_t a32_scale16(const uint8_t *block, const int form)
{
    uint16_t h;
    if (form & A32_E8M0)
        return e8m0_half_bf16(*block);
    memcpy(&h, block, 2);
    return h;
}
TEMPLATE vf32 a32_scales(const uint16_t scale16[16], const int form)
{
    return form & A32_E8M0 ? v_load_bf16(scale16) : v_load_f16(scale16);
}
/* act_view's start32, as the sum that a minimum is multiplied by. */
TEMPLATE vf32 a32_act_sum(int32_t start32) { return v_setf((float)(-start32 / 128)); }

enum { A32_CHUNK = 8 }; /* blocks whose scales are collected before they are needed */

/* Scales (and minima) of the 32 values number b0 .. b0 + n of 16 rows, as they are in the file. */
TEMPLATE void a32_collect(uint16_t (*scale)[16], uint16_t (*min)[16], const uint8_t *const rows[16], int b0, int n,
                          const int n_values, const size_t block_bytes, const int form)
{
    for (int r = 0; r < 16; r++)
        for (int b = 0; b < n; b++) {
            const uint8_t *block = rows[r] + a32_block(b0 + b, n_values, block_bytes);
            scale[b][r] = a32_scale16(block, form);
            if (form & A32_MINS)
                memcpy(&min[b][r], block + 2, 2);
        }
}

/* One step of the chain: 32 products of 16 rows with one column, then 32 minima. */
TEMPLATE vf32 a32_step(vf32 acc, vi32 sum, const uint16_t scale[16], const uint16_t min[16], float d,
                       const int32_t *start32, const int form)
{
    acc = v_fma(v_mulf(a32_scales(scale, form), v_setf(d)), v_cvtf(sum), acc);
    if (form & A32_MINS)
        acc = v_fma(v_mulf(v_load_f16(min), v_setf(d)), a32_act_sum(*start32), acc);
    return acc;
}

TEMPLATE void a32_rows16(float *y, size_t y_stride, const uint8_t *const rows[16], int n_rows, int n_cols,
                         size_t row_bytes, const struct act_view *x, const int nc, const int n_values,
                         const size_t block_bytes, codes2_fn *codes, const int form)
{
    int n_blocks = n_cols / 32;
    vf32 acc[GEMV_COLS];
    UNROLLED
    for (int c = 0; c < nc; c++)
        acc[c] = v_zerof();
    for (int b0 = 0; b0 < n_blocks; b0 += A32_CHUNK) {
        uint16_t scale[A32_CHUNK][16], min[A32_CHUNK][16];
        int n = min_int(A32_CHUNK, n_blocks - b0);
        a32_collect(scale, min, rows, b0, n, n_values, block_bytes, form);
        for (int b = 0; b < n; b += 2) {
            int next = b + 1 < n ? b + 1 : b; /* the last of an odd number is taken twice */
            const int8_t *q0 = x->q + 32 * (ptrdiff_t)(b0 + b) * nc, *q1 = x->q + 32 * (ptrdiff_t)(b0 + next) * nc;
            size_t o0 = a32_part(b0 + b, n_values, block_bytes), o1 = a32_part(b0 + next, n_values, block_bytes);
            vi8 a[GEMV_COLS];
            vi32 start[GEMV_COLS], part[GEMV_COLS][16];
            UNROLLED
            for (int c = 0; c < nc; c++) {
                a[c] = v_load_halves(q0 + 32 * c, q1 + 32 * c);
                start[c] = form & A32_MINS ? v_zero32() : v_start(a[c]);
            }
            size_t ahead = ahead_of(o0, row_bytes);
            UNROLLED
            for (int r = 0; r < 16; r++) {
                vi8 w = codes(rows[r] + o0, rows[r] + o1);
                if (ISA_PREFETCH_BYTES > 0) {
                    v_prefetch(rows[r] + ahead);
                    if (2 * block_bytes > 64)
                        v_prefetch(rows[r] + ahead + block_bytes);
                }
                UNROLLED
                for (int c = 0; c < nc; c++)
                    part[c][r] = form & A32_MINS ? v_dot_u7(start[c], w, a[c]) : v_dot(start[c], w, a[c]);
            }
            const float *d = x->d + (ptrdiff_t)(b0 + b) * nc;
            const int32_t *sums = x->start32 + (ptrdiff_t)(b0 + b) * nc;
            UNROLLED
            for (int c = 0; c < nc; c++) {
                vi32 low, high;
                v_reduce16_halves(part[c], &low, &high);
                acc[c] = a32_step(acc[c], low, scale[b], min[b], d[c], sums + c, form);
                if (next > b)
                    acc[c] = a32_step(acc[c], high, scale[next], min[next], d[nc + c], sums + nc + c, form);
            }
        }
    }
    store_rows(y, y_stride, n_rows, acc, nc);
}

/* --- formats with 256 values, integer sub-scales ---
 *
 * A format says what it is: <name>_codes(), a codes4_fn; <name>_order, the two sub-blocks of 32 in each vector of
 * codes; in <name>_form, flags of a256_form; <name>_offset, how much too high its codes are; <name>_heads() and, for
 * panels, <name>_side(), which read a block's scales. */

enum a256_form {
    A256_PER16 = 1,  /* a scale per 16 values; else per 32 */
    A256_MINS = 2,   /* w = d * scale * code - dmin * min, a min per scale */
    A256_SIGNED = 4, /* codes come from v_code_i8() or v_code_u8(), and 4 products need not fit 16 bits; else they
                      * are 0..127 less the offset, and do fit. Scales are per 32, and there are no minima. */
    A256_ONE = 8,    /* with A256_SIGNED: no scales but d */
};

/* The scales of 16 rows' blocks, ready for the row loop. */
struct a256_heads {
    vf32 d, dmin;            /* lanes = rows */
    vi32 min_pairs[8];       /* minima as 16-bit pairs, in the order of act_view's sums of as many; lanes = rows */
    int32_t scale32[2][16];  /* a scale per 32: [i][row] bytes of sub-blocks 4i..4i+3 */
    int16_t scale16[16][16]; /* a scale per 16: [row][sub-block] */
};
typedef void heads_fn(struct a256_heads *h, const uint8_t *const rows[16], size_t offset);

/* 256 codes of 2 bits in 64 bytes: code i is bits 2k, 2k + 1 of byte 32 n + l, with n = i / 128, k = i % 128 / 32,
 * l = i % 32. In ascending order. */
TEMPLATE void a256_crumbs(const uint8_t *p, vi8 codes[4])
{
    UNROLLED
    for (int n = 0; n < 2; n++) {
        vi8 x = v_load_halves(p + 32 * n, p + 32 * n);
        codes[2 * n] = v_bits(x, 0, -2, 3);
        codes[2 * n + 1] = v_bits(x, -4, -6, 3);
    }
}

/* Bytes 0..63, less 32, as signed bytes. */
TEMPLATE vi32 a256_minus_32(vi32 x)
{
    vi32 below = v_sub32(v_set32(0x20202020), v_and32(x, v_set32(0x20202020)));
    vi32 sign = v_or32(below, v_or32(v_shl32(below, 1), v_shl32(below, 2)));
    return v_or32(v_and32(x, v_set32(0x1f1f1f1f)), sign);
}

struct a256_acts {
    vi8 q[4];      /* in the order of the weights' codes */
    vi32 start[4]; /* -offset * (sum of each 4 codes) */
};
TEMPLATE void a256_take_acts(struct a256_acts *a, const int8_t *q, const int nc, const uint8_t order[4][2],
                             const int form, const int offset)
{
    UNROLLED
    for (int j = 0; j < 4; j++) {
        a->q[j] = v_load_halves(q + 32 * nc * order[j][0], q + 32 * nc * order[j][1]);
        if (form & A256_SIGNED)
            a->start[j] = v_start(a->q[j]);
        else
            a->start[j] = offset ? v_sub32(v_zero32(), v_dot_u7(v_zero32(), v_set8(offset), a->q[j])) : v_zero32();
    }
}

/* sum + scale * (the products of codes and activations). */
TEMPLATE vi32 a256_scaled(vi32 sum, vi32 start, vi8 w, vi8 q, vi32 scale, const int form)
{
    if (form & A256_ONE)
        return v_add32(sum, v_dot(start, w, q));
    if (form & A256_SIGNED)
        return v_add32(sum, v_mul32(v_dot(start, w, q), v_bytes_signed(scale, 0)));
    return v_mac16(sum, v_dot_u7(start, w, q), scale);
}

TEMPLATE void a256_rows16(float *y, size_t y_stride, const uint8_t *const rows[16], int n_rows, int n_cols,
                          size_t row_bytes, const struct act_view *x, const int nc, const size_t block_bytes,
                          codes4_fn *codes, heads_fn *heads, const uint8_t order[4][2], const int form,
                          const int offset)
{
    const bool per16 = form & A256_PER16;
    const int n_pairs = per16 ? 8 : 4, first = per16 ? 0 : 16; /* of the sums that minima belong to */
    vf32 acc[GEMV_COLS];
    UNROLLED
    for (int c = 0; c < nc; c++)
        acc[c] = v_zerof();
    for (int b = 0; b < n_cols / 256; b++) {
        size_t at = (size_t)b * block_bytes, ahead = ahead_of(at, row_bytes);
        struct a256_heads h;
        heads(&h, rows, at);
        struct a256_acts a[GEMV_COLS];
        vi32 part[GEMV_COLS][16];
        UNROLLED
        for (int c = 0; c < nc; c++)
            a256_take_acts(&a[c], x->q + 32 * (ptrdiff_t)(8 * b * nc + c), nc, order, form, offset);
        UNROLL_NO
        for (int r = 0; r < 16; r++) {
            vi8 w[4];
            codes(rows[r] + at, w);
            if (ISA_PREFETCH_BYTES > 0)
                for (size_t o = 0; o < block_bytes; o += 64)
                    v_prefetch(rows[r] + ahead + o);
            vi32 sum[GEMV_COLS];
            UNROLLED
            for (int c = 0; c < nc; c++)
                sum[c] = v_zero32();
            UNROLLED
            for (int j = 0; j < 4; j++) {
                vi32 scale = form & A256_ONE ? v_zero32()
                             : per16         ? v_spread4(h.scale16[r] + 4 * j)
                                             : v_spread2(&h.scale32[j / 2][r], order[j][0] % 4, order[j][1] % 4);
                UNROLLED
                for (int c = 0; c < nc; c++)
                    sum[c] = a256_scaled(sum[c], a[c].start[j], w[j], a[c].q[j], scale, form);
            }
            UNROLLED
            for (int c = 0; c < nc; c++)
                part[c][r] = sum[c];
        }
        UNROLLED
        for (int c = 0; c < nc; c++) {
            vf32 d = v_setf(x->d[b * nc + c]);
            acc[c] = v_fma(v_mulf(h.d, d), v_cvtf(v_reduce16(part[c])), acc[c]);
            if (form & A256_MINS) {
                const int16_t *sums = x->sums + ACT_SUMS * (ptrdiff_t)(b * nc + c) + first;
                vi32 m = v_zero32();
                UNROLLED
                for (int i = 0; i < n_pairs; i++)
                    m = v_dot16(m, h.min_pairs[i], v_bcast32(sums + 2 * i));
                acc[c] = v_fnma(v_mulf(h.dmin, d), v_cvtf(m), acc[c]);
            }
        }
    }
    store_rows(y, y_stride, n_rows, acc, nc);
}
