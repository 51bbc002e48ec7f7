/* test_many.c: several models and many owners in one engine: one budget, a step each in turn, a bounded queue. */
#include <stdatomic.h>
#include <time.h>

#include "requests.h"

static int32_t ids[200];
static struct answer alone[2], got;

struct two {
    hearth_engine *engine;
    hearth_model *model[2];
    char path[2][256];
    hearth_error err;
};

static hearth_model *open_another(struct two *t, const char *path, int n_ctx, uint64_t budget_bytes)
{
    t->err = (hearth_error){ 0 };
    return hearth_model_open(
        t->engine,
        &(hearth_model_options){ .source.path = path, .n_ctx_tokens = n_ctx, .budget_bytes = budget_bytes }, &t->err);
}

static void write_two(struct two *t)
{
    static const char *const archs[] = { "llama", "qwen3" };
    *t = (struct two){ 0 };
    for (int i = 0; i < 2; i++) {
        tiny_path(t->path[i], sizeof t->path[i], archs[i]);
        tiny_write(t->path[i], &(struct tiny){ .arch = archs[i], .type = DTYPE_q8_0, .n_ctx = 2048 });
    }
    fill_ids(ids, 200, 1);
}

static void open_engine(struct two *t, uint64_t budget_bytes, int n_seqs)
{
    t->engine = hearth_engine_create(
        &(hearth_engine_options){ .n_threads = 1, .n_seqs = n_seqs, .budget_bytes = budget_bytes }, &t->err);
    assert_non_null(t->engine);
}

static void close_two(struct two *t)
{
    for (int i = 0; i < 2; i++) {
        hearth_model_release(t->model[i]);
        unlink(t->path[i]);
    }
    hearth_engine_destroy(t->engine);
}

static hearth_stream *ask(hearth_model *m, const hearth_request *r)
{
    hearth_stream *s = hearth_submit(m, r, NULL);
    assert_non_null(s);
    return s;
}

/* ---- several models ---- */

static void two_models_answer_side_by_side(void **state)
{
    struct two t;
    hearth_request r = request_of(ids, 100, 300), small = request_of(ids, 50, 10);
    hearth_receipt receipt;
    hearth_event e;
    (void)state;
    write_two(&t);
    open_engine(&t, 0, 2);
    r.no_prefix_cache = true;
    for (int i = 0; i < 2; i++) {
        t.model[i] = open_another(&t, t.path[i], 0, 64 << 20);
        if (!t.model[i])
            fail_msg("%s", t.err.message);
        collect(ask(t.model[i], &r), &alone[i]);
    }
    assert_string_not_equal(alone[0].receipt.digest, alone[1].receipt.digest);
    hearth_stream *s[2];
    for (int i = 0; i < 2; i++)
        s[i] = ask(t.model[i], &r);
    for (int i = 0; i < 2; i++) {
        collect(s[i], &got);
        assert_same(&alone[i], &got);
        assert_string_equal(got.receipt.model_identity, hearth_model_identity(t.model[i]));
    }
    r.max_tokens = 0;
    hearth_stream *endless = ask(t.model[0], &r); /* one that goes on takes no turn of the other */
    assert_true(hearth_stream_next(endless, &e));
    collect(ask(t.model[1], &small), &got);
    assert_int_equal(got.n, 10);
    assert_false(hearth_stream_receipt(endless, &receipt));
    hearth_stream_cancel(endless);
    collect(endless, &got);
    close_two(&t);
}

/* A prompt of one model is cut for whoever watches an answer of another: before anything is measured into 32 tokens
 * where it would be read in one step. */
static void a_prompt_is_cut_for_the_answers_of_another_model(void **state)
{
    (void)state;
    for (int n_seqs = 1; n_seqs <= 2; n_seqs++) {
        struct two t;
        hearth_request endless = request_of(ids, 10, 0), prompt = request_of(ids, 100, 1);
        hearth_receipt receipt = { 0 };
        hearth_event e;
        write_two(&t);
        open_engine(&t, 0, n_seqs);
        for (int i = 0; i < 2; i++)
            t.model[i] = open_another(&t, t.path[i], 2048, 64 << 20);
        hearth_stream *watched = ask(t.model[0], &endless);
        assert_true(hearth_stream_next(watched, &e));
        hearth_stream *read = ask(t.model[1], &prompt);
        while (!hearth_stream_receipt(read, &receipt))
            if (!hearth_stream_next(watched, &e))
                fail_msg("%s", "the answer ended before the other's prompt was read");
        assert_true(receipt.n_prefill_chunks >= 2);
        collect(read, &alone[0]);
        hearth_stream_cancel(watched);
        collect(watched, &got);
        for (int i = 0; i < 2; i++)
            hearth_model_release(t.model[i]);
        t.model[0] = t.model[1] = NULL;
        t.model[1] = open_another(&t, t.path[1], 2048, 64 << 20); /* with the same bits as alone */
        collect(ask(t.model[1], &prompt), &got);
        assert_int_equal(got.receipt.n_prefill_chunks, 1);
        assert_string_equal(got.receipt.digest, alone[0].receipt.digest);
        close_two(&t);
    }
}

/* One comes and goes while the other answers, and while its own requests are on their way. */
static void models_come_and_go(void **state)
{
    struct two t;
    hearth_request r = request_of(ids, 100, 300), small = request_of(ids, 50, 10);
    (void)state;
    write_two(&t);
    open_engine(&t, 0, 1);
    t.model[0] = open_another(&t, t.path[0], 0, 64 << 20);
    r.no_prefix_cache = true;
    collect(ask(t.model[0], &r), &alone[0]);
    for (int i = 0; i < 10; i++) {
        hearth_stream *s = ask(t.model[0], &r);
        t.model[1] = open_another(&t, t.path[1], 0, 64 << 20);
        assert_non_null(t.model[1]);
        hearth_stream *other = ask(t.model[1], &small);
        hearth_model_release(t.model[1]); /* its stream keeps it */
        collect(other, &got);
        assert_int_equal(got.n, 10);
        collect(s, &got);
        assert_same(&alone[0], &got);
    }
    t.model[1] = NULL;
    close_two(&t);
}

/* A prompt that is read for thousands of steps does not keep the other model. */
static void a_model_can_leave_while_another_works(void **state)
{
    struct two t;
    static int32_t many[2000];
    hearth_receipt receipt;
    (void)state;
    write_two(&t);
    open_engine(&t, 0, 1);
    for (int i = 0; i < 2; i++)
        assert_non_null(t.model[i] = open_another(&t, t.path[i], 0, 64 << 20));
    fill_ids(many, 2000, 2);
    hearth_request r = request_of(many, 2000, 2);
    r.n_chunk_tokens = 1;
    hearth_stream *s = ask(t.model[0], &r);
    for (int i = 0; i < 3; i++) {
        hearth_model_release(t.model[1]);
        assert_non_null(t.model[1] = open_another(&t, t.path[1], 0, 64 << 20));
    }
    assert_false(hearth_stream_receipt(s, &receipt));
    collect(s, &got);
    assert_int_equal(got.n, 2);
    close_two(&t);
}

static void they_share_one_budget(void **state)
{
    struct two t;
    hearth_plan plan[2];
    (void)state;
    write_two(&t);
    open_engine(&t, 96 << 20, 1);
    for (int i = 0; i < 2; i++) {
        t.model[i] = open_another(&t, t.path[i], 2048, 0);
        if (!t.model[i])
            fail_msg("%s", t.err.message);
        hearth_model_plan(t.model[i], &plan[i]);
        assert_int_equal(plan[i].machine_budget_bytes, 96 << 20);
    }
    uint64_t own = plan[0].total_bytes - plan[0].weights_bytes;
    assert_int_equal(plan[0].budget_bytes, 96 << 20);
    assert_int_equal(plan[1].budget_bytes, (96 << 20) - own);
    hearth_model *third = open_another(&t, t.path[0], 1 << 17, 0);
    assert_null(third);
    assert_int_equal(t.err.status, HEARTH_ERR_MEMORY);
    assert_non_null(strstr(t.err.message, "--ctx"));
    hearth_model_release(t.model[0]);
    t.model[0] = open_another(&t, t.path[0], 2048, own); /* a share that is just enough */
    if (!t.model[0])
        fail_msg("%s", t.err.message);
    hearth_model_release(t.model[0]);
    t.model[0] = open_another(&t, t.path[0], 2048, own - 1);
    assert_null(t.model[0]);
    assert_int_equal(t.err.status, HEARTH_ERR_MEMORY);
    hearth_plan alone_plan;
    hearth_model_release(t.model[1]);
    t.model[1] = open_another(&t, t.path[1], 2048, 0); /* all is its own again */
    hearth_model_plan(t.model[1], &alone_plan);
    assert_int_equal(alone_plan.budget_bytes, 96 << 20);
    close_two(&t);
}

/* Opens both with what hearth_engine_share() gives them of this budget. False: it refuses, t->err says why. */
static bool share(struct two *t, uint64_t budget_bytes, int n_ctx, bool preload, hearth_plan plan[2])
{
    hearth_model_options o[2] = { 0 };
    hearth_file *files[2];
    open_engine(t, budget_bytes, 2);
    for (int i = 0; i < 2; i++) {
        o[i] = (hearth_model_options){ .source.path = t->path[i], .n_ctx_tokens = n_ctx, .preload = preload };
        assert_non_null(files[i] = hearth_file_open(&o[i].source, NULL));
    }
    bool ok = hearth_engine_share(t->engine, files, o, 2, &t->err);
    for (int i = 1; ok && i >= 0; i--) { /* in any order */
        t->model[i] = hearth_model_open(t->engine, &o[i], &t->err);
        if (!t->model[i])
            fail_msg("%s", t->err.message);
        hearth_model_plan(t->model[i], &plan[i]);
        assert_true(plan[i].total_bytes <= o[i].budget_bytes || plan[i].n_kv_tokens == plan[i].n_ctx_tokens);
    }
    for (int i = 0; i < 2; i++) {
        hearth_file_close(files[i]);
        hearth_model_release(t->model[i]);
        t->model[i] = NULL;
    }
    hearth_engine_destroy(t->engine);
    t->engine = NULL;
    return ok;
}

/* Windows, pools and whether the sum is kept, from a budget for everything down to one that holds no context. */
static void a_budget_is_divided_before_anything_is_loaded(void **state)
{
    struct two t;
    hearth_plan all[2], some[2], least[2];
    unsigned long long sum, budget;
    int n_ctx;
    (void)state;
    write_two(&t);
    tiny_write(t.path[1], &(struct tiny){ .arch = "qwen3", .type = DTYPE_q8_0, .n_ctx = 1 << 16 });
    assert_true(share(&t, 4ull << 30, 0, false, all));
    assert_int_equal(all[0].n_kv_tokens, 2 * 2048); /* what it can use, and no more: the rest is the other's */
    assert_int_equal(all[1].n_kv_tokens, 2 << 16);
    uint64_t both = all[0].total_bytes + all[1].total_bytes;
    assert_true(share(&t, both, 0, false, some));
    assert_int_equal(some[1].n_kv_tokens, 2 << 16);
    assert_true(share(&t, both / 2, 0, false, some));
    assert_true(some[0].total_bytes + some[1].total_bytes <= both / 2);
    assert_int_equal(some[0].n_kv_tokens, 2 * 2048); /* the small one does not pay for the large one */
    assert_true(some[1].n_ctx_tokens < 1 << 16 && some[1].n_ctx_tokens >= 4096);
    assert_true(both / 2 - some[0].total_bytes - some[1].total_bytes < both / 20); /* little is left */
    assert_true(share(&t, both / 2, 0, true, some)); /* all of both files */
    assert_true(share(&t, both / 2, 4096, true, least));
    assert_true(least[0].n_ctx_tokens == 4096 && least[1].n_ctx_tokens == 4096);
    assert_false(share(&t, 1 << 20, 0, false, some));
    assert_int_equal(t.err.status, HEARTH_ERR_MEMORY);
    assert_non_null(strstr(t.err.message, "open fewer"));
    assert_false(share(&t, both / 2, 1 << 17, false, some));
    assert_int_equal(t.err.status, HEARTH_ERR_MEMORY);
    const char *tail = strstr(t.err.message, " = ");
    assert_int_equal(sscanf(tail, " = %llu MiB, but the budget is %llu MiB; --ctx %d would fit", &sum, &budget, &n_ctx),
                     3);
    assert_true(sum > budget && budget == both / 2 >> 20 && n_ctx % 64 == 0);
    assert_true(share(&t, both / 2, n_ctx, false, some)); /* and it does */
    assert_false(share(&t, both / 2, n_ctx + 64, false, some));
    close_two(&t);
}

static void weights_that_do_not_fit_together_are_read_again_or_refused(void **state)
{
    struct two t;
    hearth_plan plan[2];
    (void)state;
    write_two(&t);
    assert_true(share(&t, 4ull << 30, 128, false, plan));
    uint64_t own = 0;
    for (int i = 0; i < 2; i++)
        own += plan[i].total_bytes - plan[i].weights_bytes - plan[i].kv_bytes / 2; /* a pool of one context */
    assert_true(share(&t, own + plan[0].weights_bytes, 128, false, plan));
    assert_non_null(strstr(plan[0].reason, "read from disk again")); /* it was opened last */
    assert_false(share(&t, own + plan[0].weights_bytes, 128, true, plan));
    assert_int_equal(t.err.status, HEARTH_ERR_MEMORY);
    assert_non_null(strstr(t.err.message, "leave out --preload"));
    close_two(&t);
}

static void there_is_a_most(void **state)
{
    struct two t;
    hearth_model *m[16];
    (void)state;
    write_two(&t);
    open_engine(&t, 1 << 30, 1);
    for (int i = 0; i < 16; i++)
        assert_non_null(m[i] = open_another(&t, t.path[i % 2], 128, 0));
    assert_null(open_another(&t, t.path[0], 128, 0));
    assert_int_equal(t.err.status, HEARTH_ERR_USAGE);
    assert_non_null(strstr(t.err.message, "16 models"));
    for (int i = 0; i < 16; i++)
        hearth_model_release(m[i]);
    close_two(&t);
}

/* ---- many owners ---- */

static atomic_int n_ended;

static void note_end(void *arg)
{
    *(int *)arg = atomic_fetch_add(&n_ended, 1); /* its only wake: both events are of one step */
}

/* One slot, ten requests of one owner and then one of another: that one is second. */
static void an_owner_waits_for_one_request_of_another(void **state)
{
    struct two t;
    hearth_stream *s[11];
    int place[11];
    hearth_event e;
    (void)state;
    write_two(&t);
    open_engine(&t, 0, 1);
    t.model[0] = open_another(&t, t.path[0], 0, 64 << 20);
    hearth_request endless = request_of(ids, 10, 0), r = request_of(ids, 100, 1);
    endless.owner = 1;
    hearth_stream *first = ask(t.model[0], &endless);
    assert_true(hearth_stream_next(first, &e));
    for (int i = 0; i < 11; i++) {
        r.owner = i < 10 ? 1 : 2;
        r.score = true; /* of the last token: one event, and END */
        r.score_from = 99;
        s[i] = ask(t.model[0], &r);
        hearth_stream_on_wake(s[i], note_end, &place[i]);
    }
    const struct timespec a_moment = { .tv_nsec = 50000000 };
    nanosleep(&a_moment, NULL); /* all are tokenized */
    hearth_stream_close(first);
    for (int i = 0; i < 11; i++) {
        while (!hearth_stream_receipt(s[i], &got.receipt))
            nanosleep(&a_moment, NULL);
        hearth_stream_on_wake(s[i], NULL, NULL); /* from here on place[i] is ours */
        collect(s[i], &got);
    }
    assert_int_equal(place[10], 0); /* owner 1 has had its turn */
    for (int i = 1; i < 10; i++)
        assert_true(place[i] > place[10] && place[i] > place[i - 1]);
    close_two(&t);
}

static void the_queue_is_bounded(void **state)
{
    struct two t;
    hearth_stream *s[256];
    hearth_error err = { 0 };
    hearth_event e;
    (void)state;
    write_two(&t);
    open_engine(&t, 0, 1);
    t.model[0] = open_another(&t, t.path[0], 0, 64 << 20);
    hearth_request endless = request_of(ids, 10, 0), r = request_of(ids, 10, 1);
    s[0] = ask(t.model[0], &endless);
    assert_true(hearth_stream_next(s[0], &e));
    for (int i = 1; i < 256; i++) {
        r.owner = (uint64_t)i % 7;
        s[i] = ask(t.model[0], &r);
    }
    assert_null(hearth_submit(t.model[0], &r, &err));
    assert_int_equal(err.status, HEARTH_ERR_BUSY);
    assert_non_null(strstr(err.message, "256"));
    hearth_stream_cancel(s[0]);
    for (int i = 0; i < 256; i++)
        collect(s[i], &got);
    collect(ask(t.model[0], &r), &got);
    assert_int_equal(got.n, 1);
    close_two(&t);
}

/* Sixty-four streams at once, the most there may be. */
static void all_slots_run_at_once(void **state)
{
    struct two t;
    hearth_stream *s[64];
    (void)state;
    write_two(&t);
    open_engine(&t, 0, 64);
    t.model[0] = open_another(&t, t.path[0], 512, 0);
    hearth_request r = request_of(ids, 60, 20);
    r.no_prefix_cache = true;
    collect(ask(t.model[0], &r), &alone[0]);
    for (int i = 0; i < 64; i++)
        s[i] = ask(t.model[0], &r);
    for (int i = 0; i < 64; i++) {
        collect(s[i], &got);
        assert_same(&alone[0], &got);
    }
    close_two(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_models_answer_side_by_side),
        cmocka_unit_test(a_prompt_is_cut_for_the_answers_of_another_model),
        cmocka_unit_test(models_come_and_go),
        cmocka_unit_test(a_model_can_leave_while_another_works),
        cmocka_unit_test(they_share_one_budget),
        cmocka_unit_test(a_budget_is_divided_before_anything_is_loaded),
        cmocka_unit_test(weights_that_do_not_fit_together_are_read_again_or_refused),
        cmocka_unit_test(there_is_a_most),
        cmocka_unit_test(an_owner_waits_for_one_request_of_another),
        cmocka_unit_test(the_queue_is_bounded),
        cmocka_unit_test(all_slots_run_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
