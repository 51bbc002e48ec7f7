/* test_turns.c: models that take turns: who sleeps and who wakes (pure), and that an answer knows nothing of it. */
#include <time.h>

#include "engine/turns.h"
#include "requests.h"

/* ---- the decision ---- */

static const int64_t SECOND = 1000000000;
static const struct turn_rules room_for_one = { .room_bytes = 10, .least_ns = 2000000000 };

static void wants(struct turn *t, double since_s) { t->wanted_ns = (int64_t)(since_s * 1e9); }

static struct turn awake(uint64_t bytes, double used_s, double woke_s)
{
    return (struct turn){ .bytes = bytes, .awake = true, .used_ns = (int64_t)(used_s * 1e9),
                          .woke_ns = (int64_t)(woke_s * 1e9) };
}

static int64_t decide(struct turn *turns, int n, const struct turn_rules *rules, double now_s)
{
    return turns_decide(turns, n, rules, (int64_t)(now_s * 1e9));
}

static void who_is_wanted_wakes_where_there_is_room(void **state)
{
    (void)state;
    struct turn t[] = { awake(4, 1, 1), { .bytes = 6 } };
    assert_true(decide(t, 2, &room_for_one, 100) == 0); /* nobody wants anything */
    assert_true(t[0].move == TURN_STAY && t[1].move == TURN_STAY);
    wants(&t[1], 99);
    decide(t, 2, &room_for_one, 100);
    assert_true(t[0].move == TURN_STAY && t[1].move == TURN_WAKE);
    t[1].bytes = 7;
    decide(t, 2, &room_for_one, 100);
    assert_true(t[0].move == TURN_SLEEP && t[0].for_room && t[1].move == TURN_WAKE);
}

static void the_idle_go_first_the_longest_unused_before_all(void **state)
{
    (void)state;
    struct turn t[] = { awake(3, 50, 1), awake(3, 20, 2), awake(4, 70, 3), { .bytes = 3 } };
    wants(&t[3], 99);
    decide(t, 4, &room_for_one, 100);
    assert_true(t[0].move == TURN_STAY && t[1].move == TURN_SLEEP && t[2].move == TURN_STAY);
    assert_true(t[3].move == TURN_WAKE);
    t[1].busy = true;
    decide(t, 4, &room_for_one, 100);
    assert_true(t[0].move == TURN_SLEEP && t[1].move == TURN_STAY && !t[1].held);
    t[0].pinned = true;
    decide(t, 4, &room_for_one, 100);
    assert_true(t[0].move == TURN_STAY && t[2].move == TURN_SLEEP && t[3].move == TURN_WAKE);
}

static void nobody_goes_for_nothing(void **state)
{
    (void)state;
    struct turn t[] = { awake(4, 50, 1), awake(6, 99, 99), { .bytes = 8 } };
    t[1].busy = true;
    wants(&t[2], 99);
    assert_true(decide(t, 3, &room_for_one, 100) == 101 * SECOND); /* when the busy one has had its time */
    for (int i = 0; i < 3; i++)
        assert_true(t[i].move == TURN_STAY && !t[i].held && !t[i].for_room);
    t[1].pinned = true;
    assert_true(decide(t, 3, &room_for_one, 200) == 0); /* never, unless something happens */
    for (int i = 0; i < 3; i++)
        assert_true(t[i].move == TURN_STAY && !t[i].held);
}

static void one_that_is_always_asked_for_leaves_after_its_while(void **state)
{
    (void)state;
    struct turn t[] = { awake(10, 100, 99), { .bytes = 10 } };
    t[0].busy = true;
    wants(&t[0], 99.5); /* and more of it waits */
    wants(&t[1], 99.9);
    assert_true(decide(t, 2, &room_for_one, 100) == 101 * SECOND);
    assert_true(!t[0].held && t[0].move == TURN_STAY && t[1].move == TURN_STAY);
    assert_true(decide(t, 2, &room_for_one, 101) == 0);
    assert_true(t[0].held && t[0].move == TURN_STAY);
    t[0].busy = false; /* what it had begun has ended */
    decide(t, 2, &room_for_one, 102);
    assert_true(t[0].move == TURN_SLEEP && t[0].for_room && t[1].move == TURN_WAKE);
}

static void between_two_requests_it_keeps_its_place_for_that_while(void **state)
{
    (void)state;
    struct turn t[] = { awake(10, 100, 99), { .bytes = 10 } };
    wants(&t[0], 99.99);
    wants(&t[1], 99.9);
    decide(t, 2, &room_for_one, 100);
    assert_true(t[0].move == TURN_STAY && t[1].move == TURN_STAY);
    decide(t, 2, &room_for_one, 101);
    assert_true(t[0].move == TURN_SLEEP && t[1].move == TURN_WAKE);
}

/* A small one that would fit beside it waits for a large one that was wanted before. */
static void nobody_overtakes(void **state)
{
    (void)state;
    struct turn t[] = { awake(6, 100, 1), { .bytes = 10 }, { .bytes = 4 } };
    t[0].busy = true;
    wants(&t[1], 98);
    wants(&t[2], 99);
    decide(t, 3, &room_for_one, 100);
    assert_true(t[0].held && t[1].move == TURN_STAY && t[2].move == TURN_STAY);
    wants(&t[2], 97);
    decide(t, 3, &room_for_one, 100);
    assert_true(t[2].move == TURN_WAKE && t[1].move == TURN_STAY);
}

/* Only as many as it takes, those that woke first. */
static void no_more_are_held_than_must_be(void **state)
{
    (void)state;
    struct turn t[] = { awake(3, 100, 50), awake(3, 100, 40), awake(3, 100, 60), { .bytes = 6 } };
    for (int i = 0; i < 3; i++)
        t[i].busy = true;
    wants(&t[3], 99);
    decide(t, 4, &room_for_one, 100);
    assert_true(t[0].held && t[1].held && !t[2].held);
    t[2].busy = false; /* that is enough of it, with one more */
    decide(t, 4, &room_for_one, 100);
    assert_true(!t[0].held && t[1].held && t[2].move == TURN_STAY);
}

static void idle_ones_sleep_when_their_time_is_over(void **state)
{
    (void)state;
    const struct turn_rules rules = { .room_bytes = UINT64_MAX };
    struct turn t[] = { awake(5, 80, 1), awake(5, 70, 1), awake(5, 10, 1), awake(5, 10, 1), awake(5, 10, 1) };
    for (int i = 0; i < 5; i++)
        t[i].keep_ns = 30 * SECOND;
    t[2].pinned = true;
    t[3].busy = true;
    wants(&t[4], 99);
    assert_true(decide(t, 5, &rules, 100) == 110 * SECOND);
    assert_true(t[0].move == TURN_STAY && t[1].move == TURN_SLEEP && !t[1].for_room);
    assert_true(t[2].move == TURN_STAY && t[3].move == TURN_STAY && t[4].move == TURN_STAY);
    t[0].keep_ns = 40 * SECOND; /* each has its own */
    t[1].keep_ns = 0;
    assert_true(decide(t, 5, &rules, 111) == 120 * SECOND);
    assert_true(t[0].move == TURN_STAY && t[1].move == TURN_STAY);
    for (int i = 0; i < 5; i++)
        t[i].keep_ns = 0;
    assert_true(decide(t, 5, &rules, 1e6) == 0);
    assert_true(t[0].move == TURN_STAY && t[1].move == TURN_STAY);
}

static void who_is_told_to_sleeps_when_nobody_wants_it(void **state)
{
    (void)state;
    const struct turn_rules rules = { .room_bytes = UINT64_MAX };
    struct turn t = awake(5, 99, 99);
    t.told = t.busy = true;
    decide(&t, 1, &rules, 100);
    assert_true(t.move == TURN_STAY && !t.held);
    t.busy = false;
    wants(&t, 99);
    decide(&t, 1, &rules, 100);
    assert_true(t.move == TURN_STAY);
    t.wanted_ns = 0;
    decide(&t, 1, &rules, 100);
    assert_true(t.move == TURN_SLEEP && !t.for_room);
    t.pinned = true;
    decide(&t, 1, &rules, 100);
    assert_true(t.move == TURN_STAY);
}

/* ---- an engine ---- */

enum { N_IDS = 200 };
static int32_t ids[N_IDS];

struct two {
    hearth_engine *engine;
    hearth_model *model[2];
    char path[2][256];
    hearth_model_options options[2];
    hearth_plan plan[2];
    uint64_t seen, n_forgotten;
    hearth_error err;
};

static void write_two(struct two *t)
{
    static const char *const archs[] = { "llama", "qwen3" };
    *t = (struct two){ 0 };
    for (int i = 0; i < 2; i++) {
        tiny_path(t->path[i], sizeof t->path[i], archs[i]);
        tiny_write(t->path[i], &(struct tiny){ .arch = archs[i], .type = DTYPE_q8_0, .n_ctx = 2048 });
        t->options[i] = (hearth_model_options){ .source.path = t->path[i], .n_ctx_tokens = 512 };
    }
    fill_ids(ids, N_IDS, 1);
}

/* False: they do not fit, t->err says why. */
static bool open_two(struct two *t, hearth_engine_options o)
{
    hearth_file *files[2];
    o.n_threads = 1;
    t->engine = hearth_engine_create(&o, &t->err);
    assert_non_null(t->engine);
    t->seen = t->n_forgotten = 0;
    for (int i = 0; i < 2; i++) {
        t->options[i].budget_bytes = 0;
        assert_non_null(files[i] = hearth_file_open(&t->options[i].source, NULL));
    }
    bool ok = hearth_engine_share(t->engine, files, t->options, 2, &t->err);
    for (int i = 0; i < 2; i++) {
        t->model[i] = ok ? hearth_model_open(t->engine, &t->options[i], &t->err) : NULL;
        if (ok && !t->model[i])
            fail_msg("%s", t->err.message);
        if (ok)
            hearth_model_plan(t->model[i], &t->plan[i]);
        hearth_file_close(files[i]);
    }
    return ok;
}

static void close_engine(struct two *t)
{
    for (int i = 0; i < 2; i++)
        hearth_model_release(t->model[i]);
    hearth_engine_destroy(t->engine);
    t->engine = NULL;
}

static void close_two(struct two *t)
{
    if (t->engine)
        close_engine(t);
    for (int i = 0; i < 2; i++)
        unlink(t->path[i]);
}

static hearth_stream *ask(hearth_model *m, const hearth_request *r)
{
    hearth_stream *s = hearth_submit(m, r, NULL);
    assert_non_null(s);
    return s;
}

static bool is_asleep(hearth_model *m, hearth_sleep *why)
{
    hearth_model_now now;
    hearth_model_look(m, &now);
    if (why)
        *why = now.why_asleep;
    return now.asleep;
}

static void wait_until(hearth_model *m, bool asleep)
{
    const struct timespec a_moment = { .tv_nsec = 1000000 };
    while (is_asleep(m, NULL) != asleep)
        nanosleep(&a_moment, NULL);
}

/* The next turn there is; false: none. */
static bool next_turn(struct two *t, hearth_turn *turn)
{
    return hearth_engine_turns(t->engine, &t->seen, turn, 1, &t->n_forgotten) == 1;
}

static void the_same_bits_after_a_sleep(void **state)
{
    struct two t;
    static struct answer before, after;
    hearth_request r = request_of(ids, N_IDS, 40);
    hearth_sleep why;
    hearth_pages pages;
    hearth_model_now now;
    (void)state;
    write_two(&t);
    assert_true(open_two(&t, (hearth_engine_options){ .n_seqs = 2, .take_turns = true })); /* there is room for all */
    r.sampling.repeat_penalty = 1.1f; /* what counts tokens in memory that goes */
    for (int i = 0; i < 2; i++) {
        hearth_model *m = t.model[i];
        assert_false(is_asleep(m, &why));
        assert_int_equal(why, HEARTH_SLEEP_NOT);
        collect(ask(m, &r), &before);
        collect(ask(m, &r), &after);
        assert_true(after.receipt.n_cached_tokens == N_IDS - 1 && after.receipt.wake_ms == 0);
        hearth_model_sleep(m);
        wait_until(m, true);
        hearth_model_look(m, &now);
        assert_int_equal(now.n_used_pages + now.n_kept_pages, 0);
        assert_true(is_asleep(m, &why) && why == HEARTH_SLEEP_TOLD);
        collect(ask(m, &r), &after);
        assert_same(&before, &after);
        assert_int_equal(after.receipt.n_cached_tokens, 0);
        assert_int_equal(after.receipt.prefix_end, HEARTH_PREFIX_EVICTED); /* it says so */
        assert_true(after.receipt.wake_ms > 0 && after.receipt.wake_ms <= after.receipt.queue_ms);
        hearth_model_look(m, &now);
        assert_true(now.n_sleeps == 1 && now.n_wakes == 1 && !now.asleep);
    }
    for (int i = 0; i < 2; i++) {
        hearth_model_pages(t.model[i], &pages);
        assert_true(pages.kv.resident_bytes > 0 && pages.workspace.resident_bytes > 0);
        hearth_model_sleep(t.model[i]);
    }
    for (int i = 0; i < 2; i++)
        wait_until(t.model[i], true);
    for (int i = 0; i < 2; i++) { /* mappings next to each other are counted as one, so when both sleep */
        hearth_model_pages(t.model[i], &pages);
        assert_int_equal(pages.kv.resident_bytes + pages.workspace.resident_bytes + pages.weights.resident_bytes, 0);
    }
    close_two(&t);
}

/* It wakes when it is told to, and what comes later counts. */
static void a_model_is_told(void **state)
{
    struct two t;
    hearth_turn turn;
    (void)state;
    write_two(&t);
    t.options[1].pinned = true;
    assert_true(open_two(&t, (hearth_engine_options){ .n_seqs = 1 }));
    hearth_model_sleep(t.model[1]); /* it is pinned */
    for (int i = 0; i < 3; i++) {
        hearth_model_sleep(t.model[0]);
        wait_until(t.model[0], true);
        hearth_model_sleep(t.model[0]);
        hearth_model_wake(t.model[0]);
        wait_until(t.model[0], false);
        assert_true(next_turn(&t, &turn) && turn.model == t.model[0] && turn.why == HEARTH_SLEEP_TOLD);
        assert_true(next_turn(&t, &turn) && turn.model == t.model[0] && turn.why == HEARTH_SLEEP_NOT);
        assert_false(next_turn(&t, &turn));
    }
    assert_false(is_asleep(t.model[1], NULL));
    close_two(&t);
}

static void an_idle_one_sleeps_when_its_time_is_over(void **state)
{
    struct two t;
    static struct answer got;
    hearth_request r = request_of(ids, 50, 5);
    hearth_sleep why;
    (void)state;
    write_two(&t);
    t.options[1].pinned = true;
    assert_true(open_two(&t, (hearth_engine_options){ .n_seqs = 1, .keep_awake_ms = 50 }));
    for (int i = 0; i < 2; i++) {
        collect(ask(t.model[0], &r), &got);
        assert_int_equal(got.n, 5);
        wait_until(t.model[0], true);
        assert_true(is_asleep(t.model[0], &why) && why == HEARTH_SLEEP_IDLE);
    }
    assert_false(is_asleep(t.model[1], NULL));
    close_two(&t);
}

/* One model's own while wins, also where it is never. */
static void each_model_has_its_own_while(void **state)
{
    struct two t;
    static struct answer got;
    hearth_request r = request_of(ids, 50, 5);
    hearth_model_now now;
    (void)state;
    for (int first = 0; first < 2; first++) {
        write_two(&t);
        t.options[0].keep_awake_ms = first ? -1 : 50;
        assert_true(open_two(&t, (hearth_engine_options){ .n_seqs = 1, .keep_awake_ms = first ? 50 : 0 }));
        for (int i = 0; i < 2; i++) {
            hearth_model_look(t.model[i], &now);
            assert_true(now.keep_awake_ms == (i == first ? 50 : 0));
            collect(ask(t.model[i], &r), &got);
        }
        wait_until(t.model[first], true);
        const struct timespec longer = { .tv_nsec = 120000000 };
        nanosleep(&longer, NULL);
        assert_false(is_asleep(t.model[!first], NULL));
        close_two(&t);
    }
}

/* Both with their weights, but one of them: not enough for both. */
static uint64_t room_for_one_model(struct two *t)
{
    assert_true(open_two(t, (hearth_engine_options){ .n_seqs = 2, .budget_bytes = 1 << 30 }));
    uint64_t most = max_size(t->plan[0].total_bytes, t->plan[1].total_bytes);
    close_engine(t);
    return most + t->plan[0].asleep_bytes + t->plan[1].asleep_bytes;
}

static void two_models_alternate_in_a_budget_for_one(void **state)
{
    struct two t;
    static struct answer alone[2], got;
    hearth_request r = request_of(ids, 100, 20);
    hearth_turn turn;
    hearth_sleep why;
    (void)state;
    write_two(&t);
    uint64_t budget = room_for_one_model(&t);
    assert_true(open_two(&t, (hearth_engine_options){ .n_seqs = 2 }));
    for (int i = 0; i < 2; i++)
        collect(ask(t.model[i], &r), &alone[i]);
    close_engine(&t);
    assert_true(open_two(&t, (hearth_engine_options){ .n_seqs = 2, .budget_bytes = budget, .take_turns = true }));
    for (int i = 0; i < 2; i++) {
        assert_true(is_asleep(t.model[i], &why) && why == HEARTH_SLEEP_START);
        assert_true(t.plan[i].total_bytes <= budget);
    }
    for (int i = 0; i < 6; i++) {
        collect(ask(t.model[i % 2], &r), &got);
        assert_same(&alone[i % 2], &got);
        assert_true(got.receipt.wake_ms > 0);
        assert_true(!is_asleep(t.model[i % 2], NULL) && is_asleep(t.model[(i + 1) % 2], NULL));
        if (i > 0)
            assert_true(next_turn(&t, &turn) && turn.model == t.model[(i + 1) % 2] && turn.why == HEARTH_SLEEP_ROOM
                        && turn.bytes > t.plan[(i + 1) % 2].weights_bytes);
        assert_true(next_turn(&t, &turn) && turn.model == t.model[i % 2] && turn.why == HEARTH_SLEEP_NOT);
        assert_false(next_turn(&t, &turn));
    }
    assert_int_equal(t.n_forgotten, 0);
    close_two(&t);
}

/* Both are asked for all the time, and each is answered. */
static void neither_keeps_the_other_out(void **state)
{
    enum { N = 12 };
    struct two t;
    static struct answer alone[2], got;
    hearth_request r = request_of(ids, 60, 10), endless = request_of(ids, 10, 0);
    hearth_stream *s[2 * N];
    hearth_event e;
    hearth_receipt receipt;
    (void)state;
    write_two(&t);
    uint64_t budget = room_for_one_model(&t);
    assert_true(open_two(&t, (hearth_engine_options){ .n_seqs = 2, .budget_bytes = budget, .take_turns = true }));
    r.no_prefix_cache = true;
    for (int i = 0; i < 2; i++)
        collect(ask(t.model[i], &r), &alone[i]);
    hearth_stream *first = ask(t.model[0], &endless);
    assert_true(hearth_stream_next(first, &e));
    for (int i = 0; i < 2 * N; i++)
        s[i] = ask(t.model[i % 2], &r);
    assert_false(hearth_stream_receipt(s[1], &receipt)); /* an answer is never taken away from: it ends before */
    hearth_stream_cancel(first);
    collect(first, &got);
    for (int i = 0; i < 2 * N; i++) {
        collect(s[i], &got);
        assert_same(&alone[i % 2], &got);
    }
    close_two(&t);
}

/* Requests of one follow each other without a pause, and never end in the same step; still the other is answered. */
static void one_that_is_always_busy_lets_the_other_in(void **state)
{
    enum { AHEAD = 40, LENGTH = 100, PATIENCE_S = 20 };
    struct two t;
    static struct answer got;
    hearth_request r = request_of(ids, 60, LENGTH), other = request_of(ids, 60, 10);
    hearth_stream *s[AHEAD];
    hearth_receipt receipt;
    hearth_event e;
    (void)state;
    write_two(&t);
    uint64_t budget = room_for_one_model(&t);
    assert_true(open_two(&t, (hearth_engine_options){ .n_seqs = 2, .budget_bytes = budget, .take_turns = true }));
    r.speculate = HEARTH_SPECULATE_OFF;
    for (int i = 0; i < AHEAD; i++) {
        s[i] = ask(t.model[0], &r);
        for (int k = 0; i == 0 && k < LENGTH / 2; k++)
            assert_true(hearth_stream_next(s[0], &e));
    }
    hearth_stream *waits = ask(t.model[1], &other);
    time_t start = time(NULL);
    for (int i = 0; !hearth_stream_receipt(waits, &receipt); i++) {
        collect(s[i % AHEAD], &got);
        assert_int_equal(got.reason, HEARTH_END_LENGTH); /* it is not cut off */
        s[i % AHEAD] = ask(t.model[0], &r);
        if (time(NULL) - start > PATIENCE_S)
            fail_msg("%s", "the other model was kept out");
    }
    collect(waits, &got);
    assert_int_equal(got.n, 10);
    assert_true(got.receipt.wake_ms > 0);
    for (int i = 0; i < AHEAD; i++)
        collect(s[i], &got);
    close_two(&t);
}

/* Who is pinned has its place, and where nothing else fits beside it that is said before anything is loaded. */
static void budgets_for_turns(void **state)
{
    struct two t;
    hearth_engine_options o = { .n_seqs = 2, .take_turns = true };
    (void)state;
    write_two(&t);
    uint64_t one = room_for_one_model(&t), both = t.plan[0].total_bytes + t.plan[1].total_bytes;
    o.budget_bytes = both;
    assert_true(open_two(&t, o)); /* they fit together: nobody sleeps */
    assert_false(is_asleep(t.model[0], NULL) || is_asleep(t.model[1], NULL));
    close_engine(&t);
    o.budget_bytes = one;
    assert_true(open_two(&t, o));
    assert_true(is_asleep(t.model[0], NULL) && is_asleep(t.model[1], NULL));
    close_engine(&t);
    o.budget_bytes = one - t.plan[1].weights_bytes; /* awake alone, it reads its weights again and again */
    assert_true(open_two(&t, o));
    assert_non_null(strstr(t.plan[0].reason, "read from disk again"));
    hearth_request r = request_of(ids, 60, 10);
    static struct answer got;
    for (int i = 0; i < 4; i++) {
        collect(ask(t.model[i % 2], &r), &got);
        assert_int_equal(got.n, 10);
    }
    close_engine(&t);
    o.budget_bytes = t.plan[0].asleep_bytes + t.plan[1].asleep_bytes + (1 << 20);
    assert_false(open_two(&t, o));
    assert_int_equal(t.err.status, HEARTH_ERR_MEMORY);
    assert_non_null(strstr(t.err.message, "even when they take turns"));
    close_engine(&t);
    close_two(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_wanted_wakes_where_there_is_room),
        cmocka_unit_test(the_idle_go_first_the_longest_unused_before_all),
        cmocka_unit_test(nobody_goes_for_nothing),
        cmocka_unit_test(one_that_is_always_asked_for_leaves_after_its_while),
        cmocka_unit_test(between_two_requests_it_keeps_its_place_for_that_while),
        cmocka_unit_test(nobody_overtakes),
        cmocka_unit_test(no_more_are_held_than_must_be),
        cmocka_unit_test(idle_ones_sleep_when_their_time_is_over),
        cmocka_unit_test(who_is_told_to_sleeps_when_nobody_wants_it),
        cmocka_unit_test(the_same_bits_after_a_sleep),
        cmocka_unit_test(a_model_is_told),
        cmocka_unit_test(an_idle_one_sleeps_when_its_time_is_over),
        cmocka_unit_test(each_model_has_its_own_while),
        cmocka_unit_test(two_models_alternate_in_a_budget_for_one),
        cmocka_unit_test(neither_keeps_the_other_out),
        cmocka_unit_test(one_that_is_always_busy_lets_the_other_in),
        cmocka_unit_test(budgets_for_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
