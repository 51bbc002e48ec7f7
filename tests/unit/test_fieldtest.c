/* test_fieldtest.c: what a llama-server answers, and when two sides are the same. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/fieldtest.h"

#include <cmocka.h> /* last: it has a macro fail() */

enum { N_VOCAB = 100, ROOM = 4 };

static json_t *json(const char *text)
{
    json_t *o = json_loads(text, JSON_ALLOW_NUL, NULL);
    assert_non_null(o);
    return o;
}

/* ---- answers ---- */

static bool read_tokens(const char *text, size_t *n, hearth_error *err)
{
    json_t *o = json(text);
    int32_t *ids = NULL;
    bool ok = fieldtest_read_tokens(o, N_VOCAB, &ids, n, err);
    assert_true(ok == (ids != NULL));
    mem_free(ids);
    json_decref(o);
    return ok;
}

static bool read_answer(const char *text, struct fieldtest_answer *out, hearth_error *err)
{
    json_t *o = json(text);
    bool ok = fieldtest_read_answer(o, N_VOCAB, NULL, out, err);
    json_decref(o);
    return ok;
}

/* 7 is the first byte of a character, 8 the second, 9 all of one. */
static struct str text_of(void *arg, int32_t id)
{
    (void)arg;
    return id == 7 ? STR("\xc3") : id == 8 ? STR("\xa9") : id == 9 ? STR("\xe2\x82\xac") : STR("ab");
}

static void assert_says(const hearth_error *err, const char *words)
{
    assert_int_equal(err->status, HEARTH_ERR_FORMAT);
    if (!strstr(err->message, words))
        fail_msg("'%s' does not say '%s'", err->message, words);
}

static void tokens_are_ids_of_the_vocabulary(void **state)
{
    static const struct {
        const char *json, *words;
    } wrong[] = {
        { "{\"tokens\": \"x\"}", "no list of tokens" },   { "{\"token\": []}", "no list of tokens" },
        { "{\"tokens\": null}", "no list of tokens" },    { "{\"tokens\": {\"0\": 1}}", "no list of tokens" },
        { "{\"tokens\": [1, \"2\"]}", "no numbers" },     { "{\"tokens\": [1.5]}", "no numbers" },
        { "{\"tokens\": [[1]]}", "no numbers" },          { "{\"tokens\": [{\"id\": 1}]}", "no numbers" },
        { "{\"tokens\": [100]}", "token 100 of a vocabulary that has 100" },
        { "{\"tokens\": [-1]}", "token -1 of" },          { "{\"tokens\": [1099511627776]}", "token 1099511627776 of" },
    };
    size_t n = 9;
    hearth_error err = { 0 };
    (void)state;
    assert_true(read_tokens("{\"tokens\": [0, 99, 7]}", &n, &err));
    assert_int_equal(n, 3);
    assert_true(read_tokens("{\"tokens\": []}", &n, &err));
    assert_int_equal(n, 0);
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        err = (hearth_error){ 0 };
        assert_false(read_tokens(wrong[i].json, &n, &err));
        assert_says(&err, wrong[i].words);
    }
}

static void a_prompt_is_a_text(void **state)
{
    static const char *const wrong[] = { "{}", "{\"prompt\": null}", "{\"prompt\": [\"x\"]}", "{\"prompt\": 1}" };
    struct str text;
    hearth_error err = { 0 };
    (void)state;
    json_t *o = json("{\"prompt\": \"a\\u0000b\"}");
    assert_true(fieldtest_read_prompt(o, &text, &err));
    assert_int_equal(text.len, 3);
    json_decref(o);
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        err = (hearth_error){ 0 };
        o = json(wrong[i]);
        assert_false(fieldtest_read_prompt(o, &text, &err));
        assert_says(&err, "no prompt");
        json_decref(o);
    }
}

#define TOP(id) "{\"id\": " #id ", \"top_logprobs\": [{\"id\": " #id ", \"logprob\": -0.5}, " \
                "{\"id\": 9, \"logprob\": -2}]}"
#define ANSWER(ids, entries) "{\"tokens\": [" ids "], \"completion_probabilities\": [" entries "]}"

static void a_continuation_has_tokens_and_what_they_were_chosen_from(void **state)
{
    struct fieldtest_answer a;
    hearth_error err = { 0 };
    (void)state;
    assert_true(fieldtest_answer_make(&a, ROOM, &err));
    assert_true(read_answer(ANSWER("5, 6", TOP(5) "," TOP(6)), &a, &err));
    assert_int_equal(a.n, 2);
    assert_false(a.ended);
    assert_int_equal(a.places[1].id, 6);
    assert_int_equal(a.places[1].n_top, 2);
    assert_true(a.places[1].top[1].logprob == -2);
    assert_true(read_answer("{\"stop_type\": \"eos\", \"completion_probabilities\": [" TOP(5) "]}", &a, &err));
    assert_true(a.ended && a.n == 1 && a.places[0].id == 5); /* the ids stand there alone */
    assert_true(read_answer(ANSWER("5, 6, 7, 8, 5, 6", TOP(5) "," TOP(6) "," TOP(7) "," TOP(8) "," TOP(5) "," TOP(6)),
                            &a, &err));
    assert_int_equal(a.n, ROOM); /* more than was asked for */
    mem_free(a.places);
}

/* llama-server says nothing of a token that ends inside of a character. */
static void entries_that_are_left_out_are_not_mistaken(void **state)
{
    struct fieldtest_answer a;
    hearth_error err = { 0 };
    (void)state;
    assert_true(fieldtest_answer_make(&a, ROOM, &err));
    assert_true(read_answer(ANSWER("5, 6, 7, 8", TOP(5) "," TOP(8)), &a, &err));
    assert_true(a.places[0].n_top == 2 && a.places[1].n_top == 0 && a.places[2].n_top == 0 && a.places[3].n_top == 2);
    assert_true(read_answer(ANSWER("5, 7, 7, 8", TOP(5) "," TOP(7) "," TOP(8)), &a, &err));
    assert_true(a.places[0].n_top == 2 && a.places[1].n_top == 0 && a.places[2].n_top == 0 && a.places[3].n_top == 2);
    /* Where all tokens are the same it takes their texts to know. */
    assert_false(read_answer(ANSWER("7, 7, 7, 7", TOP(7) "," TOP(7)), &a, &err));
    const struct fieldtest_words words = { text_of, NULL };
    json_t *o = json(ANSWER("7, 7, 8, 9", TOP(8) "," TOP(9)));
    assert_true(fieldtest_read_answer(o, N_VOCAB, &words, &a, &err));
    assert_true(a.places[0].n_top == 0 && a.places[1].n_top == 0 && a.places[2].n_top == 2 && a.places[3].n_top == 2);
    json_decref(o);
    o = json(ANSWER("8, 8, 8, 7", TOP(8) "," TOP(8) "," TOP(8)));
    assert_true(fieldtest_read_answer(o, N_VOCAB, &words, &a, &err));
    assert_true(a.places[0].n_top == 2 && a.places[1].n_top == 2 && a.places[2].n_top == 2 && a.places[3].n_top == 0);
    json_decref(o);
    mem_free(a.places);
}

static void a_continuation_without_log_probabilities_is_none(void **state)
{
    static const struct {
        const char *json, *words;
    } wrong[] = {
        { "{\"content\": \"x\"}", "no completion_probabilities" },
        { "{\"tokens\": [5], \"completion_probabilities\": []}", "no completion_probabilities" },
        { "{\"tokens\": [5], \"completion_probabilities\": {\"id\": 5}}", "no completion_probabilities" },
        { "{\"completion_probabilities\": [{\"content\": \"a\", \"probs\": [{\"tok_str\": \"a\", \"prob\": 1}]}]}",
          "no numbers" }, /* of 2024 */
        { ANSWER("5", "{\"id\": 6}"), "of its tokens" },
        { ANSWER("5, 6", "7, 8"), "of its tokens" },
        { ANSWER("500", TOP(5)), "token 500 of" },
        { ANSWER("5", "{\"id\": 5, \"top_logprobs\": []}"), "nothing where top_logprobs" },
        { ANSWER("5", "{\"id\": 5, \"top_logprobs\": {\"id\": 5}}"), "nothing where top_logprobs" },
        { ANSWER("5", "{\"id\": 5, \"prob\": 1, \"top_probs\": [{}]}"), "after its samplers" },
        { ANSWER("5", "{\"id\": 5, \"top_logprobs\": [7]}"), "no numbers" },
        { ANSWER("5", "{\"id\": 5, \"top_logprobs\": [{\"id\": 101, \"logprob\": -1}]}"), "token 101 of" },
        { ANSWER("5", "{\"id\": 5, \"top_logprobs\": [{\"id\": 5, \"logprob\": 0.5}]}"), "that is none" },
        { ANSWER("5", "{\"id\": 5, \"top_logprobs\": [{\"id\": 5, \"logprob\": -1e300}]}"), "that is none" },
        { ANSWER("5", "{\"id\": 5, \"top_logprobs\": [{\"id\": 5, \"logprob\": \"-1\"}]}"), "that is none" },
        { ANSWER("5", "{\"id\": 5, \"top_logprobs\": [{\"id\": 5, \"logprob\": null}]}"), "that is none" },
        { ANSWER("5", "{\"id\": 5, \"top_logprobs\": [{\"id\": 5}]}"), "that is none" },
    };
    struct fieldtest_answer a;
    hearth_error err = { 0 };
    (void)state;
    assert_true(fieldtest_answer_make(&a, ROOM, &err));
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        err = (hearth_error){ 0 };
        assert_false(read_answer(wrong[i].json, &a, &err));
        assert_says(&err, wrong[i].words);
    }
    mem_free(a.places);
}

static void a_vector_has_the_values_of_the_model(void **state)
{
    static const char *const wrong[] = {
        "{\"data\": []}", "{\"data\": [{\"embedding\": [1, 2, 3]}]}", "{\"data\": [{\"embedding\": [1, null]}]}",
        "{\"data\": [{\"embedding\": [1, 1e40]}]}", "{\"data\": [{\"embedding\": \"AAAA\"}]}",
    };
    float v[2];
    hearth_error err = { 0 };
    (void)state;
    json_t *o = json("{\"data\": [{\"embedding\": [1, -0.5]}]}");
    assert_true(fieldtest_read_vector(o, v, 2, &err));
    assert_true(v[0] == 1 && v[1] == -0.5F);
    json_decref(o);
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        o = json(wrong[i]);
        assert_false(fieldtest_read_vector(o, v, 2, &err));
        assert_int_equal(err.status, HEARTH_ERR_FORMAT);
        json_decref(o);
    }
}

static void what_is_not_said_of_a_server_is_not_known(void **state)
{
    struct fieldtest_facts f = { 0 };
    hearth_error err = { 0 };
    (void)state;
    json_t *o = json("{\"model_path\": \"/m/a\\u001bb.gguf\", \"chat_template\": \"x\\n\","
                     "\"default_generation_settings\": {\"n_ctx\": 4096}}");
    assert_true(fieldtest_read_props(o, "x", &f, &err));
    assert_string_equal(f.path, "/m/a b.gguf");
    assert_true(f.n_ctx == 4096 && f.has_our_template == 1 && f.build[0] == 0);
    assert_true(fieldtest_read_props(o, "y", &f, &err));
    assert_int_equal(f.has_our_template, 0);
    assert_true(fieldtest_read_props(o, "", &f, &err));
    assert_int_equal(f.has_our_template, -1);
    json_decref(o);
    o = json("{\"model_path\": \"m\", \"default_generation_settings\": {\"n_ctx\": -4}, \"build_info\": 7}");
    assert_true(fieldtest_read_props(o, "x", &f, &err));
    assert_true(f.n_ctx == 0 && f.has_our_template == -1 && f.build[0] == 0);
    json_decref(o);
    o = json("{\"data\": [{\"meta\": {\"n_vocab\": 100, \"n_embd\": \"64\", \"n_params\": -5, \"size\": 9e18}}]}");
    assert_true(fieldtest_read_models(o, &f, &err));
    assert_true(f.n_vocab == 100 && f.n_embd == -1 && f.n_params == -1 && f.n_bytes == -1);
    json_decref(o);
    o = json("{\"data\": {}}");
    assert_false(fieldtest_read_models(o, &f, &err));
    json_decref(o);
}

/* ---- the same or not ---- */

struct side {
    struct fieldtest_place places[ROOM];
    struct fieldtest_answer answer;
};

/* Each place: the token that came, and two likeliest with their log-probabilities. */
static void put(struct side *s, int32_t id, int32_t a, float of_a, int32_t b, float of_b)
{
    s->answer.places = s->places;
    s->answer.room = ROOM;
    s->places[s->answer.n++] = (struct fieldtest_place){ id, 2, { { a, of_a }, { b, of_b } } };
}

static bool is_end(void *arg, int32_t id)
{
    (void)arg;
    return id == 2;
}

static struct fieldtest_apart compare(const struct side *here, const struct side *there, struct fieldtest_deltas *d)
{
    struct fieldtest_apart a;
    struct fieldtest_limits limits = fieldtest_limits_for("Q4_K 78 %, F32 1 %");
    mem_free(d->all);
    *d = (struct fieldtest_deltas){ 0 };
    fieldtest_compare(&a, &here->answer, &there->answer, &limits, is_end, NULL, d);
    return a;
}

static void differences_are_those_of_tokens_that_both_name(void **state)
{
    struct side here = { 0 }, there = { 0 };
    struct fieldtest_deltas d = { 0 };
    (void)state;
    put(&here, 5, 5, -0.5F, 6, -1.5F);
    put(&there, 5, 5, -0.625F, 7, -1.75F);
    struct fieldtest_apart a = compare(&here, &there, &d);
    assert_int_equal(a.parts_at, -1);
    assert_int_equal(d.n, 1);
    assert_true(fieldtest_deltas_median(&d) == 0.125);
    /* 6 is below -1.75 there, so it is off by 0.25 or more; 7 may be anything up to -1.5 here. */
    assert_true(a.worst == 0.25 && a.worst_id == 6 && a.is_at_least);
    assert_true(a.worst_here == -1.5F && a.worst_there == -1.75F);
    mem_free(d.all);
}

static void what_is_unlikely_has_no_limit(void **state)
{
    struct side here = { 0 }, there = { 0 };
    struct fieldtest_deltas d = { 0 };
    (void)state;
    put(&here, 5, 5, -0.01F, 6, -6);
    put(&there, 5, 5, -0.01F, 6, -9);
    struct fieldtest_apart a = compare(&here, &there, &d);
    assert_true(a.worst == 0 && d.largest == 3 && d.n == 2);
    there.places[0].top[1].logprob = -3.4e38F; /* its way to say that it is 0 */
    compare(&here, &there, &d);
    assert_true(d.largest == 0 && d.n == 1);
    mem_free(d.all);
}

static void nothing_is_compared_behind_a_parting(void **state)
{
    struct side here = { 0 }, there = { 0 };
    struct fieldtest_deltas d = { 0 };
    (void)state;
    put(&here, 5, 5, -0.70F, 6, -0.72F);
    put(&here, 1, 1, -0.1F, 3, -3);
    put(&there, 6, 6, -0.68F, 5, -0.71F);
    put(&there, 4, 4, -0.2F, 1, -3);
    struct fieldtest_apart a = compare(&here, &there, &d);
    assert_true(a.parts_at == 0 && a.is_tie && d.n == 2);
    here.places[0].top[1].logprob = -2.4F; /* it is not so near here */
    a = compare(&here, &there, &d);
    assert_true(a.parts_at == 0 && !a.is_tie && a.worst > 1.5);
    here.places[0].top[1].id = 8; /* or not named at all */
    a = compare(&here, &there, &d);
    assert_true(a.parts_at == 0 && !a.is_tie);
    mem_free(d.all);
}

static void an_end_there_may_be_a_token_or_none(void **state)
{
    struct side here = { 0 }, there = { 0 };
    struct fieldtest_deltas d = { 0 };
    (void)state;
    put(&here, 5, 5, -0.5F, 6, -1.5F);
    put(&here, 2, 2, -0.5F, 6, -1.5F);
    put(&here, 7, 7, -0.5F, 6, -1.5F); /* behind the end */
    put(&there, 5, 5, -0.5F, 6, -1.5F);
    assert_int_equal(compare(&here, &there, &d).parts_at, 1); /* it just stops */
    there.answer.ended = true;
    assert_int_equal(compare(&here, &there, &d).parts_at, -1);
    put(&there, 2, 2, -0.5F, 6, -1.5F);
    assert_int_equal(compare(&here, &there, &d).parts_at, -1);
    here.places[1].id = 7;
    assert_int_equal(compare(&here, &there, &d).parts_at, 1);
    there.answer.n = 1;
    assert_int_equal(compare(&here, &there, &d).parts_at, 1);
    assert_false(compare(&here, &there, &d).is_tie);
    mem_free(d.all);
}

static void limits_are_those_of_the_weights(void **state)
{
    static const char *const plain[] = { "F32 100 %", "BF16 99 %, F32 1 %", "F16 99 %, F32 1 %", "" };
    static const char *const quantized[] = { "Q8_0 100 %, F32 0.2 %", "F32 60 %, Q4_K 40 %", "MXFP4 90 %, BF16 10 %",
                                             "IQ4_NL 100 %", "TQ1_0 100 %" };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(plain); i++)
        assert_false(fieldtest_limits_for(plain[i]).quantized);
    for (size_t i = 0; i < ARRAY_LEN(quantized); i++)
        assert_true(fieldtest_limits_for(quantized[i]).quantized);
    assert_true(fieldtest_limits_for("F16 100 %").median < fieldtest_limits_for("Q8_0 100 %").median);
}

static void vectors_have_a_distance(void **state)
{
    const float a[] = { 1, 0, 2 }, b[] = { 2, 0, 4 }, c[] = { 0, 3, 0 }, zero[] = { 0, 0, 0 };
    (void)state;
    assert_true(fabs(fieldtest_distance(a, b, 3)) < 1e-12);
    assert_true(fieldtest_distance(a, c, 3) == 1);
    assert_true(fieldtest_distance(a, zero, 3) == 2);
}

static void nothing_shown_is_hidden(void **state)
{
    struct buf out = { 0 };
    (void)state;
    fieldtest_put_visible(&out, str_z("a b\n\t'\\\x1b\xff\xc2\xa0\xe2\x80\xae\xf3\xa0\x81\x81\xc3\xa9"), 100);
    assert_string_equal(out.ptr, "a b\\n\\t\\'\\\\\\u001b\\xff\xc2\xa0\\u202e\\U000e0041\xc3\xa9");
    buf_clear(&out);
    fieldtest_put_visible(&out, str_z("abc\xc3\xa9" "def"), 4);
    assert_string_equal(out.ptr, "abc\xc3\xa9...");
    buf_free(&out);
}

static void there_are_fifty_prompts_and_none_twice(void **state)
{
    (void)state;
    for (int i = 0; i < FIELDTEST_N; i++) {
        assert_true(fieldtest_texts[i].len > 0);
        for (int k = 0; k < i; k++)
            assert_false(str_eq(fieldtest_texts[i], fieldtest_texts[k]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_are_ids_of_the_vocabulary),
        cmocka_unit_test(a_prompt_is_a_text),
        cmocka_unit_test(a_continuation_has_tokens_and_what_they_were_chosen_from),
        cmocka_unit_test(entries_that_are_left_out_are_not_mistaken),
        cmocka_unit_test(a_continuation_without_log_probabilities_is_none),
        cmocka_unit_test(a_vector_has_the_values_of_the_model),
        cmocka_unit_test(what_is_not_said_of_a_server_is_not_known),
        cmocka_unit_test(differences_are_those_of_tokens_that_both_name),
        cmocka_unit_test(what_is_unlikely_has_no_limit),
        cmocka_unit_test(nothing_is_compared_behind_a_parting),
        cmocka_unit_test(an_end_there_may_be_a_token_or_none),
        cmocka_unit_test(limits_are_those_of_the_weights),
        cmocka_unit_test(vectors_have_a_distance),
        cmocka_unit_test(nothing_shown_is_hidden),
        cmocka_unit_test(there_are_fifty_prompts_and_none_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
