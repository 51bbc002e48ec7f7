/* test_pool.c: sequences that share fewer pages than they need: who waits, who is computed again, and that no bit of
 * any answer depends on it. */
#include <time.h>

#include "base/alloc.h"
#include "gate.h"

static const struct tiny tiny = { .arch = "llama", .type = DTYPE_q8_0, .n_ctx = 512 };

enum { N = 4, N_PROMPT = 100, N_OUT = 250 };

static void open_small(struct opened *o, const char *name, int n_seqs, int n_kv_tokens)
{
    open_model(o, name, tiny, (hearth_engine_options){ .n_threads = 2, .n_seqs = n_seqs, .n_step_tokens = 64 },
               (hearth_model_options){ .n_kv_tokens = n_kv_tokens });
}

static void random_requests(hearth_request r[N], int32_t ids[N][N_PROMPT])
{
    for (int i = 0; i < N; i++) {
        fill_ids(ids[i], N_PROMPT, 50 + (uint64_t)i);
        r[i] = request_of(ids[i], N_PROMPT - 3 * i, N_OUT - i);
        r[i].seed = (uint64_t)i;
        r[i].sampling.temperature = 0.9F;
        r[i].sampling.repeat_penalty = 1.1F;
        r[i].sampling.dry_multiplier = 0.5F;
        r[i].want_logprob = true;
    }
}

/* Four sequences of 6 pages each in a pool of 8. */
static void the_youngest_are_computed_again_with_the_same_bits(void **state)
{
    static struct answer alone[N], got;
    static int32_t ids[N][N_PROMPT];
    hearth_request r[N];
    hearth_stream *s[N];
    struct opened o;
    struct gate gate;
    (void)state;
    random_requests(r, ids);
    open_small(&o, "alone", 1, 0);
    for (int i = 0; i < N; i++) {
        answer(&o, &r[i], &alone[i]);
        assert_int_equal(alone[i].n, N_OUT - i);
        assert_int_equal(alone[i].receipt.n_preemptions, 0);
    }
    close_model(&o);
    open_small(&o, "small", N, 512);
    hearth_plan plan;
    hearth_model_plan(o.model, &plan);
    assert_int_equal(plan.n_kv_tokens, 512);
    assert_int_equal(plan.n_ctx_tokens, 512); /* not divided */
    assert_int_equal(plan.n_seqs, N);
    gate_shut(&o, &gate);
    for (int i = 0; i < N; i++)
        s[i] = submit(&o, &r[i]);
    gate_open(&o, &gate, N);
    int n_preemptions = 0, n_recomputed = 0;
    for (int i = 0; i < N; i++) {
        collect(s[i], &got);
        assert_same(&alone[i], &got);
        assert_true(i > 0 || got.receipt.n_preemptions == 0); /* the oldest never waits */
        assert_true(got.receipt.n_recomputed_tokens >= 0);
        assert_true(!got.receipt.n_preemptions == !(got.receipt.preempted_ms > 0));
        n_preemptions += got.receipt.n_preemptions;
        n_recomputed += got.receipt.n_recomputed_tokens;
    }
    assert_true(n_preemptions > 0 && n_recomputed > 0);
    close_model(&o);
}

/* A pool of two contexts beside each other is enough for two: nobody is preempted. */
static void who_has_room_is_left_alone(void **state)
{
    static struct answer got;
    static int32_t ids[N][N_PROMPT];
    hearth_request r[N];
    hearth_stream *s[N];
    struct opened o;
    struct gate gate;
    (void)state;
    random_requests(r, ids);
    open_small(&o, "room", N, 1536); /* 24 pages */
    gate_shut(&o, &gate);
    for (int i = 0; i < N; i++)
        s[i] = submit(&o, &r[i]);
    gate_open(&o, &gate, N);
    for (int i = 0; i < N; i++) {
        collect(s[i], &got);
        assert_int_equal(got.n, N_OUT - i);
        assert_int_equal(got.receipt.n_preemptions, 0);
    }
    close_model(&o);
}

/* Whole contexts one beside the other, each as large as the pool. */
static void contexts_as_large_as_the_pool_all_end(void **state)
{
    static struct answer alone[3], got;
    static int32_t ids[3][400];
    hearth_stream *s[3];
    struct opened o;
    (void)state;
    open_small(&o, "whole", 3, 512);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 3; i++) {
            fill_ids(ids[i], 400, 90 + (uint64_t)i);
            hearth_request r = request_of(ids[i], 400 - i, 0);
            r.no_prefix_cache = round == 0;
            if (round == 0)
                answer(&o, &r, &alone[i]);
            else
                s[i] = submit(&o, &r);
        }
        for (int i = 0; round == 1 && i < 3; i++) {
            collect(s[i], &got);
            assert_int_equal(got.n, 512 - 400 + i);
            assert_same(&alone[i], &got);
        }
    }
    close_model(&o);
}

struct rows {
    int n, n_wrong;
    size_t next;
};

static void see_row(void *arg, size_t index, const float *logits, int n_vocab)
{
    struct rows *rows = arg;
    (void)logits;
    (void)n_vocab;
    rows->n_wrong += index != rows->next;
    rows->next = index + 1;
    rows->n++;
}

/* A scored text that loses its pages half way: each token is scored once, in order. */
static void scores_come_once(void **state)
{
    static struct answer alone, got, other;
    static int32_t ids[300], long_ids[100];
    struct opened o;
    struct rows rows = { .next = 20 };
    struct gate gate;
    (void)state;
    fill_ids(ids, 300, 7);
    fill_ids(long_ids, 100, 8);
    open_small(&o, "scores", 2, 512);
    hearth_request score = request_of(ids, 300, 0), older = request_of(long_ids, 100, 300);
    score.score = true;
    score.score_from = 20;
    score.no_prefix_cache = true;
    answer(&o, &score, &alone);
    assert_int_equal(alone.n, 280);
    score.on_logits = see_row;
    score.on_logits_arg = &rows;
    score.n_chunk_tokens = 2; /* while it is read, the older one comes to need more pages */
    gate_shut(&o, &gate);
    hearth_stream *first = submit(&o, &older), *second = submit(&o, &score);
    gate_open(&o, &gate, 2);
    collect(second, &got);
    assert_same(&alone, &got);
    assert_true(got.receipt.n_preemptions > 0);
    assert_int_equal(rows.n, 280);
    assert_int_equal(rows.n_wrong, 0);
    collect(first, &other);
    assert_int_equal(other.receipt.n_preemptions, 0);
    close_model(&o);
}

/* Nobody reads the oldest: it gives its pages to those that are read, and goes on when it is. */
static void who_is_not_read_gives_its_pages(void **state)
{
    static struct answer alone, slow, got;
    static int32_t ids[3][200];
    struct opened o;
    (void)state;
    for (int i = 0; i < 3; i++)
        fill_ids(ids[i], 200, 20 + (uint64_t)i);
    open_small(&o, "unread", 2, 512);
    hearth_request r = request_of(ids[0], 200, 300), other = request_of(ids[1], 200, 300);
    r.n_alternatives = 50; /* large events: the ring is full after about a hundred */
    r.no_prefix_cache = true;
    answer(&o, &r, &alone);
    hearth_stream *unread = submit(&o, &r);
    for (int i = 1; i < 3; i++) {
        other.prompt_ids = ids[i];
        answer(&o, &other, &got);
        assert_int_equal(got.n, 300);
        assert_int_equal(got.receipt.n_preemptions, 0);
    }
    collect(unread, &slow);
    assert_same(&alone, &slow);
    assert_true(slow.receipt.n_preemptions >= 1);
    assert_true(slow.receipt.n_recomputed_tokens > 0);
    close_model(&o);
}

static void giving_up_and_going_on_allocates_nothing(void **state)
{
    static int32_t ids[N][N_PROMPT];
    hearth_request r[N];
    hearth_stream *s[N];
    struct opened o;
    static struct answer got;
    hearth_event e;
    (void)state;
    random_requests(r, ids);
    open_small(&o, "nothing", N, 512);
    for (int i = 0; i < N; i++) {
        r[i].max_tokens = 30 + 5 * i;
        r[i].n_prompt_ids = N_PROMPT;
        s[i] = submit(&o, &r[i]);
    }
    assert_true(hearth_stream_next(s[0], &e));
    while (hearth_stream_next(s[1], &e) && e.type != HEARTH_EVENT_TOKEN)
        ;
    const struct timespec a_moment = { .tv_nsec = 20000000 };
    nanosleep(&a_moment, NULL); /* all are tokenized */
    mem_fail_at(0);
    hearth_receipt receipt;
    for (int i = 0; i < N; i++)
        while (!hearth_stream_receipt(s[i], &receipt))
            nanosleep(&a_moment, NULL);
    assert_int_equal(mem_fail_at(0), 0);
    for (int i = 0; i < N; i++)
        collect(s[i], &got);
    close_model(&o);
}

/* ---- the plan ---- */

static hearth_plan plan_of(const char *path, uint64_t budget_bytes, uint64_t share_bytes, int n_ctx)
{
    hearth_error err = { 0 };
    hearth_plan plan = { 0 };
    const hearth_engine_options eo = { .n_threads = 1, .n_seqs = 8, .n_step_tokens = 64, .budget_bytes = budget_bytes };
    hearth_engine *e = hearth_engine_create(&eo, &err);
    hearth_model *m = hearth_model_open(
        e, &(hearth_model_options){ .source.path = path, .n_ctx_tokens = n_ctx, .budget_bytes = share_bytes }, &err);
    if (m)
        hearth_model_plan(m, &plan);
    hearth_model_release(m);
    hearth_engine_destroy(e);
    return plan;
}

static void the_pool_is_what_the_budget_leaves(void **state)
{
    char path[256];
    (void)state;
    tiny_path(path, sizeof path, "budget");
    tiny_write(path, &(struct tiny){ .arch = "llama", .type = DTYPE_q8_0, .n_ctx = 8192 });
    hearth_plan all = plan_of(path, 1 << 30, 0, 8192);
    assert_int_equal(all.n_kv_tokens, 8 * 8192);
    uint64_t page = all.kv_bytes / (8 * 128);
    for (int half = 0; half < 2; half++) { /* by the engine's budget and by the model's share */
        uint64_t budget = all.total_bytes * 2 / 3;
        hearth_plan some = plan_of(path, half ? 1 << 30 : budget, half ? budget : 0, 8192);
        assert_true(some.fits);
        assert_int_equal(some.n_ctx_tokens, 8192);
        assert_int_equal(some.budget_bytes, budget);
        assert_true(some.n_kv_tokens >= 8192 && some.n_kv_tokens < 8 * 8192);
        assert_true(some.total_bytes <= some.budget_bytes);
        assert_true(some.budget_bytes - some.total_bytes < some.n_kv_tokens / 64 * page / 32); /* and little is left */
        assert_non_null(strstr(some.reason, "8 sequences share room for"));
    }
    hearth_plan least = plan_of(path, all.total_bytes - all.kv_bytes - all.weights_bytes + 128 * page, 0, 8192);
    assert_true(least.fits); /* one context, and the weights are read again and again */
    assert_int_equal(least.n_kv_tokens, 8192);
    hearth_plan none = plan_of(path, least.total_bytes - least.weights_bytes - 1, 0, 8192);
    assert_int_equal(none.n_ctx_tokens, 0); /* refused */
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_youngest_are_computed_again_with_the_same_bits),
        cmocka_unit_test(who_has_room_is_left_alone),
        cmocka_unit_test(contexts_as_large_as_the_pool_all_end),
        cmocka_unit_test(scores_come_once),
        cmocka_unit_test(who_is_not_read_gives_its_pages),
        cmocka_unit_test(giving_up_and_going_on_allocates_nothing),
        cmocka_unit_test(the_pool_is_what_the_budget_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
