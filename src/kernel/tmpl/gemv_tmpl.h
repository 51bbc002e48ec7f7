/* gemv_tmpl.h: rows of quantized weights times 1..4 columns, straight from the file: what both kinds of formats share.
 *
 * One float chain per row and column runs in 16 lanes at once, lanes = 16 rows. Blocks are taken in the order of the
 * file, because memory gives one stream all it has, and 16 streams of a few lines each, prefetched or not, four fifths
 * of that; their integer sums are turned afterwards. With fewer than 16 rows left something stands in for the missing
 * ones, and they are not stored. */

enum { GEMV_COLS = 4 };

typedef void codes4_fn(const uint8_t *block, vi8 codes[4]);

TEMPLATE void take_rows(const uint8_t *rows[16], const uint8_t *w, size_t row_bytes, int n_rows)
{
    for (int r = 0; r < 16; r++)
        rows[r] = w + (size_t)min_int(r, n_rows - 1) * row_bytes;
}

/* Where to prefetch as many bytes as 16 rows have from `offset` on: in the next 16 rows, in the order of the file. */
TEMPLATE const uint8_t *ahead_of(const uint8_t *const rows[16], size_t offset, size_t row_bytes)
{
    return rows[0] + 16 * (row_bytes + offset);
}

/* The chains of 16 rows as they rest in y; before column 0 they are zero. */
TEMPLATE void load_rows(vf32 *acc, const int nc, const float *y, size_t y_stride, int n_rows, int k0)
{
    UNROLLED
    for (int c = 0; c < nc; c++) {
        if (k0 == 0)
            acc[c] = v_zerof();
        else
            acc[c] = n_rows == 16 ? v_loadf(y + (size_t)c * y_stride) : v_loadf_n(y + (size_t)c * y_stride, n_rows);
    }
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

/* Values b .. b + 15 of each of 16 rows of n, lanes = rows. */
TEMPLATE void turned_words(vi32 out[16], const int32_t *values, int b, int n)
{
    vi8 t[16];
    UNROLLED
    for (int r = 0; r < 16; r++)
        t[r] = v_as8(v_load32(values + r * n + b));
    v_transpose16(t);
    UNROLLED
    for (int i = 0; i < 16; i++)
        out[i] = v_as32(t[i]);
}

/* b modulo n, where b is seldom much more. */
TEMPLATE int wrapped(int b, int n)
{
    while (b >= n)
        b -= n;
    return b;
}
