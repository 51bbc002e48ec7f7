/* test_sched.c: which tokens go into the next step, how many, and whose request is next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <string.h>

#include "base/rng.h"
#include "engine/fair.h"
#include "engine/pace.h"
#include "engine/sched.h"

#include <cmocka.h>

/* Where a token costs the same wherever it is. */
static void plan_for(struct plan *p, const struct sched_seq *seqs, int n_seqs, int max_tokens, int max_prompt_tokens,
                     int max_columns)
{
    const struct sched_room room = { .max_tokens = max_tokens, .max_columns = max_columns,
                                     .prompt_cost = max_prompt_tokens };
    sched_plan(p, seqs, n_seqs, &room);
}

/* A long prompt must not make a running chat stutter. */
static void decoding_is_never_delayed_by_a_prompt(void **state)
{
    (void)state;
    const struct sched_seq seqs[] = {
        { .state = SEQ_PREFILL, .n_prompt = 9000, .n_done = 0 },
        { .state = SEQ_DECODE, .n_prompt = 10, .n_done = 42 },
    };
    struct plan p;
    plan_for(&p, seqs, 2, 512, 512, 512);
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
    plan_for(&p, seqs, 1, 512, 512, 512);
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
    plan_for(&p, seqs, 3, 150, 150, 150);
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
    plan_for(&p, seqs, 1, 512, 512, 512);
    assert_int_equal(p.slice[0].n, 3);
    assert_int_equal(p.slice[0].first, 96);
    assert_false(p.slice[0].last);
}

static void prompts_that_are_not_divided_come_whole_or_later(void **state)
{
    (void)state;
    const struct sched_seq seqs[] = {
        { .state = SEQ_PREFILL, .n_prompt = 60, .order = 1 },
        { .state = SEQ_PREFILL, .n_prompt = 30, .order = 3 },
        { .state = SEQ_PREFILL, .n_prompt = 20, .order = 4 },
        { .state = SEQ_PREFILL, .n_prompt = 21, .order = 2 },
    };
    struct sched_room room = { .max_tokens = 110, .max_columns = 110, .prompt_cost = 110, .whole = true };
    struct plan p;
    sched_plan(&p, seqs, 4, &room);
    assert_int_equal(p.n_slices, 3); /* 9 are left, and 30 do not go in */
    assert_int_equal(p.n_tokens, 60 + 20 + 21);
    for (int i = 0; i < p.n_slices; i++) {
        assert_int_equal(p.slice[i].n, seqs[p.slice[i].seq].n_prompt);
        assert_true(p.slice[i].last);
    }
    room.prompt_cost = 7; /* the oldest comes, whatever it costs */
    sched_plan(&p, seqs, 4, &room);
    assert_int_equal(p.n_slices, 1);
    assert_int_equal(p.slice[0].n, 60);
    assert_true(p.slice[0].last);
}

static void paused_and_free_slots_get_nothing(void **state)
{
    (void)state;
    const struct sched_seq seqs[] = { { .state = SEQ_PAUSED, .n_prompt = 5, .n_done = 9 }, { .state = SEQ_FREE } };
    struct plan p;
    plan_for(&p, seqs, 2, 512, 512, 512);
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
    plan_for(&p, seqs, 3, 2, 2, 8);
    assert_int_equal(p.n_slices, 2);
    assert_int_equal(p.slice[0].n, 4);
    assert_int_equal(p.slice[1].n, 4);
    assert_int_equal(p.n_tokens, 8);
    seqs[0].n_draft = 1;
    plan_for(&p, seqs, 3, 8, 8, 8);
    assert_int_equal(p.slice[0].n, 2);
    assert_int_equal(p.slice[1].n, 6);
    plan_for(&p, seqs, 3, 512, 512, 512);
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
    plan_for(&p, seqs, 2, 16, 16, 16);
    assert_int_equal(p.slice[0].n, 1);
    assert_int_equal(p.slice[1].n, 15);
    plan_for(&p, seqs, 2, 16, 16, 32);
    assert_int_equal(p.slice[0].n, 5);
    assert_int_equal(p.slice[1].n, 15);
    assert_int_equal(p.n_tokens, 20);
}

/* ---- a short prompt beside a long one ---- */

static void a_short_prompt_does_not_wait_for_a_long_one(void **state)
{
    (void)state;
    static const struct sched_seq seqs[] = {
        { .state = SEQ_PREFILL, .n_prompt = 32000, .n_done = 100, .order = 1 },
        { .state = SEQ_PREFILL, .n_prompt = 900, .order = 2 },
        { .state = SEQ_PREFILL, .n_prompt = 120, .order = 3 },
        { .state = SEQ_DECODE, .n_prompt = 3, .n_done = 7, .order = 4 },
    };
    struct plan p;
    plan_for(&p, seqs, 4, 512, 512, 512);
    assert_int_equal(p.n_slices, 4);
    assert_int_equal(p.slice[0].seq, 3);
    assert_int_equal(p.slice[1].seq, 0); /* the oldest has a quarter of 511 */
    assert_int_equal(p.slice[1].n, 128);
    assert_int_equal(p.slice[2].seq, 2); /* the shortest is done with */
    assert_int_equal(p.slice[2].n, 120);
    assert_true(p.slice[2].last);
    assert_int_equal(p.slice[3].seq, 1);
    assert_int_equal(p.slice[3].n, 263);
    assert_false(p.slice[3].last);
    assert_int_equal(p.n_tokens, 512);
}

static void what_short_prompts_leave_goes_to_the_oldest(void **state)
{
    (void)state;
    static const struct sched_seq seqs[] = {
        { .state = SEQ_PREFILL, .n_prompt = 700, .n_done = 100, .order = 1 },
        { .state = SEQ_PREFILL, .n_prompt = 30, .order = 2 },
    };
    struct plan p;
    plan_for(&p, seqs, 2, 512, 512, 512);
    assert_int_equal(p.slice[0].n, 482);
    assert_int_equal(p.slice[1].n, 30);
    assert_true(p.slice[1].last);
    assert_int_equal(p.n_tokens, 512);
    plan_for(&p, seqs, 2, 610, 610, 610);
    assert_int_equal(p.slice[0].n, 600);
    assert_true(p.slice[0].last); /* it can be done with, and is */
    assert_int_equal(p.slice[1].n, 10);
}

static void prompts_have_no_more_than_their_part_of_a_step(void **state)
{
    (void)state;
    static const struct sched_seq seqs[] = {
        { .state = SEQ_DECODE, .n_prompt = 3, .n_done = 7, .n_draft = 4 },
        { .state = SEQ_PREFILL, .n_prompt = 600, .order = 1 },
        { .state = SEQ_PREFILL, .n_prompt = 600, .order = 2 },
    };
    struct plan p;
    plan_for(&p, seqs, 3, 512, 40, 512);
    assert_int_equal(p.n_tokens, 1 + 40 + 4);
    assert_int_equal(p.slice[1].n, 10);
    assert_int_equal(p.slice[2].n, 30);
}

/* Whatever there is: a step is full or everybody has what it wants, nobody is in it twice, and the oldest prompt has at
 * least a quarter of what prompts have. */
static void any_step_is_full_or_done(void **state)
{
    (void)state;
    struct rng r = { 3, 0 };
    for (int turn = 0; turn < 20000; turn++) {
        struct sched_seq seqs[8];
        struct plan p;
        int n = 1 + (int)rng_below(&r, 8), room = 8 + (int)rng_below(&r, 100);
        int prompt_room = 1 + (int)rng_below(&r, 100);
        int n_decode = 0, wanted = 0, oldest = -1;
        for (int i = 0; i < n; i++) {
            seqs[i] = (struct sched_seq){ .state = (enum seq_state)rng_below(&r, 4),
                                          .order = rng_below(&r, 1000) * 8 + (uint64_t)i,
                                          .n_done = (int)rng_below(&r, 90),
                                          .n_chunk = (int)rng_below(&r, 3) * 7 };
            seqs[i].n_prompt = seqs[i].n_done + 1 + (int)rng_below(&r, 90);
            n_decode += seqs[i].state == SEQ_DECODE;
            if (seqs[i].state != SEQ_PREFILL)
                continue;
            int left = seqs[i].n_prompt - seqs[i].n_done;
            wanted += seqs[i].n_chunk ? min_int(left, seqs[i].n_chunk) : left;
            if (oldest < 0 || seqs[i].order < seqs[oldest].order)
                oldest = i;
        }
        plan_for(&p, seqs, n, room, prompt_room, room);
        int prompts = min_int(room - n_decode, prompt_room);
        assert_int_equal(p.n_tokens, n_decode + min_int(wanted, prompts));
        bool seen[8] = { false };
        for (int i = 0; i < p.n_slices; i++) {
            const struct slice *s = &p.slice[i];
            assert_false(seen[s->seq]);
            seen[s->seq] = true;
            assert_true(s->n > 0 && s->first == seqs[s->seq].n_done);
            if (seqs[s->seq].state == SEQ_PREFILL)
                assert_int_equal(s->last, s->first + s->n == seqs[s->seq].n_prompt);
            if (s->seq == oldest && seqs[oldest].n_chunk == 0)
                assert_true(4 * s->n >= prompts || s->last);
        }
        assert_true(oldest < 0 || prompts <= 0 || seen[oldest]);
    }
}

/* ---- how much of a prompt a step may have ---- */

static void a_step_with_answers_stays_near_its_time(void **state)
{
    (void)state;
    struct pace p = { 0 };
    assert_true(pace_room(&p, 3, 8, 100) == PACE_FIRST_TOKENS);
    for (int i = 0; i < 40; i++) {
        pace_learn(&p, 0, 3, 20);
        double n = pace_room(&p, 3, 8, 100);
        pace_learn(&p, n, 3, 20 + 2.0 * n);
    }
    assert_true(pace_room(&p, 3, 8, 100) >= 38 && pace_room(&p, 3, 8, 100) <= 42); /* (100 - 20) / 2 */
    assert_true(pace_room(&p, 3, 8, 10) == PACE_LEAST_TOKENS); /* 20 ms more would be 10 */
    for (int i = 0; i < 40; i++)
        pace_learn(&p, 0, 3, 90);
    double n = pace_room(&p, 3, 8, 100); /* answers alone take nearly all: as long again */
    assert_true(n >= 43 && n <= 46);
    pace_learn(&p, 16, 3, 60000); /* the machine slept */
    for (int i = 0; i < 30; i++)
        pace_learn(&p, 16, 3, 90 + 32);
    assert_true(pace_room(&p, 3, 8, 100) > 40);
}

/* A prompt alone leaves a newcomer a way in, and costs no more for it than it must. */
static void a_step_without_answers_is_longer_but_ends(void **state)
{
    (void)state;
    struct pace p = { 0 };
    assert_true(pace_room(&p, 0, 8, 100) == PACE_UNWATCHED_LEAST);
    pace_learn(&p, 128, 0, 256);
    assert_true(pace_room(&p, 0, 8, 100) == 200); /* 400 ms */
    assert_true(pace_room(&p, 0, 8, 10) == PACE_UNWATCHED_LEAST);
    assert_true(pace_room(&p, 0, 1, 100) == PACE_ANY_COST); /* nobody else can come */
    assert_int_equal(pace_fit(0.001, 9000, PACE_ANY_COST) > 65536, 1);
}

static void what_a_chunk_costs_is_what_it_is_given(void **state)
{
    (void)state;
    struct rng r = { 4, 0 };
    assert_int_equal(pace_fit(0, 777, 64.5), 64);
    assert_true(pace_cost(0.01, 100, 1) > 2 && pace_cost(0.01, 100, 1) < 2.01);
    for (int i = 0; i < 20000; i++) {
        double attended = (double)rng_below(&r, 1000) / 100000, cost = (double)rng_below(&r, 6000) / 10;
        int n_before = (int)rng_below(&r, 40000), n = pace_fit(attended, n_before, cost);
        assert_true(n >= 0 && pace_cost(attended, n_before, n) <= cost * (1 + 1e-9));
        assert_true(pace_cost(attended, n_before, n + 1) > cost * (1 - 1e-9));
    }
}

/* Three of equal length, one of them read so far that each of its tokens costs ten: the step costs what it may, and
 * both go on. */
static void a_deep_prompt_has_fewer_tokens_of_a_step(void **state)
{
    (void)state;
    const struct sched_seq seqs[] = {
        { .state = SEQ_PREFILL, .n_prompt = 20000, .n_done = 9000, .order = 1 },
        { .state = SEQ_PREFILL, .n_prompt = 20000, .n_done = 0, .order = 2 },
        { .state = SEQ_DECODE, .n_prompt = 3, .n_done = 7, .order = 3 },
    };
    struct sched_room room = { .max_tokens = 512, .max_columns = 512, .prompt_cost = 100, .attended = 0.001 };
    struct plan p;
    sched_plan(&p, seqs, 3, &room);
    assert_int_equal(p.n_slices, 3);
    assert_int_equal(p.slice[1].n, 3); /* a quarter of 100, rounded up */
    assert_true(p.slice[2].n > 60 && p.slice[2].n <= 70);
    room.prompt_cost = 4;
    sched_plan(&p, seqs, 3, &room);
    assert_int_equal(p.slice[1].seq, 0);
    assert_int_equal(p.slice[1].n, 1); /* it costs more than there is, and is read all the same */
    assert_int_equal(p.n_tokens, 2);
}

/* ---- whose turn it is ---- */

/* Serve all of these; in which order, by their index. */
static void serve(struct fair *f, const uint64_t *owners, int n, int *order)
{
    uint64_t left[64];
    int index[64];
    for (int i = 0; i < n; i++) {
        left[i] = owners[i];
        index[i] = i;
    }
    for (int k = 0; k < n; k++) {
        int i = fair_pick(f, left, n - k);
        order[k] = index[i];
        fair_served(f, left[i]);
        memmove(left + i, left + i + 1, (size_t)(n - k - i - 1) * sizeof *left);
        memmove(index + i, index + i + 1, (size_t)(n - k - i - 1) * sizeof *index);
    }
}

static void owners_take_turns_and_requests_their_order(void **state)
{
    (void)state;
    static struct fair f;
    static const uint64_t owners[] = { 7, 7, 7, 7, 8, 8, 9 }, one[] = { 5, 5, 5, 5 };
    static const int wanted[] = { 0, 4, 6, 1, 5, 2, 3 };
    int order[7];
    serve(&f, owners, 7, order);
    assert_memory_equal(order, wanted, sizeof wanted);
    serve(&f, one, 4, order);
    for (int i = 0; i < 4; i++)
        assert_int_equal(order[i], i);
    static const uint64_t later[] = { 7, 10, 9 }; /* one never seen, then who was served longest ago: 9 */
    static const int wanted_later[] = { 1, 2, 0 };
    serve(&f, later, 3, order);
    assert_memory_equal(order, wanted_later, sizeof wanted_later);
}

static void more_owners_than_are_remembered_are_served(void **state)
{
    (void)state;
    static struct fair f;
    for (uint64_t i = 1; i <= 3 * FAIR_OWNERS; i++)
        fair_served(&f, i);
    assert_int_equal(f.n, FAIR_OWNERS);
    const uint64_t owners[] = { 3 * FAIR_OWNERS, 3 * FAIR_OWNERS - 1, 2 * FAIR_OWNERS + 1 };
    assert_int_equal(fair_pick(&f, owners, 3), 2); /* the oldest that is remembered */
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
        cmocka_unit_test(prompts_that_are_not_divided_come_whole_or_later),
        cmocka_unit_test(paused_and_free_slots_get_nothing),
        cmocka_unit_test(a_short_prompt_does_not_wait_for_a_long_one),
        cmocka_unit_test(what_short_prompts_leave_goes_to_the_oldest),
        cmocka_unit_test(prompts_have_no_more_than_their_part_of_a_step),
        cmocka_unit_test(any_step_is_full_or_done),
        cmocka_unit_test(a_step_with_answers_stays_near_its_time),
        cmocka_unit_test(a_step_without_answers_is_longer_but_ends),
        cmocka_unit_test(what_a_chunk_costs_is_what_it_is_given),
        cmocka_unit_test(a_deep_prompt_has_fewer_tokens_of_a_step),
        cmocka_unit_test(owners_take_turns_and_requests_their_order),
        cmocka_unit_test(more_owners_than_are_remembered_are_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
