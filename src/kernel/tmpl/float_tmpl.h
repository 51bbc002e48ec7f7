/* float_tmpl.h: float weights times f32 activations. 16 partial sums per output, partial i taking
 * k = i mod 16; a row's tail is filled up with zeros. */

typedef vf32 values_fn(const uint8_t *p, int n);

enum { FLOAT_ROWS = 4 };

TEMPLATE void float_step(vf32 acc[FLOAT_ROWS][KERNEL_MAX_TILE_COLS], const uint8_t *w, size_t row_bytes,
                         const float *f, size_t f_stride, int n, const int nr, const int nc, values_fn *values)
{
    vf32 row[FLOAT_ROWS];
    UNROLLED
    for (int r = 0; r < nr; r++)
        row[r] = values(w + (size_t)r * row_bytes, n);
    UNROLLED
    for (int c = 0; c < nc; c++) {
        vf32 a = n == 16 ? v_loadf(f + (size_t)c * f_stride) : v_loadf_n(f + (size_t)c * f_stride, n);
        UNROLLED
        for (int r = 0; r < nr; r++)
            acc[r][c] = v_fma(row[r], a, acc[r][c]);
    }
}

TEMPLATE void float_tile(float *y, size_t y_stride, const uint8_t *w, size_t row_bytes, int n_cols, const float *f,
                         size_t f_stride, const int nr, const int nc, const size_t value_bytes, values_fn *values)
{
    vf32 acc[FLOAT_ROWS][KERNEL_MAX_TILE_COLS];
    UNROLLED
    for (int r = 0; r < nr; r++) {
        UNROLLED
        for (int c = 0; c < nc; c++)
            acc[r][c] = v_zerof();
    }
    int k = 0;
    UNROLL_NO
    for (; k + 16 <= n_cols; k += 16) {
        const uint8_t *at = w + (size_t)k * value_bytes;
        if (ISA_PREFETCH_BYTES > 0 && nc == 1) {
            UNROLLED
            for (int r = 0; r < nr; r++)
                v_prefetch(at + (size_t)r * row_bytes + ISA_PREFETCH_BYTES / FLOAT_ROWS);
        }
        float_step(acc, at, row_bytes, f + k, f_stride, 16, nr, nc, values);
    }
    if (k < n_cols)
        float_step(acc, w + (size_t)k * value_bytes, row_bytes, f + k, f_stride, n_cols - k, nr, nc, values);
    UNROLLED
    for (int c = 0; c < nc; c++) {
        UNROLLED
        for (int r = 0; r < nr; r++)
            y[(size_t)c * y_stride + (size_t)r] = v_sumf(acc[r][c]);
    }
}

/* nc columns at a time, 4 rows at a time, then single rows. */
TEMPLATE void float_cols(float *y, size_t y_stride, const uint8_t *w, size_t row_bytes, int n_rows, int n_cols,
                         const float *f, size_t f_stride, const int nc, const size_t value_bytes, values_fn *values)
{
    int r = 0;
    for (; r + FLOAT_ROWS <= n_rows; r += FLOAT_ROWS)
        float_tile(y + r, y_stride, w + (size_t)r * row_bytes, row_bytes, n_cols, f, f_stride, FLOAT_ROWS, nc,
                   value_bytes, values);
    for (; r < n_rows; r++)
        float_tile(y + r, y_stride, w + (size_t)r * row_bytes, row_bytes, n_cols, f, f_stride, 1, nc, value_bytes,
                   values);
}

/* Rows in blocks small enough that they are read from memory once for all columns. */
TEMPLATE void float_gemm(float *y, size_t y_stride, const uint8_t *w, size_t row_bytes, int n_rows, int n_cols,
                         const struct act_view *x, int n_views, const size_t value_bytes, values_fn *values)
{
    enum { ROWS = 16 };
    for (int r = 0; r < n_rows; r += ROWS) {
        const uint8_t *rows = w + (size_t)r * row_bytes;
        int n = min_int(ROWS, n_rows - r);
        float *to = y + r;
        for (int v = 0; v < n_views; v++) {
            const float *f = x[v].f;
            size_t stride = x[v].f_stride;
            int c = 0;
            for (; c + ISA_FLOAT_COLS <= x[v].n_group; c += ISA_FLOAT_COLS)
                float_cols(to + (size_t)c * y_stride, y_stride, rows, row_bytes, n, n_cols, f + (size_t)c * stride,
                           stride, ISA_FLOAT_COLS, value_bytes, values);
            for (; c < x[v].n_group; c++)
                float_cols(to + (size_t)c * y_stride, y_stride, rows, row_bytes, n, n_cols, f + (size_t)c * stride,
                           stride, 1, value_bytes, values);
            to += (size_t)x[v].n_group * y_stride;
        }
    }
}
