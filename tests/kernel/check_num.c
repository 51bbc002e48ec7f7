/* check_num.c: our own exp, log, pow, sin, cos against libm; formats there and back; the dispatch; batches. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../random_block.h"
#include "check.h"
#include "dtype/half.h"
#include "kernel/gemm.h"
#include "kernel/num.h"

static double between(struct rng *rng, double low, double high) { return low + (high - low) * rng_unit(rng); }

static void within(const char *what, double x, double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%s(%.17g): %.17g, want %.17g", what, x, got, want);
}

static void num_functions_are_within_1e_14(void **state)
{
    (void)state;
    struct rng rng = { 1, 0 };
    for (int i = 0; i < 200000; i++) {
        double x = between(&rng, -700, 700);
        within("exp", x, num_exp(x), exp(x), 1e-14 * exp(x));
        x = i % 2 ? exp(between(&rng, -700, 700)) : between(&rng, 0.9, 1.1);
        within("log", x, num_log(x), log(x), 1e-14 * fabs(log(x)));
        x = ldexp(between(&rng, -1, 1), (int)rng_below(&rng, 29));
        within("sin", x, num_sin(x), sin(x), 1e-14);
        within("cos", x, num_cos(x), cos(x), 1e-14);
        double base = between(&rng, 10000, 1e7);
        x = between(&rng, -1, 0);
        within("pow", x, num_pow(base, x), pow(base, x), 1e-14 * pow(base, x));
    }
    assert_true(num_exp(1000) == (double)INFINITY && num_exp(-1000) == 0 && num_exp(0) == 1);
    assert_true(num_log(1) == 0 && isnan(num_log(-1)) && isnan(num_exp((double)NAN)));
    assert_true(num_sin(0) == 0 && num_cos(0) == 1);
}

static void formats_come_back_within_half_a_step(void **state)
{
    (void)state;
    static const struct { enum dtype type; double error; } step[] = {
        { DTYPE_f32, 0 }, { DTYPE_f16, 0x1p-9 }, { DTYPE_bf16, 0x1p-6 }, { DTYPE_q4_0, 0.8 },
        { DTYPE_q4_1, 0.3 }, { DTYPE_q5_0, 0.5 }, { DTYPE_q5_1, 0.15 }, { DTYPE_q8_0, 0.03 }, { DTYPE_q2_K, 2 },
        { DTYPE_q3_K, 1.5 }, { DTYPE_q4_K, 0.5 }, { DTYPE_q5_K, 0.2 }, { DTYPE_q6_K, 0.12 }, { DTYPE_iq4_nl, 0.5 },
        { DTYPE_iq4_xs, 0.6 }, { DTYPE_tq1_0, 2.5 }, { DTYPE_tq2_0, 2.5 }, { DTYPE_mxfp4, 1.2 }, { DTYPE_q1_0, 5 },
        { DTYPE_q2_0, 2.5 },
    };
    size_t n_quantizers = 0;
    for (int t = 0; t < N_DTYPES; t++)
        n_quantizers += dtype_table[t].from_f32 != NULL;
    assert_int_equal(ARRAY_LEN(step), n_quantizers);
    struct rng rng = { 2, 0 };
    for (size_t i = 0; i < ARRAY_LEN(step); i++)
        for (int round = 0; round < 200; round++) {
            const struct dtype_info *d = &dtype_table[step[i].type];
            float x[256], back[256];
            uint8_t block[256];
            for (int j = 0; j < 256; j++)
                x[j] = rng_normal(&rng);
            d->from_f32(block, x);
            d->to_f32(back, block);
            for (int j = 0; j < d->n_values; j++)
                if (fabs((double)x[j] - (double)back[j]) > step[i].error)
                    fail_msg("%s: %g came back as %g", d->name, (double)x[j], (double)back[j]);
        }
}

static void formats_are_found_by_id_and_name(void **state)
{
    (void)state;
    for (int i = 0; i < N_DTYPES; i++) {
        enum dtype t;
        assert_true(dtype_from_gguf(dtype_table[i].gguf_id, &t) && t == (enum dtype)i);
        assert_true(dtype_from_name(dtype_table[i].name, &t) && t == (enum dtype)i);
    }
    enum dtype t;
    assert_true(dtype_from_name("Q4_k", &t) && t == DTYPE_q4_K);
    assert_false(dtype_from_name("q4", &t));
    assert_false(dtype_from_name("q4_K_M", &t));
    assert_false(dtype_from_gguf(999, &t));
}

/* The driver: any number of tokens, any table, equals one token at a time; a bias is added to what that gives. */
static void a_batch_gives_each_token_what_it_gets_alone(void **state)
{
    (void)state;
    enum { K = 768, ROWS = 83, MOST = 40 };
    struct rng rng = { 3, 0 };
    static float x[MOST * K], y[MOST * ROWS], alone[ROWS];
    _Alignas(64) static uint8_t scratch[KERNEL_SCRATCH_BYTES];
    for (int i = 0; i < MOST * K; i++)
        x[i] = rng_normal(&rng);
    float *bias = guard_alloc(ROWS * sizeof *bias);
    for (int i = 0; i < ROWS; i++)
        bias[i] = rng_normal(&rng);
    for (int t = 0; t < N_DTYPES; t++) {
        const struct dtype_info *d = &dtype_table[t];
        size_t row_bytes = dtype_row_bytes((enum dtype)t, K), bytes = row_bytes * ROWS;
        uint8_t *w = guard_alloc(bytes);
        for (size_t at = 0; at < bytes; at += (size_t)d->block_bytes)
            random_block(d, &rng, 1, w + at);
        struct mat m = { (enum dtype)t, w, row_bytes, ROWS, K, NULL };
        EACH_TABLE(k)
        {
            size_t mem_bytes = align_size(act_bytes(MOST, K), 64);
            uint8_t *mem = guard_alloc(mem_bytes);
            for (int n = 1; n <= MOST; n += n < 15 ? 1 : 8) {
                struct act a;
                act_init(&a, k, d->act, n, K, mem);
                for (int i = n - 1; i >= 0; i--)
                    act_fill(&a, k, i, x + i * K);
                m.bias = n % 3 ? bias : NULL;
                gemm_rows(k, &m, 0, 32, &a, y, ROWS, scratch);
                gemm_rows(k, &m, 32, ROWS, &a, y, ROWS, scratch);
                m.bias = NULL;
                for (int i = 0; i < n; i += 3) {
                    act_init(&a, scalar_table(), d->act, 1, K, mem);
                    act_fill(&a, scalar_table(), 0, x + i * K);
                    gemm_rows(scalar_table(), &m, 0, ROWS, &a, alone, ROWS, scratch);
                    for (int r = 0; n % 3 && r < ROWS; r++)
                        alone[r] += bias[r];
                    if (first_difference(y + i * ROWS, alone, ROWS) >= 0)
                        fail_msg("%s %s: token %d of %d differs from itself alone", k->isa, d->name, i, n);
                }
            }
            guard_free(mem, mem_bytes);
        }
        guard_free(w, bytes);
    }
    guard_free(bias, ROWS * sizeof *bias);
}

/* Last: it changes the environment, and the choice is final. */
static void an_unknown_isa_is_refused_with_the_names_of_those_that_run(void **state)
{
    (void)state;
    hearth_error err = { 0 };
    setenv("HEARTH_ISA", "quantum", 1);
    assert_null(kernels_get(&err));
    assert_int_equal(err.status, HEARTH_ERR_USAGE);
    assert_non_null(strstr(err.message, "quantum"));
    assert_non_null(strstr(err.message, kernels_usable_names()));
    assert_non_null(strstr(kernels_usable_names(), "scalar"));
    setenv("HEARTH_ISA", "scalar", 1);
    assert_ptr_equal(kernels_get(&err), scalar_table());
    setenv("HEARTH_ISA", "quantum", 1);
    assert_ptr_equal(kernels_get(&err), scalar_table());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(num_functions_are_within_1e_14),
        cmocka_unit_test(formats_come_back_within_half_a_step),
        cmocka_unit_test(formats_are_found_by_id_and_name),
        cmocka_unit_test(a_batch_gives_each_token_what_it_gets_alone),
        cmocka_unit_test(an_unknown_isa_is_refused_with_the_names_of_those_that_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
