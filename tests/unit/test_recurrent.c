/* test_recurrent.c: a model whose layers partly keep a state instead of keys and values gives the same bits however its
 * requests meet: what is gone on from, what is given up, cut into steps, and computed beside others. */
#include "meetings.h"

/* Short convolutions, and gated delta nets. */
static struct recurrent {
    struct tiny tiny;
    size_t state_bytes; /* of one sequence, at least */
    const char *taps;
} models[] = {
    { { .arch = "lfm2", .type = DTYPE_q8_0, .n_ctx = 2048 }, 2 * TINY_EMBD * sizeof(float),
      "blk.0.shortconv.conv.weight" },
    { { .arch = "qwen35", .type = DTYPE_q8_0, .n_ctx = 2048 }, 128 * 32 * sizeof(float), "blk.0.ssm_conv1d.weight" },
};

static void it_goes_on_where_a_state_was_saved(void **state)
{
    static struct answer alone, got;
    static int32_t a[1000], b[1000];
    struct opened o;
    const struct recurrent *m = *state;
    open_model(&o, "saved", m->tiny, (hearth_engine_options){ .n_threads = 2, .n_seqs = 2 },
               (hearth_model_options){ 0 });
    hearth_plan plan;
    hearth_model_plan(o.model, &plan);
    assert_true(plan.state_bytes >= 4 * m->state_bytes && plan.state_bytes < plan.kv_bytes);
    fill_ids(a, 1000, 1);
    memcpy(b, a, sizeof b);
    hearth_request cold = cold_of(a, 900, 16), r = request_of(a, 900, 16);
    answer(&o, &cold, &alone);
    answer(&o, &r, &got);
    assert_same(&alone, &got);
    assert_int_equal(got.receipt.n_cached_tokens, 0);
    answer(&o, &r, &got); /* the last full page before its last token */
    assert_same(&alone, &got);
    assert_int_equal(got.receipt.n_cached_tokens, 896);
    assert_int_equal(got.receipt.prefix_end, HEARTH_PREFIX_NO_STATE);

    /* Where prompts part there is no state the first time, and then there is. */
    static const struct { int same, n_cached; } next[] = { { 500, 0 }, { 512, 448 }, { 900, 896 } };
    for (size_t i = 0; i < ARRAY_LEN(next); i++) {
        fill_ids(b + next[i].same, 1000 - next[i].same, 2 + i);
        hearth_request cold_b = cold_of(b, 900, 16), rb = request_of(b, 900, 16);
        answer(&o, &cold_b, &alone);
        answer(&o, &rb, &got);
        assert_same(&alone, &got);
        assert_int_equal(got.receipt.n_cached_tokens, next[i].n_cached);
    }
    close_model(&o);
}

/* The next turn of a conversation begins with the prompt before it and its answer, to the token. */
static void an_answer_is_gone_on_from_at_its_end(void **state)
{
    static struct answer first, alone, got;
    static int32_t ids[300];
    struct opened o;
    const struct recurrent *m = *state;
    open_model(&o, "turns", m->tiny, (hearth_engine_options){ .n_threads = 1 }, (hearth_model_options){ 0 });
    fill_ids(ids, 300, 4);
    hearth_request r = request_of(ids, 100, 40);
    answer(&o, &r, &first);
    memcpy(ids + 100, first.ids, 40 * sizeof *ids);
    hearth_request cold = cold_of(ids, 200, 10), next = request_of(ids, 200, 10);
    answer(&o, &cold, &alone);
    answer(&o, &next, &got);
    assert_same(&alone, &got);
    assert_int_equal(got.receipt.n_cached_tokens, 139); /* all but the last, which was sampled and not computed */
    close_model(&o);
}

static void it_does_not_speculate_and_says_so(void **state)
{
    static struct answer alone, got;
    static int32_t ids[64];
    struct opened o;
    const struct recurrent *m = *state;
    open_model(&o, "drafts", m->tiny, (hearth_engine_options){ .n_threads = 1 }, (hearth_model_options){ 0 });
    for (int i = 0; i < 64; i++)
        ids[i] = 260 + i % 4; /* much to look up */
    hearth_request cold = cold_of(ids, 64, 100), r = request_of(ids, 64, 100);
    cold.speculate = HEARTH_SPECULATE_OFF;
    r.speculate = 4;
    answer(&o, &cold, &alone);
    answer(&o, &r, &got);
    assert_same(&alone, &got);
    assert_int_equal(got.receipt.speculate, HEARTH_SPECULATE_OFF);
    assert_int_equal(got.receipt.n_draft_tokens, 0);
    assert_non_null(strstr(got.receipt.notes, "speculation is off"));
    close_model(&o);
}

/* A tensor with a NaN is named, though the state it went into is gone on from. */
static void what_is_not_finite_is_named(void **state)
{
    static struct answer got;
    static int32_t ids[200];
    struct opened o;
    const struct recurrent *m = *state;
    struct tiny damaged = m->tiny;
    damaged.type = DTYPE_f32;
    damaged.nan_tensor = m->taps;
    open_model(&o, "damaged", damaged, (hearth_engine_options){ .n_threads = 1, .n_step_tokens = 32 },
               (hearth_model_options){ 0 });
    fill_ids(ids, 200, 6);
    hearth_request r = request_of(ids, 200, 4);
    answer(&o, &r, &got);
    assert_int_equal(got.reason, HEARTH_END_ERROR);
    assert_non_null(strstr(got.error.message, "layer 0"));
    assert_non_null(strstr(got.error.message, m->taps));
    close_model(&o);
}

#define OF_EACH(test)                                                                                               \
    cmocka_unit_test_prestate(test, &models[0]), cmocka_unit_test_prestate(test, &models[1])

int main(void)
{
    const struct CMUnitTest tests[] = {
        OF_EACH(it_goes_on_where_a_state_was_saved),
        OF_EACH(an_answer_is_gone_on_from_at_its_end),
        OF_EACH(steps_and_neighbours_change_nothing),
        OF_EACH(several_of_one_prompt_are_computed_once),
        OF_EACH(who_was_preempted_has_the_same_bits),
        OF_EACH(it_does_not_speculate_and_says_so),
        OF_EACH(what_is_not_finite_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
