/* test_cancel.c: a request that nobody wants any more ends within a step, whatever it was doing, and what it held goes
 * to the others. */
#include "gate.h"
#include "hearth/wakes.h"

enum { N_IDS = 3000 };

static int32_t ids[4][N_IDS];
static struct answer got, other;

static void open_one(struct opened *o, int n_seqs, int n_ctx, int n_kv_tokens)
{
    for (int i = 0; i < 4; i++)
        fill_ids(ids[i], N_IDS, 70 + (uint64_t)i);
    open_model(o, "cancel", (struct tiny){ .arch = "llama", .type = DTYPE_q8_0, .n_ctx = 4096 },
               (hearth_engine_options){ .n_threads = 1, .n_seqs = n_seqs, .n_step_tokens = 64 },
               (hearth_model_options){ .n_ctx_tokens = n_ctx, .n_kv_tokens = n_kv_tokens });
}

static void read_tokens(hearth_stream *s, int n)
{
    hearth_event e;
    for (int i = 0; i < n; i++)
        assert_true(hearth_stream_next(s, &e) && e.type == HEARTH_EVENT_TOKEN);
}

static bool runs(const hearth_stream *s)
{
    hearth_receipt r;
    return !hearth_stream_receipt(s, &r);
}

static void cancel(hearth_stream *s)
{
    hearth_stream_cancel(s);
    collect(s, &got);
    assert_int_equal(got.reason, HEARTH_END_CANCELLED);
}

/* The slot is taken and stays so: those that wait for it end at once all the same. */
static void waiting_for_a_slot(void **state)
{
    struct opened o;
    (void)state;
    open_one(&o, 1, 0, 0);
    hearth_request r = request_of(ids[0], 10, 0), next = request_of(ids[1], 10, 5);
    hearth_stream *s[4] = { submit(&o, &r) };
    read_tokens(s[0], 1);
    for (int i = 1; i < 4; i++)
        s[i] = submit(&o, &next);
    until_waiting(&o, 3);
    cancel(s[2]); /* in the middle of the queue */
    assert_int_equal(got.n, 0);
    assert_string_equal(got.receipt.finish_detail, "cancelled before it began");
    assert_int_equal(got.receipt.n_prompt_tokens, 10);
    assert_true(got.receipt.total_ms > 0);
    cancel(s[1]); /* the next one */
    assert_true(runs(s[0]));
    assert_true(runs(s[3]));
    cancel(s[0]);
    assert_true(got.n > 0);
    collect(s[3], &got);
    assert_int_equal(got.n, 5);
    close_model(&o);
}

/* Before the helper thread has made tokens of it, or while it does: a text of some MB before it. */
static void before_it_is_tokenized(void **state)
{
    static char text[1 << 21];
    struct opened o;
    (void)state;
    open_one(&o, 1, 0, 0);
    memset(text, 'a', sizeof text);
    hearth_span span = { .text = text, .n_bytes = sizeof text };
    hearth_request large = request_of(NULL, 0, 1), small = request_of(ids[0], 10, 5);
    hearth_request endless = request_of(ids[1], 10, 0);
    hearth_stream *runs_on = submit(&o, &endless); /* what is tokens by then does not begin either */
    large.spans = &span;
    large.n_spans = 1;
    hearth_stream *being = submit(&o, &large), *waits = submit(&o, &small), *stays = submit(&o, &small);
    cancel(waits);
    assert_string_equal(got.receipt.finish_detail, "cancelled before it began");
    hearth_stream_cancel(being);
    cancel(runs_on);
    collect(being, &other); /* cancelled, or refused as too long when it was through */
    assert_true(other.reason == HEARTH_END_CANCELLED || other.reason == HEARTH_END_ERROR);
    collect(stays, &got);
    assert_int_equal(got.n, 5);
    close_model(&o);
}

static void while_its_prompt_is_read(void **state)
{
    struct opened o;
    struct gate gate;
    struct hold held;
    (void)state;
    open_one(&o, 1, 0, 0);
    hearth_request r = request_of(ids[0], N_IDS, 5), next = request_of(ids[1], 10, 5);
    r.n_chunk_tokens = 1;
    r.want_progress = true;
    gate_shut(&o, &gate);
    hearth_stream *s = submit(&o, &r), *waits = submit(&o, &next);
    hold(&held, s, 100);
    gate_open(&o, &gate, 2);
    hold_at(&held, 100);
    hearth_stream_cancel(s);
    hold_no_more(&held);
    cancel(s);
    assert_int_equal(got.n, 0);
    assert_in_range(got.receipt.n_prefill_chunks, 90, 110);
    collect(waits, &other);
    assert_int_equal(other.n, 5);
    int n_read = got.receipt.n_prefill_chunks;
    next = request_of(ids[0], N_IDS, 1); /* what it had read is kept */
    answer(&o, &next, &got);
    assert_int_equal(got.receipt.n_cached_tokens, n_read);
    close_model(&o);
}

static void while_it_answers_beside_another(void **state)
{
    static struct answer alone;
    struct opened o;
    (void)state;
    open_one(&o, 2, 0, 0);
    hearth_request r = request_of(ids[0], 10, 0), beside = request_of(ids[1], 10, 200);
    beside.no_prefix_cache = true;
    answer(&o, &beside, &alone);
    hearth_stream *stays = submit(&o, &beside);
    for (int i = 0; i < 20; i++) {
        hearth_stream *s = submit(&o, &r);
        read_tokens(s, 1 + i % 3);
        if (i % 2)
            cancel(s);
        else
            hearth_stream_close(s);
    }
    collect(stays, &got);
    assert_same(&alone, &got);
    close_model(&o);
}

static void count_event(void *arg) { atomic_fetch_add((atomic_int *)arg, 1); }

/* Its ring is full: nothing runs. The END comes behind what was not read. */
static void while_nobody_reads_it(void **state)
{
    struct opened o;
    (void)state;
    open_one(&o, 1, 0, 0);
    hearth_request r = request_of(ids[0], 10, 0), next = request_of(ids[1], 10, 5);
    r.n_alternatives = 50;
    atomic_int n_events = 0;
    hearth_stream *first = submit(&o, &r), *s = submit(&o, &r), *waits = submit(&o, &next);
    hearth_stream_on_wake(s, count_event, &n_events); /* before its first event: `first` has the slot */
    cancel(first);
    for (int still = 0, before = 0; still < 20; before = atomic_load(&n_events)) {
        a_moment();
        still = before > 20 && before == atomic_load(&n_events) ? still + 1 : 0;
    }
    assert_true(runs(s) && runs(waits));
    hearth_stream_on_wake(s, NULL, NULL);
    hearth_stream_cancel(s);
    collect(waits, &other);
    assert_int_equal(other.n, 5);
    collect(s, &got);
    assert_int_equal(got.reason, HEARTH_END_CANCELLED);
    assert_true(got.n > 20 && got.n < 400); /* of the 4,086 there is room for */
    close_model(&o);
}

/* Its slot is its own, its pages are not. */
static void while_it_is_preempted(void **state)
{
    struct opened o;
    struct gate gate;
    struct hold held;
    (void)state;
    open_one(&o, 3, 512, 512);
    hearth_request older = request_of(ids[0], 100, 400), younger = request_of(ids[1], 200, 250);
    older.no_prefix_cache = true;
    answer(&o, &older, &other);
    gate_shut(&o, &gate);
    hearth_stream *a = submit(&o, &older), *b = submit(&o, &younger);
    hold(&held, a, 350); /* more than 450 tokens: all of the pool's 8 pages */
    gate_open(&o, &gate, 2);
    hold_at(&held, 350);
    hearth_stream_cancel(b);
    hold_no_more(&held);
    cancel(b);
    assert_int_equal(got.receipt.n_preemptions, 1);
    assert_int_equal(got.receipt.n_recomputed_tokens, 0);
    younger.max_tokens = 3;
    b = submit(&o, &younger); /* its slot is free: it begins when there are pages */
    collect(a, &got);
    assert_string_equal(got.receipt.digest, other.receipt.digest);
    collect(b, &got);
    assert_int_equal(got.n, 3);
    close_model(&o);
}

/* The first of those that wait has too large a prompt for the pages that are left; behind it is one that fits. */
static void while_it_waits_for_pages(void **state)
{
    struct opened o;
    struct gate gate;
    struct hold held;
    (void)state;
    open_one(&o, 3, 512, 512);
    hearth_request runs_on = request_of(ids[0], 200, 300), large = request_of(ids[1], 400, 5);
    hearth_request small = request_of(ids[2], 10, 5);
    gate_shut(&o, &gate);
    hearth_stream *a = submit(&o, &runs_on);
    hold(&held, a, 1);
    gate_open(&o, &gate, 1);
    hold_at(&held, 1);
    hearth_stream *b = submit(&o, &large), *c = submit(&o, &small);
    until_waiting(&o, 2);
    hold_at(&held, 60); /* the small one would have ended long ago */
    assert_true(runs(a) && runs(b) && runs(c)); /* nobody overtakes */
    hearth_stream_cancel(b);
    hold_no_more(&held);
    cancel(b);
    assert_int_equal(got.n, 0);
    collect(c, &got);
    assert_int_equal(got.n, 5);
    collect(a, &got);
    assert_int_equal(got.n, 300);
    close_model(&o);
}

/* Two that ask the same: the second waits for what the first reads, and reads itself when that one is gone. */
static void while_another_waits_for_it(void **state)
{
    static struct answer alone;
    struct opened o;
    struct gate gate;
    struct hold held;
    (void)state;
    open_one(&o, 3, 0, 0);
    hearth_request r = request_of(ids[0], N_IDS, 5), slow = r;
    r.no_prefix_cache = true;
    r.cache_salt = 1;
    answer(&o, &r, &alone);
    r.no_prefix_cache = false;
    r.cache_salt = 0;
    slow.n_chunk_tokens = 1;
    slow.want_progress = true;
    gate_shut(&o, &gate);
    hearth_stream *leads = submit(&o, &slow);
    hold(&held, leads, 10);
    gate_open(&o, &gate, 1);
    hold_at(&held, 10);
    hearth_stream *follows = submit(&o, &r), *also = submit(&o, &r);
    until_waiting(&o, 2);
    hold_at(&held, 100); /* long enough to read it all, had they not waited */
    hearth_stream_cancel(leads);
    hold_no_more(&held);
    cancel(leads);
    assert_in_range(got.receipt.n_prefill_chunks, 90, 110);
    hearth_stream_close(also);
    collect(follows, &got);
    assert_same(&alone, &got);
    close_model(&o);
}

/* ---- the wake callback ---- */

struct slow_wake {
    atomic_bool in, out;
};

static void wake_slowly(void *arg)
{
    struct slow_wake *w = arg;
    atomic_store(&w->in, true);
    for (int i = 0; i < 6; i++)
        a_moment();
    atomic_store(&w->out, true);
}

/* Whoever takes the callback away may free what it is told. */
static void a_wake_under_way_is_waited_for(void **state)
{
    struct opened o;
    struct gate gate;
    struct slow_wake w = { false };
    (void)state;
    open_one(&o, 1, 0, 0);
    hearth_request r = request_of(ids[0], 10, 1);
    gate_shut(&o, &gate);
    hearth_stream *s = submit(&o, &r);
    hearth_stream_on_wake(s, wake_slowly, &w);
    gate_open(&o, &gate, 1);
    while (!atomic_load(&w.in))
        a_moment();
    hearth_stream_on_wake(s, NULL, NULL);
    assert_true(atomic_load(&w.out));
    collect(s, &got);
    close_model(&o);
}

struct bell {
    atomic_int n_wakes, n_due, n_rings; /* due: since the last ring */
    atomic_int n_most;
};

static void count_wake(void *arg)
{
    struct bell *b = arg;
    atomic_fetch_add(&b->n_wakes, 1);
    atomic_fetch_add(&b->n_due, 1);
}

static void count_ring(void *arg)
{
    struct bell *b = arg;
    int n = atomic_exchange(&b->n_due, 0);
    atomic_fetch_add(&b->n_rings, 1);
    if (n > atomic_load(&b->n_most))
        atomic_store(&b->n_most, n);
}

/* No wake without a ring after it, and one ring for all that a step woke. */
static void a_step_rings_once(void **state)
{
    struct opened o;
    struct gate gate;
    struct bell b = { 0 };
    hearth_stream *s[3];
    (void)state;
    open_one(&o, 4, 0, 0);
    hearth_engine_on_wakes(o.engine, count_ring, &b);
    hearth_request r = request_of(ids[0], 10, 12);
    gate_shut(&o, &gate);
    for (int i = 0; i < 3; i++) {
        s[i] = submit(&o, &r);
        hearth_stream_on_wake(s[i], count_wake, &b);
    }
    gate_open(&o, &gate, 3);
    for (int i = 0; i < 3; i++)
        collect(s[i], &got);
    hearth_engine_on_wakes(o.engine, NULL, NULL);
    assert_int_equal(b.n_most, 3);
    assert_true(b.n_wakes > 12 && b.n_rings > 0 && b.n_rings < b.n_wakes);
    close_model(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waiting_for_a_slot),
        cmocka_unit_test(before_it_is_tokenized),
        cmocka_unit_test(while_its_prompt_is_read),
        cmocka_unit_test(while_it_answers_beside_another),
        cmocka_unit_test(while_nobody_reads_it),
        cmocka_unit_test(while_it_is_preempted),
        cmocka_unit_test(while_it_waits_for_pages),
        cmocka_unit_test(while_another_waits_for_it),
        cmocka_unit_test(a_wake_under_way_is_waited_for),
        cmocka_unit_test(a_step_rings_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
