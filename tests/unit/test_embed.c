/* test_embed.c: vectors of texts: the same bits however the work is divided, made of the rows that pooling names. */
#include "requests.h"

#include <math.h>

enum { LONGEST = 200, N_TEXTS = 7 };

struct texts {
    int32_t ids[N_TEXTS][LONGEST];
    int n[N_TEXTS];
};

static void make_texts(struct texts *t)
{
    static const int lengths[N_TEXTS] = { 1, 2, 63, 64, 65, 130, LONGEST };
    for (int i = 0; i < N_TEXTS; i++) {
        t->n[i] = lengths[i];
        fill_ids(t->ids[i], t->n[i], (uint64_t)i + 1);
    }
}

static hearth_request embedding_of(const int32_t *ids, int n, hearth_pooling pooling)
{
    hearth_request r = request_of(ids, n, 0);
    r.embed = true;
    r.pooling = pooling;
    return r;
}

static void read_vector(hearth_stream *s, float vector[TINY_EMBD])
{
    hearth_event e;
    size_t n;
    while (hearth_stream_next(s, &e))
        assert_int_equal(e.type, HEARTH_EVENT_END);
    if (e.reason != HEARTH_END_STOP)
        fail_msg("%s", hearth_stream_error(s)->message);
    const float *v = hearth_stream_vector(s, &n);
    assert_int_equal(n, TINY_EMBD);
    memcpy(vector, v, n * sizeof *v);
    hearth_stream_close(s);
}

static void embed(const struct opened *o, const int32_t *ids, int n, hearth_pooling pooling, int n_chunk,
                  float vector[TINY_EMBD])
{
    hearth_request r = embedding_of(ids, n, pooling);
    r.n_chunk_tokens = n_chunk;
    read_vector(submit(o, &r), vector);
}

static void open_tiny(struct opened *o, const char *name, int n_threads, int n_seqs, int n_step)
{
    open_model(o, name, (struct tiny){ .arch = "qwen3", .type = DTYPE_q8_0 },
               (hearth_engine_options){ .n_threads = n_threads, .n_seqs = n_seqs, .n_step_tokens = n_step },
               (hearth_model_options){ .n_ctx_tokens = 256 });
}

static void bits_do_not_depend_on_how_it_is_computed(void **state)
{
    (void)state;
    static struct texts t;
    static float alone[N_TEXTS][TINY_EMBD], now[TINY_EMBD];
    static const hearth_pooling poolings[] = { HEARTH_POOLING_mean, HEARTH_POOLING_cls, HEARTH_POOLING_last };
    struct opened one, many;
    make_texts(&t);
    open_tiny(&one, "embed_one", 1, 1, 0);
    open_tiny(&many, "embed_many", 3, N_TEXTS, 37);
    for (size_t p = 0; p < ARRAY_LEN(poolings); p++) {
        hearth_stream *streams[N_TEXTS];
        for (int i = 0; i < N_TEXTS; i++)
            embed(&one, t.ids[i], t.n[i], poolings[p], 0, alone[i]);
        for (int i = 0; i < N_TEXTS; i++) {
            hearth_request r = embedding_of(t.ids[i], t.n[i], poolings[p]);
            streams[i] = submit(&many, &r);
        }
        for (int i = 0; i < N_TEXTS; i++) {
            read_vector(streams[i], now);
            assert_memory_equal(now, alone[i], sizeof now);
            embed(&one, t.ids[i], t.n[i], poolings[p], 5, now); /* in chunks; of LAST most is in the cache by now */
            assert_memory_equal(now, alone[i], sizeof now);
        }
    }
    close_model(&one);
    close_model(&many);
}

struct seen {
    float rows[LONGEST][TINY_EMBD];
    size_t n;
};

static void see(void *arg, size_t index, const float *row, int n_embd)
{
    struct seen *seen = arg;
    assert_int_equal(index, seen->n);
    assert_int_equal(n_embd, TINY_EMBD);
    memcpy(seen->rows[seen->n++], row, sizeof seen->rows[0]);
}

static void a_vector_is_made_of_the_states_that_pooling_names(void **state)
{
    (void)state;
    static struct seen seen;
    static struct texts t;
    float mean[TINY_EMBD], first[TINY_EMBD], last[TINY_EMBD];
    struct opened o;
    hearth_event e;
    size_t n;
    make_texts(&t);
    open_tiny(&o, "embed_rows", 2, 2, 16);
    int32_t *ids = t.ids[N_TEXTS - 1];
    embed(&o, ids, LONGEST, HEARTH_POOLING_last, 0, last); /* what the next one must not find in the cache */
    hearth_request r = embedding_of(ids, LONGEST, HEARTH_POOLING_none);
    r.on_state = see;
    r.on_state_arg = &seen;
    hearth_stream *s = submit(&o, &r);
    while (hearth_stream_next(s, &e))
        ;
    assert_int_equal(e.reason, HEARTH_END_STOP);
    assert_null(hearth_stream_vector(s, &n));
    hearth_stream_close(s);
    assert_int_equal(seen.n, LONGEST);
    embed(&o, ids, LONGEST, HEARTH_POOLING_mean, 0, mean);
    embed(&o, ids, LONGEST, HEARTH_POOLING_cls, 0, first);
    assert_memory_equal(first, seen.rows[0], sizeof first);
    assert_memory_equal(last, seen.rows[LONGEST - 1], sizeof last);
    for (int i = 0; i < TINY_EMBD; i++) {
        double sum = 0;
        for (int row = 0; row < LONGEST; row++)
            sum += (double)seen.rows[row][i];
        assert_true(fabs(sum / LONGEST - (double)mean[i]) < 1e-5); /* of values up to 5: f32 sums of 200 of them */
    }
    close_model(&o);
}

static void only_the_last_row_may_come_behind_the_cache(void **state)
{
    (void)state;
    static struct texts t;
    static const struct { hearth_pooling pooling; int n_cached; } cases[] = {
        { HEARTH_POOLING_last, LONGEST - 1 }, { HEARTH_POOLING_mean, 0 }, { HEARTH_POOLING_cls, 0 },
    };
    struct opened o;
    struct answer a;
    make_texts(&t);
    open_tiny(&o, "embed_cache", 2, 2, 0);
    int32_t *ids = t.ids[N_TEXTS - 1];
    for (size_t i = 0; i < 2 * ARRAY_LEN(cases); i++) {
        hearth_request r = embedding_of(ids, LONGEST, cases[i / 2].pooling);
        answer(&o, &r, &a);
        assert_int_equal(a.reason, HEARTH_END_STOP);
        assert_int_equal(a.receipt.n_cached_tokens, i % 2 || i > 1 ? cases[i / 2].n_cached : 0);
        assert_int_equal(a.receipt.n_prompt_tokens, LONGEST);
        assert_int_equal(a.receipt.n_output_tokens, 0);
    }
    assert_string_equal(a.receipt.finish_detail, "embedded, pooling cls");
    close_model(&o);
}

static void assert_refused(const struct opened *o, const hearth_request *r, const char *words)
{
    hearth_error err = { 0 };
    hearth_stream *s = hearth_submit(o->model, r, &err);
    assert_null(s);
    assert_int_equal(err.status, HEARTH_ERR_USAGE);
    if (!strstr(err.message, words))
        fail_msg("'%s' is not in: %s", words, err.message);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    static int32_t ids[300];
    struct opened o;
    struct answer a;
    fill_ids(ids, 300, 3);
    open_tiny(&o, "embed_refused", 1, 1, 0);
    hearth_request r = embedding_of(ids, 4, HEARTH_POOLING_file);
    assert_refused(&o, &r, "says no pooling");
    r.pooling = HEARTH_POOLING_none;
    assert_refused(&o, &r, "take them with on_state");
    r.pooling = HEARTH_POOLING_rank;
    assert_refused(&o, &r, "rank");
    r.pooling = HEARTH_N_POOLINGS;
    assert_refused(&o, &r, "must lie between");
    r.pooling = HEARTH_POOLING_mean;
    r.score = true;
    r.score_from = 1;
    assert_refused(&o, &r, "one of the two");
    r.embed = r.score = false;
    assert_refused(&o, &r, "set embed");
    r = embedding_of(ids, 256, HEARTH_POOLING_mean); /* the whole context: there is no answer to come */
    answer(&o, &r, &a);
    assert_int_equal(a.reason, HEARTH_END_STOP);
    r.n_prompt_ids = 257;
    answer(&o, &r, &a);
    assert_int_equal(a.reason, HEARTH_END_ERROR);
    assert_int_equal(a.error.n_prompt_tokens, 257);
    assert_int_equal(a.error.n_ctx_tokens, 256);
    close_model(&o);
}

static void a_state_that_is_no_number_is_an_error(void **state)
{
    (void)state;
    int32_t ids[8];
    struct opened o;
    struct answer a;
    fill_ids(ids, 8, 3);
    open_model(&o, "embed_nan",
               (struct tiny){ .arch = "llama", .type = DTYPE_f32, .nan_tensor = "blk.1.ffn_down.weight" },
               (hearth_engine_options){ .n_threads = 1 }, (hearth_model_options){ .n_ctx_tokens = 64 });
    hearth_request r = embedding_of(ids, 8, HEARTH_POOLING_mean);
    answer(&o, &r, &a);
    assert_int_equal(a.reason, HEARTH_END_ERROR);
    assert_non_null(strstr(a.error.message, "blk.1.ffn_down.weight"));
    close_model(&o);
}

static void normalized_vectors_have_length_one(void **state)
{
    (void)state;
    float v[] = { 3, 0, -4 }, zero[] = { 0, 0 }, large[] = { 3e38f, 1e38f };
    hearth_normalize(v, 3);
    assert_true(v[0] == 0.6f && v[1] == 0 && v[2] == -0.8f);
    hearth_normalize(zero, 2);
    assert_true(zero[0] == 0 && zero[1] == 0);
    hearth_normalize(large, 2);
    assert_true(fabsf(large[0] * large[0] + large[1] * large[1] - 1) < 1e-6f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_do_not_depend_on_how_it_is_computed),
        cmocka_unit_test(a_vector_is_made_of_the_states_that_pooling_names),
        cmocka_unit_test(only_the_last_row_may_come_behind_the_cache),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(a_state_that_is_no_number_is_an_error),
        cmocka_unit_test(normalized_vectors_have_length_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
