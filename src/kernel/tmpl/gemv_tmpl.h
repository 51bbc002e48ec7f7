/* gemv_tmpl.h: rows of quantized weights times 1..4 columns, straight from the file.
 *
 * One float chain per row and column runs in 16 lanes at once, lanes = 16 rows. Either the bytes of 16 rows are turned
 * first (formats with a scale per 32), or blocks are taken in the order of the file, each one's integer products are
 * summed in 16 lanes of its own, and the sums are turned (256 values). With fewer than 16 rows left the last row stands
 * in for the missing ones, or nothing does, and they are not stored. */

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
 * 16 rows at a time, turned: some blocks of each row, as they are in the file, become words of 4 bytes with lanes =
 * rows. So a word of codes meets 4 broadcast activations, and the sums need no turning.
 *
 * A format says what it is: its values and bytes per block in dtype.def; in <name>_form, flags of a32_form; and
 * <name>_word(), which makes 4 codes of every row. Blocks start with the scale. */

enum a32_form {
    A32_MINS = 1, /* w = scale * code + min: an f16 min follows the scale; codes are 0..127 as they are */
    A32_E8M0 = 2, /* the scale is a byte, and twice as large as the codes want it; else f16 */
};

/* Codes 4 i .. 4 i + 3 of a block that begins at byte `at` of the words. */
typedef vi8 word_fn(const vi32 *w, const int at, const int i);

enum { WORDS_MAX = 48 };

/* n_bytes (64 to 192) of each row at `offset`, as words. */
TEMPLATE void rows_words(vi32 w[WORDS_MAX], const uint8_t *const rows[16], size_t offset, const int n_bytes)
{
    UNROLLED
    for (int at = 0; at + 64 <= n_bytes; at += 64) {
        vi8 t[16];
        UNROLLED
        for (int r = 0; r < 16; r++)
            t[r] = v_load8(rows[r] + offset + at);
        v_transpose16(t);
        UNROLLED
        for (int i = 0; i < 16; i++)
            w[at / 4 + i] = v_as32(t[i]);
    }
    UNROLLED
    for (int at = n_bytes / 64 * 64; at < n_bytes; at += 16) {
        const int from = at + 16 < n_bytes ? at : n_bytes - 16;
        v_load_heads(rows, offset + (size_t)from, w + from / 4);
    }
}
/* The 4 bytes at byte `at`. */
TEMPLATE vi32 word_at(const vi32 *w, const int at)
{
    const int bits = at % 4 * 8;
    return bits ? v_or32(v_shr32(w[at / 4], bits), v_shl32(w[at / 4 + 1], 32 - bits)) : w[at / 4];
}
TEMPLATE vf32 word_f16(const vi32 *w, const int at) { return at % 4 ? v_f16_high(w[at / 4]) : v_f16_low(w[at / 4]); }
/* Nibbles 0..3 (4 i .. 4 i + 3 in general) of 16 bytes at `at`: low ones first, then high ones. */
TEMPLATE vi8 word_nibbles(const vi32 *w, const int at, const int i)
{
    return i < 4 ? v_nib_lo(v_as8(word_at(w, at + 4 * i))) : v_nib_hi(v_as8(word_at(w, at + 4 * (i - 4))));
}
/* Bits 4 i .. 4 i + 3 of a word, each in a byte of its own, as bit `to`. */
TEMPLATE vi8 word_bits(vi32 bits, const int i, const int to)
{
    vi32 four = v_and32(v_shr32(bits, 4 * i), v_set32(15));
    return v_as8(v_and32(v_mul32(four, v_set32(0x00204081 << to)), v_set32(0x01010101 << to)));
}

/* Blocks that are turned together: enough of them that the bytes beyond the last 64 weigh little. */
TEMPLATE int a32_segment(const int n_values, const size_t block_bytes)
{
    return n_values > 32 ? 4 : block_bytes >= 32 ? 2 : 8;
}
/* Blocks after which words begin again. */
TEMPLATE int a32_unit(const int block_bytes) { return block_bytes % 4 == 0 ? 1 : block_bytes % 2 == 0 ? 2 : 4; }

/* The last, incomplete segment of 16 rows, made up with zeros. */
struct a32_tail {
    uint8_t bytes[16][4 * WORDS_MAX];
    const uint8_t *rows[16];
};
static void a32_take_tail(struct a32_tail *t, const uint8_t *const rows[16], size_t offset, size_t n_bytes)
{
    memset(t->bytes, 0, sizeof t->bytes);
    for (int r = 0; r < 16; r++) {
        memcpy(t->bytes[r], rows[r] + offset, n_bytes);
        t->rows[r] = t->bytes[r];
    }
}

/* The scales of a block, and what its minima are. A biased exponent e is 2^(e - 128), as float bits: that of 0 and 1
 * is denormal. */
TEMPLATE vf32 a32_scale(const vi32 *w, const int at, const int form)
{
    if (!(form & A32_E8M0))
        return word_f16(w, at);
    vi32 e = v_and32(v_shr32(w[at / 4], at % 4 * 8), v_set32(255));
    vi32 small = v_add32(v_set32(0x00200000), v_shl32(v_and32(e, v_set32(1)), 21));
    return v_asf(v_max32(v_shl32(v_sub32(e, v_set32(1)), 23), small));
}
TEMPLATE vf32 a32_min(const vi32 *w, const int at) { return word_f16(w, at + 2); }
/* act_view's start32, as the sum that a minimum is multiplied by. */
TEMPLATE vf32 a32_act_sum(int32_t start32) { return v_setf((float)(-start32 / 128)); }

/* Some blocks: the values number 32 b .. of 16 rows, of which the row still has 32 n. */
TEMPLATE void a32_unit_dots(vf32 *acc, const vi32 *w, const struct act_view *x, int b, int n, const int nc,
                            const int n_values, const int block_bytes, word_fn *word, const int form)
{
    const int n_parts = n_values / 32, n_blocks = a32_unit(block_bytes);
    UNROLLED
    for (int k = 0; k < n_blocks; k++) {
        if (k * n_parts >= n)
            break;
        const int at = k * block_bytes;
        vf32 scale = a32_scale(w, at, form), min = form & A32_MINS ? a32_min(w, at) : v_zerof();
        UNROLLED
        for (int part = 0; part < n_parts; part++) {
            const ptrdiff_t group = (ptrdiff_t)(b + k * n_parts + part) * nc;
            const int8_t *q = x->q + 32 * group;
            vi32 t[GEMV_COLS];
            UNROLLED
            for (int c = 0; c < nc; c++)
                t[c] = form & A32_MINS ? v_zero32() : v_start_sum(x->start32 + group + c);
            UNROLLED
            for (int i = 0; i < 8; i++) {
                vi8 codes = word(w, at, 8 * part + i);
                UNROLLED
                for (int c = 0; c < nc; c++) {
                    vi8 a = v_bcast4(q + 32 * c + 4 * i);
                    t[c] = form & A32_MINS ? v_dot_u7(t[c], codes, a) : v_dot(t[c], codes, a);
                }
            }
            UNROLLED
            for (int c = 0; c < nc; c++) {
                vf32 d = v_setf(x->d[group + c]);
                acc[c] = v_fma(v_mulf(scale, d), v_cvtf(t[c]), acc[c]);
                if (form & A32_MINS)
                    acc[c] = v_fma(v_mulf(min, d), a32_act_sum(x->start32[group + c]), acc[c]);
            }
        }
    }
}

/* One segment of them, n at most. */
TEMPLATE void a32_segment_dots(vf32 *acc, const vi32 *w, const struct act_view *x, int b, int n, const int nc,
                               const int n_values, const int block_bytes, word_fn *word, const int form)
{
    const int unit = a32_unit(block_bytes), n_units = a32_segment(n_values, (size_t)block_bytes) / unit;
    const int step = unit * n_values / 32;
    UNROLL_NO
    for (int k = 0; k < n_units && n > 0; k++, b += step, n -= step, w += unit * block_bytes / 4)
        a32_unit_dots(acc, w, x, b, n, nc, n_values, block_bytes, word, form);
}

TEMPLATE void a32_rows16(float *y, size_t y_stride, const uint8_t *const rows[16], int n_rows, int n_cols,
                         size_t row_bytes, const struct act_view *x, const int nc, const int n_values,
                         const size_t block_bytes, word_fn *word, const int form)
{
    const int segment = a32_segment(n_values, block_bytes), step = segment * n_values / 32;
    const size_t bytes = (size_t)segment * block_bytes;
    int n = n_cols / 32, b = 0;
    vf32 acc[GEMV_COLS];
    vi32 w[WORDS_MAX];
    size_t at = 0;
    UNROLLED
    for (int c = 0; c < nc; c++)
        acc[c] = v_zerof();
    for (; b + step <= n; b += step, at += bytes) {
        rows_words(w, rows, at, (int)bytes);
        const uint8_t *ahead = ahead_of(rows, at, row_bytes);
        if (ISA_PREFETCH_BYTES > 0)
            for (size_t o = 0; o < 16 * bytes; o += 64)
                v_prefetch(ahead + o);
        a32_segment_dots(acc, w, x, b, step, nc, n_values, (int)block_bytes, word, form);
    }
    if (b < n) {
        struct a32_tail tail;
        a32_take_tail(&tail, rows, at, row_bytes - at);
        rows_words(w, tail.rows, 0, (int)bytes);
        a32_segment_dots(acc, w, x, b, n - b, nc, n_values, (int)block_bytes, word, form);
    }
    store_rows(y, y_stride, n_rows, acc, nc);
}

TEMPLATE void a32_rows(float *y, size_t y_stride, const uint8_t *w, size_t row_bytes, int n_rows, int n_cols,
                       const struct act_view *x, const int nc, const int n_values, const size_t block_bytes,
                       word_fn *word, const int form)
{
    for (int r = 0; r < n_rows; r += 16) {
        const uint8_t *rows[16];
        take_rows(rows, w + (size_t)r * row_bytes, row_bytes, n_rows - r);
        a32_rows16(y + r, y_stride, rows, min_int(16, n_rows - r), n_cols, row_bytes, x, nc, n_values, block_bytes,
                   word, form);
    }
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

/* Rows are read in the order of the file, because memory gives one stream all it has, and 16 streams of a few lines
 * each, prefetched or not, four fifths of that. Only rows that are longer than a turn are read in pieces. */
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

/* b modulo n, where b is seldom much more. */
TEMPLATE int wrapped(int b, int n)
{
    while (b >= n)
        b -= n;
    return b;
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

/* 16 values of every row from block b on, lanes = rows. */
TEMPLATE void a256_turned(vi32 out[16], const int32_t *values, int b, int n)
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

/* The float chains of 16 rows over a turn whose first block is number `first`. */
TEMPLATE void a256_chains(vf32 *acc, const struct a256_sums *s, int n, const struct act_view *x, int first,
                          const int nc, const int form)
{
    for (int b = 0; b < n; b += 16) {
        vi32 d[16], dmin[16], isum[GEMV_COLS][16], msum[GEMV_COLS][16];
        a256_turned(d, s->d, b, n);
        if (form & A256_MINS)
            a256_turned(dmin, s->dmin, b, n);
        UNROLLED
        for (int c = 0; c < nc; c++) {
            a256_turned(isum[c], s->isum[c], b, n);
            if (form & A256_MINS)
                a256_turned(msum[c], s->msum[c], b, n);
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
            UNROLLED
            for (int c = 0; c < nc; c++)
                acc[c] = first == 0  ? v_zerof()
                         : n16 == 16 ? v_loadf(y + (size_t)c * y_stride + row)
                                     : v_loadf_n(y + (size_t)c * y_stride + row, n16);
            a256_chains(acc, &s, n, x, first, nc, form);
            store_rows(y + row, y_stride, n16, acc, nc);
        }
    }
}
