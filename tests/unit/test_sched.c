/* test_sched.c: which tokens go into the next step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include "engine/sched.h"

#include <cmocka.h>

/* A long prompt must not make a running chat stutter. */
static void decoding_is_never_delayed_by_a_prompt(void **state)
{
    (void)state;
    const struct sched_seq seqs[] = {
        { .state = SEQ_PREFILL, .n_prompt = 9000, .n_done = 0 },
        { .state = SEQ_DECODE, .n_prompt = 10, .n_done = 42 },
    };
    struct plan p;
    sched_plan(&p, seqs, 2, 512, 512);
    assert_int_equal(p.n_slices, 2);
    assert_int_equal(p.slice[0].seq, 1);
    assert_int_equal(p.slice[0].n, 1);
    assert_int_equal(p.slice[0].first, 42);
    assert_true(p.slice[0].last);
    assert_int_equal(p.slice[1].n, 511);
    assert_false(p.slice[1].last);
    assert_int_equal(p.n_tokens, 512);
}

static void the_last_chunk_of_a_prompt_asks_for_logits(void **state)
{
    (void)state;
    const struct sched_seq seqs[] = { { .state = SEQ_PREFILL, .n_prompt = 700, .n_done = 512 } };
    struct plan p;
    sched_plan(&p, seqs, 1, 512, 512);
    assert_int_equal(p.n_tokens, 188);
    assert_true(p.slice[0].last);
}

static void prompts_come_in_order_of_arrival_not_of_slots(void **state)
{
    (void)state;
    const struct sched_seq seqs[] = {
        { .state = SEQ_PREFILL, .n_prompt = 100, .order = 9 },
        { .state = SEQ_PREFILL, .n_prompt = 100, .order = 3 },
        { .state = SEQ_PREFILL, .n_prompt = 100, .order = 5 },
    };
    struct plan p;
    sched_plan(&p, seqs, 3, 150, 150);
    assert_int_equal(p.n_slices, 2);
    assert_int_equal(p.slice[0].seq, 1);
    assert_int_equal(p.slice[0].n, 100);
    assert_int_equal(p.slice[1].seq, 2);
    assert_int_equal(p.slice[1].n, 50);
}

static void a_sequence_own_chunk_is_held(void **state)
{
    (void)state;
    const struct sched_seq seqs[] = { { .state = SEQ_PREFILL, .n_prompt = 100, .n_done = 96, .n_chunk = 3 } };
    struct plan p;
    sched_plan(&p, seqs, 1, 512, 512);
    assert_int_equal(p.slice[0].n, 3);
    assert_int_equal(p.slice[0].first, 96);
    assert_false(p.slice[0].last);
}

static void paused_and_free_slots_get_nothing(void **state)
{
    (void)state;
    const struct sched_seq seqs[] = { { .state = SEQ_PAUSED, .n_prompt = 5, .n_done = 9 }, { .state = SEQ_FREE } };
    struct plan p;
    sched_plan(&p, seqs, 2, 512, 512);
    assert_int_equal(p.n_slices, 0);
    assert_int_equal(p.n_tokens, 0);
}

/* Two columns are taken and six are left: three tokens for each, and what the one does not have goes to the other. */
static void drafts_share_the_columns_that_are_left(void **state)
{
    (void)state;
    struct sched_seq seqs[] = {
        { .state = SEQ_DECODE, .n_prompt = 3, .n_done = 7, .n_draft = 16 },
        { .state = SEQ_DECODE, .n_prompt = 3, .n_done = 9, .n_draft = 16 },
        { .state = SEQ_PAUSED, .n_prompt = 3, .n_done = 9, .n_draft = 16 },
    };
    struct plan p;
    sched_plan(&p, seqs, 3, 2, 8);
    assert_int_equal(p.n_slices, 2);
    assert_int_equal(p.slice[0].n, 4);
    assert_int_equal(p.slice[1].n, 4);
    assert_int_equal(p.n_tokens, 8);
    seqs[0].n_draft = 1;
    sched_plan(&p, seqs, 3, 8, 8);
    assert_int_equal(p.slice[0].n, 2);
    assert_int_equal(p.slice[1].n, 6);
    sched_plan(&p, seqs, 3, 512, 512);
    assert_int_equal(p.n_tokens, 2 + 17);
}

static void a_draft_comes_beside_a_prompt_and_not_instead(void **state)
{
    (void)state;
    static const struct sched_seq seqs[] = {
        { .state = SEQ_DECODE, .n_prompt = 3, .n_done = 7, .n_draft = 4 },
        { .state = SEQ_PREFILL, .n_prompt = 100, .n_done = 0, .n_draft = 4 },
    };
    struct plan p;
    sched_plan(&p, seqs, 2, 16, 16);
    assert_int_equal(p.slice[0].n, 1);
    assert_int_equal(p.slice[1].n, 15);
    sched_plan(&p, seqs, 2, 16, 32);
    assert_int_equal(p.slice[0].n, 5);
    assert_int_equal(p.slice[1].n, 15);
    assert_int_equal(p.n_tokens, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoding_is_never_delayed_by_a_prompt),
        cmocka_unit_test(the_last_chunk_of_a_prompt_asks_for_logits),
        cmocka_unit_test(prompts_come_in_order_of_arrival_not_of_slots),
        cmocka_unit_test(a_sequence_own_chunk_is_held),
        cmocka_unit_test(drafts_share_the_columns_that_are_left),
        cmocka_unit_test(a_draft_comes_beside_a_prompt_and_not_instead),
        cmocka_unit_test(paused_and_free_slots_get_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
