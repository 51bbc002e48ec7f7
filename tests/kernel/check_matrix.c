/* check_matrix.c: weights times activations, every instruction set and format, awkward sizes. Weights and
 * activations end at a page that cannot be read. Expected: the scalar table's bits, the plain
 * definition's value, and a column's result whatever stands beside it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../random_block.h"
#include "check.h"

enum { MAX_COLS = 17, MANY_COLS = 97, MAX_ROWS = 70 };
static const int row_counts[] = { 1, 2, 15, 16, 17, 33, 70 };

/* An emulator is slow: of the samples of each_size() only one in so many is taken. */
static uint64_t one_in = 1;

/* One weight matrix and some activation rows of k values. */
struct sample {
    enum dtype type;
    int rows, k, cols;
    uint8_t *w;
    size_t row_bytes, w_bytes;
    float *x; /* [cols][k] */
    uint64_t seed;
};

static void fill_weights(struct sample *s, struct rng *rng, bool random_bits)
{
    const struct dtype_info *d = &dtype_table[s->type];
    if (random_bits) {
        for (size_t i = 0; i < s->w_bytes; i++)
            s->w[i] = (uint8_t)rng_u64(rng);
        return;
    }
    for (size_t at = 0; at < s->w_bytes; at += (size_t)d->block_bytes)
        random_block(d, rng, 1, s->w + at);
}

static struct sample sample_of(enum dtype type, int rows, int k, int cols, bool random_bits, uint64_t seed)
{
    struct rng rng = { seed, 0 };
    struct sample s = { .type = type, .rows = rows, .k = k, .cols = cols, .seed = seed };
    s.row_bytes = dtype_row_bytes(type, (size_t)k);
    s.w_bytes = s.row_bytes * (size_t)rows;
    s.w = guard_alloc(s.w_bytes);
    s.x = guard_alloc(sizeof(float) * (size_t)cols * (size_t)k);
    fill_weights(&s, &rng, random_bits);
    for (int i = 0; i < cols * k; i++)
        s.x[i] = rng_normal(&rng) * (i % 7 == 3 ? 30.0f : 1.0f);
    return s;
}
static struct sample sample_make(enum dtype type, int rows, int k, bool random_bits, uint64_t seed)
{
    return sample_of(type, rows, k, MAX_COLS, random_bits, seed);
}
static void sample_free(struct sample *s)
{
    guard_free(s->w, s->w_bytes);
    guard_free(s->x, sizeof(float) * (size_t)s->cols * (size_t)s->k);
}

/* A group of columns in guarded memory. */
struct group {
    struct act_view v;
    int8_t *q;
    float *d, *f;
    int32_t *start32;
    int16_t *sums;
    size_t q_bytes, d_bytes, f_bytes, start_bytes, sums_bytes;
};

static struct group group_make(const struct kernels *k, const struct sample *s, int first, int n)
{
    struct group g = { .v.n_group = n };
    enum act_kind kind = dtype_table[s->type].act;
    size_t count = (size_t)s->k * (size_t)n;
    if (kind == ACT_F32) {
        g.f_bytes = count * sizeof(float);
        g.f = guard_copy(s->x + (ptrdiff_t)first * s->k, g.f_bytes);
        g.v.f = g.f;
        g.v.f_stride = (size_t)s->k;
        return g;
    }
    g.q_bytes = count;
    g.d_bytes = count / (kind == ACT_A32 ? 32 : 256) * sizeof(float);
    g.start_bytes = count / 32 * sizeof(int32_t);
    g.sums_bytes = count / 256 * ACT_SUMS * sizeof(int16_t);
    g.v.q = g.q = guard_alloc(g.q_bytes);
    g.v.d = g.d = guard_alloc(g.d_bytes);
    g.v.start32 = g.start32 = guard_alloc(g.start_bytes);
    g.v.sums = g.sums = guard_alloc(g.sums_bytes);
    for (int c = 0; c < n; c++) {
        const float *x = s->x + (ptrdiff_t)(first + c) * s->k;
        if (kind == ACT_A32)
            k->quantize_a32(x, s->k, g.q, g.d, g.start32, n, c);
        else
            k->quantize_a256(x, s->k, g.q, g.d, g.sums, n, c);
    }
    return g;
}
static void group_free(struct group *g)
{
    if (g->f) {
        guard_free(g->f, g->f_bytes);
        return;
    }
    guard_free(g->q, g->q_bytes);
    guard_free(g->d, g->d_bytes);
    guard_free(g->start32, g->start_bytes);
    guard_free(g->sums, g->sums_bytes);
}

/* y[c][row] of n columns, in groups as wide as the table takes. */
static void multiply(const struct kernels *k, const struct sample *s, int n, float *y)
{
    _Alignas(64) static uint8_t scratch[KERNEL_SCRATCH_BYTES];
    struct group g[MANY_COLS];
    struct act_view v[MANY_COLS];
    int n_groups = 0;
    const int widest = dtype_table[s->type].act == ACT_F32 ? k->float_tile_cols : k->tile_cols;
    for (int c = 0; c < n; c += widest, n_groups++) {
        g[n_groups] = group_make(k, s, c, min_int(widest, n - c));
        v[n_groups] = g[n_groups].v;
    }
    size_t y_bytes = sizeof(float) * (size_t)n * (size_t)s->rows;
    float *guarded = guard_alloc(y_bytes);
    if (n == 1)
        k->gemv[s->type](guarded, s->w, s->row_bytes, s->rows, s->k, v);
    else
        k->gemm[s->type](guarded, (size_t)s->rows, NULL, s->w, s->row_bytes, s->rows, s->k, v, n_groups, scratch);
    memcpy(y, guarded, y_bytes);
    guard_free(guarded, y_bytes);
    for (int i = 0; i < n_groups; i++)
        group_free(&g[i]);
}

/* Column c of the sample alone. */
static void multiply_alone(const struct kernels *k, const struct sample *s, int c, float *y)
{
    struct group g = group_make(k, s, c, 1);
    k->gemv[s->type](y, s->w, s->row_bytes, s->rows, s->k, &g.v);
    group_free(&g);
}

static void compare(const struct kernels *k, const struct sample *s, int n, const char *what, const float *got,
                    const float *want, int count)
{
    int i = first_difference(got, want, count);
    if (i >= 0)
        fail_msg("%s %s: %d rows x %d columns, K = %d, seed %llu: %s, at %d: %a, want %a", k->isa,
                 dtype_table[s->type].name, s->rows, n, s->k, (unsigned long long)s->seed, what, i, (double)got[i],
                 (double)want[i]);
}

/* With 1 .. most columns. */
static void check_columns(const struct sample *s, int most)
{
    static float alone[MAX_COLS * MAX_ROWS], want[MAX_ROWS], got[MAX_COLS * MAX_ROWS];
    for (int c = 0; c < most; c++)
        multiply_alone(scalar_table(), s, c, alone + (ptrdiff_t)c * s->rows);
    EACH_TABLE(k)
    {
        multiply_alone(k, s, 0, want);
        compare(k, s, 1, "differs from scalar", want, alone, s->rows);
        for (int n = 1; n <= most; n++) {
            multiply(k, s, n, got);
            compare(k, s, n, "a column depends on its neighbours or its table", got, alone, n * s->rows);
        }
    }
}

static void check_sample(const struct sample *s) { check_columns(s, MAX_COLS); }

static void each_size(bool random_bits)
{
    uint64_t seed = random_bits ? 1000000 : 0;
    for (int t = 0; t < N_DTYPES; t++) {
        int n = dtype_table[t].n_values;
        for (int blocks = 1; blocks <= (n == 1 ? 70 : 8); blocks += (n == 1 && blocks >= 34) ? 12 : 1)
            for (size_t r = 0; r < ARRAY_LEN(row_counts); r++) {
                if (n == 1 && row_counts[r] > 33)
                    continue;
                if (++seed % one_in != 0)
                    continue;
                struct sample s = sample_make((enum dtype)t, row_counts[r], blocks * n, random_bits, seed);
                check_sample(&s);
                sample_free(&s);
            }
    }
}

static void tables_columns_and_batches_agree_bit_for_bit(void **state)
{
    (void)state;
    each_size(false);
}

static void random_bits_as_weights_agree_and_stay_inside(void **state)
{
    (void)state;
    each_size(true);
}

/* Rows longer than one strip of the panel code. */
static void long_rows_agree(void **state)
{
    (void)state;
    for (int t = 0; t < N_DTYPES; t++) {
        int k = dtype_table[t].n_values == 32 ? 2080 : 2304;
        struct sample s = sample_make((enum dtype)t, 19, k, false, 77 + (uint64_t)t);
        check_sample(&s);
        sample_free(&s);
    }
}

/* Rows longer than a turn in place, whose last turn is shorter than the vectors that are turned together. */
static void rows_of_several_turns_agree(void **state)
{
    (void)state;
    for (int t = 0; t < N_DTYPES; t++) {
        const int n = dtype_table[t].n_values;
        if (n == 1)
            continue;
        struct sample s = sample_make((enum dtype)t, 18, n == 256 ? 67 * 256 : 8192 + n, false, 177 + (uint64_t)t);
        check_columns(&s, 3);
        sample_free(&s);
    }
}

/* More columns than the drivers take at once, and rows that are no whole blocks. */
static void wide_batches_agree(void **state)
{
    (void)state;
    static float want[MANY_COLS * MAX_ROWS], got[MANY_COLS * MAX_ROWS];
    for (int t = 0; t < N_DTYPES; t++) {
        int k = dtype_table[t].n_values == 1 ? 2061 : 1280;
        struct sample s = sample_of((enum dtype)t, MAX_ROWS, k, MANY_COLS, false, 600 + (uint64_t)t);
        EACH_TABLE(table)
        {
            for (int c = 0; c < MANY_COLS; c++)
                multiply_alone(table, &s, c, want + (ptrdiff_t)c * s.rows);
            multiply(table, &s, MANY_COLS, got);
            compare(table, &s, MANY_COLS, "a column depends on its neighbours", got, want, MANY_COLS * s.rows);
        }
        sample_free(&s);
    }
}

/* More rows than the cache keeps for all columns. */
static void tall_matrices_agree(void **state)
{
    (void)state;
    enum { ROWS = 410, COLS = 14 };
    static float want[COLS * ROWS], got[COLS * ROWS];
    for (int t = 0; t < N_DTYPES; t++) {
        if (dtype_table[t].n_values != 1)
            continue;
        struct sample s = sample_of((enum dtype)t, ROWS, 509, COLS, false, 700 + (uint64_t)t);
        for (int c = 0; c < COLS; c++)
            multiply_alone(scalar_table(), &s, c, want + (ptrdiff_t)c * ROWS);
        EACH_TABLE(table)
        {
            multiply(table, &s, COLS, got);
            compare(table, &s, COLS, "a column depends on its neighbours or its table", got, want, COLS * ROWS);
        }
        sample_free(&s);
    }
}

/* All codes and all activations at an end of their range: sums of 16 bits are as large as they get. */
static void the_largest_sums_agree(void **state)
{
    (void)state;
    for (int t = 0; t < N_DTYPES; t++) {
        const struct dtype_info *d = &dtype_table[t];
        if (!d->from_f32)
            continue;
        for (int sign = 0; sign < 4; sign++) {
            struct sample s = sample_make((enum dtype)t, 17, d->n_values == 1 ? 64 : 512, false, 4000);
            float w[256];
            for (int i = 0; i < 256; i++)
                w[i] = sign % 2 ? 1 : -1;
            for (size_t at = 0; at < s.w_bytes; at += (size_t)d->block_bytes)
                d->from_f32(s.w + at, w);
            for (int i = 0; i < s.cols * s.k; i++)
                s.x[i] = sign / 2 ? 1 : -1;
            check_sample(&s);
            sample_free(&s);
        }
    }
}

/* What the activations are once quantized, in double. */
static double act_value(const struct group *g, enum act_kind kind, int i)
{
    if (kind == ACT_F32)
        return (double)g->f[i];
    return (double)g->q[i] * (double)g->d[i / (kind == ACT_A32 ? 32 : 256)];
}

/* A chain of n fused steps errs by at most n half units of the sum of magnitudes; the scale product and the
 * weight's own definition in f32 add a few. */
static void the_scalar_table_follows_the_definition(void **state)
{
    (void)state;
    const struct kernels *k = scalar_table();
    for (int t = 0; t < N_DTYPES; t++) {
        const struct dtype_info *d = &dtype_table[t];
        for (int blocks = 1; blocks <= (d->n_values == 1 ? 70 : 8); blocks++) {
            struct sample s = sample_make((enum dtype)t, 17, blocks * d->n_values, false, 500 + (uint64_t)blocks);
            struct group g = group_make(k, &s, 0, 1);
            static float y[MAX_ROWS], w[8 * 256];
            k->gemv[t](y, s.w, s.row_bytes, s.rows, s.k, &g.v);
            for (int r = 0; r < s.rows; r++) {
                double want = 0, size = 0;
                k->row_to_f32[t](w, s.w + (size_t)r * s.row_bytes, s.k);
                for (int i = 0; i < s.k; i++) {
                    double term = (double)w[i] * act_value(&g, d->act, i);
                    want += term;
                    size += fabs(term);
                }
                if (!(fabs((double)y[r] - want) <= (blocks + 8) * 0x1p-24 * size))
                    fail_msg("scalar %s, K = %d, seed %llu, row %d: %g, the definition gives %g", d->name, s.k,
                             (unsigned long long)s.seed, r, (double)y[r], want);
            }
            group_free(&g);
            sample_free(&s);
        }
    }
}

/* One of the scales becomes NaN or infinity: so does the row, and no other. */
static void a_nan_in_a_weight_scale_reaches_its_row_alone(void **state)
{
    (void)state;
    static const struct { enum dtype type; size_t scale_at; } at[] = {
        { DTYPE_q4_0, 0 }, { DTYPE_q4_1, 0 }, { DTYPE_q4_1, 2 }, { DTYPE_q5_0, 0 }, { DTYPE_q5_1, 0 },
        { DTYPE_q5_1, 2 }, { DTYPE_q8_0, 0 }, { DTYPE_q2_K, 80 }, { DTYPE_q2_K, 82 }, { DTYPE_q3_K, 108 },
        { DTYPE_q4_K, 0 }, { DTYPE_q4_K, 2 }, { DTYPE_q5_K, 0 }, { DTYPE_q5_K, 2 }, { DTYPE_q6_K, 208 },
        { DTYPE_iq4_nl, 0 }, { DTYPE_iq4_xs, 0 }, { DTYPE_tq1_0, 52 }, { DTYPE_tq2_0, 64 }, { DTYPE_q1_0, 0 },
        { DTYPE_q2_0, 0 }, { DTYPE_iq1_s, 0 }, { DTYPE_iq2_s, 0 }, { DTYPE_iq3_xxs, 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(at); i++) {
        struct sample s = sample_make(at[i].type, 17, 512, false, 900 + i);
        const uint8_t nan[2] = { 0x01, 0x7e };
        memcpy(s.w + 3 * s.row_bytes + at[i].scale_at, nan, 2);
        EACH_TABLE(k)
        {
            static float y[MAX_COLS * MAX_ROWS];
            multiply(k, &s, 5, y);
            for (int j = 0; j < 5 * s.rows; j++)
                if (isnan(y[j]) != (j % s.rows == 3))
                    fail_msg("%s %s: y[%d] = %g", k->isa, dtype_table[s.type].name, j, (double)y[j]);
        }
        sample_free(&s);
    }
}

/* All 65,536 half-precision weights, times 1. */
static void every_half_becomes_the_same_float_in_hardware_and_software(void **state)
{
    (void)state;
    enum { N = 65536 };
    static uint16_t w[N];
    static float got[N], want[N];
    for (int i = 0; i < N; i++)
        w[i] = (uint16_t)i;
    float one = 1;
    struct act_view x = { .f = &one, .f_stride = 1, .n_group = 1 };
    EACH_TABLE(k)
    {
        for (int t = DTYPE_f16; t <= DTYPE_bf16; t++) {
            k->gemv[t](got, w, 2, N, 1, &x);
            k->row_to_f32[t](want, w, N);
            for (int i = 0; i < N; i++)
                want[i] = want[i] + 0.0f; /* the chain starts at +0 */
            int i = first_difference(got, want, N);
            if (i >= 0)
                fail_msg("%s %s %04x: %a, want %a", k->isa, dtype_table[t].name, i, (double)got[i], (double)want[i]);
        }
    }
}

/* check_matrix [ONE-IN] */
int main(int argc, char **argv)
{
    if (argc > 1 && strtoull(argv[1], NULL, 10) > 0)
        one_in = strtoull(argv[1], NULL, 10);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_columns_and_batches_agree_bit_for_bit),
        cmocka_unit_test(random_bits_as_weights_agree_and_stay_inside),
        cmocka_unit_test(long_rows_agree),
        cmocka_unit_test(rows_of_several_turns_agree),
        cmocka_unit_test(wide_batches_agree),
        cmocka_unit_test(tall_matrices_agree),
        cmocka_unit_test(the_largest_sums_agree),
        cmocka_unit_test(the_scalar_table_follows_the_definition),
        cmocka_unit_test(a_nan_in_a_weight_scale_reaches_its_row_alone),
        cmocka_unit_test(every_half_becomes_the_same_float_in_hardware_and_software),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
