/* test_kld.c: divergences of rows against sums written out in long double. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "base/rng.h"
#include "cli/kld.h"

enum { N = 2048, POSITIONS = 101 };

static void random_row(float *row, uint64_t key, float scale)
{
    struct rng rng = { key, 0 };
    for (int i = 0; i < N; i++)
        row[i] = scale * rng_normal(&rng) + 5;
}

static long double share(const float *row, int i)
{
    long double sum = 0;
    for (int j = 0; j < N; j++)
        sum += expl((long double)row[j]);
    return expl((long double)row[i]) / sum;
}

/* The formula as it stands in the book. Seen: at most 2e-14; a single term left out is 5e-7 to 0.2. */
static void a_divergence_is_the_sum_over_the_whole_vocabulary(void **state)
{
    (void)state;
    static float q[N], p[N];
    for (uint64_t key = 1; key <= 5; key++) {
        struct kld_position got;
        long double want = 0, sum_p = 0, sum_q = 0;
        random_row(p, key, 3);
        random_row(q, key + 100, 2);
        for (int i = 0; i < N; i++) {
            sum_p += expl((long double)p[i]);
            sum_q += expl((long double)q[i]);
        }
        for (int i = 0; i < N; i++)
            want += expl((long double)p[i]) / sum_p
                  * logl(expl((long double)p[i]) / sum_p / (expl((long double)q[i]) / sum_q));
        kld_compare(q, p, N, 17, &got);
        assert_true(fabsl((long double)got.divergence - want) < 1e-12L);
        assert_true(fabsl((long double)got.p - share(q, 17)) < 1e-14L);
        assert_true(fabsl((long double)got.p_reference - share(p, 17)) < 1e-14L);
    }
}

static void a_row_and_its_equal_have_divergence_0_exactly(void **state)
{
    (void)state;
    static float q[N], p[N];
    struct kld_position got;
    random_row(p, 9, 4);
    memcpy(q, p, sizeof q);
    kld_compare(q, p, N, 3, &got);
    assert_true(got.divergence == 0);
    assert_true(got.p == got.p_reference);
    assert_true(got.same_top);
}

static void the_likeliest_token_is_compared_and_ties_go_to_the_lower_id(void **state)
{
    (void)state;
    static float q[N], p[N];
    struct kld_position got;
    p[7] = q[7] = q[9] = 3;
    kld_compare(q, p, N, 0, &got);
    assert_true(got.same_top);
    q[6] = 3;
    kld_compare(q, p, N, 0, &got);
    assert_false(got.same_top);
}

static void large_logits_do_not_overflow(void **state)
{
    (void)state;
    static float q[N], p[N];
    struct kld_position got;
    p[1] = 3e38f;
    q[1] = 1e4f;
    kld_compare(q, p, N, 1, &got);
    assert_true(got.p == 1 && got.p_reference == 1 && isfinite(got.divergence));
}

static void a_summary_has_mean_spread_and_shares(void **state)
{
    (void)state;
    struct kld_position at[POSITIONS];
    struct kld_summary s;
    for (int i = 0; i < POSITIONS; i++) /* 0..100, shuffled */
        at[i] = (struct kld_position){ .divergence = (double)(i * 37 % POSITIONS), .p = 0.5,
                                       .p_reference = i % 2 ? 0.4 : 0.6, .same_top = i < 25 };
    kld_summarize(at, POSITIONS, &s);
    assert_true(fabs(s.mean - 50) < 1e-12);
    assert_true(fabs(s.median - 50) < 1e-12);
    assert_true(fabs(s.p90 - 90) < 1e-12);
    assert_true(fabs(s.p99 - 99) < 1e-12);
    assert_true(s.max == 100);
    /* Variance of 0..100 with n - 1 is 858.5. */
    assert_true(fabs(s.standard_error - sqrt(858.5 / POSITIONS)) < 1e-12);
    assert_true(fabs(s.same_top - 25.0 / POSITIONS) < 1e-12);
    assert_true(fabs(s.mean_difference - (-0.1 / POSITIONS)) < 1e-12);
    assert_true(fabs(s.rms_difference - 0.1) < 1e-12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_divergence_is_the_sum_over_the_whole_vocabulary),
        cmocka_unit_test(a_row_and_its_equal_have_divergence_0_exactly),
        cmocka_unit_test(the_likeliest_token_is_compared_and_ties_go_to_the_lower_id),
        cmocka_unit_test(large_logits_do_not_overflow),
        cmocka_unit_test(a_summary_has_mean_spread_and_shares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
