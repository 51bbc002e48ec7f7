/* float_tmpl.h: float weights times f32 activations. 16 partial sums per output, partial i taking
 * k = i mod 16; a row's tail is filled up with zeros. */

typedef vf32 values_fn(const uint8_t *p, int n);

/* --- one column, straight from the file: some rows at a time --- */

enum { FLOAT_ROWS = 4 };

TEMPLATE void float_step(vf32 acc[FLOAT_ROWS], const uint8_t *w, size_t row_bytes, const float *f, int n, const int nr,
                         values_fn *values)
{
    vf32 a = n == 16 ? v_loadf(f) : v_loadf_n(f, n);
    UNROLLED
    for (int r = 0; r < nr; r++)
        acc[r] = v_fma(values(w + (size_t)r * row_bytes, n), a, acc[r]);
}

TEMPLATE void float_rows(float *y, const uint8_t *w, size_t row_bytes, int n_cols, const float *f, const int nr,
                         const size_t value_bytes, values_fn *values)
{
    vf32 acc[FLOAT_ROWS];
    UNROLLED
    for (int r = 0; r < nr; r++)
        acc[r] = v_zerof();
    int k = 0;
    UNROLL_NO
    for (; k + 16 <= n_cols; k += 16) {
        const uint8_t *at = w + (size_t)k * value_bytes;
        if (ISA_PREFETCH_BYTES > 0) {
            UNROLLED
            for (int r = 0; r < nr; r++)
                v_prefetch(at + (size_t)r * row_bytes + ISA_PREFETCH_BYTES / FLOAT_ROWS);
        }
        float_step(acc, at, row_bytes, f + k, 16, nr, values);
    }
    if (k < n_cols)
        float_step(acc, w + (size_t)k * value_bytes, row_bytes, f + k, n_cols - k, nr, values);
    UNROLLED
    for (int r = 0; r < nr; r++)
        y[r] = v_sumf(acc[r]);
}

TEMPLATE void float_gemv(float *y, const uint8_t *w, size_t row_bytes, int n_rows, int n_cols, const float *f,
                         const size_t value_bytes, values_fn *values)
{
    int r = 0;
    for (; r + FLOAT_ROWS <= n_rows; r += FLOAT_ROWS)
        float_rows(y + r, w + (size_t)r * row_bytes, row_bytes, n_cols, f, FLOAT_ROWS, value_bytes, values);
    for (; r < n_rows; r++)
        float_rows(y + r, w + (size_t)r * row_bytes, row_bytes, n_cols, f, 1, value_bytes, values);
}

/* --- more columns ---
 *
 * A tile is ISA_FLOAT_ROWS rows times ISA_FLOAT_COLS columns of a strip. A block of rows meets a chunk of columns strip
 * by strip, so that what is read again is in the L2 cache; between strips the chunk's partial sums rest in the
 * thread's scratch, and at the end those of 16 rows are added by their tree at once. */

enum { FLOAT_BLOCK = 64, FLOAT_STRIP_BYTES = 4096, FLOAT_CHUNK = 40 };

typedef float float_sums[FLOAT_BLOCK][16]; /* partial ones of a column, by row */
static_assert(sizeof(float_sums) * FLOAT_CHUNK <= KERNEL_SCRATCH_BYTES, "kernel_scratch_bytes() knows the size");

typedef vpart part_fn(const uint8_t *p); /* as many weights as a part has lanes */

TEMPLATE void float_tile_step(vpart acc[ISA_FLOAT_ROWS][ISA_FLOAT_COLS], const vpart *row, const float *f,
                              size_t f_stride, int n, const int nr, const int nc)
{
    UNROLLED
    for (int c = 0; c < nc; c++) {
        const float *at = f + (size_t)c * f_stride;
        vpart a = n >= ISA_PART_LANES ? v_part_load(at) : v_part_load_n(at, n);
        UNROLLED
        for (int r = 0; r < nr; r++)
            acc[r][c] = v_part_fma(row[r], a, acc[r][c]);
    }
}

/* n values of nr rows and nc columns added to their partial sums, as many of those at a time as a part has lanes. */
TEMPLATE void float_tile(float_sums *sums, int row0, const uint8_t *const *w, const float *f, size_t f_stride, int n,
                         bool first, const int nr, const int nc, const size_t value_bytes, values_fn *values,
                         part_fn *part)
{
    for (int lane = 0; lane < 16; lane += ISA_PART_LANES) {
        vpart acc[ISA_FLOAT_ROWS][ISA_FLOAT_COLS], row[ISA_FLOAT_ROWS];
        UNROLLED
        for (int c = 0; c < nc; c++) {
            UNROLLED
            for (int r = 0; r < nr; r++)
                acc[r][c] = first ? v_part_zero() : v_part_load(sums[c][row0 + r] + lane);
        }
        int k = 0;
        UNROLL_NO
        for (; k + 16 <= n; k += 16) {
            UNROLLED
            for (int r = 0; r < nr; r++)
                row[r] = part(w[r] + (size_t)(k + lane) * value_bytes);
            float_tile_step(acc, row, f + k + lane, f_stride, ISA_PART_LANES, nr, nc);
        }
        if (k < n) {
            float tail[16];
            UNROLLED
            for (int r = 0; r < nr; r++) {
                v_storef(tail, values(w[r] + (size_t)k * value_bytes, n - k));
                row[r] = v_part_load(tail + lane);
            }
            float_tile_step(acc, row, f + k + lane, f_stride, n - k - lane, nr, nc);
        }
        UNROLLED
        for (int c = 0; c < nc; c++) {
            UNROLLED
            for (int r = 0; r < nr; r++)
                v_part_store(sums[c][row0 + r] + lane, acc[r][c]);
        }
    }
}

typedef void float_tile_fn(float_sums *sums, int row0, const uint8_t *const *w, const float *f, size_t f_stride, int n,
                           bool first);
#define FLOAT_TILE(nr, nc, name, value_bytes)                                                                       \
    static void name##_tile_##nr##_##nc(float_sums *sums, int row0, const uint8_t *const *w, const float *f,        \
                                        size_t f_stride, int n, bool first)                                         \
    {                                                                                                               \
        float_tile(sums, row0, w, f, f_stride, n, first, nr, nc, value_bytes, name##_values, name##_part);          \
    }
#define FLOAT_TILE_ENTRY(nr, nc, name) [nr][nc] = name##_tile_##nr##_##nc,
typedef float_tile_fn *const float_tiles[ISA_FLOAT_COLS + 1]; /* by number of rows, then columns */

/* A strip of a block times the columns of one view. The last row stands in for those that a block of 16 lacks. */
static void float_view(float_sums *sums, const uint8_t *w, size_t row_bytes, int n_rows, const struct act_view *x,
                       int k0, int n, const float_tiles *tiles)
{
    const int end = (n_rows + 15) / 16 * 16;
    for (int r = 0, nr; r < end; r += nr) {
        const uint8_t *rows[ISA_FLOAT_ROWS];
        nr = (end - r) % ISA_FLOAT_ROWS == 0 ? ISA_FLOAT_ROWS : ISA_FLOAT_ROWS - 1;
        for (int i = 0; i < nr; i++)
            rows[i] = w + (size_t)min_int(r + i, n_rows - 1) * row_bytes;
        for (int c = 0; c < x->n_group; c += ISA_FLOAT_COLS)
            tiles[nr][min_int(x->n_group - c, ISA_FLOAT_COLS)](
                sums + c, r, rows, x->f + (size_t)c * x->f_stride + k0, x->f_stride, n, k0 == 0);
    }
}

static void float_add_up(float *y, size_t y_stride, const float_sums *sums, int n_rows, int n)
{
    for (int c = 0; c < n; c++, y += y_stride)
        for (int r0 = 0; r0 < n_rows; r0 += 16) {
            vf32 x[16];
            UNROLLED
            for (int r = 0; r < 16; r++)
                x[r] = v_loadf(sums[c][r0 + r]);
            if (n_rows - r0 >= 16)
                v_storef(y + r0, v_sumf16(x));
            else
                v_storef_n(y + r0, v_sumf16(x), n_rows - r0);
        }
}

/* Views from the first on that make up a chunk; their columns are added up. */
static int float_chunk(const struct act_view *x, int n_views, int *columns)
{
    int v = 0;
    for (*columns = 0; v < n_views && *columns + x[v].n_group <= FLOAT_CHUNK; v++)
        *columns += x[v].n_group;
    return v;
}

static void float_gemm(float *y, size_t y_stride, const uint8_t *w, size_t row_bytes, int n_rows, int n_cols,
                       const struct act_view *x, int n_views, float_sums *sums, size_t value_bytes,
                       const float_tiles *tiles)
{
    const int strip = FLOAT_STRIP_BYTES / (int)value_bytes;
    for (int r = 0; r < n_rows; r += FLOAT_BLOCK) {
        int n = min_int(FLOAT_BLOCK, n_rows - r), columns, chunk;
        float *to = y + r;
        for (int v0 = 0; v0 < n_views; v0 += chunk, to += (size_t)columns * y_stride) {
            chunk = float_chunk(x + v0, n_views - v0, &columns);
            for (int k0 = 0; k0 < n_cols; k0 += strip) {
                const uint8_t *rows = w + (size_t)r * row_bytes + (size_t)k0 * value_bytes;
                int n_k = min_int(strip, n_cols - k0), c = 0;
                for (int v = v0; v < v0 + chunk; c += x[v++].n_group)
                    float_view(sums + c, rows, row_bytes, n, &x[v], k0, n_k, tiles);
            }
            float_add_up(to, y_stride, (const float_sums *)sums, n, columns);
        }
    }
}
