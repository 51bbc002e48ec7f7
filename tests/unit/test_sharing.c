/* test_sharing.c: what one request computed, others with the same beginning go on from, with the same bits. */
#include "requests.h"

static const struct tiny tiny = { .arch = "llama", .type = DTYPE_q4_K, .n_ctx = 2048 };

/* A thousand shared tokens in the slot of somebody else, while that still runs, and after it ended. */
static void a_shared_beginning_is_computed_once(void **state)
{
    static struct answer alone, shared, first;
    static int32_t a[1200], b[1200];
    struct opened o;
    (void)state;
    open_model(&o, "shared", tiny, (hearth_engine_options){ .n_threads = 2, .n_seqs = 3 },
               (hearth_model_options){ 0 });
    fill_ids(a, 1200, 1);
    memcpy(b, a, sizeof b);
    fill_ids(b + 1000, 200, 2);
    hearth_request cold = request_of(b, 1100, 16), ra = request_of(a, 1200, 400), rb = request_of(b, 1100, 16);
    cold.no_prefix_cache = true;
    cold.cache_salt = 99; /* nobody finds what it computes */
    answer(&o, &cold, &alone);
    assert_int_equal(alone.receipt.n_cached_tokens, 0);
    assert_int_equal(alone.receipt.prefix_end, HEARTH_PREFIX_NOT_ASKED);

    hearth_event e;
    hearth_stream *running = submit(&o, &ra);
    assert_true(hearth_stream_next(running, &e)); /* its prompt is through */
    answer(&o, &rb, &shared);
    assert_same(&alone, &shared);
    assert_int_equal(shared.receipt.n_cached_tokens, 1000); /* 15 pages, and 40 tokens copied */
    assert_int_equal(shared.receipt.prefix_end, HEARTH_PREFIX_DIFFERS);
    assert_int_equal(shared.receipt.prefix_id, b[1000]);
    assert_int_equal(shared.receipt.prefix_other_id, a[1000]);
    answer(&o, &rb, &shared); /* and of its own prompt all */
    assert_same(&alone, &shared);
    assert_int_equal(shared.receipt.n_cached_tokens, 1099);
    assert_int_equal(shared.receipt.prefix_end, HEARTH_PREFIX_WHOLE);
    collect(running, &first);
    assert_int_equal(first.receipt.n_cached_tokens, 0);
    assert_int_equal(first.receipt.prefix_end, HEARTH_PREFIX_NEW);
    close_model(&o);
}

/* The same prompt three times at once: two of them wait for what the first computes. */
static void who_asks_the_same_at_the_same_time_waits_for_it(void **state)
{
    static struct answer alone, same[3];
    static int32_t a[1000];
    struct opened o;
    (void)state;
    open_model(&o, "together", tiny, (hearth_engine_options){ .n_threads = 2, .n_seqs = 4, .n_step_tokens = 128 },
               (hearth_model_options){ 0 });
    fill_ids(a, 1000, 3);
    hearth_request cold = request_of(a, 1000, 12), r = cold;
    cold.no_prefix_cache = true;
    cold.cache_salt = 99;
    answer(&o, &cold, &alone);
    hearth_stream *s[3];
    int n_cached = 0;
    for (int i = 0; i < 3; i++)
        s[i] = submit(&o, &r);
    for (int i = 0; i < 3; i++) {
        collect(s[i], &same[i]);
        assert_same(&alone, &same[i]);
        n_cached += same[i].receipt.n_cached_tokens;
    }
    assert_true(n_cached >= 2 * 900); /* of 2 x 999 that could be: what was in the same step is computed twice */
    close_model(&o);
}

static void keys_do_not_see_each_other(void **state)
{
    static struct answer got;
    static int32_t a[300];
    struct opened o;
    (void)state;
    open_model(&o, "salt", tiny, (hearth_engine_options){ .n_threads = 1 }, (hearth_model_options){ 0 });
    fill_ids(a, 300, 4);
    hearth_request r = request_of(a, 300, 2);
    static const struct {
        uint64_t salt;
        int n_cached;
        hearth_prefix_end end;
    } turns[] = { { 0, 0, HEARTH_PREFIX_NEW }, { 1, 0, HEARTH_PREFIX_NEW }, { 0, 299, HEARTH_PREFIX_WHOLE },
                  { 2, 0, HEARTH_PREFIX_NEW }, { 1, 299, HEARTH_PREFIX_WHOLE } };
    for (size_t i = 0; i < ARRAY_LEN(turns); i++) {
        r.cache_salt = turns[i].salt;
        answer(&o, &r, &got);
        assert_int_equal(got.receipt.n_cached_tokens, turns[i].n_cached);
        assert_int_equal(got.receipt.prefix_end, turns[i].end);
    }
    close_model(&o);
}

/* A pool of 8 pages and prompts of 3: the one that was left alone longest is not there any more, and it is said. */
static void what_was_given_up_is_named(void **state)
{
    static struct answer got;
    static int32_t ids[4][180];
    struct opened o;
    (void)state;
    open_model(&o, "evicted", tiny, (hearth_engine_options){ .n_threads = 1 },
               (hearth_model_options){ .n_ctx_tokens = 512 });
    for (int i = 0; i < 4; i++) {
        fill_ids(ids[i], 180, 10 + (uint64_t)i);
        hearth_request r = request_of(ids[i], 180, 4);
        answer(&o, &r, &got);
        assert_int_equal(got.receipt.prefix_end, HEARTH_PREFIX_NEW);
    }
    hearth_request r = request_of(ids[0], 180, 4);
    answer(&o, &r, &got);
    assert_int_equal(got.receipt.prefix_end, HEARTH_PREFIX_EVICTED);
    assert_int_equal(got.receipt.n_cached_tokens, got.receipt.n_prefix_tokens);
    assert_int_equal(got.receipt.prefix_id, ids[0][got.receipt.n_prefix_tokens]);
    assert_true(got.receipt.n_prefix_tokens % 64 == 0 && got.receipt.n_prefix_tokens < 180);
    close_model(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shared_beginning_is_computed_once),
        cmocka_unit_test(who_asks_the_same_at_the_same_time_waits_for_it),
        cmocka_unit_test(keys_do_not_see_each_other),
        cmocka_unit_test(what_was_given_up_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
