/* test_stress_engine.c: hundreds of requests on two models at once, arriving, cancelled, closed and read at random, in
 * pools too small for them, with shared beginnings, keys, drafts and chunks; each has the bits of its solo run.
 *
 *   test_stress_engine              200 requests, of 60 kinds
 *   test_stress_engine N [SEED]     N of them; from 2,000 on of 200 kinds */
#include <stdlib.h>
#include <time.h>

#include "engine/registry.h"
#include "requests.h"

enum { MOST_CASES = 200, N_MODELS = 2, N_FLYING = 24, N_FAMILIES = 6, MOST_PROMPT = 420 };
enum { N_SEQS = 5, POOL_TOKENS = 640 };

static int n_requests = 200, n_cases = 60;
static uint64_t seed = 1;

/* ---- what is asked, and what the answer is ---- */

struct test_case {
    int model;
    int32_t prompt[MOST_PROMPT];
    hearth_request request;
    struct answer alone;
};
static struct test_case cases[MOST_CASES];
static hearth_engine *engine;
static hearth_model *models[N_MODELS];
static char paths[N_MODELS][256];

static void open_models(int n_threads, int n_seqs, int n_kv_tokens)
{
    static const char *const archs[N_MODELS] = { "llama", "qwen3" };
    hearth_error err = { 0 };
    const hearth_engine_options o = { .n_threads = n_threads, .n_seqs = n_seqs, .n_step_tokens = 96,
                                      .budget_bytes = 1 << 30 };
    engine = hearth_engine_create(&o, &err);
    for (int i = 0; engine && i < N_MODELS; i++) {
        if (!paths[i][0]) {
            tiny_path(paths[i], sizeof paths[i], archs[i]);
            tiny_write(paths[i], &(struct tiny){ .arch = archs[i], .type = DTYPE_q8_0, .n_ctx = 512 });
        }
        models[i] = hearth_model_open(
            engine, &(hearth_model_options){ .source.path = paths[i], .n_kv_tokens = n_kv_tokens }, &err);
        if (!models[i])
            fail_msg("%s", err.message);
    }
}

static void close_models(void)
{
    for (int i = 0; i < N_MODELS; i++)
        hearth_model_release(models[i]);
    hearth_engine_destroy(engine);
}

/* Beginnings that meet at any place; lengths of less than a page and of many. */
static void make_case(struct test_case *c, struct rng *r)
{
    bool talks = rng_below(r, 2); /* of a short prompt much, of a long one little */
    int n = 1 + (int)rng_below(r, talks ? 90 : MOST_PROMPT);
    int n_common = (int)rng_below(r, (uint32_t)n + 1);
    fill_ids(c->prompt, n, 1000 + rng_below(r, N_FAMILIES));
    fill_ids(c->prompt + n_common, n - n_common, rng_u64(r));
    c->model = (int)rng_below(r, N_MODELS);
    c->request = request_of(c->prompt, n, 1 + (int)rng_below(r, talks ? 220 : 40));
    hearth_request *q = &c->request;
    q->seed = rng_below(r, 100);
    q->sampling.temperature = rng_below(r, 2) ? 0 : 0.8F;
    q->sampling.repeat_penalty = rng_below(r, 2) ? 1 : 1.2F;
    q->n_alternatives = rng_below(r, 6) ? 0 : 50; /* large events: whoever does not read them stops soon */
    q->score = n > 2 && rng_below(r, 10) == 0;
    q->score_from = q->score ? 1 + rng_below(r, (uint32_t)n - 1) : 0;
}

static void make_cases(void)
{
    struct rng r = { seed, 0 };
    open_models(2, 1, 0);
    for (int i = 0; i < n_cases; i++) {
        struct test_case *c = &cases[i];
        hearth_error err = { 0 };
        make_case(c, &r);
        c->request.no_prefix_cache = true;
        c->request.speculate = HEARTH_SPECULATE_OFF;
        hearth_stream *s = hearth_submit(models[c->model], &c->request, &err);
        if (!s)
            fail_msg("%s", err.message);
        collect(s, &c->alone);
        assert_true(c->alone.reason == HEARTH_END_LENGTH);
    }
    close_models();
}

/* ---- requests on their way ---- */

struct flying {
    hearth_stream *stream; /* NULL: none */
    const struct test_case *c;
    struct answer got;
    int cancel_after, close_after; /* events; -1: not */
    bool cancelled, lazy;          /* lazy: is read seldom */
};
static struct flying flying[N_FLYING];
static struct {
    int begun, ended, cancelled, closed, preempted, found, joined, drafted;
} n;

static void begin(struct flying *f, struct rng *r)
{
    hearth_error err = { 0 };
    static const struct test_case *c; /* the same as the last one now and then */
    c = !c || rng_below(r, 4) ? &cases[rng_below(r, (uint32_t)n_cases)] : c;
    hearth_request q = c->request;
    q.no_prefix_cache = rng_below(r, 12) == 0;
    q.cache_salt = rng_below(r, 4) == 0;
    q.owner = rng_below(r, 4);
    q.speculate = rng_below(r, 3) ? HEARTH_SPECULATE_AUTO : 1 + (int)rng_below(r, 8);
    q.n_chunk_tokens = rng_below(r, 3) ? 0 : 1 + (int)rng_below(r, 50);
    *f = (struct flying){ .c = c, .cancel_after = -1, .close_after = -1, .lazy = rng_below(r, 8) == 0 };
    uint32_t fate = rng_below(r, 100);
    if (fate < 14)
        *(fate < 8 ? &f->cancel_after : &f->close_after) = (int)rng_below(r, 3) * (int)rng_below(r, 40);
    f->stream = hearth_submit(models[c->model], &q, &err);
    if (!f->stream)
        fail_msg("%s", err.message);
    n.begun++;
}

static void end(struct flying *f)
{
    const struct answer *alone = &f->c->alone;
    hearth_receipt *r = &f->got.receipt;
    assert_true(hearth_stream_receipt(f->stream, r));
    if (f->got.reason == HEARTH_END_ERROR)
        fail_msg("%s", hearth_stream_error(f->stream)->message);
    assert_true(f->got.n <= alone->n);
    assert_memory_equal(f->got.ids, alone->ids, (size_t)f->got.n * sizeof *alone->ids);
    if (f->got.reason == HEARTH_END_CANCELLED) {
        assert_true(f->cancelled);
        n.cancelled++;
    } else {
        assert_same(alone, &f->got);
    }
    n.preempted += r->n_preemptions;
    n.found += r->n_prefix_tokens > 0;
    n.joined += r->n_cached_tokens > r->n_prefix_tokens;
    n.drafted += r->n_draft_tokens > 0;
    assert_true(r->n_cached_tokens >= r->n_prefix_tokens && r->n_cached_tokens <= (int)f->c->request.n_prompt_ids);
    assert_true(r->n_recomputed_tokens >= 0);
    hearth_stream_close(f->stream);
    f->stream = NULL;
    n.ended++;
}

/* Some of what there is of it. */
static void read_some(struct flying *f, struct rng *r)
{
    hearth_event e;
    for (int most = (int)rng_below(r, 30); most > 0 && hearth_stream_poll(f->stream, &e); most--) {
        f->got.reason = e.reason;
        if (e.type == HEARTH_EVENT_END) {
            end(f);
            return;
        }
        f->got.mixes[f->got.n] = e.logits_mix;
        f->got.ids[f->got.n++] = e.id;
    }
}

static void turn(struct rng *r)
{
    struct flying *f = &flying[rng_below(r, N_FLYING)];
    if (!f->stream) {
        if (n.begun < n_requests)
            begin(f, r);
        return;
    }
    if (f->cancel_after >= 0 && f->got.n >= f->cancel_after && rng_below(r, 4) == 0) {
        hearth_stream_cancel(f->stream);
        f->cancelled = true;
        f->cancel_after = -1;
    } else if (f->close_after >= 0 && f->got.n >= f->close_after && rng_below(r, 4) == 0) { /* it vanishes */
        hearth_stream_close(f->stream);
        f->stream = NULL;
        n.closed++;
    } else if (!f->lazy || rng_below(r, 32) == 0 || n.begun == n_requests) {
        read_some(f, r);
    }
}

static void rest(struct rng *r)
{
    const struct timespec a_moment = { .tv_nsec = 20000 };
    if (rng_below(r, 4) == 0)
        nanosleep(&a_moment, NULL);
}

/* As many as there are slots run at once, so none is lost; then every page is there to be had. */
static void check_nothing_is_left(void)
{
    hearth_stream *s[N_SEQS];
    hearth_event e;
    for (int m = 0; m < N_MODELS; m++) {
        hearth_request q = request_of(cases[0].prompt, 1, 20);
        for (int i = 0; i < N_SEQS; i++)
            s[i] = hearth_submit(models[m], &q, NULL);
        for (int i = 0; i < N_SEQS; i++)
            while (hearth_stream_next(s[i], &e))
                ;
        for (int i = 0; i < N_SEQS; i++)
            hearth_stream_close(s[i]);
        const struct kv_pool *pool = &models[m]->kv;
        assert_int_equal(kv_available(pool), pool->n_pages);
        for (uint32_t p = 0; p < pool->n_pages; p++)
            assert_int_equal(pool->n_refs[p], 0);
    }
}

static bool all_happened(void)
{
    return n.cancelled > n_requests / 80 && n.closed > n_requests / 200 && n.found > n_requests / 8
           && n.preempted > 0 && n.drafted > n_requests / 20 && (n_requests < 2000 || n.joined > n_requests / 500);
}

/* What meets what depends on how fast the machine is: there are more requests until everything has happened. */
static void every_answer_is_that_of_its_solo_run(void **state)
{
    struct rng r = { seed, 1 << 20 };
    int most = 20 * n_requests;
    (void)state;
    make_cases();
    open_models(1, N_SEQS, POOL_TOKENS);
    while (n.ended + n.closed < n_requests || (!all_happened() && n_requests < most)) {
        if (n.ended + n.closed == n_requests)
            n_requests += 50;
        turn(&r);
        rest(&r);
    }
    check_nothing_is_left();
    close_models();
    for (int i = 0; i < N_MODELS; i++)
        unlink(paths[i]);
    print_message("%d begun, %d cancelled, %d closed, %d preemptions, %d began with tokens of others, %d joined, "
                  "%d drafted\n", n.begun, n.cancelled, n.closed, n.preempted, n.found, n.joined, n.drafted);
    assert_true(all_happened());
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_answer_is_that_of_its_solo_run) };
    if (argc > 1)
        n_requests = atoi(argv[1]);
    if (n_requests >= 2000)
        n_cases = MOST_CASES;
    if (argc > 2)
        seed = strtoull(argv[2], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
