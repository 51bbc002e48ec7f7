/* gemv_a32_tmpl.h: formats with a scale per 32 values, or per a multiple of 32, straight from the file.
 *
 * A format says what it is: its values and bytes per block in dtype.def; in <name>_form, flags of a32_form;
 * <name>_pair(), which makes the 32 codes of two places; and <name>_word(), which makes 4 codes of 16 rows. Blocks
 * start with the scale. In a block of more than 32 values, a place is the block's start moved on by the bytes of a
 * part. */

enum a32_form {
    A32_MINS = 1, /* w = scale * code + min: an f16 min follows the scale; codes are 0..127 as they are */
    A32_E8M0 = 2, /* the scale is a byte, and twice as large as the codes want it; else f16 */
};

/* Half at byte `at` of words. */
TEMPLATE vf32 word_f16(const vi32 *w, const int at) { return at % 4 ? v_f16_high(w[at / 4]) : v_f16_low(w[at / 4]); }
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

typedef vi8 pair_fn(const uint8_t *place0, const uint8_t *place1);

/* --- one column: blocks in the order of the file, 32 at a time ---
 *
 * Vector r holds the codes of blocks r and r + 16; the integer products of a block gather in 8 lanes, and are added so
 * that lanes = blocks. When 16 rows are through, their sums are turned, so that lanes = rows. */

enum { A32_TURN = 256 }; /* times 32 values of a row */

/* What a turn needs of the activations, made once for all rows. */
struct a32_turn {
    vi8 q[A32_TURN + 15];         /* of blocks b and b + 16, as if blocks began again behind the last */
    int32_t start[A32_TURN + 31]; /* where a block's sum starts */
    int n;
};
/* What 16 rows are to a turn: of block b of row r, at r * n + b, the sum and the 4 bytes that it begins with. Read and
 * written as if there were 32 blocks more. */
struct a32_sums {
    int32_t isum[16 * A32_TURN + 32], head[16 * A32_TURN + 32];
};

/* Where the 32 values number b begin: their block, and their part of it. */
TEMPLATE size_t a32_block(int b, const int n_values, const size_t block_bytes)
{
    return (size_t)(b / (n_values / 32)) * block_bytes;
}
TEMPLATE size_t a32_place(int b, const int n_values, const size_t block_bytes)
{
    const int n_parts = n_values / 32;
    return a32_block(b, n_values, block_bytes) + (size_t)(b % n_parts) * ((block_bytes - 2) / (size_t)n_parts);
}

/* Blocks first .. first + n - 1. */
TEMPLATE void a32_begin(struct a32_turn *t, const struct act_view *x, int first, int n)
{
    t->n = n;
    const int8_t *q = x->q + 32 * (ptrdiff_t)first;
    for (int i = 0, b = 0, other = wrapped(16, n); i < n + 15; i++) {
        t->q[i] = v_load_halves(q + 32 * (ptrdiff_t)b, q + 32 * (ptrdiff_t)other);
        b = b + 1 == n ? 0 : b + 1;
        other = other + 1 == n ? 0 : other + 1;
    }
    memcpy(t->start, x->start32 + first, (size_t)n * sizeof *t->start);
    for (int b = n; b < n + 31; b++)
        t->start[b] = t->start[b - n];
}

/* 32 blocks from the place p on, of which the first is number `at` of the 16 rows and b of its row. */
TEMPLATE void a32_32_blocks(struct a32_sums *s, int at, const uint8_t *p, int b, const struct a32_turn *t,
                            const int n_values, const size_t block_bytes, pair_fn *pair, const int form)
{
    vi32 part[16], low, high;
    UNROLLED
    for (int r = 0; r < 16; r++) {
        if (ISA_PREFETCH_BYTES > 0)
            for (size_t i = (size_t)r * 64; i < a32_block(32, n_values, block_bytes); i += 16 * 64)
                v_prefetch(p + ISA_PREFETCH_BYTES + i);
        for (int i = r; i < 32; i += 16)
            memcpy(s->head + at + i, p + a32_block(i, n_values, block_bytes), 4);
        vi8 codes = pair(p + a32_place(r, n_values, block_bytes), p + a32_place(r + 16, n_values, block_bytes));
        part[r] = form & A32_MINS ? v_dot_u7(v_zero32(), codes, t->q[b + r]) : v_dot(v_zero32(), codes, t->q[b + r]);
    }
    v_reduce16_halves(part, &low, &high);
    if (!(form & A32_MINS)) {
        low = v_add32(low, v_start_sums(t->start + b));
        high = v_add32(high, v_start_sums(t->start + b + 16));
    }
    v_store32(s->isum + at, low);
    v_store32(s->isum + at + 16, high);
}

/* n blocks that follow one another, from the first of row `row` on. */
TEMPLATE void a32_run(struct a32_sums *s, int row, const uint8_t *p, int n, const struct a32_turn *t,
                      const int n_values, const size_t block_bytes, pair_fn *pair, const int form)
{
    uint8_t last[32 * 36] = { 0 };
    for (int i = 0, b = 0; i < n; i += 32, b = wrapped(b + 32, t->n)) {
        const uint8_t *from = p + a32_block(i, n_values, block_bytes);
        if (n - i < 32)
            from = memcpy(last, from, a32_block(n - i, n_values, block_bytes));
        a32_32_blocks(s, row * t->n + i, from, b, t, n_values, block_bytes, pair, form);
    }
}

/* The float chains of 16 rows over a turn whose first block is number `first`. */
TEMPLATE vf32 a32_chains(vf32 acc, const struct a32_sums *s, int n, const struct act_view *x, int first, const int form)
{
    for (int b = 0; b < n; b += 16) {
        vi32 isum[16], head[16];
        turned_words(isum, s->isum, b, n);
        turned_words(head, s->head, b, n);
        UNROLL_NO
        for (int i = 0; i < min_int(16, n - b); i++) {
            vf32 d = v_setf(x->d[first + b + i]);
            acc = v_fma(v_mulf(a32_scale(head + i, 0, form), d), v_cvtf(isum[i]), acc);
            if (form & A32_MINS)
                acc = v_fma(v_mulf(a32_min(head + i, 0), d), a32_act_sum(x->start32[first + b + i]), acc);
        }
    }
    return acc;
}

/* All rows, a turn at a time; between turns the chains rest in y. */
TEMPLATE void a32_column(float *y, const uint8_t *w, size_t row_bytes, int n_rows, int n_cols, const struct act_view *x,
                         const int n_values, const size_t block_bytes, pair_fn *pair, const int form)
{
    struct a32_turn t;
    struct a32_sums s;
    if (n_rows < 16)
        memset(&s, 0, sizeof s);
    for (int first = 0; first < n_cols / 32; first += A32_TURN) {
        int n = min_int(A32_TURN, n_cols / 32 - first);
        a32_begin(&t, x, first, n);
        for (int row = 0; row < n_rows; row += 16) {
            const uint8_t *from = w + (size_t)row * row_bytes + a32_block(first, n_values, block_bytes);
            int n16 = min_int(16, n_rows - row);
            bool whole = a32_block(n, n_values, block_bytes) == row_bytes; /* the rows follow one another */
            for (int r = 0; r < n16; r += whole ? n16 : 1)
                a32_run(&s, r, from + (size_t)r * row_bytes, whole ? n16 * n : n, &t, n_values, block_bytes, pair,
                        form);
            vf32 acc;
            load_rows(&acc, 1, y + row, 0, n16, first);
            acc = a32_chains(acc, &s, n, x, first, form);
            store_rows(y + row, 0, n16, &acc, 1);
        }
    }
}

/* --- more columns: 16 rows at a time, turned ---
 *
 * Some blocks of each row, as they are in the file, become words of 4 bytes with lanes = rows. So a word of codes meets
 * 4 broadcast activations, and the sums need no turning. */

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
