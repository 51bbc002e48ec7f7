/* check_state.c: what recurrent layers do with a token: every table equals the scalar one, and the scalar one its
 * formula; what is read ends at a page that cannot be read. */
#include <math.h>
#include <string.h>

#include "check.h"

enum { MAX_N = 70, MAX_TAPS = 5, MAX_ROWS = 33, MAX_COLUMNS = 96 };

/* size: of the terms that were added. A sum of n floats is off by at most n 2^-24 of them. */
static void sum_near(const char *what, int n, float got, double want, double size)
{
    value_near(what, n, got, want, 1e-5 * size);
}

static void products_and_units_follow_their_formulas(void **state)
{
    (void)state;
    struct rng rng = { 1, 0 };
    for (int n = 1; n <= MAX_N; n++) {
        float *a = row_random(&rng, n, 1), *b = row_random(&rng, n, 1), *y = row_random(&rng, n, 1), want[MAX_N];
        double squares = 1e-6;
        for (int i = 0; i < n; i++)
            squares += (double)a[i] * (double)a[i];
        scalar_table()->unit(want, a, n, 1e-6f, 0.25f);
        for (int i = 0; i < n; i++)
            sum_near("unit", n, want[i], (double)a[i] / sqrt(squares) * 0.25, fabs((double)want[i]));
        EACH_TABLE(k)
        {
            k->unit(y, a, n, 1e-6f, 0.25f);
            rows_same(k, "unit", n, y, want, n);
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
        float *x[MAX_TAPS], *taps = row_random(&rng, n * n_taps, 1), *bias = row_random(&rng, n, 1);
        float *y = row_random(&rng, n, 1);
        float want[MAX_N];
        for (int j = 0; j < n_taps; j++)
            x[j] = row_random(&rng, n, 1);
        for (int with = 0; with < 2; with++) {
            scalar_table()->convolve(want, (const float *const *)x, taps, (size_t)n, with ? bias : NULL, n_taps, n);
            for (int i = 0; i < n; i++) {
                double sum = with ? (double)bias[i] : 0, size = fabs(sum);
                for (int j = 0; j < n_taps; j++) {
                    double term = (double)x[j][i] * (double)taps[j * n + i];
                    sum += term;
                    size += fabs(term);
                }
                sum_near("convolution", n, want[i], sum, size);
            }
            EACH_TABLE(k)
            {
                k->convolve(y, (const float *const *)x, taps, (size_t)n, with ? bias : NULL, n_taps, n);
                rows_same(k, "convolution", n, y, want, n);
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
        sum_near("recall", n_rows, want[c], sum, size);
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
            sum_near("state", n_rows, m[r * n_cols + c], now, 1 + fabs(now));
            sum += (double)query[r] * now;
            size += fabs((double)query[r] * now) + fabs((double)query[r]);
        }
        sum_near("remember", n_rows, want[c], sum, size);
    }
}

static void matrices_forget_and_remember(void **state)
{
    (void)state;
    struct rng rng = { 3, 0 };
    for (int n_rows = 1; n_rows <= MAX_ROWS; n_rows += 4)
        for (int n_cols = 16; n_cols <= MAX_COLUMNS; n_cols += 16) {
            int n = n_rows * n_cols;
            float *before = row_random(&rng, n, 1), *m = row_random(&rng, n, 1), *key = row_random(&rng, n_rows, 1);
            float *query = row_random(&rng, n_rows, 1), *value = row_random(&rng, n_cols, 1);
            float *y = row_random(&rng, n_cols, 1);
            float recalled[MAX_COLUMNS], remembered[MAX_COLUMNS], after[MAX_ROWS * MAX_COLUMNS];
            check_recall(n_rows, n_cols, before, key, recalled);
            check_remember(n_rows, n_cols, before, after, key, value, query, remembered);
            EACH_TABLE(k)
            {
                k->recall(y, before, key, 0.75f, n_rows, n_cols);
                rows_same(k, "recall", n_rows, y, recalled, n_cols);
                memcpy(m, before, sizeof *m * (size_t)n);
                k->remember(y, m, key, value, query, 0.75f, n_rows, n_cols);
                rows_same(k, "remember", n_rows, y, remembered, n_cols);
                rows_same(k, "state", n_rows, m, after, n);
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
