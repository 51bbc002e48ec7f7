/* meetings.h: tests that requests have the same bits however they meet, for any model; its state is a struct tiny. */
#pragma once
#include "requests.h"

/* A request that finds nothing and leaves nothing to others. */
static inline hearth_request cold_of(const int32_t *ids, int n, int max_tokens)
{
    hearth_request r = request_of(ids, n, max_tokens);
    r.no_prefix_cache = true;
    r.cache_salt = 99;
    return r;
}

/* Chunks of any length, other sequences in the step, one of them cancelled: the same bits. */
static inline void steps_and_neighbours_change_nothing(void **state)
{
    static struct answer alone, got[4], other;
    static int32_t ids[4][400];
    struct opened o;
    const struct tiny *t = *state;
    open_model(&o, "steps", *t, (hearth_engine_options){ .n_threads = 2, .n_seqs = 4, .n_step_tokens = 96 },
               (hearth_model_options){ 0 });
    for (int i = 0; i < 4; i++)
        fill_ids(ids[i], 400, 20 + (uint64_t)i);
    hearth_request cold = cold_of(ids[0], 333, 24);
    answer(&o, &cold, &alone);
    for (int chunk = 1; chunk < 200; chunk = chunk * 3 + 4) {
        hearth_stream *s[4];
        for (int i = 0; i < 4; i++) {
            hearth_request r = cold_of(ids[i], 333 - 10 * i, 24);
            r.n_chunk_tokens = chunk;
            s[i] = submit(&o, &r);
        }
        hearth_stream_cancel(s[3]);
        for (int i = 0; i < 4; i++)
            collect(s[i], &got[i]);
        assert_same(&alone, &got[0]);
        if (got[3].reason != HEARTH_END_CANCELLED)
            assert_int_equal(got[3].n, 24);
        hearth_request r1 = cold_of(ids[1], 323, 24);
        answer(&o, &r1, &other);
        assert_same(&other, &got[1]);
    }
    close_model(&o);
}

/* The same prompt three times at once, with and without what others compute. */
static inline void several_of_one_prompt_are_computed_once(void **state)
{
    static struct answer alone, same[3];
    static int32_t a[1000];
    struct opened o;
    const struct tiny *t = *state;
    open_model(&o, "forks", *t, (hearth_engine_options){ .n_threads = 2, .n_seqs = 4, .n_step_tokens = 128 },
               (hearth_model_options){ 0 });
    fill_ids(a, 1000, 3);
    hearth_request cold = cold_of(a, 1000, 12), r = request_of(a, 1000, 12);
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
    assert_int_equal(n_cached, 2 * 960);
    close_model(&o);
}

/* A pool of one context for four: the younger ones give their pages and states up, and are computed again. */
static inline void who_was_preempted_has_the_same_bits(void **state)
{
    static struct answer alone[4], got[4];
    static int32_t ids[4][300];
    struct opened o;
    int n_preempted = 0;
    const struct tiny *t = *state;
    open_model(&o, "preempted", *t, (hearth_engine_options){ .n_threads = 2, .n_seqs = 4 },
               (hearth_model_options){ .n_ctx_tokens = 512, .n_kv_tokens = 512 });
    hearth_stream *s[4];
    for (int i = 0; i < 4; i++) {
        fill_ids(ids[i], 300, 40 + (uint64_t)i);
        hearth_request cold = cold_of(ids[i], 60 + i, 200);
        answer(&o, &cold, &alone[i]);
    }
    for (int i = 0; i < 4; i++) {
        hearth_request r = request_of(ids[i], 60 + i, 200);
        s[i] = submit(&o, &r);
    }
    for (int i = 0; i < 4; i++) {
        collect(s[i], &got[i]);
        assert_same(&alone[i], &got[i]);
        n_preempted += got[i].receipt.n_preemptions;
    }
    assert_true(n_preempted > 0);
    close_model(&o);
}
