/* What others may see of a model while it computes: slots, pages, and the times between tokens. */
#include <time.h>

#include "requests.h"

static int32_t ids[200];
static struct answer got;

static void a_moment(void)
{
    const struct timespec t = { .tv_nsec = 2000000 };
    nanosleep(&t, NULL);
}

static void open_two_slots(struct opened *o)
{
    fill_ids(ids, 200, 3);
    open_model(o, "figures", (struct tiny){ .arch = "llama", .type = DTYPE_q8_0, .n_ctx = 4096 },
               (hearth_engine_options){ .n_seqs = 2, .n_threads = 1 },
               (hearth_model_options){ .budget_bytes = 64 << 20 });
}

static hearth_model_now look(const struct opened *o)
{
    hearth_model_now now;
    hearth_model_look(o->model, &now);
    return now;
}

static uint64_t count_gaps(const hearth_model_now *now)
{
    uint64_t n = 0;
    for (int i = 0; i < HEARTH_N_TIMES; i++)
        n += now->gaps[i];
    return n;
}

/* Until nobody has a slot: the last figures are those of no step. */
static hearth_model_now until_free(const struct opened *o)
{
    hearth_slot slots[2];
    for (int i = 0; i < 5000; i++) {
        assert_int_equal(hearth_model_slots(o->model, slots, 2), 2);
        if (slots[0].state == HEARTH_SLOT_FREE && slots[1].state == HEARTH_SLOT_FREE)
            return look(o);
        a_moment();
    }
    fail_msg("a slot is not free");
    return look(o);
}

static void a_model_without_work_has_all_pages_and_no_step(void **state)
{
    struct opened o;
    (void)state;
    open_two_slots(&o);
    hearth_model_now now = until_free(&o);
    assert_true(now.n_pages > 0 && now.page_tokens == 64);
    assert_int_equal(now.n_used_pages, 0);
    assert_int_equal(now.n_kept_pages, 0);
    assert_int_equal(now.n_steps, 0);
    assert_true(now.since_step_ms < 0);
    close_model(&o);
}

static void every_token_but_the_first_has_a_gap(void **state)
{
    struct opened o;
    (void)state;
    open_two_slots(&o);
    hearth_request r = request_of(ids, 130, 40);
    hearth_stream *s = submit(&o, &r);
    collect(s, &got);
    assert_int_equal(got.n, 40);
    hearth_model_now now = until_free(&o);
    assert_int_equal(count_gaps(&now), 39);
    assert_float_equal(now.gaps_s * 1000, got.receipt.decode_ms, 0.01);
    assert_int_equal(now.n_used_pages, 0);
    assert_int_equal(now.n_kept_pages, 3); /* of 169 positions: the last token's are not computed */
    assert_true(now.n_steps >= 2 && now.n_steps <= 45);
    assert_true(now.since_step_ms >= 0);
    r.max_tokens = 1; /* has none */
    collect(submit(&o, &r), &got);
    now = until_free(&o);
    assert_int_equal(count_gaps(&now), 39);
    close_model(&o);
}

static void a_slot_shows_whose_it_is_and_how_far(void **state)
{
    struct opened o;
    hearth_slot slots[2] = { 0 };
    hearth_event e;
    (void)state;
    open_two_slots(&o);
    hearth_request r = request_of(ids, 100, 0);
    r.request_id = "mine";
    hearth_stream *s = submit(&o, &r);
    assert_true(hearth_stream_next(s, &e));
    int n_prompt = 0, n_cached = -1;
    hearth_stream_prompt_tokens(s, &n_prompt, &n_cached);
    assert_int_equal(n_prompt, 100);
    assert_int_equal(n_cached, 0);
    for (int i = 0; i < 5000 && slots[0].state != HEARTH_SLOT_PAUSED; i++) { /* nobody reads: it waits for that */
        hearth_model_slots(o.model, slots, 2);
        a_moment();
    }
    assert_int_equal(slots[0].state, HEARTH_SLOT_PAUSED);
    assert_string_equal(slots[0].request_id, "mine");
    assert_int_equal(slots[0].n_prompt_tokens, 100);
    assert_true(slots[0].n_output_tokens > 0);
    assert_true(slots[0].n_done_tokens >= 100);
    assert_int_equal(slots[0].n_pages, (slots[0].n_done_tokens + 63) / 64);
    assert_int_equal(slots[1].state, HEARTH_SLOT_FREE);
    assert_int_equal(look(&o).n_used_pages, slots[0].n_pages);
    hearth_stream_close(s);
    assert_int_equal(until_free(&o).n_used_pages, 0);
    assert_int_equal(hearth_model_slots(o.model, slots, 0), 2);
    close_model(&o);
}

static void times_are_in_the_bucket_that_ends_with_them(void **state)
{
    (void)state;
    assert_int_equal(hearth_time_bucket(0), 0);
    assert_int_equal(hearth_time_bucket(1e9), HEARTH_N_TIMES - 1);
    for (int i = 0; i < HEARTH_N_TIMES - 1; i++) {
        assert_int_equal(hearth_time_bucket(hearth_time_bounds_s[i]), i);
        assert_int_equal(hearth_time_bucket(hearth_time_bounds_s[i] * 1.001), i + 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_without_work_has_all_pages_and_no_step),
        cmocka_unit_test(every_token_but_the_first_has_a_gap),
        cmocka_unit_test(times_are_in_the_bucket_that_ends_with_them),
        cmocka_unit_test(a_slot_shows_whose_it_is_and_how_far),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
