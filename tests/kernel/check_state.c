/* check_state.c: what recurrent layers do with a token: every table equals the scalar one, and the scalar one its
 * formula; what is read ends at a page that cannot be read. */
#include <math.h>
#include <string.h>

#include "check.h"

enum { MAX_N = 70, MAX_TAPS = 5, MAX_ROWS = 33, MAX_COLUMNS = 96 };

static float *random_row(struct rng *rng, int n)
{
    float *x = guard_alloc(sizeof(float) * (size_t)n);
    for (int i = 0; i < n; i++)
        x[i] = rng_normal(rng);
    return x;
}
static void row_free(float *x, int n) { guard_free(x, sizeof(float) * (size_t)n); }

static void same(const struct kernels *k, const char *what, int n, const float *got, const float *want, int count)
{
    int i = first_difference(got, want, count);
    if (i >= 0)
        fail_msg("%s %s, n = %d, at %d: %a, scalar %a", k->isa, what, n, i, (double)got[i], (double)want[i]);
}
/* size: of the terms that were added. A sum of n floats is off by at most n 2^-24 of them. */
static void near(const char *what, int n, float got, double want, double size)
{
    if (!(fabs((double)got - want) <= 1e-5 * size))
        fail_msg("%s, n = %d: %.9g, want %.9g", what, n, (double)got, want);
}

static void products_and_units_follow_their_formulas(void **state)
{
    (void)state;
    struct rng rng = { 1, 0 };
    for (int n = 1; n <= MAX_N; n++) {
        float *a = random_row(&rng, n), *b = random_row(&rng, n), *y = random_row(&rng, n), want[MAX_N];
        double squares = 1e-6;
        for (int i = 0; i < n; i++)
            squares += (double)a[i] * (double)a[i];
        scalar_table()->unit(want, a, n, 1e-6f, 0.25f);
        for (int i = 0; i < n; i++)
            near("unit", n, want[i], (double)a[i] / sqrt(squares) * 0.25, fabs((double)want[i]));
        EACH_TABLE(k)
        {
            k->unit(y, a, n, 1e-6f, 0.25f);
            same(k, "unit", n, y, want, n);
            k->mul(y, a, b, n);
            for (int i = 0; i < n; i++)
                assert_true(y[i] == a[i] * b[i]);
        }
        row_free(a, n);
        row_free(b, n);
        row_free(y, n);
    }
}

static void convolutions_are_sums_over_taps(void **state)
{
    (void)state;
    struct rng rng = { 2, 0 };
    for (int n = 1; n <= MAX_N; n++) {
        int n_taps = 1 + n % MAX_TAPS;
        float *x[MAX_TAPS], *taps = random_row(&rng, n * n_taps), *bias = random_row(&rng, n), *y = random_row(&rng, n);
        float want[MAX_N];
        for (int j = 0; j < n_taps; j++)
            x[j] = random_row(&rng, n);
        for (int with = 0; with < 2; with++) {
            scalar_table()->convolve(want, (const float *const *)x, taps, (size_t)n, with ? bias : NULL, n_taps, n);
            for (int i = 0; i < n; i++) {
                double sum = with ? (double)bias[i] : 0, size = fabs(sum);
                for (int j = 0; j < n_taps; j++) {
                    double term = (double)x[j][i] * (double)taps[j * n + i];
                    sum += term;
                    size += fabs(term);
                }
                near("convolution", n, want[i], sum, size);
            }
            EACH_TABLE(k)
            {
                k->convolve(y, (const float *const *)x, taps, (size_t)n, with ? bias : NULL, n_taps, n);
                same(k, "convolution", n, y, want, n);
            }
        }
        for (int j = 0; j < n_taps; j++)
            row_free(x[j], n);
        row_free(taps, n * n_taps);
        row_free(bias, n);
        row_free(y, n);
    }
}

static void check_recall(int n_rows, int n_cols, const float *m, const float *key, float *want)
{
    scalar_table()->recall(want, m, key, 0.75f, n_rows, n_cols);
    for (int c = 0; c < n_cols; c++) {
        double sum = 0, size = 0;
        for (int r = 0; r < n_rows; r++) {
            double term = 0.75 * (double)key[r] * (double)m[r * n_cols + c];
            sum += term;
            size += fabs(term);
        }
        near("recall", n_rows, want[c], sum, size);
    }
}

static void check_remember(int n_rows, int n_cols, const float *before, float *m, const float *key, const float *value,
                           const float *query, float *want)
{
    memcpy(m, before, sizeof *m * (size_t)(n_rows * n_cols));
    scalar_table()->remember(want, m, key, value, query, 0.75f, n_rows, n_cols);
    for (int c = 0; c < n_cols; c++) {
        double sum = 0, size = 0;
        for (int r = 0; r < n_rows; r++) {
            double now = 0.75 * (double)before[r * n_cols + c] + (double)key[r] * (double)value[c];
            near("state", n_rows, m[r * n_cols + c], now, 1 + fabs(now));
            sum += (double)query[r] * now;
            size += fabs((double)query[r] * now) + fabs((double)query[r]);
        }
        near("remember", n_rows, want[c], sum, size);
    }
}

static void matrices_forget_and_remember(void **state)
{
    (void)state;
    struct rng rng = { 3, 0 };
    for (int n_rows = 1; n_rows <= MAX_ROWS; n_rows += 4)
        for (int n_cols = 16; n_cols <= MAX_COLUMNS; n_cols += 16) {
            int n = n_rows * n_cols;
            float *before = random_row(&rng, n), *m = random_row(&rng, n), *key = random_row(&rng, n_rows);
            float *query = random_row(&rng, n_rows), *value = random_row(&rng, n_cols), *y = random_row(&rng, n_cols);
            float recalled[MAX_COLUMNS], remembered[MAX_COLUMNS], after[MAX_ROWS * MAX_COLUMNS];
            check_recall(n_rows, n_cols, before, key, recalled);
            check_remember(n_rows, n_cols, before, after, key, value, query, remembered);
            EACH_TABLE(k)
            {
                k->recall(y, before, key, 0.75f, n_rows, n_cols);
                same(k, "recall", n_rows, y, recalled, n_cols);
                memcpy(m, before, sizeof *m * (size_t)n);
                k->remember(y, m, key, value, query, 0.75f, n_rows, n_cols);
                same(k, "remember", n_rows, y, remembered, n_cols);
                same(k, "state", n_rows, m, after, n);
            }
            row_free(before, n);
            row_free(m, n);
            row_free(key, n_rows);
            row_free(query, n_rows);
            row_free(value, n_cols);
            row_free(y, n_cols);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_and_units_follow_their_formulas),
        cmocka_unit_test(convolutions_are_sums_over_taps),
        cmocka_unit_test(matrices_forget_and_remember),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
