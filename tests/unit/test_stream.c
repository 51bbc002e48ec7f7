/* What a request can ask for besides an answer: tokens among its text, progress, its own number, typed refusals. */
#include <math.h>

#include "infer/logits_mix.h"
#include "requests.h"

static void tiny_opened(struct opened *o, const char *name)
{
    open_model(o, name, (struct tiny){ .arch = "llama", .type = DTYPE_q8_0 }, (hearth_engine_options){ .n_threads = 1 },
               (hearth_model_options){ 0 });
}

/* Also one that no text becomes; and a text that looks like a token stays text. */
static void a_span_may_be_one_token_between_texts(void **state)
{
    (void)state;
    struct opened o;
    tiny_opened(&o, "spans");
    hearth_file *f = hearth_model_file(o.model);
    const char *const texts[] = { "The quick", "brown <s> fox" };
    int32_t ids[64];
    size_t n = 0;
    for (int i = 0; i < 2; i++) {
        n += (size_t)hearth_file_tokenize(f, texts[i], strlen(texts[i]), false, false, ids + n, 64 - n, NULL);
        ids[n++] = 1 + i;
    }
    struct answer by_spans, by_ids;
    hearth_span spans[4] = { { .text = texts[0], .n_bytes = 9 },
                             { .is_token = true, .token = 1 },
                             { .text = texts[1], .n_bytes = 13 },
                             { .is_token = true, .token = 2, .n_bytes = 7 } };
    hearth_request r = request_of(ids, (int)n, 4);
    answer(&o, &r, &by_ids);
    r.prompt_ids = NULL;
    r.n_prompt_ids = 0;
    r.spans = spans;
    r.n_spans = 4;
    r.no_bos = true;
    answer(&o, &r, &by_spans);
    assert_int_equal(by_spans.receipt.n_prompt_tokens, n);
    assert_same(&by_spans, &by_ids);
    hearth_error err;
    spans[1].token = TINY_VOCAB;
    assert_null(hearth_submit(o.model, &r, &err));
    assert_non_null(strstr(err.message, "span 1 of the prompt is token 288"));
    close_model(&o);
}

static void a_prompt_that_does_not_fit_is_refused_in_numbers(void **state)
{
    (void)state;
    struct opened o;
    struct answer a;
    int32_t ids[520];
    tiny_opened(&o, "long");
    fill_ids(ids, 520, 3);
    hearth_request r = request_of(ids, 512, 1);
    answer(&o, &r, &a);
    assert_int_equal(a.error.status, HEARTH_ERR_USAGE);
    assert_int_equal(a.error.n_prompt_tokens, 512);
    assert_int_equal(a.error.n_ctx_tokens, 512);
    r.score = true; /* needs no room for an answer */
    r.score_from = 500;
    answer(&o, &r, &a);
    assert_int_equal(a.reason, HEARTH_END_LENGTH);
    r.n_prompt_ids = 513;
    answer(&o, &r, &a);
    assert_int_equal(a.error.n_prompt_tokens, 513);
    r = request_of(ids, 5, 1);
    r.score = true;
    r.score_from = 5;
    answer(&o, &r, &a);
    assert_int_equal(a.error.status, HEARTH_ERR_USAGE);
    assert_int_equal(a.error.n_prompt_tokens, 0);
    close_model(&o);
}

static void a_request_keeps_the_id_it_was_given(void **state)
{
    (void)state;
    static const char *const bad[] = { "", "a b", "a/b", "\xc3\xa9", "a\"", "a\n",
                                       "01234567890123456789012345678901234567890123456789012345678901234" };
    struct opened o;
    struct answer a;
    int32_t ids[4];
    hearth_error err;
    tiny_opened(&o, "ids");
    fill_ids(ids, 4, 3);
    hearth_request r = request_of(ids, 4, 1);
    answer(&o, &r, &a);
    assert_int_equal(strncmp(a.receipt.request_id, "req-", 4), 0);
    char id[] = "0123456789012345678901234567890123456789012345678901234-_.:=+@Aa";
    r.request_id = id;
    hearth_stream *s = submit(&o, &r);
    memset(id, 'x', sizeof id - 1); /* it was copied */
    collect(s, &a);
    assert_string_equal(a.receipt.request_id, "0123456789012345678901234567890123456789012345678901234-_.:=+@Aa");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        r.request_id = bad[i];
        assert_null(hearth_submit(o.model, &r, &err));
        assert_non_null(strstr(err.message, "request_id"));
    }
    close_model(&o);
}

/* Events of progress until the first token; returns how many there are. */
static int read_progress(const struct opened *o, const hearth_request *r, hearth_event *first, hearth_event *last)
{
    hearth_stream *s = submit(o, r);
    hearth_event e;
    int n = 0;
    while (hearth_stream_next(s, &e) && (e.type == HEARTH_EVENT_ADMITTED || e.type == HEARTH_EVENT_PROGRESS)) {
        assert_int_equal(e.type, n == 0 ? HEARTH_EVENT_ADMITTED : HEARTH_EVENT_PROGRESS);
        assert_true(n == 0 || e.n_processed_tokens > last->n_processed_tokens);
        assert_true(e.n_cached_tokens <= e.n_processed_tokens && e.n_processed_tokens <= e.n_prompt_tokens);
        assert_true(e.elapsed_ms >= 0);
        *(n++ == 0 ? first : last) = e;
        *last = e;
    }
    while (hearth_stream_next(s, &e))
        assert_true(e.type == HEARTH_EVENT_TOKEN || e.type == HEARTH_EVENT_END);
    hearth_stream_close(s);
    return n;
}

static void progress_is_told_to_who_asks(void **state)
{
    (void)state;
    struct opened o;
    int32_t ids[200];
    hearth_event first, last;
    tiny_opened(&o, "progress");
    fill_ids(ids, 200, 3);
    hearth_request r = request_of(ids, 200, 3);
    r.n_chunk_tokens = 50;
    r.no_prefix_cache = true;
    assert_int_equal(read_progress(&o, &r, &first, &last), 0);
    r.want_progress = true;
    assert_int_equal(read_progress(&o, &r, &first, &last), 5);
    assert_int_equal(first.n_processed_tokens, 0);
    assert_int_equal(last.n_processed_tokens, 200);
    r.no_prefix_cache = false;
    read_progress(&o, &r, &first, &last);
    read_progress(&o, &r, &first, &last);
    assert_true(first.n_cached_tokens > 0);
    assert_int_equal(first.n_processed_tokens, first.n_cached_tokens);
    close_model(&o);
}

/* Its prompt tokens' log-probabilities, NaN first, then the answer's ids. */
static void read_scored(const struct opened *o, const hearth_request *r, float *scores, int *n_scores, struct answer *a)
{
    hearth_stream *s = submit(o, r);
    hearth_event e;
    *n_scores = a->n = 0;
    while (hearth_stream_next(s, &e)) {
        bool scored = e.type == HEARTH_EVENT_PROMPT_TOKEN || (r->score && e.type == HEARTH_EVENT_TOKEN);
        if (scored)
            scores[(*n_scores)++] = e.logprob;
        else if (e.type == HEARTH_EVENT_TOKEN)
            a->ids[a->n++] = e.id;
        assert_true(!scored || a->n == 0);
        assert_true(!scored || e.n_alternatives == r->n_alternatives || isnan(e.logprob));
    }
    assert_int_equal(hearth_stream_error(s)->status, HEARTH_OK);
    hearth_stream_close(s);
}

static void a_prompt_is_scored_before_its_answer_with_the_same_bits(void **state)
{
    (void)state;
    static const int chunks[] = { 0, 7, 64 };
    struct opened o;
    static struct answer plain, a;
    float want[256], got[256];
    int32_t ids[200];
    int n_want, n_got;
    tiny_opened(&o, "scored");
    fill_ids(ids, 200, 3);
    hearth_request r = request_of(ids, 200, 9);
    answer(&o, &r, &plain);
    r.score = true;
    r.score_from = 1;
    read_scored(&o, &r, want, &n_want, &a);
    assert_int_equal(n_want, 199);
    r.score = false;
    r.score_from = 0;
    r.score_prompt = true;
    r.n_alternatives = 50;
    for (size_t i = 0; i < ARRAY_LEN(chunks); i++) {
        r.n_chunk_tokens = chunks[i];
        read_scored(&o, &r, got, &n_got, &a);
        assert_int_equal(n_got, 200);
        assert_true(isnan(got[0]));
        assert_memory_equal(got + 1, want, 199 * sizeof *want);
        assert_int_equal(a.n, 9);
        assert_memory_equal(a.ids, plain.ids, 9 * sizeof *a.ids);
    }
    r.score = true; /* without an answer */
    read_scored(&o, &r, got, &n_got, &a);
    assert_int_equal(n_got, 200);
    assert_int_equal(a.n, 0);
    close_model(&o);
}

/* The ring fills up, and what it waits then is told. */
static void who_reads_slowly_is_told_so(void **state)
{
    (void)state;
    struct opened o;
    static struct answer quick, slow;
    int32_t ids[20];
    hearth_slot slot = { 0 };
    tiny_opened(&o, "slow");
    fill_ids(ids, 20, 6);
    hearth_request r = request_of(ids, 20, 450);
    r.n_alternatives = 50;
    hearth_stream *s = submit(&o, &r);
    while (slot.state != HEARTH_SLOT_PAUSED)
        hearth_model_slots(o.model, &slot, 1);
    collect(s, &slow);
    assert_int_equal(slow.n, 450);
    assert_true(slow.receipt.slow_reader_ms > 0);
    r.max_tokens = 5; /* these have room whoever reads */
    answer(&o, &r, &quick);
    assert_true(quick.receipt.slow_reader_ms == 0);
    close_model(&o);
}

/* A model that has lost its way says the same again and again, and the receipt says so. */
static void an_answer_that_repeats_itself_is_noticed(void **state)
{
    (void)state;
    static const hearth_logit_bias one = { 270, INFINITY };
    struct opened o;
    static struct answer a;
    int32_t ids[20];
    tiny_opened(&o, "repeats");
    fill_ids(ids, 20, 6);
    hearth_request r = request_of(ids, 20, 23);
    r.logit_bias = &one;
    r.n_logit_bias = 1;
    answer(&o, &r, &a);
    assert_int_equal(a.receipt.n_repeated_tokens, 0); /* too short to be one */
    r.max_tokens = 30;
    answer(&o, &r, &a);
    assert_int_equal(a.receipt.n_repeated_tokens, 1);
    assert_int_equal(a.receipt.n_repetitions, 30);
    r.n_logit_bias = 0;
    r.sampling.temperature = 2;
    r.sampling.top_k = 0;
    answer(&o, &r, &a);
    assert_int_equal(a.receipt.n_repeated_tokens, 0);
    close_model(&o);
}

/* ---- logits_mix ---- */

static void any_bit_of_logits_changes_their_mix(void **state)
{
    (void)state;
    float logits[67];
    struct rng rng = { 3, 0 };
    for (int i = 0; i < 67; i++)
        logits[i] = rng_normal(&rng);
    for (int n = 0; n <= 67; n++) {
        uint64_t mix = logits_mix(logits, n);
        for (int bit = 0; bit < 32 * n; bit++) {
            uint32_t *word = (uint32_t *)(void *)&logits[bit / 32];
            *word ^= 1u << bit % 32;
            assert_true(logits_mix(logits, n) != mix);
            *word ^= 1u << bit % 32;
        }
        assert_true(n == 67 || logits_mix(logits, n + 1) != mix);
    }
}

/* The highest bits of a word are what a product does not spread; and two equal differences must not undo each other. */
static void two_signs_that_change_change_the_mix(void **state)
{
    (void)state;
    float logits[64];
    for (int i = 0; i < 64; i++)
        logits[i] = (float)i + 1;
    uint64_t mix = logits_mix(logits, 64);
    for (int i = 0; i < 64; i++)
        for (int j = i + 1; j < 64; j++) {
            logits[i] = -logits[i];
            logits[j] = -logits[j];
            assert_true(logits_mix(logits, 64) != mix);
            logits[i] = -logits[i];
            logits[j] = -logits[j];
        }
    assert_true(logits_mix(logits, 64) == mix);
}

/* An answer's mixes are those of the same tokens scored; and of the prompt before it. */
static void a_scored_text_has_the_mixes_of_the_answer(void **state)
{
    (void)state;
    struct opened o;
    static struct answer a, scored;
    int32_t ids[64 + 30];
    tiny_opened(&o, "mixes");
    fill_ids(ids, 64, 5);
    hearth_request r = request_of(ids, 64, 30);
    r.sampling.temperature = 1;
    answer(&o, &r, &a);
    assert_int_equal(a.n, 30);
    assert_true(a.mixes[0] != a.mixes[1] && a.mixes[0] != 0 && a.end_mix == 0);
    memcpy(ids + 64, a.ids, 30 * sizeof *ids);
    r.n_prompt_ids = 94;
    r.score = true;
    r.score_from = 64;
    answer(&o, &r, &scored);
    assert_int_equal(scored.n, 30);
    assert_memory_equal(scored.mixes, a.mixes, 30 * sizeof *a.mixes);
    r.want_logits_mix = false;
    answer(&o, &r, &scored);
    assert_true(scored.mixes[0] == 0 && scored.mixes[29] == 0);
    close_model(&o);
}

/* The step that ends an answer has no token to carry its mix. */
static void the_end_has_the_mix_of_the_step_that_chose_it(void **state)
{
    (void)state;
    static const hearth_logit_bias end = { 2, INFINITY }; /* tiny models' end of sequence */
    struct opened o;
    static struct answer plain, a;
    int32_t ids[20];
    tiny_opened(&o, "end-mix");
    fill_ids(ids, 20, 6);
    hearth_request r = request_of(ids, 20, 1);
    answer(&o, &r, &plain);
    r.ignore_eos = false;
    r.logit_bias = &end;
    r.n_logit_bias = 1;
    answer(&o, &r, &a);
    assert_int_equal(a.n, 0);
    assert_int_equal(a.reason, HEARTH_END_STOP);
    assert_true(a.end_mix == plain.mixes[0] && a.end_mix != 0);
    close_model(&o);
}

static void the_prompt_of_a_stream_is_what_the_model_read(void **state)
{
    (void)state;
    struct opened o;
    int32_t ids[20];
    const int32_t *got;
    size_t n;
    hearth_event e;
    tiny_opened(&o, "prompt");
    fill_ids(ids, 20, 6);
    hearth_request r = request_of(ids, 20, 2);
    hearth_stream *s = submit(&o, &r);
    while (hearth_stream_next(s, &e)) {
        hearth_stream_prompt_ids(s, &got, &n);
        assert_int_equal(n, 20);
        assert_memory_equal(got, ids, sizeof ids);
    }
    hearth_stream_close(s);
    close_model(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_span_may_be_one_token_between_texts),
        cmocka_unit_test(a_prompt_that_does_not_fit_is_refused_in_numbers),
        cmocka_unit_test(a_request_keeps_the_id_it_was_given),
        cmocka_unit_test(a_prompt_is_scored_before_its_answer_with_the_same_bits),
        cmocka_unit_test(progress_is_told_to_who_asks),
        cmocka_unit_test(who_reads_slowly_is_told_so),
        cmocka_unit_test(an_answer_that_repeats_itself_is_noticed),
        cmocka_unit_test(any_bit_of_logits_changes_their_mix),
        cmocka_unit_test(two_signs_that_change_change_the_mix),
        cmocka_unit_test(a_scored_text_has_the_mixes_of_the_answer),
        cmocka_unit_test(the_end_has_the_mix_of_the_step_that_chose_it),
        cmocka_unit_test(the_prompt_of_a_stream_is_what_the_model_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
