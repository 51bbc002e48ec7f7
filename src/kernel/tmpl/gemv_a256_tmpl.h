/* gemv_a256_tmpl.h: formats with 256 values and integer sub-scales, straight from the file.
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

/* One column's activations of a block. */
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
TEMPLATE vi32 a256_start(const struct a256_acts *a, const int j, const int form, const int offset)
{
    return form & A256_SIGNED || offset ? a->start[j] : v_zero32();
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

/* Rows that are longer than a turn are read in pieces. */
enum { A256_TURN = 64 }; /* blocks of a row */

/* What a turn needs of the activations, made once for all rows. */
struct a256_turn {
    struct a256_acts acts[GEMV_COLS][A256_TURN];
    int32_t pairs[GEMV_COLS][8][A256_TURN + 15]; /* what minima meet, of every block and again from the first */
    int n;
};
/* What 16 rows are to a turn: of block b of row r, at r * n + b. Read and written as if there were 16 blocks more. */
struct a256_sums {
    int32_t isum[GEMV_COLS][16 * A256_TURN + 16], msum[GEMV_COLS][16 * A256_TURN + 16];
    int32_t d[16 * A256_TURN + 16], dmin[16 * A256_TURN + 16]; /* floats */
};

/* Blocks first .. first + n - 1. */
TEMPLATE void a256_begin(struct a256_turn *t, const struct act_view *x, int first, int n, const int nc,
                         const uint8_t order[4][2], const int form, const int offset)
{
    const int n_pairs = form & A256_PER16 ? 8 : 4, skip = form & A256_PER16 ? 0 : 16; /* of a block's sums */
    t->n = n;
    for (int b = 0; b < n; b++)
        for (int c = 0; c < nc; c++)
            a256_take_acts(&t->acts[c][b], x->q + 32 * (ptrdiff_t)(8 * (first + b) * nc + c), nc, order, form, offset);
    if (!(form & A256_MINS))
        return;
    for (int c = 0; c < nc; c++)
        for (int b = 0; b < n + 15; b++) {
            const int16_t *sums = x->sums + ACT_SUMS * (ptrdiff_t)((first + b % n) * nc + c) + skip;
            for (int i = 0; i < n_pairs; i++)
                memcpy(&t->pairs[c][i][b], sums + 2 * i, sizeof(int32_t));
        }
}

/* 16 blocks in the order of the file, of which the first is number b of its row; their sums go to s from `at` on. */
TEMPLATE void a256_16_blocks(struct a256_sums *s, int at, const uint8_t *p, const struct a256_turn *t, int b,
                             const int nc, const size_t block_bytes, codes4_fn *codes, heads_fn *heads,
                             const uint8_t order[4][2], const int form, const int offset)
{
    const int first = b;
    const uint8_t *block[16];
    vi32 part[GEMV_COLS][16];
    struct a256_heads h;
    UNROLLED
    for (int r = 0; r < 16; r++)
        block[r] = p + (size_t)r * block_bytes;
    heads(&h, block, 0);
    const size_t n_lines = (16 * block_bytes + 63) / 64;
    const uint8_t *ahead = p + ISA_PREFETCH_BYTES;
    if (ISA_PREFETCH_BYTES > 0) {
        UNROLLED
        for (size_t i = n_lines / 16 * 16; i < n_lines; i++)
            v_prefetch(ahead + 64 * i);
    }
    UNROLL_NO
    for (int r = 0; r < 16; r++, p += block_bytes, b = b + 1 == t->n ? 0 : b + 1) {
        vi8 w4[4];
        codes(p, w4);
        if (ISA_PREFETCH_BYTES > 0) {
            UNROLLED
            for (size_t i = 0; i < n_lines / 16; i++)
                v_prefetch(ahead + 64 * i);
            ahead += n_lines / 16 * 64;
        }
        vi32 sum[GEMV_COLS];
        UNROLLED
        for (int c = 0; c < nc; c++)
            sum[c] = v_zero32();
        UNROLLED
        for (int j = 0; j < 4; j++) {
            vi32 scale = form & A256_ONE     ? v_zero32()
                         : form & A256_PER16 ? v_spread4(h.scale16[r] + 4 * j)
                                             : v_spread2(&h.scale32[j / 2][r], order[j][0] % 4, order[j][1] % 4);
            UNROLLED
            for (int c = 0; c < nc; c++) {
                const struct a256_acts *a = &t->acts[c][b];
                sum[c] = a256_scaled(sum[c], a256_start(a, j, form, offset), w4[j], a->q[j], scale, form);
            }
        }
        UNROLLED
        for (int c = 0; c < nc; c++)
            part[c][r] = sum[c];
    }
    const int n_pairs = !(form & A256_MINS) ? 0 : form & A256_PER16 ? 8 : 4;
    UNROLLED
    for (int c = 0; c < nc; c++) {
        vi32 m = v_zero32();
        UNROLLED
        for (int k = 0; k < n_pairs; k++)
            m = v_dot16(m, h.min_pairs[k], v_load32(t->pairs[c][k] + first));
        v_store32(s->isum[c] + at, v_reduce16(part[c]));
        if (form & A256_MINS)
            v_store32(s->msum[c] + at, m);
    }
    v_store32(s->d + at, v_bitsf(h.d));
    if (form & A256_MINS)
        v_store32(s->dmin + at, v_bitsf(h.dmin));
}

/* n blocks that follow one another, from the first of a row on. */
TEMPLATE void a256_run(struct a256_sums *s, int at, const uint8_t *p, int n, const struct a256_turn *t, const int nc,
                       const size_t block_bytes, codes4_fn *codes, heads_fn *heads, const uint8_t order[4][2],
                       const int form, const int offset)
{
    uint8_t last[16 * 256];
    for (int i = 0, b = 0; i < n; i += 16, b = wrapped(b + 16, t->n)) {
        const uint8_t *from = p + (size_t)i * block_bytes;
        if (n - i < 16) {
            memset(last, 0, sizeof last);
            from = memcpy(last, from, (size_t)(n - i) * block_bytes);
        }
        a256_16_blocks(s, at + i, from, t, b, nc, block_bytes, codes, heads, order, form, offset);
    }
}

/* The float chains of 16 rows over a turn whose first block is number `first`. */
TEMPLATE void a256_chains(vf32 *acc, const struct a256_sums *s, int n, const struct act_view *x, int first,
                          const int nc, const int form)
{
    for (int b = 0; b < n; b += 16) {
        vi32 d[16], dmin[16], isum[GEMV_COLS][16], msum[GEMV_COLS][16];
        turned_words(d, s->d, b, n);
        if (form & A256_MINS)
            turned_words(dmin, s->dmin, b, n);
        UNROLLED
        for (int c = 0; c < nc; c++) {
            turned_words(isum[c], s->isum[c], b, n);
            if (form & A256_MINS)
                turned_words(msum[c], s->msum[c], b, n);
        }
        UNROLL_NO
        for (int i = 0; i < min_int(16, n - b); i++) {
            UNROLLED
            for (int c = 0; c < nc; c++) {
                vf32 da = v_setf(x->d[(first + b + i) * nc + c]);
                acc[c] = v_fma(v_mulf(v_asf(d[i]), da), v_cvtf(isum[c][i]), acc[c]);
                if (form & A256_MINS)
                    acc[c] = v_fnma(v_mulf(v_asf(dmin[i]), da), v_cvtf(msum[c][i]), acc[c]);
            }
        }
    }
}

/* All rows, a turn at a time; between turns the chains rest in y. */
TEMPLATE void a256_rows(float *y, size_t y_stride, const uint8_t *w, size_t row_bytes, int n_rows, int n_cols,
                        const struct act_view *x, const int nc, const size_t block_bytes, codes4_fn *codes,
                        heads_fn *heads, const uint8_t order[4][2], const int form, const int offset)
{
    struct a256_turn t;
    struct a256_sums s;
    if (n_rows < 16)
        memset(&s, 0, sizeof s);
    for (int first = 0; first < n_cols / 256; first += A256_TURN) {
        int n = min_int(A256_TURN, n_cols / 256 - first);
        a256_begin(&t, x, first, n, nc, order, form, offset);
        for (int row = 0; row < n_rows; row += 16) {
            int n16 = min_int(16, n_rows - row);
            bool whole = (size_t)n * block_bytes == row_bytes; /* the rows follow one another */
            for (int r = 0; r < n16; r += whole ? n16 : 1)
                a256_run(&s, r * n, w + (size_t)(row + r) * row_bytes + (size_t)first * block_bytes,
                         whole ? n16 * n : n, &t, nc, block_bytes, codes, heads, order, form, offset);
            vf32 acc[GEMV_COLS];
            load_rows(acc, nc, y + row, y_stride, n16, first);
            a256_chains(acc, &s, n, x, first, nc, form);
            store_rows(y + row, y_stride, n16, acc, nc);
        }
    }
}
