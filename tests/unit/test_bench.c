/* What `hearth bench` counts, against sums done by hand, and what it makes of runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "cli/bench_figures.h"

#include <cmocka.h>

/* 2 layers of width 256 with 4 heads of 64, 2 KV heads, FFN 512, 288 tokens, in Q8_0 (34 bytes for 32 weights):
 * q and output 256 x 256 each, k and v 256 x 128, three matrices of 256 x 512. */
static const hearth_cost tiny = {
    .pass_bytes = (2 * 589824 + 288 * 256) / 32 * 34,
    .kv_read_bytes = 1024,             /* 2 layers, keys and values, 2 heads of 64, 2 bytes each */
    .layer_macs = 2 * 589824,
    .output_macs = 288 * 256,
    .attention_macs = 2 * 2 * 4 * 64,  /* keys and values, 2 layers, 4 heads of 64 */
};

static void test_a_pass_reads_the_weights_once_and_everybodys_own_cache(void **state)
{
    (void)state;
    assert_true(bench_pass_bytes(&tiny, 1, 0) == 1331712);
    assert_true(bench_pass_bytes(&tiny, 1, 100) == 1331712 + 102400);
    assert_true(bench_pass_bytes(&tiny, 8, 32) == 1331712 + 8 * 32768);
}

static void test_a_prompt_attends_to_what_comes_before_and_has_logits_once(void **state)
{
    (void)state;
    assert_true(bench_prompt_macs(&tiny, 1) == 1179648 + 1024 + 73728);
    assert_true(bench_prompt_macs(&tiny, 4) == 4 * 1179648 + (1 + 2 + 3 + 4) * 1024 + 73728);
}

static void test_the_quietest_runs_count(void **state)
{
    (void)state;
    static struct bench_row row = { .amount = 2e9, .n_runs = 5 };
    const struct bench_run runs[5] = {
        { 10, 40, 50 }, { 20, 80, 1 }, { 22, 80, 2 }, { 24, 60, 3 }, { 90, 40, 90 } };
    memcpy(row.run, runs, sizeof runs);
    struct bench_summary s;
    bench_summarize(&s, &row, 3);
    assert_int_equal(s.n, 3);
    assert_true(s.tok_s == 22 && s.low == 20 && s.high == 24 && s.others == 2 && s.roof == 80);
    assert_true(s.share == 22 * 2.0 / 80); /* of 0.5, 0.55 and 0.8 */
    bench_summarize(&s, &row, BENCH_MOST_RUNS);
    assert_int_equal(s.n, 5);
}

static void test_a_list_is_numbers_with_commas_or_none(void **state)
{
    (void)state;
    int v[BENCH_LIST_MOST], n;
    hearth_error err = { 0 };
    assert_true(bench_read_list("batch", "1,2,16", 1, 63, v, &n, &err));
    assert_true(n == 3 && v[0] == 1 && v[1] == 2 && v[2] == 16);
    assert_true(bench_read_list("batch", "none", 1, 63, v, &n, &err) && n == 0);
    static const char *const bad[] = { "", "0", "64", "1,", ",1", "1;2", "x", "1,x",
                                       "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(bench_read_list("batch", bad[i], 1, 63, v, &n, &err));
        assert_non_null(strstr(err.message, "--batch"));
        assert_non_null(strstr(err.message, "from 1 to 63"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_pass_reads_the_weights_once_and_everybodys_own_cache),
        cmocka_unit_test(test_a_prompt_attends_to_what_comes_before_and_has_logits_once),
        cmocka_unit_test(test_the_quietest_runs_count),
        cmocka_unit_test(test_a_list_is_numbers_with_commas_or_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
