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
 * A tile is ISA_FLOAT_ROWS rows times ISA_FLOAT_COLS columns of a strip. The columns of a view stay in the L1 cache
 * while a block's rows pass by, and each tile asks for the rows that come next; the block's rows stay in the L2 cache
 * for the other views. A tile adds its partial sums up while the next multiplies. Where rows are longer than a strip,
 * those of a block and a chunk of columns rest in the thread's scratch between the strips. */

enum { FLOAT_STRIP = 512, FLOAT_BLOCK = 64, FLOAT_CHUNK = 36, FLOAT_BLOCK_BYTES = 400 * 1024 };
enum { FLOAT_TILES = ISA_FLOAT_GROUP / ISA_FLOAT_COLS }; /* of a whole view */
enum { FLOAT_ASK = (ISA_FLOAT_ROWS + FLOAT_TILES - 1) / FLOAT_TILES }; /* rows that a tile asks for */

typedef float float_sums[16]; /* the partial ones of an output */
static_assert(sizeof(float_sums) * FLOAT_BLOCK * FLOAT_CHUNK <= KERNEL_SCRATCH_BYTES,
              "kernel_scratch_bytes() knows the size");

typedef vpart part_fn(const uint8_t *p); /* as many weights as a part has lanes */

/* Outputs of a tile, up to whole vectors. */
enum { FLOAT_TILE_SUMS = (ISA_FLOAT_ROWS * ISA_FLOAT_COLS + 15) / 16 * 16 };

/* What the tiles of a block, a strip and a view share. */
struct float_strip {
    size_t f_stride, y_stride;
    int n;            /* values of each row and column */
    bool first, last; /* strip of the rows: partial sums begin; they are added up */
};

/* A tile's place: rows (the last stands in for those that are lacking), columns, partial sums, outputs. */
struct float_place {
    const uint8_t *w[ISA_FLOAT_ROWS];
    const uint8_t *next[FLOAT_ASK]; /* rows to ask for */
    int n_rows;                     /* that there are */
    const float *f;
    float_sums *sums;
    float *y;
    const float *bias; /* of each output, to be added; NULL: none, or not yet */
};

TEMPLATE void float_tile_step(vpart *acc, const uint8_t *const *w, size_t at, const float *f, size_t f_stride,
                              const int nr, const int nc, part_fn *part)
{
    vpart a[ISA_FLOAT_COLS];
    UNROLLED
    for (int c = 0; c < nc; c++)
        a[c] = v_part_load(f + (size_t)c * f_stride);
    UNROLLED
    for (int r = 0; r < nr; r++) {
        vpart row = part(w[r] + at);
        UNROLLED
        for (int c = 0; c < nc; c++)
            acc[c * nr + r] = v_part_fma(row, a[c], acc[c * nr + r]);
    }
}

/* The last n < 16 values. */
TEMPLATE void float_tile_tail(vpart *acc, const uint8_t *const *w, size_t at, const float *f, size_t f_stride, int n,
                              int lane, const int nr, const int nc, values_fn *values)
{
    float tail[16];
    UNROLLED
    for (int r = 0; r < nr; r++) {
        v_storef(tail, values(w[r] + at, n));
        vpart row = v_part_load(tail + lane);
        UNROLLED
        for (int c = 0; c < nc; c++)
            acc[c * nr + r] = v_part_fma(row, v_part_load_n(f + (size_t)c * f_stride + lane, n - lane),
                                         acc[c * nr + r]);
    }
}

/* Sums of partial sums to y. */
TEMPLATE void float_tile_end(const struct float_strip *s, const struct float_place *p, const vpart *acc, const int nr,
                             const int nc)
{
    alignas(64) float out[FLOAT_TILE_SUMS];
    UNROLLED
    for (int i = 0; i < nr * nc; i += 16) {
        vf32 x[16];
        UNROLLED
        for (int j = 0; j < 16; j++) {
            if (i + j < nr * nc)
                x[j] = v_part_whole(acc[i + j], p->sums[i + j]);
            else
                x[j] = v_zerof();
        }
        vf32 sum = nr * nc - i > 8 ? v_sumf16(x) : v_sumf8(x);
        v_storef(out + i, p->bias ? v_addf(sum, v_loadf(p->bias + i)) : sum);
    }
    UNROLLED
    for (int c = 0; c < nc; c++) {
        if (p->n_rows >= nr)
            memcpy(p->y + (size_t)c * s->y_stride, out + c * nr, (size_t)nr * sizeof *out);
        else
            memcpy(p->y + (size_t)c * s->y_stride, out + c * nr, (size_t)p->n_rows * sizeof *out);
    }
}

/* As many of the 16 partial sums at a time as a part has lanes. */
TEMPLATE void float_tile(const struct float_strip *s, const struct float_place *p, const int nr, const int nc,
                         const size_t value_bytes, values_fn *values, part_fn *part)
{
    const size_t f_stride = s->f_stride;
    vpart acc[ISA_FLOAT_ROWS * ISA_FLOAT_COLS];
    for (int lane = 0; lane < 16; lane += ISA_PART_LANES) {
        UNROLLED
        for (int c = 0; c < nc; c++) {
            UNROLLED
            for (int i = c * nr; i < (c + 1) * nr; i++)
                acc[i] = s->first ? v_part_zero() : v_part_load(p->sums[i] + lane);
        }
        int k = 0;
        UNROLL_NO
        for (; k + 16 <= s->n; k += 16) {
            if (ISA_PREFETCH_BYTES > 0 && lane == 0) {
                UNROLLED
                for (int i = 0; i < FLOAT_ASK; i++)
                    v_prefetch(p->next[i] + (size_t)k * value_bytes);
            }
            float_tile_step(acc, p->w, (size_t)(k + lane) * value_bytes, p->f + k + lane, f_stride, nr, nc, part);
        }
        if (k < s->n)
            float_tile_tail(acc, p->w, (size_t)k * value_bytes, p->f + k, f_stride, s->n - k, lane, nr, nc, values);
        if (ISA_PART_LANES < 16 || !s->last) {
            UNROLLED
            for (int c = 0; c < nc; c++) {
                UNROLLED
                for (int i = c * nr; i < (c + 1) * nr; i++)
                    v_part_store(p->sums[i] + lane, acc[i]);
            }
        }
    }
    if (s->last)
        float_tile_end(s, p, acc, nr, nc);
}

typedef void float_tile_fn(const struct float_strip *s, const struct float_place *p);
#define FLOAT_TILE(nr, nc, name, value_bytes)                                                                       \
    static void name##_tile_##nr##_##nc(const struct float_strip *s, const struct float_place *p)                   \
    {                                                                                                               \
        float_tile(s, p, nr, nc, value_bytes, name##_values, name##_part);                                          \
    }
#define FLOAT_TILE_ENTRY(nr, nc, name) [nr][nc] = name##_tile_##nr##_##nc,
typedef float_tile_fn *const float_tiles[ISA_FLOAT_COLS + 1]; /* by number of rows, then columns */

/* A format's rows times f32 columns. */
struct float_matrix {
    const uint8_t *w;
    size_t row_bytes, value_bytes;
    int n_rows, n_cols;
    const float *bias; /* NULL: none */
    const float_tiles *tiles;
};

TEMPLATE void float_take(const uint8_t **rows, const struct float_matrix *m, int row, int k)
{
    for (int i = 0; i < ISA_FLOAT_ROWS; i++)
        rows[i] = m->w + (size_t)min_int(row + i, m->n_rows - 1) * m->row_bytes + (size_t)k * m->value_bytes;
}

/* Where a view is one tile, what several would ask for. */
TEMPLATE void float_ask(const uint8_t *const *next, size_t bytes)
{
    for (int i = FLOAT_ASK; i < ISA_FLOAT_ROWS && ISA_PREFETCH_BYTES > 0; i++)
        for (size_t at = 0; at < bytes; at += 64)
            v_prefetch(next[i] + at);
}

/* Biases of a tile's rows, once for each of its columns; of rows that are lacking 0. */
TEMPLATE const float *float_biases(float *bias, const float *of, int n_rows, int nr)
{
    float rows[ISA_FLOAT_ROWS] = { 0 };
    if (n_rows >= ISA_FLOAT_ROWS)
        memcpy(rows, of, sizeof rows);
    else
        memcpy(rows, of, (size_t)n_rows * sizeof *rows);
    UNROLLED
    for (int c = 0; c < ISA_FLOAT_COLS; c++)
        memcpy(bias + c * nr, rows, sizeof rows);
    return bias;
}

/* Rows row0 .. end, values k0 on, of the columns of a view. After them come those of row0 from next_k on. */
static void float_view(const struct float_matrix *m, const struct float_strip *s, int row0, int end, int k0, int next_k,
                       const struct act_view *x, float_sums *sums, float *y)
{
    const int n_tiles = (x->n_group + ISA_FLOAT_COLS - 1) / ISA_FLOAT_COLS;
    const int wide = (x->n_group + n_tiles - 1) / n_tiles; /* as equal as can be */
    struct float_place p = { .sums = sums };
    const uint8_t *next[ISA_FLOAT_ROWS];
    alignas(64) float bias[FLOAT_TILE_SUMS + ISA_FLOAT_ROWS];
    float_take(next, m, row0, k0);
    for (int r = row0, nr; r < end; r += nr) {
        p.n_rows = end - r;
        nr = p.n_rows % ISA_FLOAT_ROWS == 0 ? ISA_FLOAT_ROWS : ISA_FLOAT_FEWER;
        memcpy(p.w, next, sizeof next);
        if (m->bias && s->last)
            p.bias = float_biases(bias, m->bias + r, p.n_rows, nr);
        if (r + nr < end)
            float_take(next, m, r + nr, k0);
        else
            float_take(next, m, row0, next_k);
        if (x->n_group <= ISA_FLOAT_COLS)
            float_ask(next, (size_t)s->n * m->value_bytes);
        for (int c = 0, asked = 0; c < x->n_group; c += wide, asked += FLOAT_ASK) {
            int nc = min_int(wide, x->n_group - c);
            for (int i = 0; i < FLOAT_ASK; i++)
                p.next[i] = next[min_int(asked + i, ISA_FLOAT_ROWS - 1)];
            p.f = x->f + (size_t)c * x->f_stride + k0;
            p.y = y + (size_t)c * s->y_stride + r;
            m->tiles[nr][nc](s, &p);
            if (!(s->first && s->last))
                p.sums += nr * nc;
        }
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

/* Rows row0 .. end times a chunk. */
static void float_block(const struct float_matrix *m, int row0, int end, int strip, const struct act_view *x,
                        int n_views, float_sums *sums, float *y, size_t y_stride)
{
    for (int k0 = 0; k0 < m->n_cols; k0 += strip) {
        struct float_strip s = { .y_stride = y_stride, .n = min_int(strip, m->n_cols - k0), .first = k0 == 0 };
        s.last = k0 + s.n == m->n_cols;
        int column = 0;
        for (int v = 0; v < n_views; column += x[v++].n_group) {
            s.f_stride = x[v].f_stride;
            float_view(m, &s, row0, end, k0, v + 1 < n_views ? k0 : s.last ? 0 : k0 + strip, &x[v],
                       sums + column * FLOAT_BLOCK * !(s.first && s.last), y + (size_t)column * y_stride);
        }
    }
}

static void float_gemm(const struct float_matrix *m, float *y, size_t y_stride, const struct act_view *x, int n_views,
                       float_sums *sums)
{
    const int n_strips = (m->n_cols + FLOAT_STRIP - 1) / FLOAT_STRIP;
    const int strip = ((m->n_cols + n_strips - 1) / n_strips + 15) / 16 * 16; /* as equal as can be */
    const int fit = (int)(FLOAT_BLOCK_BYTES / m->row_bytes) / FLOAT_BLOCK * FLOAT_BLOCK;
    const int most = n_strips > 1 ? FLOAT_BLOCK : fit;
    for (int r = 0; r < m->n_rows; r += most) {
        float *to = y;
        for (int v = 0, columns, chunk; v < n_views; v += chunk, to += (size_t)columns * y_stride) {
            chunk = float_chunk(x + v, n_views - v, &columns);
            float_block(m, r, min_int(m->n_rows, r + most), strip, x + v, chunk, sums, to, y_stride);
        }
    }
}
