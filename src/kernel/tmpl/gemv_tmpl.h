/* gemv_tmpl.h: 16 rows of quantized weights times 1..4 columns, straight from the file.
 *
 * Lanes = rows, and one float chain per column runs in 16 lanes at once. Either the bytes of 16 rows are turned first
 * (formats with a scale per 32), or each row's integer products are summed in 16 lanes of its own, and 16 such
 * vectors are turned and added (256 values). With fewer than 16 rows left the last row stands in for the missing
 * ones and is not stored. */

enum { GEMV_COLS = 4 };

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
        size_t ahead = ahead_of(at, row_bytes);
        if (ISA_PREFETCH_BYTES > 0)
            for (int r = 0; r < 16; r++)
                for (size_t o = 0; o < bytes; o += 64)
                    v_prefetch(rows[r] + ahead + o);
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
