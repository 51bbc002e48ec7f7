/* expand_tmpl.h: quantized weights whose 256 codes plain code expands (dtype/iq.h), in a form that all such
 * formats share: signed codes with an integer scale per 16, so that a format costs each instruction set its
 * expand function and nothing else. A row's block is expanded once for all columns. */

/* One copy for all formats: neither inlined nor cloned for its arguments. */
#ifdef __clang__
#define SHARED static __attribute__((noinline))
#else
#define SHARED static __attribute__((noipa))
#endif

/* How a format is expanded; iq_expand_fn says what offset is. */
struct expansion {
    iq_expand_fn *expand;
    int offset;
    size_t block_bytes;
};

TEMPLATE void expanded_rows16(float *y, size_t y_stride, const uint8_t *const rows[16], int n_rows, int n_cols,
                              size_t row_bytes, const struct act_view *x, const struct expansion *e, const int nc)
{
    static const uint8_t order[4][2] = { { 0, 1 }, { 2, 3 }, { 4, 5 }, { 6, 7 } };
    vf32 acc[GEMV_COLS];
    UNROLLED
    for (int c = 0; c < nc; c++)
        acc[c] = v_zerof();
    for (int b = 0; b < n_cols / 256; b++) {
        size_t at = (size_t)b * e->block_bytes;
        const uint8_t *ahead = ahead_of(rows, at, row_bytes);
        struct a256_acts a[GEMV_COLS];
        vi32 part[GEMV_COLS][16];
        float d[16];
        UNROLLED
        for (int c = 0; c < nc; c++)
            a256_take_acts(&a[c], x->q + 32 * (ptrdiff_t)(8 * b * nc + c), nc, order, A256_PER16, e->offset);
        UNROLL_NO
        for (int r = 0; r < 16; r++) {
            uint8_t codes[256];
            int16_t scale[16];
            d[r] = e->expand(codes, scale, rows[r] + at);
            if (ISA_PREFETCH_BYTES > 0)
                v_prefetch(ahead + (size_t)r * e->block_bytes);
            UNROLLED
            for (int c = 0; c < nc; c++)
                part[c][r] = v_zero32();
            UNROLLED
            for (int j = 0; j < 4; j++) {
                vi8 w = v_load8(codes + 64 * j);
                UNROLLED
                for (int c = 0; c < nc; c++)
                    part[c][r] = v_mac16(part[c][r], v_dot_u7(a[c].start[j], w, a[c].q[j]), v_spread4(scale + 4 * j));
            }
        }
        UNROLLED
        for (int c = 0; c < nc; c++)
            acc[c] = v_fma(v_mulf(v_loadf(d), v_setf(x->d[b * nc + c])), v_cvtf(v_reduce16(part[c])), acc[c]);
    }
    store_rows(y, y_stride, n_rows, acc, nc);
}

typedef void expanded_rows_fn(float *y, size_t y_stride, const uint8_t *const rows[16], int n_rows, int n_cols,
                              size_t row_bytes, const struct act_view *x, const struct expansion *e);
#define EXPANDED_ROWS(nc)                                                                                           \
    SHARED void expanded_rows_##nc(float *y, size_t y_stride, const uint8_t *const rows[16], int n_rows, int n_cols, \
                                   size_t row_bytes, const struct act_view *x, const struct expansion *e)           \
    {                                                                                                               \
        expanded_rows16(y, y_stride, rows, n_rows, n_cols, row_bytes, x, e, nc);                                    \
    }
EXPANDED_ROWS(1)
EXPANDED_ROWS(2)
EXPANDED_ROWS(3)
EXPANDED_ROWS(4)

/* 16 rows of one block: codes[j][r] is 64 codes of row r. */
SHARED void expanded_panel(struct panel *p, const uint8_t *const rows[16], int b, size_t at, const struct expansion *e)
{
    struct a256_side *s = &p->side[b];
    vi8 w[4][16];
    for (int r = 0; r < 16; r++) {
        uint8_t codes[256];
        int16_t scale[16];
        s->d[r] = e->expand(codes, scale, rows[r] + at);
        for (int j = 0; j < 4; j++)
            w[j][r] = v_load8(codes + 64 * j);
        for (int i = 0; i < 16; i++)
            s->scale[i][r] = scale[i];
    }
    for (int i = 0; i < 16; i++)
        v_store32(s->scale[i], v_scale(v_load32(s->scale[i])));
    a256_offset16(s, e->offset);
    for (int j = 0; j < 4; j++) {
        v_transpose16(w[j]);
        for (int i = 0; i < 16; i++)
            v_store8(p->codes[64 * b + 16 * j + i], w[j][i]);
    }
}

TEMPLATE void expanded_unpack(struct panel *p, const uint8_t *const rows[16], int k0, int n_k,
                              const struct expansion *e)
{
    for (int b = 0; b < n_k / 256; b++) {
        size_t at = (size_t)(k0 / 256 + b) * e->block_bytes;
        expanded_panel(p, rows, b, at, e);
    }
}

SHARED void expanded_few(float *y, size_t y_stride, const uint8_t *w, size_t row_bytes, int n_rows, int n_cols,
                         const struct act_view *x, const struct expansion *e)
{
    static expanded_rows_fn *const few[] = { 0, expanded_rows_1, expanded_rows_2, expanded_rows_3, expanded_rows_4 };
    for (int r = 0; r < n_rows; r += 16) {
        const uint8_t *rows[16];
        take_rows(rows, w + (size_t)r * row_bytes, row_bytes, n_rows - r);
        few[x->n_group](y + r, y_stride, rows, min_int(16, n_rows - r), n_cols, row_bytes, x, e);
    }
}

#define MATRIX_ACT_A256_EXPANDED(name, n_values, block_bytes)                                                       \
    static const struct expansion expand_##name = { name##_expand, name##_offset, block_bytes };                    \
    static void name##_unpack(struct panel *p, const uint8_t *const rows[16], int k0, int n_k)                      \
    {                                                                                                               \
        expanded_unpack(p, rows, k0, n_k, &expand_##name);                                                          \
    }                                                                                                               \
    static void gemv_##name(GEMV_ARGS) { expanded_few(y, 0, w, row_bytes, n_rows, n_cols, x, &expand_##name); }     \
    static void gemm_##name(GEMM_ARGS)                                                                              \
    {                                                                                                               \
        if (n_views == 1 && x->n_group <= GEMV_COLS)                                                                \
            expanded_few(y, y_stride, w, row_bytes, n_rows, n_cols, x, &expand_##name);                             \
        else                                                                                                        \
            gemm_quant(y, y_stride, w, row_bytes, n_rows, n_cols, x, n_views, scratch, name##_unpack,               \
                       a256_tiles_of(A256_PER16, name##_most));                                                     \
        add_bias(y, y_stride, bias, n_rows, x, n_views);                                                            \
    }
