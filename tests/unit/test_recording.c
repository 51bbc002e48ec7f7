/* test_recording.c: an answer as a recording, as a file, and asked for again. */
#include <math.h>

#include "base/alloc.h"
#include "record/receipt_json.h"
#include "record/recording.h"
#include "requests.h"

static void open_tiny(struct opened *o, const char *name)
{
    open_model(o, name, (struct tiny){ .arch = "llama", .type = DTYPE_q8_0 }, (hearth_engine_options){ 0 },
               (hearth_model_options){ 0 });
}

/* Everything that a request can have which moves its answer. */
static hearth_request rich_request(const int32_t *ids, int n)
{
    static const hearth_logit_bias bias[] = { { 270, 1.25F }, { 271, -INFINITY }, { 272, 0.1F } };
    static const char *const stop[] = { "never \"this\"\n", "nor \xc3\xa9" }, *const breakers[] = { "\n", "a" };
    static hearth_sampling_order order;
    hearth_request r = request_of(ids, n, 20);
    assert_true(hearth_sampling_order_read(&order, "penalties;dry;temperature;top_p;min_p", NULL));
    r.sampling.temperature = 0.9F;
    r.sampling.top_p = 0.93F;
    r.sampling.repeat_penalty = 1.07F;
    r.sampling.dry_multiplier = 0.3F;
    r.sampling_order = &order;
    r.logit_bias = bias;
    r.n_logit_bias = ARRAY_LEN(bias);
    r.stop = stop;
    r.n_stop = ARRAY_LEN(stop);
    r.dry_sequence_breakers = breakers;
    r.n_dry_sequence_breakers = ARRAY_LEN(breakers);
    r.seed = UINT64_MAX - 2;
    return r;
}

static void record(const struct opened *o, const hearth_request *r, struct answer *a, struct recording *to)
{
    answer(o, r, a);
    *to = (struct recording){ .receipt = receipt_to_json(&a->receipt), .request = recording_of_request(r),
                              .n_prompt = r->n_prompt_ids, .n_output = (size_t)a->n, .end_mix = a->end_mix };
    to->prompt = mem_alloc(to->n_prompt * sizeof *to->prompt);
    to->output = mem_alloc(to->n_output * sizeof *to->output);
    to->mixes = mem_alloc(to->n_output * sizeof *to->mixes);
    assert_true(to->receipt && to->request && to->prompt && to->output && to->mixes);
    memcpy(to->prompt, r->prompt_ids, to->n_prompt * sizeof *to->prompt);
    memcpy(to->output, a->ids, to->n_output * sizeof *to->output);
    memcpy(to->mixes, a->mixes, to->n_output * sizeof *to->mixes);
}

/* Through the text of a file. */
static void write_and_read(const struct recording *r, struct recording *back)
{
    hearth_error err = { 0 };
    json_t *json = recording_to_json(r);
    char *text = json ? json_dumps(json, RECEIPT_JSON_FLAGS) : NULL;
    assert_non_null(text);
    json_t *parsed = json_loads(text, 0, NULL);
    if (!recording_from_json(back, parsed, &err))
        fail_msg("%s", err.message);
    json_decref(parsed);
    json_decref(json);
    free(text);
}

static void a_recording_asks_for_the_same_answer_again(void **state)
{
    (void)state;
    struct opened o;
    static struct answer first, again, plain;
    struct recording r, back;
    struct arena arena;
    hearth_request asked;
    hearth_error err = { 0 };
    int32_t ids[40];
    open_tiny(&o, "recording");
    fill_ids(ids, 40, 8);
    hearth_request request = rich_request(ids, 40);
    record(&o, &request, &first, &r);
    write_and_read(&r, &back);
    arena_init(&arena, RECORDING_ARENA_BYTES);
    if (!recording_ask(&back, &arena, &asked, &err))
        fail_msg("%s", err.message);
    assert_true(asked.seed == request.seed && asked.max_tokens == 20 && asked.ignore_eos);
    assert_memory_equal(&asked.sampling, &request.sampling, sizeof asked.sampling);
    assert_memory_equal(asked.logit_bias, request.logit_bias, 3 * sizeof *asked.logit_bias);
    assert_string_equal(asked.stop[0], request.stop[0]);
    assert_string_equal(asked.stop[1], request.stop[1]);
    asked.want_digest = true;
    asked.no_prefix_cache = true;
    answer(&o, &asked, &again);
    assert_same(&first, &again);
    assert_int_equal(back.n_output, again.n);
    assert_memory_equal(back.output, again.ids, back.n_output * sizeof *back.output);
    assert_memory_equal(back.mixes, again.mixes, back.n_output * sizeof *back.mixes);
    request = request_of(ids, 40, 20); /* what is recorded does move the answer */
    answer(&o, &request, &plain);
    assert_memory_not_equal(plain.ids, again.ids, 20 * sizeof *again.ids);
    arena_free(&arena);
    recording_free(&back);
    recording_free(&r);
    close_model(&o);
}

/* Each key away, and each of another type: refused in words, and nothing is left behind. */
static void what_is_missing_is_named(void **state)
{
    (void)state;
    static const char *const keys[] = { "hearth_recording", "receipt", "request", "prompt_ids", "output_ids",
                                        "logits_mixes", "end_mix" };
    static const char *const in_receipt[] = { "seed", "sampling", "samplers", "dry_sequence_breakers" };
    static const char *const in_request[] = { "max_tokens", "stop", "logit_bias" };
    struct opened o;
    static struct answer a;
    struct recording r, back;
    struct arena arena;
    hearth_request asked;
    int32_t ids[10];
    open_tiny(&o, "missing");
    fill_ids(ids, 10, 8);
    hearth_request request = rich_request(ids, 10);
    record(&o, &request, &a, &r);
    for (size_t i = 0; i < 2 * ARRAY_LEN(keys); i++) {
        hearth_error err = { 0 };
        json_t *json = recording_to_json(&r);
        if (i % 2)
            json_object_set_new(json, keys[i / 2], json_pack("[f]", 0.5));
        else
            json_object_del(json, keys[i / 2]);
        assert_false(recording_from_json(&back, json, &err));
        assert_int_equal(err.status, HEARTH_ERR_FORMAT);
        assert_non_null(strstr(err.message, "recording"));
        assert_null(back.receipt);
        json_decref(json);
    }
    arena_init(&arena, RECORDING_ARENA_BYTES);
    for (size_t i = 0; i < ARRAY_LEN(in_receipt) + ARRAY_LEN(in_request); i++) {
        hearth_error err = { 0 };
        json_t *json = recording_to_json(&r), *whole = json_deep_copy(json);
        bool receipt = i < ARRAY_LEN(in_receipt);
        const char *key = receipt ? in_receipt[i] : in_request[i - ARRAY_LEN(in_receipt)];
        json_object_del(json_object_get(whole, receipt ? "receipt" : "request"), key);
        assert_true(recording_from_json(&back, whole, &err));
        assert_false(recording_ask(&back, &arena, &asked, &err));
        assert_non_null(strstr(err.message, "lacks"));
        recording_free(&back);
        json_decref(whole);
        json_decref(json);
    }
    arena_free(&arena);
    recording_free(&r);
    close_model(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_recording_asks_for_the_same_answer_again),
        cmocka_unit_test(what_is_missing_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
