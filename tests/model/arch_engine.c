/* arch_engine.c: one model file in the engine: an answer has the same bits wherever its prompt's beginning comes from,
 * beside others of which one is cancelled, and when its pages are given up meanwhile. What an architecture caches (keys
 * and values, a window of them, a latent, a state) is its own affair.
 *
 *   arch_engine FILE     speaks TAP; the model's tokens 5 .. 99 are put in */
#include "../unit/gate.h"

enum { N_CTX = 256, N_SEQS = 3, N_PROMPT = 150, N_OUT = 8, N_LONG_OUT = 70, PAGE = 64 };

static struct opened o;
static int32_t ids[N_SEQS][N_CTX];

/* Each test has an engine of its own: what one leaves in the cache, another does not find. */
static void begin(const char *path, int n_kv_tokens)
{
    hearth_error err = { 0 };
    hearth_engine_options eo = { .n_threads = 2, .n_seqs = N_SEQS, .n_step_tokens = 48 };
    hearth_model_options mo = { .source.path = path, .n_ctx_tokens = N_CTX, .n_kv_tokens = n_kv_tokens };
    o.engine = hearth_engine_create(&eo, &err);
    o.model = o.engine ? hearth_model_open(o.engine, &mo, &err) : NULL;
    if (!o.model)
        fail_msg("%s: %s", path, err.message);
    for (int i = 0; i < N_SEQS; i++) {
        struct rng r = { 11 + (uint64_t)i, 0 };
        for (int k = 0; k < N_CTX; k++)
            ids[i][k] = 5 + (int32_t)rng_below(&r, 95);
    }
}

static void end(void)
{
    hearth_model_release(o.model);
    hearth_engine_destroy(o.engine);
}

/* It finds nothing and leaves nothing to others. */
static void answer_cold(const int32_t *prompt, int n, int n_out, struct answer *a)
{
    hearth_request r = request_of(prompt, n, n_out);
    r.no_prefix_cache = true;
    r.cache_salt = 99;
    answer(&o, &r, a);
    assert_int_equal(a->n, n_out);
}

static void the_beginning_of_a_prompt_is_reused(void **state)
{
    static struct answer alone, got;
    static int32_t other[N_CTX];
    begin(*state, 0);
    answer_cold(ids[0], N_PROMPT, N_OUT, &alone);
    hearth_request r = request_of(ids[0], N_PROMPT, N_OUT);
    for (int times = 0; times < 2; times++) {
        answer(&o, &r, &got);
        assert_same(&alone, &got);
        assert_in_range(got.receipt.n_cached_tokens, times ? 2 * PAGE : 0, times ? N_PROMPT - 1 : 0);
    }
    memcpy(other, ids[1], sizeof other); /* parts from it in the second page; the third time there is all to find */
    memcpy(other, ids[0], (PAGE + 10) * sizeof *other);
    answer_cold(other, N_PROMPT, N_OUT, &alone);
    r.prompt_ids = other;
    for (int times = 0; times < 2; times++) {
        answer(&o, &r, &got);
        assert_same(&alone, &got);
    }
    assert_in_range(got.receipt.n_cached_tokens, 2 * PAGE, N_PROMPT - 1);
    end();
}

static void a_turn_goes_on_where_the_last_one_ended(void **state)
{
    static struct answer first, alone, got;
    begin(*state, 0);
    hearth_request r = request_of(ids[0], N_PROMPT / 2, N_OUT);
    answer(&o, &r, &first);
    memcpy(ids[0] + N_PROMPT / 2, first.ids, N_OUT * sizeof *first.ids);
    answer_cold(ids[0], N_PROMPT, N_OUT, &alone);
    r = request_of(ids[0], N_PROMPT, N_OUT);
    answer(&o, &r, &got);
    assert_same(&alone, &got);
    assert_int_equal(got.receipt.n_cached_tokens, N_PROMPT / 2 + N_OUT - 1); /* the last was sampled, not computed */
    end();
}

static void neighbours_and_who_is_cancelled_change_nothing(void **state)
{
    static struct answer alone, got[N_SEQS];
    begin(*state, 0);
    answer_cold(ids[0], N_PROMPT, N_OUT, &alone);
    hearth_stream *s[N_SEQS];
    for (int i = 0; i < N_SEQS; i++) {
        hearth_request r = request_of(ids[i], N_PROMPT - 7 * i, N_OUT);
        r.n_chunk_tokens = 19;
        s[i] = submit(&o, &r);
    }
    hearth_stream_cancel(s[1]);
    for (int i = 0; i < N_SEQS; i++)
        collect(s[i], &got[i]);
    assert_same(&alone, &got[0]);
    for (int i = 1; i < N_SEQS; i++) { /* what was left of them, too */
        hearth_request r = request_of(ids[i], N_PROMPT, N_OUT);
        answer_cold(ids[i], N_PROMPT, N_OUT, &alone);
        answer(&o, &r, &got[i]);
        assert_same(&alone, &got[i]);
    }
    end();
}

/* A pool of one context for all: behind the gate they begin together. */
static void who_was_preempted_has_the_same_bits(void **state)
{
    static struct answer alone[N_SEQS], got;
    struct gate gate;
    begin(*state, N_CTX);
    int n_preempted = 0;
    for (int i = 0; i < N_SEQS; i++)
        answer_cold(ids[i], PAGE - 4 + i, N_LONG_OUT, &alone[i]);
    hearth_stream *s[N_SEQS];
    gate_shut(&o, &gate);
    for (int i = 0; i < N_SEQS; i++) {
        hearth_request r = request_of(ids[i], PAGE - 4 + i, N_LONG_OUT);
        s[i] = submit(&o, &r);
    }
    gate_open(&o, &gate, N_SEQS);
    for (int i = 0; i < N_SEQS; i++) {
        collect(s[i], &got);
        assert_same(&alone[i], &got);
        n_preempted += got.receipt.n_preemptions;
    }
    assert_true(n_preempted > 0);
    end();
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: arch_engine FILE\n");
        return 2;
    }
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(the_beginning_of_a_prompt_is_reused, argv[1]),
        cmocka_unit_test_prestate(a_turn_goes_on_where_the_last_one_ended, argv[1]),
        cmocka_unit_test_prestate(neighbours_and_who_is_cancelled_change_nothing, argv[1]),
        cmocka_unit_test_prestate(who_was_preempted_has_the_same_bits, argv[1]),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
