/* test_speculation.c: with drafts or without, an answer is the same to the last bit, and so is its end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/base.h"
#include "infer/prefix.h"
#include "tiny.h"

enum { MAX_IDS = 1024 };

struct answer {
    char text[16384];
    int32_t ids[MAX_IDS];
    uint64_t mixes[MAX_IDS];
    float logprobs[MAX_IDS];
    int n;
    hearth_end_reason reason;
    hearth_receipt receipt;
};

struct opened {
    char path[256];
    hearth_engine *engine;
    hearth_model *model;
};

static struct opened open_tiny(const char *name, struct tiny t, hearth_engine_options eo)
{
    hearth_error err = { 0 };
    struct opened o = { 0 };
    tiny_path(o.path, sizeof o.path, name);
    tiny_write(o.path, &t);
    o.engine = hearth_engine_create(&eo, &err);
    if (o.engine)
        o.model = hearth_model_open(o.engine, &(hearth_model_options){ .source.path = o.path }, &err);
    if (!o.model)
        fail_msg("%s: %s", o.path, err.message);
    return o;
}

static void close_all(struct opened *o)
{
    hearth_model_release(o->model);
    hearth_engine_destroy(o->engine);
    unlink(o->path);
}

static const struct tiny llama = { .arch = "llama", .type = DTYPE_q4_K };

/* A prompt that repeats itself, and so do the answers: few tokens are likely. */
static const int32_t prompt[] = { 40, 41, 42, 43, 44, 40, 41, 42, 50, 51, 52, 50, 51, 40, 41, 42, 43, 44, 40, 41 };
static const hearth_logit_bias few[] = { { 40, 6 }, { 41, 6 }, { 42, 6.5F }, { 43, 5.5F } };
/* One token comes, always: every draft is right. */
static const hearth_logit_bias one[] = { { 45, INFINITY } };

enum way { GREEDY, SEEDED, STEERED, FEW, FORCED, N_WAYS };

static hearth_request request_for(enum way way)
{
    hearth_request r = { .prompt_ids = prompt, .n_prompt_ids = ARRAY_LEN(prompt), .max_tokens = 40, .ignore_eos = true,
                         .want_digest = true, .want_logits_mix = true, .want_logprob = true, .no_prefix_cache = true,
                         .has_seed = true, .seed = 11 };
    hearth_sampling_defaults(NULL, &r.sampling, NULL);
    r.sampling.temperature = way == GREEDY || way == FORCED ? 0 : 0.7F;
    if (way == STEERED) {
        r.sampling.mirostat = 2;
        r.sampling.repeat_penalty = 1.05F;
    }
    if (way == SEEDED)
        r.sampling.dry_multiplier = 0.3F;
    if (way == SEEDED || way == STEERED || way == FEW) {
        r.logit_bias = few;
        r.n_logit_bias = ARRAY_LEN(few);
    }
    if (way == FORCED) {
        r.logit_bias = one;
        r.n_logit_bias = 1;
    }
    return r;
}

static void collect(hearth_stream *s, struct answer *a)
{
    hearth_event e;
    size_t n_text = 0;
    *a = (struct answer){ 0 };
    while (hearth_stream_next(s, &e)) {
        assert_true(n_text + e.n_bytes < sizeof a->text);
        memcpy(a->text + n_text, e.text, e.n_bytes);
        n_text += e.n_bytes;
        a->reason = e.reason;
        if (e.type == HEARTH_EVENT_TOKEN && a->n < MAX_IDS) {
            a->ids[a->n] = e.id;
            a->mixes[a->n] = e.logits_mix;
            a->logprobs[a->n++] = e.logprob;
        }
    }
    assert_true(hearth_stream_receipt(s, &a->receipt));
    hearth_stream_close(s);
}

static void answer(const struct opened *o, const hearth_request *r, struct answer *a)
{
    hearth_error err = { 0 };
    hearth_stream *s = hearth_submit(o->model, r, &err);
    if (!s)
        fail_msg("%s", err.message);
    collect(s, a);
}

static void assert_same(const struct answer *a, const struct answer *b)
{
    assert_string_equal(a->receipt.digest, b->receipt.digest);
    assert_string_equal(a->text, b->text);
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->ids, b->ids, (size_t)a->n * sizeof *a->ids);
    assert_memory_equal(a->mixes, b->mixes, (size_t)a->n * sizeof *a->mixes);
    assert_memory_equal(a->logprobs, b->logprobs, (size_t)a->n * sizeof *a->logprobs);
    assert_int_equal(a->reason, b->reason);
    assert_string_equal(a->receipt.finish_detail, b->receipt.finish_detail);
    assert_int_equal(a->receipt.n_output_tokens, b->receipt.n_output_tokens);
}

/* With `speculate` as it would be without. */
static void assert_lossless(const struct opened *o, hearth_request r, int speculate, struct answer *with)
{
    static struct answer without;
    r.speculate = HEARTH_SPECULATE_OFF;
    answer(o, &r, &without);
    assert_int_equal(without.receipt.n_draft_tokens, 0);
    assert_int_equal(without.receipt.n_accepted_tokens, 0);
    r.speculate = speculate;
    answer(o, &r, with);
    assert_same(&without, with);
    assert_true(with->receipt.n_accepted_tokens <= with->receipt.n_draft_tokens);
    assert_int_equal(with->receipt.speculate, speculate);
}

/* ---- same bits ---- */

static const int settings[] = { HEARTH_SPECULATE_OFF, HEARTH_SPECULATE_AUTO, 1, 4, 8, HEARTH_MAX_DRAFT };

/* Every way alone, then all of them together, each with another length of draft. */
static void check_company(const struct opened *o, const struct answer *base, int *n_right, int *n_wrong)
{
    static struct answer got;
    for (size_t first = 0; first < ARRAY_LEN(settings); first++) {
        hearth_stream *s[N_WAYS];
        for (int way = 0; way < N_WAYS; way++) {
            hearth_request r = request_for((enum way)way);
            r.speculate = settings[(first + (size_t)way) % ARRAY_LEN(settings)];
            s[way] = hearth_submit(o->model, &r, NULL);
            assert_non_null(s[way]);
        }
        for (int way = 0; way < N_WAYS; way++) {
            collect(s[way], &got);
            assert_same(&base[way], &got);
            *n_right += got.receipt.n_accepted_tokens;
            *n_wrong += got.receipt.n_draft_tokens - got.receipt.n_accepted_tokens;
        }
    }
}

/* Every way and setting in turn, and then in company: with so many threads, in steps of so many tokens (0: 512). base:
 * what the first of them said. */
static void check_equal(struct tiny t, int n_threads, int n_step_tokens, struct answer *base)
{
    static struct answer got;
    int n_right = 0, n_wrong = 0;
    hearth_engine_options eo = { .n_threads = n_threads, .n_step_tokens = n_step_tokens };
    struct opened o = open_tiny("speculation", t, eo);
    for (int way = 0; way < N_WAYS; way++)
        for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
            hearth_request r = request_for((enum way)way);
            r.speculate = settings[i];
            answer(&o, &r, &got);
            if (base[way].n == 0)
                base[way] = got;
            assert_same(&base[way], &got);
            n_right += got.receipt.n_accepted_tokens;
            n_wrong += got.receipt.n_draft_tokens - got.receipt.n_accepted_tokens;
        }
    close_all(&o);
    eo.n_seqs = N_WAYS;
    o = open_tiny("speculation", t, eo);
    check_company(&o, base, &n_right, &n_wrong);
    close_all(&o);
    assert_true(n_right > 200 && n_wrong > 200); /* both were put to the test */
}

static void drafts_change_no_bit(void **state)
{
    (void)state;
    static struct answer base[3][N_WAYS];
    check_equal(llama, 1, 0, base[0]);
    check_equal(llama, 2, 0, base[0]);
    check_equal(llama, 2, 7, base[0]);
    check_equal((struct tiny){ .arch = "qwen2", .type = DTYPE_q8_0 }, 2, 9, base[1]);
    check_equal((struct tiny){ .arch = "qwen3", .type = DTYPE_f16 }, 2, 9, base[2]);
}

/* A step of one token has room for a draft beside it. */
static void a_short_step_drafts_too(void **state)
{
    (void)state;
    static struct answer a;
    struct opened o = open_tiny("short", llama, (hearth_engine_options){ .n_step_tokens = 1 });
    assert_lossless(&o, request_for(FORCED), 4, &a);
    assert_true(a.receipt.n_accepted_tokens > 26); /* of 40; a step makes 5 */
    assert_lossless(&o, request_for(FORCED), HEARTH_SPECULATE_AUTO, &a);
    assert_true(a.receipt.n_accepted_tokens > 15);
    close_all(&o);
}

/* ---- ends in the middle of a draft ---- */

static void max_tokens_end_a_draft_at_any_place(void **state)
{
    (void)state;
    static struct answer a;
    struct opened o = open_tiny("most", llama, (hearth_engine_options){ 0 });
    for (int most = 1; most < 24; most++) {
        hearth_request r = request_for(FORCED);
        r.max_tokens = most;
        assert_lossless(&o, r, 8, &a);
        assert_int_equal(a.n, most);
        assert_int_equal(a.reason, HEARTH_END_LENGTH);
    }
    close_all(&o);
}

static void a_full_context_ends_a_draft_at_any_place(void **state)
{
    (void)state;
    static struct answer a;
    struct opened o = open_tiny("full", (struct tiny){ .arch = "llama", .type = DTYPE_q8_0, .n_ctx = 40 },
                                (hearth_engine_options){ 0 });
    for (int n_prompt = 2; n_prompt <= 20; n_prompt++) {
        hearth_request r = request_for(FORCED);
        r.n_prompt_ids = (size_t)n_prompt;
        r.max_tokens = 0;
        assert_lossless(&o, r, HEARTH_MAX_DRAFT, &a);
        assert_int_equal(a.n, 40 - n_prompt);
        assert_non_null(strstr(a.receipt.finish_detail, "context full at 40"));
    }
    close_all(&o);
}

/* Stop texts from every place of an answer; and what the slot remembers is what it would. */
static void a_stop_text_ends_a_draft_at_any_place(void **state)
{
    (void)state;
    static struct answer whole, a, kept[2];
    struct opened o = open_tiny("stop", llama, (hearth_engine_options){ 0 });
    hearth_request r = request_for(FEW);
    r.sampling.temperature = 0;
    answer(&o, &r, &whole);
    size_t n = strlen(whole.text);
    assert_true(n > 30);
    for (size_t at = 0; at + 4 < n; at += 7)
        for (int len = 1; len <= 4; len += 3) {
            char stop[8];
            const char *stops[] = { stop };
            snprintf(stop, sizeof stop, "%.*s", len, whole.text + at);
            r.stop = stops;
            r.n_stop = 1;
            assert_lossless(&o, r, 8, &a);
            assert_int_equal(a.reason, HEARTH_END_STOP);
            for (int i = 0; i < 2; i++) {
                hearth_request again = r;
                again.speculate = i ? 8 : HEARTH_SPECULATE_OFF;
                answer(&o, &again, &a);
                again.n_stop = 0; /* goes on from what the slot has of prompt and answer */
                again.prompt_ids = whole.ids;
                int32_t ids[ARRAY_LEN(prompt) + MAX_IDS];
                memcpy(ids, prompt, sizeof prompt);
                memcpy(ids + ARRAY_LEN(prompt), whole.ids, (size_t)whole.n * sizeof *ids);
                again.prompt_ids = ids;
                again.n_prompt_ids = ARRAY_LEN(prompt) + (size_t)whole.n;
                again.no_prefix_cache = false;
                again.max_tokens = 9;
                answer(&o, &again, &kept[i]);
            }
            assert_same(&kept[0], &kept[1]);
            assert_int_equal(kept[0].receipt.n_cached_tokens, kept[1].receipt.n_cached_tokens);
        }
    close_all(&o);
}

static void an_end_token_ends_a_draft_at_any_place(void **state)
{
    (void)state;
    static struct answer a;
    int n_stopped = 0, n_accepted = 0;
    struct opened o = open_tiny("eos", llama, (hearth_engine_options){ 0 });
    const hearth_logit_bias bias[] = { { 45, 12 }, { 2, 8.5F } }; /* 2 ends; it is seldom, and drafted when it is in */
    for (int seed = 0; seed < 24; seed++) {
        int32_t ids[] = { 40, 45, 45, 45, 2, 45, 45 };
        hearth_request r = request_for(FEW);
        r.prompt_ids = ids;
        r.n_prompt_ids = ARRAY_LEN(ids);
        r.logit_bias = bias;
        r.n_logit_bias = 2;
        r.ignore_eos = false;
        r.seed = (uint64_t)seed;
        assert_lossless(&o, r, 8, &a);
        n_stopped += a.reason == HEARTH_END_STOP;
        n_accepted += a.receipt.n_accepted_tokens;
    }
    assert_true(n_stopped > 5 && n_accepted > 20);
    close_all(&o);
}

static void a_full_ring_stops_a_draft_and_loses_nothing(void **state)
{
    (void)state;
    static struct answer fast, slow;
    struct opened o = open_tiny("ring", (struct tiny){ .arch = "llama", .type = DTYPE_q8_0, .n_ctx = 1024 },
                                (hearth_engine_options){ .n_seqs = 2 });
    hearth_request r = request_for(FORCED);
    r.n_alternatives = 50; /* the ring is full after about a hundred */
    r.max_tokens = 400;
    r.speculate = 8;
    hearth_stream *s = hearth_submit(o.model, &r, NULL);
    assert_non_null(s);
    assert_lossless(&o, r, 8, &fast); /* twice, meanwhile */
    collect(s, &slow);
    assert_int_equal(slow.n, 400);
    assert_same(&fast, &slow);
    close_all(&o);
}

static void cancelling_ends_a_draft(void **state)
{
    (void)state;
    static struct answer a;
    hearth_event e;
    struct opened o = open_tiny("cancelled", (struct tiny){ .arch = "llama", .type = DTYPE_q8_0, .n_ctx = 4096 },
                                (hearth_engine_options){ 0 });
    hearth_request r = request_for(FORCED);
    r.max_tokens = 0;
    r.speculate = HEARTH_MAX_DRAFT;
    for (int i = 0; i < 8; i++) {
        hearth_stream *s = hearth_submit(o.model, &r, NULL);
        for (int k = 0; k <= i; k++)
            assert_true(hearth_stream_next(s, &e));
        hearth_stream_cancel(s);
        collect(s, &a);
        assert_int_equal(a.reason, HEARTH_END_CANCELLED);
    }
    assert_lossless(&o, request_for(FEW), 8, &a);
    close_all(&o);
}

/* ---- what it costs, and who cannot have it ---- */

static void a_step_with_a_draft_allocates_nothing(void **state)
{
    (void)state;
    hearth_event e;
    struct opened o = open_tiny("alloc", llama, (hearth_engine_options){ 0 });
    hearth_request r = request_for(FEW);
    r.speculate = 8;
    hearth_stream *s = hearth_submit(o.model, &r, NULL);
    assert_true(hearth_stream_next(s, &e));
    mem_fail_at(0);
    while (hearth_stream_next(s, &e))
        ;
    assert_int_equal(mem_fail_at(0), 0);
    hearth_stream_close(s);
    close_all(&o);
}

/* 4 bytes a token, and a table of up to 256 KB, for each sequence; beside that its tokens and texts, some 34 KB. */
static void the_plan_counts_the_index(void **state)
{
    (void)state;
    struct opened o[2];
    hearth_plan plan[2];
    for (int i = 0; i < 2; i++) {
        o[i] = open_tiny("plan", (struct tiny){ .arch = "llama", .type = DTYPE_q8_0, .n_ctx = 4096 },
                         (hearth_engine_options){ .n_threads = 1, .n_seqs = 1 + 7 * i });
        hearth_model_plan(o[i].model, &plan[i]);
        close_all(&o[i]);
    }
    size_t of_pages = prefix_bytes(8 * 64) - prefix_bytes(64);
    size_t more = plan[1].workspace_bytes - plan[0].workspace_bytes;
    size_t of_indexes = 7 * (4096 + 4096) * 4;
    assert_in_range(more, of_indexes + of_pages, of_indexes + of_pages + 7 * (40 << 10));
}

static void see_product(void *arg, const hearth_product *p) { *(int *)arg += p->n_rows; }

static void an_observer_sees_no_draft(void **state)
{
    (void)state;
    static struct answer a;
    hearth_error err = { 0 };
    int n_rows = 0;
    struct opened o = open_tiny("observed", llama, (hearth_engine_options){ 0 });
    hearth_model_release(o.model);
    o.model = hearth_model_open(o.engine, &(hearth_model_options){ .source.path = o.path, .on_product = see_product,
                                                                  .on_product_arg = &n_rows }, &err);
    assert_non_null(o.model);
    hearth_request r = request_for(FORCED);
    r.speculate = 4;
    answer(&o, &r, &a);
    assert_int_equal(a.receipt.n_draft_tokens, 0);
    assert_int_equal(a.receipt.speculate, HEARTH_SPECULATE_OFF);
    assert_non_null(strstr(a.receipt.notes, "speculation is off"));
    int n_tokens = (int)ARRAY_LEN(prompt) + 39; /* the last token of the answer is not computed */
    assert_int_equal(n_rows, 7 * TINY_LAYERS * n_tokens + 40);
    close_all(&o);
}

static void a_length_out_of_range_is_refused(void **state)
{
    (void)state;
    struct opened o = open_tiny("range", llama, (hearth_engine_options){ 0 });
    static const int bad[] = { -2, HEARTH_MAX_DRAFT + 1 };
    for (int i = 0; i < 2; i++) {
        hearth_error err = { 0 };
        hearth_request r = request_for(GREEDY);
        r.speculate = bad[i];
        assert_null(hearth_submit(o.model, &r, &err));
        assert_int_equal(err.status, HEARTH_ERR_USAGE);
        assert_non_null(strstr(err.message, "speculate is"));
    }
    close_all(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drafts_change_no_bit),
        cmocka_unit_test(a_short_step_drafts_too),
        cmocka_unit_test(max_tokens_end_a_draft_at_any_place),
        cmocka_unit_test(a_full_context_ends_a_draft_at_any_place),
        cmocka_unit_test(a_stop_text_ends_a_draft_at_any_place),
        cmocka_unit_test(an_end_token_ends_a_draft_at_any_place),
        cmocka_unit_test(a_full_ring_stops_a_draft_and_loses_nothing),
        cmocka_unit_test(cancelling_ends_a_draft),
        cmocka_unit_test(a_step_with_a_draft_allocates_nothing),
        cmocka_unit_test(the_plan_counts_the_index),
        cmocka_unit_test(an_observer_sees_no_draft),
        cmocka_unit_test(a_length_out_of_range_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
