/* test_verdict.c: what an answer was bound by, from constructed receipts. tests/cli and tests/http construct the cases
 * themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "base/base.h"
#include "record/verdict.h"

#include <cmocka.h>

/* An ordinary one: 100 tokens read in 50 ms, 51 said in 1 s. */
static hearth_receipt ordinary(void)
{
    return (hearth_receipt){ .queue_ms = 1, .template_ms = 0.2, .tokenize_ms = 0.3, .prefill_ms = 50, .decode_ms = 1000,
                             .total_ms = 1052, .n_prompt_tokens = 100, .n_output_tokens = 51, .sample_ms = 20,
                             .n_threads = 2, .prefix_end = HEARTH_PREFIX_NEW, .decode_bytes_per_token = 800000000 };
}

static const char *kind_of(const hearth_receipt *r)
{
    char text[RECEIPT_VERDICT_BYTES];
    enum verdict_kind kind = receipt_verdict(r, text, sizeof text);
    const char *name = verdict_name(kind);
    assert_true(strlen(text) < sizeof text - 1); /* none is cut */
    assert_int_equal(strncmp(text, name, strlen(name)), 0);
    assert_int_equal(text[strlen(name)], ':');
    return name;
}

static void each_kind_is_found(void **state)
{
    (void)state;
    hearth_receipt r = ordinary();
    assert_string_equal(kind_of(&r), "decode-bound");
    r.weights_gb_per_s = 42; /* 40 are read */
    assert_string_equal(kind_of(&r), "memory-bound");
    r.weights_gb_per_s = 100;
    assert_string_equal(kind_of(&r), "decode-bound");
    r.sample_ms = 600;
    assert_string_equal(kind_of(&r), "sampling-bound");
    r = ordinary();
    r.queue_ms = 1500;
    r.total_ms += 1500;
    assert_string_equal(kind_of(&r), "queue-bound");
    r.wake_ms = 700;
    assert_string_equal(kind_of(&r), "queue-bound");
    r.wake_ms = 800; /* more than half of it */
    assert_string_equal(kind_of(&r), "model asleep");
    r = ordinary();
    r.preempted_ms = r.decode_ms = 1500; /* part of that */
    r.total_ms += 500;
    assert_string_equal(kind_of(&r), "queue-bound");
    r = ordinary();
    r.tokenize_ms = 1500;
    r.total_ms += 1500;
    assert_string_equal(kind_of(&r), "prepare-bound");
    r = ordinary();
    r.prefill_ms = 3000;
    r.total_ms += 2950;
    assert_string_equal(kind_of(&r), "prefill-bound");
    r.prefix_end = HEARTH_PREFIX_DIFFERS;
    r.n_prefix_tokens = r.n_cached_tokens = 4;
    assert_string_equal(kind_of(&r), "cache miss");
    r.n_prefix_tokens = r.n_cached_tokens = 80; /* most of it was there */
    assert_string_equal(kind_of(&r), "prefill-bound");
}

static void what_comes_from_outside_comes_first(void **state)
{
    (void)state;
    hearth_receipt r = ordinary();
    r.weights_gb_per_s = 42;
    r.slow_reader_ms = 900;
    assert_string_equal(kind_of(&r), "slow reader");
    r = ordinary();
    r.throttled_ms = 2 * 400; /* of each of two threads */
    assert_string_equal(kind_of(&r), "quota-bound");
    r.throttled_ms = 2 * 100;
    assert_string_equal(kind_of(&r), "decode-bound");
    r = ordinary();
    r.no_processor_ms = 400;
    assert_string_equal(kind_of(&r), "crowded out");
    r = ordinary();
    r.plan.weights_bytes = 800000000;
    r.disk_read_bytes = 700000000;
    assert_string_equal(kind_of(&r), "disk-bound");
    r.disk_read_bytes = 1 << 20;
    assert_string_equal(kind_of(&r), "decode-bound");
}

/* 1.0 GB of 8.5 bits a weight, 51 tokens in 1 s, 100 of the prompt in 50 ms. */
static void what_would_help_is_reckoned(void **state)
{
    (void)state;
    char text[RECEIPT_VERDICT_BYTES];
    hearth_receipt r = ordinary();
    r.decode_bytes_per_token = 1000000000;
    r.plan.weights_bytes = 950000000; /* the rest is keys and values */
    r.bits_per_weight = 8.5;
    r.weights_gb_per_s = 52;
    assert_int_equal(receipt_verdict(&r, text, sizeof text), VERDICT_memory);
    assert_non_null(strstr(text, "96 % of this machine's read roof; "));
    assert_non_null(strstr(text, "a Q4_0 file would be about 1.7x faster; ")); /* 1 / (1 - 0.95 * 3.8 / 8.5) */
    assert_non_null(strstr(text, "8 users at once would get about 6.8x the total")); /* 8 * 20 / (20 + 7 * 0.5) */
    r.bits_per_weight = 4.8; /* 2 % */
    assert_int_equal(receipt_verdict(&r, text, sizeof text), VERDICT_memory);
    assert_null(strstr(text, "Q4_0"));
    r.n_prompt_tokens = 12; /* too few to know */
    assert_int_equal(receipt_verdict(&r, text, sizeof text), VERDICT_memory);
    assert_non_null(strstr(text, "roof; several requests at once share the reading"));
}

static void what_was_not_computed_is_not_judged(void **state)
{
    (void)state;
    hearth_receipt r = { .queue_ms = 1500, .total_ms = 1500 };
    assert_string_equal(kind_of(&r), "nothing to judge");
    r = (hearth_receipt){ 0 };
    assert_string_equal(kind_of(&r), "nothing to judge");
    r = (hearth_receipt){ .prefill_ms = 0.001, .n_prompt_tokens = 1, .n_output_tokens = 1 }; /* no division by zero */
    assert_string_equal(kind_of(&r), "prefill-bound");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_is_found),
        cmocka_unit_test(what_comes_from_outside_comes_first),
        cmocka_unit_test(what_would_help_is_reckoned),
        cmocka_unit_test(what_was_not_computed_is_not_judged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
