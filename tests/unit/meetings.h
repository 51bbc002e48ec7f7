/* meetings.h: tests that requests have the same bits however they meet, for any model; their state is a struct tiny.
 * And what a damaged model says. */
#pragma once
#include "gate.h"

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
    struct gate gate;
    int n_cached = 0;
    gate_shut(&o, &gate);
    for (int i = 0; i < 3; i++)
        s[i] = submit(&o, &r);
    gate_open(&o, &gate, 3);
    for (int i = 0; i < 3; i++) {
        collect(s[i], &same[i]);
        assert_same(&alone, &same[i]);
        n_cached += same[i].receipt.n_cached_tokens;
    }
    assert_int_equal(n_cached, 2 * 960);
    close_model(&o);
}

/* A pool of one context for four, who begin together: the younger ones give their pages and states up, and are computed
 * again. */
static inline void who_was_preempted_has_the_same_bits(void **state)
{
    struct gate gate;
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
    gate_shut(&o, &gate);
    for (int i = 0; i < 4; i++) {
        hearth_request r = request_of(ids[i], 60 + i, 200);
        s[i] = submit(&o, &r);
    }
    gate_open(&o, &gate, 4);
    for (int i = 0; i < 4; i++) {
        collect(s[i], &got[i]);
        assert_same(&alone[i], &got[i]);
        n_preempted += got[i].receipt.n_preemptions;
    }
    assert_true(n_preempted > 0);
    close_model(&o);
}

/* In any type of keys and values; at the end of a page, and within one, of which a copy is gone on with. */
static inline void what_was_left_is_gone_on_from(void **state)
{
    static struct answer alone, got;
    static int32_t a[600], b[600];
    const struct tiny *t = *state;
    for (int type = 0; type < HEARTH_N_KV_TYPES; type++) {
        struct opened o;
        open_model(&o, "left", *t, (hearth_engine_options){ .n_threads = 2 },
                   (hearth_model_options){ .kv_type = (hearth_kv_type)type });
        fill_ids(a, 600, 1);
        hearth_request r = request_of(a, 500, 8);
        answer(&o, &r, &got);
        assert_int_equal(got.receipt.n_cached_tokens, 0);
        static const int same[] = { 499, 450, 448, 100, 64 };
        for (size_t i = 0; i < ARRAY_LEN(same); i++) {
            memcpy(b, a, sizeof b);
            fill_ids(b + same[i], 600 - same[i], 2 + i);
            b[same[i]] = 260 + (a[same[i]] - 260 + 1) % (TINY_VOCAB - 260);
            hearth_request cold = cold_of(b, 500, 8), next = request_of(b, 500, 8);
            answer(&o, &cold, &alone);
            answer(&o, &next, &got);
            assert_same(&alone, &got);
            assert_int_equal(got.receipt.n_cached_tokens, same[i]);
        }
        close_model(&o);
    }
}

/* Drafts that were wrong leave nothing in a page. */
static inline void drafts_change_nothing(void **state)
{
    static struct answer alone, got;
    static int32_t ids[64];
    struct opened o;
    const struct tiny *t = *state;
    open_model(&o, "drafts", *t, (hearth_engine_options){ .n_threads = 1 }, (hearth_model_options){ 0 });
    for (int i = 0; i < 64; i++)
        ids[i] = 260 + i % 4; /* much to look up */
    hearth_request cold = cold_of(ids, 64, 100), r = request_of(ids, 64, 100);
    cold.speculate = HEARTH_SPECULATE_OFF;
    r.speculate = 4;
    answer(&o, &cold, &alone);
    answer(&o, &r, &got);
    assert_same(&alone, &got);
    assert_true(got.receipt.n_draft_tokens > 0);
    close_model(&o);
}

/* A model whose tensor has a NaN says so. */
static inline void assert_named(const struct tiny *t, const char *name)
{
    static struct answer got;
    static int32_t ids[100];
    struct opened o;
    struct tiny damaged = *t;
    damaged.type = DTYPE_f32;
    damaged.nan_tensor = name;
    open_model(&o, "damaged", damaged, (hearth_engine_options){ .n_threads = 1 }, (hearth_model_options){ 0 });
    fill_ids(ids, 100, 6);
    hearth_request r = request_of(ids, 100, 4);
    answer(&o, &r, &got);
    if (got.reason != HEARTH_END_ERROR || !strstr(got.error.message, name))
        fail_msg("%s: %s", name, got.error.message);
    close_model(&o);
}

/* What a file says of itself, and the words that refuse it; NULL: it runs. */
struct wrong {
    const char *key;
    int number;
    const char *words;
};

static inline void assert_refused(const struct tiny *model, const struct wrong *wrong)
{
    char path[256];
    hearth_error err = { 0 };
    struct tiny t = *model;
    t.wrong_key = wrong->key;
    t.wrong_number = wrong->number;
    tiny_path(path, sizeof path, "wrong");
    tiny_write(path, &t);
    hearth_file_info info;
    hearth_file *file = hearth_file_open(&(hearth_source){ .path = path }, &err);
    assert_non_null(file);
    hearth_file_describe(file, &info);
    if (info.runs != !wrong->words || (wrong->words && !strstr(info.problem, wrong->words)))
        fail_msg("%s %d: \"%s\"", wrong->key, wrong->number, info.problem);
    hearth_file_close(file);
    unlink(path);
}

/* All of them that hold where keys and values are all that is kept. */
#define MEETINGS_OF_KEYS_AND_VALUES(model)                                        \
    cmocka_unit_test_prestate(what_was_left_is_gone_on_from, model),              \
        cmocka_unit_test_prestate(steps_and_neighbours_change_nothing, model),    \
        cmocka_unit_test_prestate(several_of_one_prompt_are_computed_once, model), \
        cmocka_unit_test_prestate(who_was_preempted_has_the_same_bits, model),    \
        cmocka_unit_test_prestate(drafts_change_nothing, model)
