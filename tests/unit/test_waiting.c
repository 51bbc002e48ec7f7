/* What waits is bounded by the tokens of its prompts, and can be told to stop where it is. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "hearth/hearth.h"
#include "requests.h"

static int32_t ids[200];
static struct answer got, all;

static const struct timespec a_moment = { .tv_nsec = 2000000 };

static hearth_engine_queue look(const struct opened *o)
{
    hearth_engine_queue q;
    hearth_engine_look(o->engine, &q);
    return q;
}

static void wait_until(const struct opened *o, int n_waiting, uint64_t n_tokens)
{
    hearth_engine_queue q;
    for (int i = 0; i < 5000; i++) {
        q = look(o);
        if (q.n_raw == 0 && q.n_waiting == n_waiting && q.n_waiting_tokens == n_tokens)
            return;
        nanosleep(&a_moment, NULL);
    }
    fail_msg("%d wait with %llu tokens, not %d with %llu", q.n_waiting, (unsigned long long)q.n_waiting_tokens,
             n_waiting, (unsigned long long)n_tokens);
}

/* One slot that somebody has for as long as the test wants. */
static hearth_stream *open_busy(struct opened *o, uint64_t n_queue_tokens)
{
    hearth_event e;
    fill_ids(ids, 200, 3);
    open_model(o, "waiting", (struct tiny){ .arch = "llama", .type = DTYPE_q8_0, .n_ctx = 2048 },
               (hearth_engine_options){ .n_seqs = 1 },
               (hearth_model_options){ .budget_bytes = 64 << 20 });
    hearth_engine_bound_queue(o->engine, n_queue_tokens);
    hearth_request endless = request_of(ids, 10, 0);
    endless.owner = 9;
    hearth_stream *s = submit(o, &endless);
    assert_true(hearth_stream_next(s, &e));
    wait_until(o, 0, 0);
    return s;
}

static void prompts_that_wait_have_a_most_of_tokens(void **state)
{
    struct opened o;
    (void)state;
    hearth_stream *busy = open_busy(&o, 100), *waits[3];
    hearth_request r = request_of(ids, 150, 1);
    waits[0] = submit(&o, &r); /* above the most, and alone: let in */
    wait_until(&o, 1, 150);
    r.n_prompt_ids = 1;
    answer(&o, &r, &got); /* nothing is computed: it ends while the slot is taken */
    assert_int_equal(got.reason, HEARTH_END_ERROR);
    assert_int_equal(got.error.status, HEARTH_ERR_BUSY);
    assert_non_null(strstr(got.error.message, "150"));
    assert_non_null(strstr(got.error.message, "100"));
    assert_int_equal(look(&o).n_refused, 1);
    r.beyond_queue_tokens = true;
    waits[1] = submit(&o, &r);
    wait_until(&o, 2, 151);
    hearth_stream_close(busy);
    collect(waits[0], &got);
    assert_int_equal(got.n, 1);
    collect(waits[1], &got);
    assert_int_equal(got.n, 1);
    wait_until(&o, 0, 0);
    close_model(&o);
}

static void what_fits_the_most_waits(void **state)
{
    struct opened o;
    (void)state;
    hearth_stream *busy = open_busy(&o, 100), *waits[3];
    hearth_request r = request_of(ids, 50, 1);
    waits[0] = submit(&o, &r);
    waits[1] = submit(&o, &r);
    wait_until(&o, 2, 100);
    r.n_prompt_ids = 1;
    answer(&o, &r, &got);
    assert_int_equal(got.error.status, HEARTH_ERR_BUSY);
    hearth_stream_cancel(waits[0]); /* its tokens are free at once */
    collect(waits[0], &got);
    assert_int_equal(got.reason, HEARTH_END_CANCELLED);
    wait_until(&o, 1, 50);
    waits[2] = submit(&o, &r);
    wait_until(&o, 2, 51);
    hearth_stream_close(busy);
    collect(waits[1], &got);
    assert_int_equal(got.n, 1);
    collect(waits[2], &got);
    assert_int_equal(got.n, 1);
    close_model(&o);
}

static void without_a_most_all_wait(void **state)
{
    struct opened o;
    (void)state;
    hearth_stream *busy = open_busy(&o, 0), *waits[8];
    hearth_request r = request_of(ids, 200, 1);
    for (int i = 0; i < 8; i++)
        waits[i] = submit(&o, &r);
    wait_until(&o, 8, 1600);
    hearth_stream_close(busy);
    for (int i = 0; i < 8; i++)
        collect(waits[i], &got);
    wait_until(&o, 0, 0);
    close_model(&o);
}

/* What was computed until then is what comes without a stop, and the end is that of a limit. */
static void a_stream_that_is_stopped_ends_with_what_there_is(void **state)
{
    struct opened o;
    hearth_event e;
    (void)state;
    hearth_stream *busy = open_busy(&o, 0);
    hearth_request r = request_of(ids, 20, 1);
    hearth_stream *waits = submit(&o, &r);
    wait_until(&o, 1, 20);
    hearth_stream_stop(waits);
    collect(waits, &got);
    assert_int_equal(got.reason, HEARTH_END_LENGTH);
    assert_int_equal(got.n, 0);
    assert_non_null(strstr(got.receipt.finish_detail, "before it began"));
    hearth_stream_close(busy);
    r.max_tokens = 200;
    answer(&o, &r, &all);
    assert_int_equal(all.n, 200);
    r.max_tokens = 0;
    hearth_stream *s = submit(&o, &r);
    for (int i = 0; i < 5; i++)
        assert_true(hearth_stream_next(s, &e));
    hearth_stream_stop(s);
    collect(s, &got);
    assert_int_equal(got.reason, HEARTH_END_LENGTH);
    assert_int_equal(got.receipt.n_output_tokens, got.n + 5);
    assert_memory_equal(got.ids, all.ids + 5, (size_t)(got.n < 195 ? got.n : 195) * sizeof *got.ids);
    assert_string_equal(got.receipt.finish_detail, "stopped by the caller");
    close_model(&o);
}

/* Many beats in a step while it computes, none and not busy while nobody wants anything. */
static void an_engine_has_a_pulse_while_it_works_and_rests_without(void **state)
{
    struct opened o;
    hearth_pulse before, now, rest;
    (void)state;
    hearth_stream *busy = open_busy(&o, 0);
    hearth_stream_close(busy);
    for (int i = 0; i < 5000; i++) {
        hearth_engine_pulse(o.engine, &before);
        if (!before.busy)
            break;
        nanosleep(&a_moment, NULL);
    }
    assert_false(before.busy);
    assert_true(before.longest_ms > 0);
    nanosleep(&a_moment, NULL);
    hearth_engine_pulse(o.engine, &rest);
    assert_int_equal(rest.n_beats, before.n_beats);
    hearth_request r = request_of(ids, 20, 10);
    answer(&o, &r, &got);
    hearth_engine_pulse(o.engine, &now);
    assert_true(now.n_beats > before.n_beats + 10 * 2); /* a step of two layers is more than two jobs */
    close_model(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompts_that_wait_have_a_most_of_tokens),
        cmocka_unit_test(what_fits_the_most_waits),
        cmocka_unit_test(without_a_most_all_wait),
        cmocka_unit_test(a_stream_that_is_stopped_ends_with_what_there_is),
        cmocka_unit_test(an_engine_has_a_pulse_while_it_works_and_rests_without),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
