/* The activation with numbers of its own: near its formula in double, the same value wherever it stands in a row. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "model/xielu.h"

#include <cmocka.h>

static const struct xielu numbers[] = {
    { .alpha_p = 0.8f, .alpha_n = 0.8f, .beta = 0.5f, .eps = -1e-6f }, /* as models begin */
    { .alpha_p = 1.3f, .alpha_n = 2.1f, .beta = 0.25f, .eps = -0.5f },
    { .alpha_p = 0.1f, .alpha_n = -0.7f, .beta = -2, .eps = 3 },
};

static double formula(double x, const struct xielu *by)
{
    if (x > 0)
        return ((double)by->alpha_p * x + (double)by->beta) * x;
    return (expm1(fmin(x, (double)by->eps)) - x) * (double)by->alpha_n + (double)by->beta * x;
}

static void test_it_follows_its_formula(void **state)
{
    (void)state;
    for (size_t a = 0; a < sizeof numbers / sizeof numbers[0]; a++)
        for (float x = -200; x < 200; x += x > -2 && x < 2 ? 1e-3f : 0.37f) {
            float y;
            xielu(&y, &x, 1, &numbers[a]);
            /* Observed: 1.3e-7 of what is added up; a term left out or a wrong constant gives 1e-3 and more. */
            double terms = 1 + fabs((double)numbers[a].beta * (double)x)
                           + (x > 0 ? (double)(numbers[a].alpha_p * x * x) : fabs((double)(numbers[a].alpha_n * x)));
            assert_true(fabs((double)y - formula((double)x, &numbers[a])) < 5e-7 * terms);
        }
}

static void test_a_value_is_the_same_wherever_it_stands(void **state)
{
    (void)state;
    enum { N = 37 };
    float x[N], y[N], one;
    for (int i = 0; i < N; i++)
        x[i] = ldexpf((float)(i - 20), i % 9 - 6);
    xielu(y, x, N, &numbers[1]);
    for (int i = 0; i < N; i++) {
        xielu(&one, &x[i], 1, &numbers[1]);
        assert_memory_equal(&one, &y[i], sizeof one);
    }
    xielu(x, x, N, &numbers[1]);
    assert_memory_equal(x, y, sizeof x);
}

static void test_what_is_not_finite_stays_so(void **state)
{
    (void)state;
    float x[] = { NAN, INFINITY, -INFINITY }, y[3];
    xielu(y, x, 3, &numbers[0]);
    for (int i = 0; i < 3; i++)
        assert_false(isfinite(y[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_follows_its_formula),
        cmocka_unit_test(test_a_value_is_the_same_wherever_it_stands),
        cmocka_unit_test(test_what_is_not_finite_stays_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
