/* gemm_tmpl.h: quantized weights times many columns.
 *
 * 16 rows of a strip of columns are unpacked into a panel, laid out [k / 4][16 rows][4 k], so that one vector
 * meets 4 broadcast activations of one column. The panel stays in the L1 cache while all columns pass by; a tile
 * is 16 rows times one group of columns. Between strips the float chains rest in y. */

enum { GEMM_STRIP = 1024 };

/* Scales of 16 rows for 256 columns; the last index is the row. */
struct a256_side {
    float d[16], dmin[16];
    int32_t scale[16][16]; /* a scale per 32: 8 of them; per 16: 16; as v_scale() has them */
    int32_t pairs[8][16];  /* 16-bit pairs that meet the activations' sums: minima, or what an offset costs */
};
typedef void side_fn(struct a256_side *s, const uint8_t *const rows[16], size_t offset);

/* As tile_pairs() wants a scale. */
#ifdef ISA_PAIR_SUMS
TEMPLATE vi32 v_scale(vi32 x) { return v_or32(v_and32(x, v_set32(0xffff)), v_shl32(x, 16)); }
#else
TEMPLATE vi32 v_scale(vi32 x) { return x; }
#endif

/* Scales of 16 from signed bytes: word i holds those of sub-blocks 4i..4i+3; lanes = rows. */
TEMPLATE void a256_scales16(struct a256_side *s, const vi32 bytes[4])
{
    for (int i = 0; i < 16; i++)
        v_store32(s->scale[i], v_scale(v_bytes_signed(bytes[i / 4], i % 4)));
}
/* -offset * scale, which with the sums of the activations takes back what codes are too high. */
TEMPLATE void a256_pair(int32_t pair[16], vi32 low, vi32 high, vi32 factor)
{
    low = v_and32(v_mul32(low, factor), v_set32(0xffff));
    v_store32(pair, v_or32(low, v_shl32(v_mul32(high, factor), 16)));
}
TEMPLATE void a256_offset16(struct a256_side *s, const int offset)
{
    for (int i = 0; i < 8; i++)
        a256_pair(s->pairs[i], v_load32(s->scale[2 * i]), v_load32(s->scale[2 * i + 1]), v_set32(-offset));
}
/* The same for a scale per 32 and signed codes, where the offset is what v_code_i8() adds. Pairs in the order of
 * act_view's sums of 32. */
TEMPLATE void a256_signed_scales(struct a256_side *s, const vi32 bytes[2])
{
    vi32 factor = v_sar32(v_start(v_set8(1)), 2);
    for (int b = 0; b < 8; b++)
        v_store32(s->scale[b], v_scale(v_bytes_signed(bytes[b / 4], b % 4)));
    for (int i = 0; i < 4; i++) {
        int b = i / 2 * 4 + i % 2;
        a256_pair(s->pairs[i], v_load32(s->scale[b]), v_load32(s->scale[b + 2]), factor);
    }
}

struct panel {
    const uint8_t *ahead;        /* what a tile prefetches: */
    int ahead_lines, ahead_step; /* so many lines, for each 32 columns at most so many */
    alignas(64) uint8_t codes[GEMM_STRIP / 4][64];
    union {
        struct {
            float d[GEMM_STRIP / 32][16], m[GEMM_STRIP / 32][16];
        };
        struct a256_side side[GEMM_STRIP / 256];
    };
};
static_assert(sizeof(struct panel) <= KERNEL_SCRATCH_BYTES, "kernel_scratch_bytes() knows the size");

typedef void unpack_fn(struct panel *p, const uint8_t *const rows[16], int k0, int n_k);

/* A tile's lines ahead, for its columns 32 b .. */
TEMPLATE void prefetch_panel(const struct panel *p, int b)
{
    if (ISA_PREFETCH_BYTES > 0)
        for (int i = b * p->ahead_step; i < min_int(p->ahead_lines, (b + 1) * p->ahead_step); i++)
            v_prefetch(p->ahead + 64 * (ptrdiff_t)i);
}

/* Signed codes of small magnitude stand 16 too high in panels where products are summed in 16 bits, because such sums
 * take codes without a sign. */
TEMPLATE bool a32_raised(const int form, const int most)
{
#ifdef ISA_PAIR_SUMS
    return !(form & A32_MINS) && most <= 16;
#else
    return (void)form, (void)most, false;
#endif
}

/* Some blocks, and one segment of them, into a panel; as in gemv_a32_tmpl.h. */
TEMPLATE void a32_unit_unpack(struct panel *p, const vi32 *w, int b, int n, const int n_values,
                              const int block_bytes, word_fn *word, const int form, const int most)
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
            int to = b + k * n_parts + part;
            UNROLLED
            for (int i = 0; i < 8; i++) {
                vi8 codes = word(w, at, 8 * part + i);
                if (a32_raised(form, most))
                    codes = v_code_u8(codes, -16);
                v_store8(p->codes[8 * to + i], codes);
            }
            v_storef(p->d[to], scale);
            if (form & A32_MINS)
                v_storef(p->m[to], min);
        }
    }
}

TEMPLATE void a32_segment_unpack(struct panel *p, const vi32 *w, int b, int n, const int n_values,
                                 const int block_bytes, word_fn *word, const int form, const int most)
{
    const int unit = a32_unit(block_bytes), n_units = a32_segment(n_values, (size_t)block_bytes) / unit;
    const int step = unit * n_values / 32;
    UNROLL_NO
    for (int k = 0; k < n_units && n > 0; k++, b += step, n -= step, w += unit * block_bytes / 4)
        a32_unit_unpack(p, w, b, n, n_values, block_bytes, word, form, most);
}

TEMPLATE void a32_unpack(struct panel *p, const uint8_t *const rows[16], int k0, int n_k,
                         const int n_values, const size_t block_bytes, word_fn *word, const int form, const int most)
{
    const int segment = a32_segment(n_values, block_bytes), step = segment * n_values / 32;
    const size_t bytes = (size_t)segment * block_bytes;
    size_t at = (size_t)(k0 / n_values) * block_bytes;
    int n = n_k / 32, b = 0;
    vi32 w[WORDS_MAX];
    for (; b + step <= n; b += step, at += bytes) {
        rows_words(w, rows, at, (int)bytes);
        a32_segment_unpack(p, w, b, step, n_values, (int)block_bytes, word, form, most);
    }
    if (b < n) {
        struct a32_tail tail;
        a32_take_tail(&tail, rows, at, (size_t)(n - b) * 32 / (size_t)n_values * block_bytes);
        rows_words(w, tail.rows, 0, (int)bytes);
        a32_segment_unpack(p, w, b, n - b, n_values, (int)block_bytes, word, form, most);
    }
}

/* --- a block's 256 codes as 64 words, lanes = rows, ascending ---
 *
 * <name>_words() turns the bytes of 16 rows first and takes them apart after, because turning is what costs. */
typedef void words_fn(uint8_t (*to)[64], const uint8_t *const rows[16], size_t offset);

/* 64 bytes at `offset` of each row; word i of byte 4 i. */
TEMPLATE void rows_turned(vi8 t[16], const uint8_t *const rows[16], size_t offset)
{
    UNROLLED
    for (int r = 0; r < 16; r++)
        t[r] = v_load8(rows[r] + offset);
    v_transpose16(t);
}
/* 32 bytes at `offset` of each row. */
TEMPLATE void rows_turned_half(vi32 t[8], const uint8_t *const rows[16], size_t offset)
{
    v_load_heads(rows, offset, t);
    v_load_heads(rows, offset + 16, t + 4);
}
/* As a256_crumbs(): bits 2k, 2k + 1 of the bytes in word i. */
TEMPLATE vi8 word_crumbs(vi8 t, const int k) { return v_bits(t, -2 * k, -2 * k, 3); }
/* Where the codes of word i, bits 2k, 2k + 1 stand. */
TEMPLATE int word_crumb_place(const int i, const int k) { return 32 * (i / 8) + 8 * k + i % 8; }

/* For codes that only a row at a time can be made of. */
TEMPLATE void a256_words_of(uint8_t (*to)[64], const uint8_t *const rows[16], size_t offset, codes4_fn *codes,
                            const uint8_t order[4][2])
{
    vi8 w[4][16];
    for (int r = 0; r < 16; r++) {
        vi8 row[4];
        codes(rows[r] + offset, row);
        UNROLLED
        for (int j = 0; j < 4; j++)
            w[j][r] = row[j];
    }
    for (int j = 0; j < 4; j++) {
        v_transpose16(w[j]);
        for (int i = 0; i < 8; i++) {
            v_store8(to[8 * order[j][0] + i], w[j][i]);
            v_store8(to[8 * order[j][1] + i], w[j][8 + i]);
        }
    }
}

TEMPLATE void a256_unpack(struct panel *p, const uint8_t *const rows[16], int k0, int n_k,
                          const size_t block_bytes, words_fn *words, side_fn *side)
{
    for (int b = 0; b < n_k / 256; b++) {
        size_t at = (size_t)(k0 / 256 + b) * block_bytes;
        side(&p->side[b], rows, at);
        words(p->codes + 64 * b, rows, at);
    }
}

/* One tile: n_k columns from k0 on, added to the chains in y (begun when k0 is 0). */
typedef void tile_fn(float *y, size_t y_stride, int n_rows, const struct panel *p, const struct act_view *x, int k0,
                     int n_k);

/* t[c] += codes w[0..n) times 4 n activations of column c. */
#ifndef ISA_TILE_DOTS /* a vocabulary may have a way of its own */
TEMPLATE void tile_dots(vi32 *t, const int nc, const uint8_t (*w)[64], const int8_t *q, const int n, const bool u7)
{
    UNROLLED
    for (int i = 0; i < n; i++) {
        vi8 wi = v_load8(w[i]);
        UNROLLED
        for (int c = 0; c < nc; c++) {
            vi8 a = v_bcast4(q + 32 * c + 4 * i);
            if (u7)
                t[c] = v_dot_u7(t[c], wi, a);
            else
                t[c] = v_dot(t[c], wi, a);
        }
    }
}
#endif

/* t[c] += scale * (the products of codes w[0..n) and 4 n activations of column c); the scale is a pair of 16 bits. With
 * codes of at most `most` some words' products fit 16 bits together, and are widened and scaled in one step. */
#ifdef ISA_PAIR_SUMS
/* (Conditions, not conditional expressions: of a vector that is a struct those are made in memory.) */
TEMPLATE void tile_pairs(vi32 *t, const int nc, const uint8_t (*w)[64], const int8_t *q, const int n, const bool u7,
                         const int most, vi32 scale)
{
    const int fit = 32767 / (2 * 127 * most), each = fit >= n ? n : fit >= 4 ? 4 : fit >= 2 ? 2 : 1;
    UNROLLED
    for (int i = 0; i < n; i += each) {
        vi8 sum[KERNEL_MAX_TILE_COLS];
        UNROLLED
        for (int j = 0; j < each; j++) {
            vi8 wi = v_load8(w[i + j]);
            UNROLLED
            for (int c = 0; c < nc; c++) {
                vi8 a = v_bcast4(q + 32 * c + 4 * (i + j)), pairs;
                if (u7)
                    pairs = v_pairs_u7(wi, a);
                else
                    pairs = v_pairs(wi, a);
                if (j == 0)
                    sum[c] = pairs;
                else
                    sum[c] = v_add16(sum[c], pairs);
            }
        }
        UNROLLED
        for (int c = 0; c < nc; c++)
            t[c] = v_dot16(t[c], sum[c], scale);
    }
}
/* t[c] += the products of a whole block of 32. */
TEMPLATE void tile_block(vi32 *t, const int nc, const uint8_t (*w)[64], const int8_t *q, const bool u7, const int most)
{
    tile_pairs(t, nc, w, q, 8, u7, most, v_set32(0x10001));
}
#else
TEMPLATE void tile_block(vi32 *t, const int nc, const uint8_t (*w)[64], const int8_t *q, const bool u7, const int most)
{
    (void)most;
    tile_dots(t, nc, w, q, 8, u7);
}
TEMPLATE void tile_pairs(vi32 *t, const int nc, const uint8_t (*w)[64], const int8_t *q, const int n, const bool u7,
                         const int most, vi32 scale)
{
    vi32 sum[KERNEL_MAX_TILE_COLS];
    (void)most;
    UNROLLED
    for (int c = 0; c < nc; c++)
        sum[c] = v_zero32();
    tile_dots(sum, nc, w, q, n, u7);
    UNROLLED
    for (int c = 0; c < nc; c++)
        t[c] = v_add32(t[c], v_mul32(sum[c], scale));
}
#endif

TEMPLATE void a32_tile(float *y, size_t y_stride, int n_rows, const struct panel *p, const struct act_view *x, int k0,
                       int n_k, const int nc, const bool has_mins, const int most)
{
    const bool raised = a32_raised(has_mins ? A32_MINS : 0, most);
    vf32 acc[KERNEL_MAX_TILE_COLS];
    load_rows(acc, nc, y, y_stride, n_rows, k0);
    const int8_t *q = x->q + (ptrdiff_t)k0 * nc;
    const float *d = x->d + (ptrdiff_t)(k0 / 32) * nc;
    const int32_t *start = x->start32 + (ptrdiff_t)(k0 / 32) * nc;
    UNROLL_NO
    for (int b = 0; b < n_k / 32; b++, q += 32 * nc, d += nc, start += nc) {
        vi32 t[KERNEL_MAX_TILE_COLS];
        prefetch_panel(p, b);
        UNROLLED
        for (int c = 0; c < nc; c++) {
            if (has_mins)
                t[c] = v_zero32();
            else if (raised) /* 16 of start32's 128 */
                t[c] = v_sar32(v_bcast32(start + c), 3);
            else
                t[c] = v_start_sum(start + c);
        }
        tile_block(t, nc, p->codes + 8 * b, q, has_mins || raised, raised ? 32 : most);
        vf32 dw = v_loadf(p->d[b]);
        UNROLLED
        for (int c = 0; c < nc; c++)
            acc[c] = v_fma(v_mulf(dw, v_setf(d[c])), v_cvtf(t[c]), acc[c]);
        if (has_mins) {
            vf32 m = v_loadf(p->m[b]);
            UNROLLED
            for (int c = 0; c < nc; c++)
                acc[c] = v_fma(v_mulf(m, v_setf(d[c])), a32_act_sum(start[c]), acc[c]);
        }
    }
    store_rows(y, y_stride, n_rows, acc, nc);
}

/* The integer sum of one super-block. */
TEMPLATE void a256_sum(vi32 *sum, const int nc, const struct panel *p, int block, const int8_t *q, const int form,
                       const int most)
{
    const uint8_t (*w)[64] = p->codes + 64 * block;
    const struct a256_side *s = &p->side[block];
    const bool per16 = form & A256_PER16, u7 = !(form & A256_SIGNED);
    const int halves = per16 ? 2 : 1, n = 8 / halves;
    UNROLL_NO
    for (int b = 0; b < 8; b++) {
        prefetch_panel(p, 8 * block + b);
        UNROLLED
        for (int half = 0; half < halves; half++)
            tile_pairs(sum, nc, w + 8 * b + n * half, q + 32 * b * nc + 4 * n * half, n, u7, most,
                       v_load32(s->scale[halves * b + half]));
    }
}

TEMPLATE void a256_pairs(vi32 *m, const int nc, const struct a256_side *s, const int16_t *sums, const int n)
{
    UNROLLED
    for (int c = 0; c < nc; c++)
        m[c] = v_zero32();
    UNROLL_NO
    for (int i = 0; i < n; i++) {
        vi32 pair = v_load32(s->pairs[i]);
        UNROLLED
        for (int c = 0; c < nc; c++)
            m[c] = v_dot16(m[c], pair, v_bcast32(sums + ACT_SUMS * c + 2 * i));
    }
}

TEMPLATE void a256_tile(float *y, size_t y_stride, int n_rows, const struct panel *p, const struct act_view *x, int k0,
                        int n_k, const int nc, const int form, const int most)
{
    const bool has_mins = form & A256_MINS, per16 = form & A256_PER16;
    const int n_pairs = per16 ? 8 : 4, first = per16 ? 0 : 16; /* of the sums that scales belong to */
    vf32 acc[KERNEL_MAX_TILE_COLS];
    load_rows(acc, nc, y, y_stride, n_rows, k0);
    const int8_t *q = x->q + (ptrdiff_t)k0 * nc;
    const float *d = x->d + (ptrdiff_t)(k0 / 256) * nc;
    const int16_t *sums = x->sums + ACT_SUMS * (ptrdiff_t)(k0 / 256) * nc;
    UNROLL_NO
    for (int b = 0; b < n_k / 256; b++, q += 256 * nc, d += nc, sums += ACT_SUMS * nc) {
        const struct a256_side *s = &p->side[b];
        vi32 sum[KERNEL_MAX_TILE_COLS], m[KERNEL_MAX_TILE_COLS];
        if (has_mins) {
            UNROLLED
            for (int c = 0; c < nc; c++)
                sum[c] = v_zero32();
        } else {
            a256_pairs(sum, nc, s, sums + first, n_pairs);
        }
        a256_sum(sum, nc, p, b, q, form, most);
        UNROLLED
        for (int c = 0; c < nc; c++)
            acc[c] = v_fma(v_mulf(v_loadf(s->d), v_setf(d[c])), v_cvtf(sum[c]), acc[c]);
        if (has_mins) {
            a256_pairs(m, nc, s, sums + first, n_pairs);
            UNROLLED
            for (int c = 0; c < nc; c++)
                acc[c] = v_fnma(v_mulf(v_loadf(s->dmin), v_setf(d[c])), v_cvtf(m[c]), acc[c]);
        }
    }
    store_rows(y, y_stride, n_rows, acc, nc);
}

/* The micro-kernels, by number of columns: shared by all formats of a form. */
#define TILE_FN(nc, name, tile, ...)                                                                                 \
    static void name##_tile_##nc(float *y, size_t y_stride, int n_rows, const struct panel *p,                       \
                                 const struct act_view *x, int k0, int n_k)                                          \
    {                                                                                                                \
        tile(y, y_stride, n_rows, p, x, k0, n_k, nc, __VA_ARGS__);                                                   \
    }
#define TILE_ENTRY(nc, name) [nc] = name##_tile_##nc,
#define TILES(name, tile, ...)                                                                                       \
    ISA_TILES(TILE_FN, name, tile, __VA_ARGS__)                                                                      \
    static tile_fn *const name##_tiles[] = { ISA_TILES(TILE_ENTRY, name) };

/* The last number: the largest magnitude of a code. */
TILES(a32, a32_tile, false, 128)
TILES(a32_mins, a32_tile, true, 31)
TILES(a256_mins, a256_tile, A256_MINS, 31)
TILES(a256_mins16, a256_tile, A256_MINS | A256_PER16, 31)
TILES(a256_per16, a256_tile, A256_PER16, 127)
TILES(a256_signed, a256_tile, A256_SIGNED, 128)
#ifdef ISA_PAIR_SUMS
TILES(a32_16, a32_tile, false, 16)
TILES(a32_mins_15, a32_tile, true, 15)
TILES(a256_mins_15, a256_tile, A256_MINS, 15)
TILES(a256_per16_31, a256_tile, A256_PER16, 31)
TILES(a256_per16_63, a256_tile, A256_PER16, 63)
TILES(a256_signed_16, a256_tile, A256_SIGNED, 16)
#else /* where sums are 32 bits at once, small codes gain nothing */
#define a32_16_tiles         a32_tiles
#define a32_mins_15_tiles    a32_mins_tiles
#define a256_mins_15_tiles   a256_mins_tiles
#define a256_per16_31_tiles  a256_per16_tiles
#define a256_per16_63_tiles  a256_per16_tiles
#define a256_signed_16_tiles a256_signed_tiles
#endif

TEMPLATE tile_fn *const *a32_tiles_of(const int form, const int most)
{
    if (form & A32_MINS)
        return most <= 15 ? a32_mins_15_tiles : a32_mins_tiles;
    return most <= 16 ? a32_16_tiles : a32_tiles;
}
TEMPLATE tile_fn *const *a256_tiles_of(const int form, const int most)
{
    if (form & A256_SIGNED)
        return most <= 16 ? a256_signed_16_tiles : a256_signed_tiles;
    if (form & A256_PER16)
        return form & A256_MINS ? a256_mins16_tiles
               : most <= 31     ? a256_per16_31_tiles
               : most <= 63     ? a256_per16_63_tiles
                                : a256_per16_tiles;
    return most <= 15 ? a256_mins_15_tiles : a256_mins_tiles;
}

/* While columns pass by, memory would have nothing to do: their tiles fetch as much of the next 16 rows, in the order
 * of the file, each view a part of it. */
static void panel_ahead(struct panel *p, const uint8_t *next_rows, size_t row_bytes, int k0, int n_k, int n_cols,
                        int view, int n_views)
{
    const size_t first = 16 * row_bytes * (size_t)k0 / (size_t)n_cols;
    const size_t n = 16 * row_bytes * (size_t)n_k / (size_t)n_cols;
    const size_t begin = n * (size_t)view / (size_t)n_views, end = n * (size_t)(view + 1) / (size_t)n_views;
    p->ahead = next_rows + first + begin;
    p->ahead_lines = (int)((end - begin + 63) / 64);
    p->ahead_step = (p->ahead_lines * 32 + n_k - 1) / n_k;
}

static void add_bias(float *y, size_t y_stride, const float *bias, int n_rows, const struct act_view *x, int n_views)
{
    for (int v = 0; bias && v < n_views; v++)
        for (int c = 0; c < x[v].n_group; c++, y += y_stride)
            add(y, bias, n_rows);
}

static void gemm_quant(float *y, size_t y_stride, const uint8_t *w, size_t row_bytes, int n_rows, int n_cols,
                       const struct act_view *x, int n_views, struct panel *panel, unpack_fn *unpack,
                       tile_fn *const *tiles)
{
    for (int r = 0; r < n_rows; r += 16) {
        const uint8_t *rows[16];
        take_rows(rows, w + (size_t)r * row_bytes, row_bytes, n_rows - r);
        for (int k0 = 0; k0 < n_cols; k0 += GEMM_STRIP) {
            const int n_k = min_int(GEMM_STRIP, n_cols - k0);
            float *to = y + r;
            unpack(panel, rows, k0, n_k);
            for (int v = 0; v < n_views; to += (size_t)x[v++].n_group * y_stride) {
                panel_ahead(panel, rows[0] + 16 * row_bytes, row_bytes, k0, n_k, n_cols, v, n_views);
                tiles[x[v].n_group](to, y_stride, min_int(16, n_rows - r), panel, &x[v], k0, n_k);
            }
        }
    }
}
