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

/* --- formats with a scale per 32: blocks start with the f16 scale --- */

enum { A32_CHUNK = 8 }; /* blocks whose scales are collected before they are needed */

TEMPLATE void a32_scales(uint16_t scale[A32_CHUNK][16], const uint8_t *const rows[16], size_t offset, int n_blocks,
                         const size_t block_bytes)
{
    for (int r = 0; r < 16; r++)
        for (int b = 0; b < n_blocks; b++)
            memcpy(&scale[b][r], rows[r] + offset + (size_t)b * block_bytes, 2);
}

TEMPLATE void a32_rows16(float *y, size_t y_stride, const uint8_t *const rows[16], int n_rows, int n_cols,
                         size_t row_bytes, const struct act_view *x, const int nc, const size_t block_bytes,
                         codes2_fn *codes)
{
    int n_blocks = n_cols / 32;
    vf32 acc[GEMV_COLS];
    UNROLLED
    for (int c = 0; c < nc; c++)
        acc[c] = v_zerof();
    for (int b0 = 0; b0 < n_blocks; b0 += A32_CHUNK) {
        uint16_t scale[A32_CHUNK][16];
        int n = min_int(A32_CHUNK, n_blocks - b0);
        a32_scales(scale, rows, (size_t)b0 * block_bytes, n, block_bytes);
        for (int b = 0; b < n; b += 2) {
            int next = b + 1 < n ? b + 1 : b; /* the last of an odd number is taken twice */
            const int8_t *q0 = x->q + 32 * (ptrdiff_t)(b0 + b) * nc, *q1 = x->q + 32 * (ptrdiff_t)(b0 + next) * nc;
            size_t o0 = (size_t)(b0 + b) * block_bytes, o1 = (size_t)(b0 + next) * block_bytes;
            vi8 a[GEMV_COLS];
            vi32 start[GEMV_COLS], part[GEMV_COLS][16];
            UNROLLED
            for (int c = 0; c < nc; c++) {
                a[c] = v_load_halves(q0 + 32 * c, q1 + 32 * c);
                start[c] = v_start(a[c]);
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
                    part[c][r] = v_dot(start[c], w, a[c]);
            }
            const float *d = x->d + (ptrdiff_t)(b0 + b) * nc;
            UNROLLED
            for (int c = 0; c < nc; c++) {
                vi32 low, high;
                v_reduce16_halves(part[c], &low, &high);
                acc[c] = v_fma(v_mulf(v_load_f16(scale[b]), v_setf(d[c])), v_cvtf(low), acc[c]);
                if (next > b)
                    acc[c] = v_fma(v_mulf(v_load_f16(scale[next]), v_setf(d[nc + c])), v_cvtf(high), acc[c]);
            }
        }
    }
    store_rows(y, y_stride, n_rows, acc, nc);
}

/* --- formats with 256 values, integer sub-scales --- */

/* The scales of 16 rows' blocks, ready for the row loop. */
struct a256_heads {
    vf32 d, dmin;            /* lanes = rows */
    vi32 min_pairs[4];       /* minima as 16-bit pairs, in the order of act_view's sums of 32; lanes = rows */
    int32_t scale32[2][16];  /* a scale per 32: [i][row] bytes of sub-blocks 4i..4i+3 */
    int16_t scale16[16][16]; /* a scale per 16: [row][sub-block] */
};
typedef void heads_fn(struct a256_heads *h, const uint8_t *const rows[16], size_t offset);

struct a256_acts {
    vi8 q[4];      /* in the order of the weights' codes */
    vi32 start[4]; /* -offset * (sum of each 4 codes) */
};
TEMPLATE void a256_take_acts(struct a256_acts *a, const int8_t *q, const int nc, const uint8_t order[4][2],
                             const int offset)
{
    UNROLLED
    for (int j = 0; j < 4; j++) {
        a->q[j] = v_load_halves(q + 32 * nc * order[j][0], q + 32 * nc * order[j][1]);
        a->start[j] = offset ? v_sub32(v_zero32(), v_dot_u7(v_zero32(), v_set8(offset), a->q[j])) : v_zero32();
    }
}

TEMPLATE void a256_rows16(float *y, size_t y_stride, const uint8_t *const rows[16], int n_rows, int n_cols,
                          size_t row_bytes, const struct act_view *x, const int nc, const size_t block_bytes,
                          codes4_fn *codes, heads_fn *heads, const uint8_t order[4][2], const bool per16,
                          const bool has_mins, const int offset)
{
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
            a256_take_acts(&a[c], x->q + 32 * (ptrdiff_t)(8 * b * nc + c), nc, order, offset);
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
                vi32 scale = per16 ? v_spread4(h.scale16[r] + 4 * j)
                                   : v_spread2(&h.scale32[j / 2][r], order[j][0] % 4, order[j][1] % 4);
                UNROLLED
                for (int c = 0; c < nc; c++)
                    sum[c] = v_mac16(sum[c], v_dot_u7(a[c].start[j], w[j], a[c].q[j]), scale);
            }
            UNROLLED
            for (int c = 0; c < nc; c++)
                part[c][r] = sum[c];
        }
        UNROLLED
        for (int c = 0; c < nc; c++) {
            vf32 d = v_setf(x->d[b * nc + c]);
            acc[c] = v_fma(v_mulf(h.d, d), v_cvtf(v_reduce16(part[c])), acc[c]);
            if (has_mins) {
                const int16_t *sums = x->sums + ACT_SUMS * (ptrdiff_t)(b * nc + c) + 16;
                vi32 m = v_zero32();
                UNROLLED
                for (int i = 0; i < 4; i++)
                    m = v_dot16(m, h.min_pairs[i], v_bcast32(sums + 2 * i));
                acc[c] = v_fnma(v_mulf(h.dmin, d), v_cvtf(m), acc[c]);
            }
        }
    }
    store_rows(y, y_stride, n_rows, acc, nc);
}
