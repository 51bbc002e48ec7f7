/* A request's JSON becomes the neutral request that was meant, or one refusal that names the field. */
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "a_view.h"
#include "base/alloc.h"
#include "server/api/ask.h"
#include "server/api/endpoints.h"
#include "server/api/json_in.h"
#include "server/api/named.h"

#include <cmocka.h> /* last: it has a macro fail() */

static bool read_with(struct ask *a, const struct endpoint *e, const struct view *v, const char *text,
                      struct problem *p)
{
    struct fields f;
    size_t cost;
    *a = (struct ask){ 0 };
    if (!json_scan(text, strlen(text), &cost, p))
        return false;
    struct json_body body;
    bool ok = json_parse(&body, text, strlen(text), cost, p) && ask_init(a, e->on, p)
           && fields_read(&f, body.json, e->on, v->strict, &a->notes, p) && e->read(a, &f, v, p);
    json_body_free(&body); /* nothing of the request points there */
    return ok;
}

static struct ask taken(const struct endpoint *e, const char *text)
{
    struct view v = make_view();
    struct ask a;
    struct problem p = { 0 };
    if (!read_with(&a, e, &v, text, &p))
        fail_msg("%s: %s", text, p.message);
    return a;
}

static void refused(const struct endpoint *e, const char *text, enum problem_code code, const char *param)
{
    struct view v = make_view();
    struct ask a;
    struct problem p = { 0 };
    if (read_with(&a, e, &v, text, &p))
        fail_msg("taken: %s", text);
    if (p.code != code || strcmp(p.param, param) != 0 || !p.message[0])
        fail_msg("%s: %s (%s) %s", text, problem_table[p.code].code, p.param, p.message);
    ask_free(&a);
}

#define CHAT(fields) "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]" fields "}"

static void test_a_conversation_with_nothing_else_has_the_defaults(void **state)
{
    (void)state;
    struct ask a = taken(&endpoint_chat_completions, CHAT(""));
    assert_int_equal(a.chat.chat.n_messages, 1);
    assert_string_equal(a.chat.chat.messages[0].parts[0].text, "Hi");
    assert_int_equal(a.request.max_tokens, 0);
    assert_false(a.request.has_seed);
    assert_int_equal(a.n, 1);
    assert_int_equal(a.ping_ms, 15000);
    assert_false(a.stream);
    for (int i = 0; i < HEARTH_N_SAMPLING; i++)
        assert_int_equal(a.request.sampling_origin[i], HEARTH_FROM_DEFAULT);
    ask_free(&a);
}

static void test_every_sampling_parameter_is_a_field(void **state)
{
    (void)state;
    for (int i = 0; i < HEARTH_N_SAMPLING; i++) {
        const hearth_sampling_info *info = &hearth_sampling_table[i];
        char text[200];
        double value = strcmp(info->name, "mirostat") == 0 ? 2 : info->most;
        snprintf(text, sizeof text, CHAT(",\"%s\":%.10g"), info->name, value);
        struct ask a = taken(&endpoint_chat_completions, text);
        assert_true(hearth_sampling_get(&a.request.sampling, i) == value);
        assert_int_equal(a.request.sampling_origin[i], HEARTH_FROM_REQUEST);
        ask_free(&a);
        snprintf(text, sizeof text, CHAT(",\"%s\":%.10g"), info->name, info->most + 1);
        refused(&endpoint_chat_completions, text, PROBLEM_invalid_value, info->name);
        snprintf(text, sizeof text, CHAT(",\"%s\":\"x\""), info->name);
        refused(&endpoint_chat_completions, text, PROBLEM_invalid_type, info->name);
    }
}

static void test_every_field_refuses_another_type_by_its_name(void **state)
{
    static const char *const wrong[] = { [FIELD_FLAG] = "1", [FIELD_WHOLE] = "1.5", [FIELD_REAL] = "true",
                                         [FIELD_TEXT] = "1", [FIELD_LIST] = "{}", [FIELD_OBJECT] = "[]" };
    (void)state;
    for (int i = 0; i < N_FIELDS; i++) {
        const struct field_info *info = &field_table[i];
        char text[200];
        if (info->type == FIELD_ANY || info->use == FIELD_UNUSED)
            continue;
        const struct endpoint *e = info->on & ON_CHAT       ? &endpoint_chat_completions
                                 : info->on & ON_TEXT       ? &endpoint_completions
                                 : info->on & ON_NATIVE     ? &endpoint_completion
                                 : info->on & ON_INFILL     ? &endpoint_infill
                                 : info->on & ON_TOKENIZE   ? &endpoint_tokenize
                                 : info->on & ON_DETOKENIZE ? &endpoint_detokenize
                                 : info->on & ON_EMBED      ? &endpoint_embeddings
                                 : info->on & ON_RERANK     ? &endpoint_rerank
                                                            : &endpoint_apply_template;
        snprintf(text, sizeof text, "{\"%s\":%s}", info->name, wrong[info->type]);
        refused(e, text, PROBLEM_invalid_type, info->name);
        snprintf(text, sizeof text, "{\"%s\":null}", info->name); /* the same as not there */
        struct view v = make_view();
        struct ask a;
        struct problem p = { 0 };
        v.info.pooling = info->on & ON_RERANK ? "rank" : "mean";
        v.info.n_embd = 8;
        if (!read_with(&a, e, &v, text, &p))
            assert_int_equal(p.code, PROBLEM_missing_field);
        ask_free(&a);
    }
}

static void test_limits_of_tokens_have_three_names(void **state)
{
    static const struct {
        const char *fields;
        int most, n_adjusted;
    } rows[] = { { ",\"max_tokens\":5", 5, 0 }, { ",\"max_completion_tokens\":6", 6, 0 }, { ",\"n_predict\":7", 7, 0 },
                 { ",\"n_predict\":-1", 0, 0 }, { ",\"max_tokens\":5,\"max_completion_tokens\":5", 5, 0 },
                 { ",\"max_tokens\":5,\"max_completion_tokens\":3", 3, 1 }, { ",\"max_tokens\":0", 1, 1 } };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[200];
        snprintf(text, sizeof text, CHAT("%s"), rows[i].fields);
        struct ask a = taken(&endpoint_chat_completions, text);
        assert_int_equal(a.request.max_tokens, rows[i].most);
        assert_int_equal(a.notes.n_adjusted, rows[i].n_adjusted);
        ask_free(&a);
    }
}

static void test_seeds_keep_all_their_digits(void **state)
{
    (void)state;
    struct ask a = taken(&endpoint_chat_completions, CHAT(",\"seed\":9007199254740993"));
    assert_true(a.request.has_seed && a.request.seed == 9007199254740993u);
    ask_free(&a);
    a = taken(&endpoint_chat_completions, CHAT(",\"seed\":-1"));
    assert_false(a.request.has_seed);
    ask_free(&a);
}

static void test_stops_biases_orders_and_breakers_are_copied(void **state)
{
    (void)state;
    struct ask a = taken(&endpoint_chat_completions,
                         CHAT(",\"stop\":[\"x\",\"yz\"],\"logit_bias\":{\"7\":-1.5,\"9\":false},"
                              "\"samplers\":[\"top_k\",\"temperature\"],\"dry_sequence_breakers\":[\"\\n\"]"));
    assert_int_equal(a.request.n_stop, 2);
    assert_string_equal(a.request.stop[1], "yz");
    assert_int_equal(a.request.n_logit_bias, 2);
    assert_int_equal(a.request.logit_bias[0].id, 7);
    assert_true(a.request.logit_bias[0].bias == -1.5f);
    assert_true(isinf(a.request.logit_bias[1].bias));
    assert_int_equal(a.request.sampling_order->n, 2);
    assert_int_equal(a.request.n_dry_sequence_breakers, 1);
    assert_string_equal(a.request.dry_sequence_breakers[0], "\n");
    ask_free(&a);
    a = taken(&endpoint_chat_completions, CHAT(",\"dry_sequence_breakers\":[],\"stop\":\"z\""));
    assert_non_null(a.request.dry_sequence_breakers);
    assert_int_equal(a.request.n_dry_sequence_breakers, 0);
    assert_string_equal(a.request.stop[0], "z");
    ask_free(&a);
}

static void test_prompts_are_texts_ids_or_lists_of_them(void **state)
{
    static const struct {
        const char *prompt;
        int n;
        bool ids;
    } rows[] = { { "\"a\"", 1, false }, { "[1,2]", 1, true }, { "[\"a\",\"b\"]", 2, false }, { "[[1],[2,3]]", 2, true },
                 { "\"\"", 1, false }, { "[]", 1, true } };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[100];
        snprintf(text, sizeof text, "{\"prompt\":%s}", rows[i].prompt);
        struct ask a = taken(&endpoint_completions, text);
        assert_int_equal(a.n_prompts, rows[i].n);
        assert_int_equal(a.prompts[0].spans == NULL, rows[i].ids);
        ask_free(&a);
    }
    refused(&endpoint_completions, "{\"prompt\":[1,\"a\"]}", PROBLEM_invalid_type, "prompt");
    refused(&endpoint_completions, "{\"prompt\":[\"a\",1]}", PROBLEM_invalid_type, "prompt");
    refused(&endpoint_completion, "{\"prompt\":[\"a\",\"b\"]}", PROBLEM_invalid_type, "prompt");
    refused(&endpoint_completions, "{\"prompt\":[[1.5]]}", PROBLEM_invalid_type, "prompt");
    refused(&endpoint_completions, "{}", PROBLEM_missing_field, "prompt");
}

/* "P" is a token, "a" a text. */
static void assert_spans(const struct ask_prompt *p, const char *want)
{
    char got[400] = "";
    for (size_t i = 0; i < p->n_spans; i++) {
        const hearth_span *s = &p->spans[i];
        assert_false(s->trusted);
        if (s->is_token)
            snprintf(got + strlen(got), sizeof got - strlen(got), "<%d>", s->token);
        else
            snprintf(got + strlen(got), sizeof got - strlen(got), "%.*s", (int)s->n_bytes, s->text);
    }
    assert_string_equal(got, want);
}

static void test_a_gap_has_its_tokens_and_files_before(void **state)
{
    static const char asked[] = "{\"input_prefix\":\"a<1>\",\"prompt\":\"b\",\"input_suffix\":\"c\"}",
                      more[] = "{\"input_prefix\":\"a\",\"input_suffix\":\"\",\"input_extra\":[{\"filename\":\"f\","
                               "\"text\":\"x\"},{\"text\":\"y\"}]}";
    struct view v = make_view();
    struct ask a;
    struct problem p = { 0 };
    (void)state;
    for (int i = 0; i < HEARTH_N_FIM; i++)
        v.info.fim_id[i] = i + 1;
    assert_true(read_with(&a, &endpoint_infill, &v, asked, &p));
    assert_spans(a.prompts, "<1>a<1>b<2>c<3>");
    ask_free(&a);
    assert_true(read_with(&a, &endpoint_infill, &v, more, &p));
    assert_spans(a.prompts, "<5>project\n<6>f\nx\n<6>file\ny\n<6>file\n<1>a<2><3>");
    ask_free(&a);
    v.info.fim_id[HEARTH_FIM_FILE] = -1;
    assert_true(read_with(&a, &endpoint_infill, &v, more, &p));
    assert_spans(a.prompts, "--- f ---\nx\n--- file ---\ny\n<1>a<2><3>");
    assert_int_equal(json_array_size(a.notes.adjusted), 1);
    ask_free(&a);
    v.info.fim_id[HEARTH_FIM_MIDDLE] = -1;
    assert_false(read_with(&a, &endpoint_infill, &v, asked, &p));
    assert_int_equal(p.code, PROBLEM_not_supported);
    assert_non_null(strstr(p.message, "fim_middle (tokenizer.ggml.fim_mid_token_id)"));
    assert_null(strstr(p.message, "fim_prefix"));
    ask_free(&a);
}

static size_t counted;
static void *counting_malloc(size_t n)
{
    counted += n + 16; /* what an allocator needs for itself */
    return malloc(n);
}

/* What is reserved for an event is more than what the JSON of it takes and becomes, and not many times as much. */
static void test_memory_of_likelihoods_is_known_before_they_are_gathered(void **state)
{
    struct view v = make_view();
    struct ask a;
    struct reply r;
    struct problem p = { 0 };
    hearth_alternative tops[50];
    (void)state;
    for (int i = 0; i < 50; i++)
        tops[i] = (hearth_alternative){ i % 4, -1.2345678f };
    json_set_alloc_funcs(counting_malloc, free);
    assert_true(read_with(&a, &endpoint_completions, &v, "{\"prompt\":\"x\",\"logprobs\":50,\"echo\":true}", &p));
    assert_true(reply_init(&r, &a, &v, endpoint_completions.dialect, "id", 1));
    for (int k = 0; k <= 50; k += 25) {
        hearth_event e = { .type = k ? HEARTH_EVENT_TOKEN : HEARTH_EVENT_PROMPT_TOKEN, .id = 1, .text = " b",
                           .n_bytes = k ? 2 : 0, .logprob = -0.123456f, .alternatives = tops, .n_alternatives = k };
        size_t known = reply_bytes(&r, &e, false);
        counted = 0;
        reply_take(&r, 0, &e, NULL, NULL);
        assert_true(counted > 500 && counted < known && known < 4 * counted);
        assert_int_equal(reply_bytes(&r, &e, true), k ? 0 : known); /* of a stream only the prompt's are gathered */
    }
    struct buf out = { 0 };
    size_t known = 0;
    hearth_event e = { .type = HEARTH_EVENT_TOKEN, .id = 1, .alternatives = tops, .n_alternatives = 50 };
    for (int i = 0; i < 2; i++)
        known += reply_bytes(&r, &e, false);
    assert_true(json_put(&out, r.dialect->whole(&r)));
    assert_true(out.len < known);
    buf_free(&out);
    reply_free(&r);
    ask_free(&a);
    json_set_alloc_funcs(malloc, free);
}

static void test_what_is_ignored_is_noted_and_strict_refuses_it(void **state)
{
    (void)state;
    struct view v = make_view();
    struct ask a;
    struct problem p = { 0 };
    const char *text = CHAT(",\"zzz\":1,\"user\":\"u\",\"return_progress\":true,\"top_k\":-1");
    assert_true(read_with(&a, &endpoint_chat_completions, &v, text, &p));
    assert_int_equal(a.notes.n_ignored, 3);
    assert_string_equal(json_string_value(json_array_get(a.notes.ignored, 0)), "zzz");
    assert_int_equal(a.notes.n_adjusted, 1);
    assert_true(a.request.sampling.top_k == 0);
    ask_free(&a);
    v.strict = true;
    assert_false(read_with(&a, &endpoint_chat_completions, &v, text, &p));
    assert_int_equal(p.code, PROBLEM_unknown_field);
    assert_string_equal(p.param, "zzz");
    ask_free(&a);
    assert_true(read_with(&a, &endpoint_chat_completions, &v, CHAT(",\"user\":\"u\",\"store\":true"), &p));
    ask_free(&a);
}

static void test_a_long_unknown_name_is_cut_between_characters(void **state)
{
    (void)state;
    char text[400] = CHAT("");
    char *at = text + strlen(text) - 1;
    at += sprintf(at, ",\"");
    for (int i = 0; i < 60; i++)
        at += sprintf(at, "\xc3\xa9%s", i == 0 ? "x" : "");
    sprintf(at, "\":1}");
    struct ask a = taken(&endpoint_chat_completions, text);
    const char *name = json_string_value(json_array_get(a.notes.ignored, 0));
    assert_true(name && strlen(name) <= 80 && strlen(name) >= 77);
    ask_free(&a);
}

/* ---- bytes ---- */

static void scan_refuses(const char *text, enum problem_code code)
{
    struct problem p = { 0 };
    size_t cost = 0;
    assert_false(json_scan(text, strlen(text), &cost, &p));
    assert_int_equal(p.code, code);
}

static void test_depth_values_numbers_and_keys_have_limits(void **state)
{
    (void)state;
    char text[700] = "";
    struct problem p;
    size_t cost = 0;
    memset(text, '[', JSON_MAX_DEPTH);
    assert_true(json_scan(text, JSON_MAX_DEPTH, &cost, &p));
    text[JSON_MAX_DEPTH] = '[';
    scan_refuses(text, PROBLEM_json_too_deep);
    memset(text, '1', 64);
    text[64] = 0;
    assert_true(json_scan(text, 64, &cost, &p));
    text[64] = '1';
    text[65] = 0;
    scan_refuses(text, PROBLEM_json_too_large);
    memset(text, 'k', 300);
    text[0] = '"';
    memcpy(text + 299, "\" :1", 5);
    scan_refuses(text, PROBLEM_json_too_large);
    assert_true(json_scan("[[\"]]]]\\\"[[[\"]]", 15, &cost, &p)); /* brackets in a text are none */
    assert_true(json_scan("\"\\", 2, &cost, &p));
    assert_true(json_scan("", 0, &cost, &p));
}

/* Parsing must not run out of memory on its way: all it takes is taken before, and more is asked for by nobody. */
static size_t n_asked;
static void *count_alloc(size_t n)
{
    mem_fail_at(0); /* counts from here */
    void *p = json_memory_alloc(n);
    n_asked += mem_fail_at(0);
    return p;
}

static void test_the_cost_of_parsing_is_known_before(void **state)
{
    static const char *const units[] = { "[],", "{},", "1,", "\"\",", "\"abcdefgh\",", "{\"a\":1},", "[[]],", "null," };
    (void)state;
    json_set_alloc_funcs(count_alloc, json_memory_free);
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        for (size_t n_units = 1; n_units < 40000; n_units = n_units * 3 / 2 + 1) {
            size_t n = strlen(units[i]), at = 0, cost = 0;
            static char text[40000 * 11 + 16]; /* the longest unit has 11 bytes */
            struct json_body body;
            struct problem p;
            at += (size_t)sprintf(text, "{\"a\":[");
            for (size_t k = 0; k < n_units; k++, at += n)
                memcpy(text + at, units[i], n);
            memcpy(text + at - 1, "]}", 3);
            assert_true(json_scan(text, at + 1, &cost, &p));
            n_asked = 0;
            assert_true(json_parse(&body, text, at + 1, cost, &p));
            if (n_asked > 0)
                fail_msg("%zu of %s: %zu bytes were taken, and parsing asked for more", n_units, units[i], cost);
            json_body_free(&body);
        }
    }
    json_set_alloc_funcs(malloc, free);
}

static void test_long_texts_and_many_keys_have_room(void **state)
{
    (void)state;
    json_set_alloc_funcs(count_alloc, json_memory_free);
    for (size_t n = 1; n < 3000000; n = n * 5 / 3 + 1) {
        char *text = malloc(4 * n + 200), *at = text;
        struct json_body body;
        struct problem p;
        size_t cost;
        at += sprintf(at, "{\"a\":\"");
        memset(at, 'x', n);
        at += n;
        at += sprintf(at, "\\n\",\"b\":\"y\",\"c\":[");
        for (size_t k = 0; k + 12 < n && k < 300000; k += 12)
            at += sprintf(at, "%s{\"k%06zu\":1}", k ? "," : "", k);
        at += sprintf(at, "]}");
        assert_true(json_scan(text, (size_t)(at - text), &cost, &p));
        n_asked = 0;
        assert_true(json_parse(&body, text, (size_t)(at - text), cost, &p));
        assert_int_equal(n_asked, 0);
        json_body_free(&body);
        at = text + sprintf(text, "{\"k\":0");
        for (size_t k = 0; k + 14 < n && k < 300000; k += 14)
            at += sprintf(at, ",\"k%06zu\":1", k);
        at += sprintf(at, "}");
        assert_true(json_scan(text, (size_t)(at - text), &cost, &p));
        n_asked = 0;
        assert_true(json_parse(&body, text, (size_t)(at - text), cost, &p));
        assert_int_equal(n_asked, 0);
        json_body_free(&body);
        free(text);
    }
    json_set_alloc_funcs(malloc, free);
}

static void test_what_is_no_object_is_no_request(void **state)
{
    static const struct {
        const char *text;
        enum problem_code code;
    } rows[] = { { "", PROBLEM_invalid_json }, { "1", PROBLEM_invalid_json }, { "{} x", PROBLEM_invalid_json },
                 { "{\"a\":1,\"a\":2}", PROBLEM_duplicate_key }, { "{\"a\":NaN}", PROBLEM_invalid_json },
                 { "{\"a\":1e999}", PROBLEM_invalid_json }, { "{\"a\":\"\xff\"}", PROBLEM_invalid_json },
                 { "{\"a\":\"\\udc00\"}", PROBLEM_invalid_json } };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct problem p = { 0 };
        struct json_body body;
        assert_false(json_parse(&body, rows[i].text, strlen(rows[i].text), 4096, &p));
        assert_null(body.json);
        assert_int_equal(p.code, rows[i].code);
    }
}

/* ---- answers ---- */

static struct reply begin_reply(struct ask *a, const struct endpoint *e, struct view *v)
{
    struct reply r;
    assert_true(reply_init(&r, a, v, e->dialect, "id", 12));
    return r;
}

static json_t *data_of(const struct buf *out, int which)
{
    const char *at = out->ptr;
    for (int i = 0; i < which; i++)
        at = strstr(at + 1, "data: ");
    assert_non_null(at);
    return json_loadb(at + 6, strcspn(at + 6, "\n"), 0, NULL);
}

static void test_places_without_text_yet_come_with_the_next_text(void **state)
{
    (void)state;
    struct view v = make_view();
    struct ask a = taken(&endpoint_chat_completions, CHAT(",\"stream\":true,\"logprobs\":true"));
    struct reply r = begin_reply(&a, &endpoint_chat_completions, &v);
    struct buf out = { 0 };
    hearth_event half = { .type = HEARTH_EVENT_TOKEN, .id = 2, .text = "", .logprob = -1 },
                 whole = { .type = HEARTH_EVENT_TOKEN, .id = 3, .text = "\xc3\xa9", .n_bytes = 2, .logprob = -2 };
    reply_take(&r, 0, &half, NULL, &out);
    assert_int_equal(out.len, 0);
    reply_take(&r, 0, &whole, NULL, &out);
    json_t *j = data_of(&out, 0), *choice = json_array_get(json_object_get(j, "choices"), 0);
    assert_string_equal(json_string_value(json_object_get(json_object_get(choice, "delta"), "content")), "\xc3\xa9");
    json_t *places = json_object_get(json_object_get(choice, "logprobs"), "content");
    assert_int_equal(json_array_size(places), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(places, 0), "token")), "\xef\xbf\xbd");
    assert_int_equal(json_integer_value(json_array_get(json_object_get(json_array_get(places, 0), "bytes"), 0)), 0xc3);
    json_decref(j);
    buf_free(&out);
    reply_free(&r);
    ask_free(&a);
}

/* A reply that keeps what it wrote, and one that builds every event anew, write the same bytes. */
static void same_stream(const struct endpoint *e, const char *text)
{
    static const char *const texts[] = {
        "", "Hel", "lo", " \xc3\xa9", "\n", "\"", "a\\b", "x", "\x01", "\x7f", "\\u0001", "\xff", "\xf0\x9f\x99\x82",
        "<|end|>", " last"
    };
    struct view v = make_view();
    struct ask a = taken(e, text);
    struct reply again = begin_reply(&a, e, &v), anew = begin_reply(&a, e, &v);
    struct buf got = { 0 }, want = { 0 };
    hearth_event end = { .type = HEARTH_EVENT_END, .text = "rest", .n_bytes = 4, .reason = HEARTH_END_STOP };
    hearth_receipt receipt = { .n_prompt_tokens = 5, .n_output_tokens = 3 };
    anew.choices[0].frame_tried = true;
    for (size_t i = 0; i < 2 * ARRAY_LEN(texts); i++) {
        const char *piece = texts[i / 2];
        hearth_event one = { .type = HEARTH_EVENT_TOKEN, .id = 2, .text = piece, .n_bytes = strlen(piece),
                             .thinking = "h\xc3\xa4m", .n_thinking_bytes = i % 7 == 6 ? 4 : 0 };
        reply_take(&again, 0, &one, NULL, &got);
        reply_take(&anew, 0, &one, NULL, &want);
    }
    reply_take(&again, 0, &end, &receipt, &got);
    reply_take(&anew, 0, &end, &receipt, &want);
    assert_string_equal(got.ptr, want.ptr);
    assert_int_equal(anew.choices[0].frame.len, 0);
    assert_int_equal(again.choices[0].frame.len > 0, !a.logprobs && !a.return_tokens);
    assert_false(again.failed || anew.failed);
    reply_free(&again);
    reply_free(&anew);
    buf_free(&got);
    buf_free(&want);
    ask_free(&a);
}

static void test_what_is_written_again_is_what_would_be_written_anew(void **state)
{
    (void)state;
    same_stream(&endpoint_chat_completions, CHAT(",\"stream\":true"));
    same_stream(&endpoint_chat_completions, CHAT(",\"stream\":true,\"logprobs\":true"));
    same_stream(&endpoint_completions, "{\"prompt\":\"one\",\"stream\":true,\"echo\":true}");
    same_stream(&endpoint_completions, "{\"prompt\":\"one\",\"stream\":true}");
    same_stream(&endpoint_completion, "{\"prompt\":\"one\",\"stream\":true}");
    same_stream(&endpoint_completion, "{\"prompt\":\"one\",\"stream\":true,\"return_tokens\":true}");
}

static void test_a_stream_ends_once_with_all_its_answers(void **state)
{
    (void)state;
    struct view v = make_view();
    struct ask a = taken(&endpoint_chat_completions, CHAT(",\"stream\":true,\"n\":2"));
    struct reply r = begin_reply(&a, &endpoint_chat_completions, &v);
    struct buf out = { 0 };
    hearth_event end = { .type = HEARTH_EVENT_END, .text = "", .reason = HEARTH_END_STOP };
    hearth_receipt receipt = { .n_prompt_tokens = 5, .n_output_tokens = 3 };
    reply_take(&r, 1, &end, &receipt, &out);
    assert_null(strstr(out.ptr, "[DONE]"));
    reply_take(&r, 0, &end, &receipt, &out);
    assert_non_null(strstr(out.ptr, "data: [DONE]\n\n"));
    json_t *usage = reply_usage(&r);
    assert_int_equal(json_integer_value(json_object_get(usage, "prompt_tokens")), 5);
    assert_int_equal(json_integer_value(json_object_get(usage, "completion_tokens")), 6);
    json_decref(usage);
    assert_false(r.failed);
    buf_free(&out);
    reply_free(&r);
    ask_free(&a);
}

static void test_a_refusal_has_what_clients_look_for(void **state)
{
    (void)state;
    struct problem p;
    refuse(&p, PROBLEM_context_length_exceeded, "mes\nsages", "a\x01\xff%s", "b");
    p.n_prompt_tokens = 9;
    p.n_ctx = 8;
    json_t *j = problem_to_json(&p), *e = json_object_get(j, "error");
    assert_string_equal(json_string_value(json_object_get(e, "message")), "a??b");
    assert_string_equal(json_string_value(json_object_get(e, "param")), "mes?sages");
    assert_string_equal(json_string_value(json_object_get(e, "code")), "context_length_exceeded");
    assert_string_equal(json_string_value(json_object_get(e, "type")), "invalid_request_error");
    assert_int_equal(json_integer_value(json_object_get(e, "n_ctx")), 8);
    assert_int_equal(problem_status(&p), 400);
    json_decref(j);
}

/* ---- without memory ---- */

/* A request and its answer; true when both came to their end. */
static bool one_life(const char *text, struct buf *out)
{
    struct view v = make_view();
    struct ask a;
    struct problem p = { 0 };
    struct reply r = { 0 };
    hearth_event token = { .type = HEARTH_EVENT_TOKEN, .id = 1, .text = " b", .n_bytes = 2, .logprob = -1 },
                 end = { .type = HEARTH_EVENT_END, .text = "", .reason = HEARTH_END_STOP };
    hearth_receipt receipt = { .n_prompt_tokens = 5, .n_output_tokens = 3 };
    bool ok = read_with(&a, &endpoint_chat_completions, &v, text, &p) && !a.notes.failed;
    if (!ok) {
        assert_true(a.notes.failed || p.code == PROBLEM_out_of_memory);
    } else if ((ok = reply_init(&r, &a, &v, endpoint_chat_completions.dialect, "id", 12))) {
        struct buf *to = a.stream ? out : NULL;
        if (to)
            r.dialect->begin(&r, to);
        for (int i = 0; i < r.n_choices; i++) {
            reply_take(&r, i, &token, NULL, to);
            reply_take(&r, i, &end, &receipt, to);
        }
        if (!to)
            ok = json_put(out, r.dialect->whole(&r));
        ok = ok && !r.failed && !out->failed;
    }
    reply_free(&r);
    ask_free(&a);
    return ok;
}

static void test_without_memory_a_request_is_refused_or_right(void **state)
{
    static const char *const texts[] = {
        CHAT(",\"n\":2,\"logprobs\":true,\"top_logprobs\":1,\"stop\":[\"x\"],\"logit_bias\":{\"1\":2},\"zzz\":1"),
        CHAT(",\"stream\":true,\"stream_options\":{\"include_usage\":true},\"logprobs\":true,\"top_k\":-1"),
    };
    (void)state;
    json_set_alloc_funcs(json_memory_alloc, json_memory_free);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct buf whole = { 0 };
        mem_fail_at(0);
        assert_true(one_life(texts[i], &whole));
        uint64_t n_calls = mem_fail_at(0), n_refused = 0;
        assert_true(n_calls > 100);
        for (uint64_t at = 1; at <= n_calls; at++) {
            struct buf out = { 0 };
            mem_fail_at(at);
            bool ok = one_life(texts[i], &out);
            mem_fail_at(0);
            if (ok && (out.len != whole.len || memcmp(out.ptr, whole.ptr, out.len) != 0))
                fail_msg("call %llu failed, and the answer is another one", (unsigned long long)at);
            n_refused += !ok;
            buf_free(&out);
        }
        assert_true(n_refused > n_calls / 2);
        buf_free(&whole);
    }
    json_set_alloc_funcs(malloc, free);
}

/* ---- which model is meant ---- */

static struct view several[4];

static void make_several(int n)
{
    static const char *const names[][2] = { { "Small", "tolstoy-4m-q8_0" }, { "stories", "stories" },
                                            { "copy", "twice" }, { "other/copy", "twice" } };
    for (int i = 0; i < n; i++)
        several[i] = (struct view){ .all = several, .n_all = n, .model_id = names[i][0], .file_id = names[i][1] };
}

static int number_of(const struct view *v) { return v ? (int)(v - several) : -1; }

static void test_a_name_is_an_alias_or_a_files_as_it_is_written(void **state)
{
    static const struct {
        const char *name;
        int model;
    } table[] = { { "Small", 0 }, { "tolstoy-4m-q8_0", 0 }, { "tolstoy-4m-q8_0.gguf", 0 }, { "stories", 1 },
                  { "stories.gguf", 1 }, { "copy", 2 }, { "other/copy", 3 }, { "small", -1 }, { "Small.gguf", -1 },
                  { "twice", -1 }, { "twice.gguf", -1 }, { "", -1 }, { ".gguf", -1 }, { "Smal", -1 },
                  { "Small ", -1 } };
    (void)state;
    make_several(4);
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (number_of(named_exactly(&several[i % 4], str_z(table[i].name))) != table[i].model)
            fail_msg("'%s' is not %d", table[i].name, table[i].model);
    assert_int_equal(number_of(named_exactly(several, (struct str){ "Small\0x", 7 })), -1); /* all of its bytes */
    assert_int_equal(number_of(named_in_url(several, STR("other%2Fcopy"))), 3);
    assert_int_equal(number_of(named_in_url(several, STR("other/copy"))), 3);
    assert_int_equal(number_of(named_in_url(several, STR("%53mall"))), 0);
    assert_int_equal(number_of(named_in_url(several, STR("Small%00"))), -1);
    assert_int_equal(number_of(named_in_url(several, STR("Small%"))), -1);
    assert_int_equal(number_of(named_in_url(several, STR("Small%2"))), -1);
    char longer[2000];
    memset(longer, '%', sizeof longer);
    assert_int_equal(number_of(named_in_url(several, (struct str){ longer, sizeof longer })), -1);
}

static void test_the_nearest_name_has_the_fewest_edits(void **state)
{
    static const char *const table[][2] = { { "small", "Small" }, { "SMALL", "Small" }, { "storys", "stories" },
                                            { "tolstoy-4m-q4_0.gguf", "tolstoy-4m-q8_0" }, { "coppy", "copy" },
                                            { "Tolstoy_4M_Q8_0", "tolstoy-4m-q8_0" }, { "others/copy", "other/copy" },
                                            { "twice", "Small" } /* it names neither of its two */ };
    (void)state;
    make_several(4);
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        assert_string_equal(named_nearest(several, str_z(table[i][0])), table[i][1]);
    char longer[1000];
    memset(longer, 'x', sizeof longer);
    assert_string_equal(named_nearest(several, (struct str){ longer, sizeof longer }), "Small"); /* all are as far */
}

static void test_one_model_answers_to_any_name_and_several_to_their_own(void **state)
{
    struct problem p = { 0 };
    struct view alone = make_view();
    (void)state;
    assert_ptr_equal(named_by_request(&alone, STR("gpt-4o"), &p), &alone);
    assert_ptr_equal(named_by_request(&alone, (struct str){ 0 }, &p), &alone);
    make_several(1);
    assert_int_equal(number_of(named_by_request(several, STR("gpt-4o"), &p)), 0);
    assert_int_equal(p.code, PROBLEM_none);
    make_several(2);
    assert_int_equal(number_of(named_by_request(several, STR("stories.gguf"), &p)), 1);
    assert_null(named_by_request(several, STR("storis"), &p));
    assert_int_equal(p.code, PROBLEM_model_not_found);
    assert_string_equal(p.param, "model");
    assert_string_equal(p.message, "'storis' is not served here; the nearest name is 'stories'. There are: 'Small', "
                                   "'stories'");
    assert_null(named_by_request(several, (struct str){ 0 }, &p));
    assert_non_null(strstr(p.message, "names no model"));
    assert_non_null(strstr(p.message, "'Small', 'stories'"));
    assert_null(named_by_request(several, STR(""), &p));
    assert_non_null(strstr(p.message, "names no model"));
}

static void test_a_list_of_long_names_ends_with_how_many_more_there_are(void **state)
{
    static struct view many[16];
    static char name[16][128];
    struct problem p = { 0 };
    (void)state;
    for (int i = 0; i < 16; i++) {
        memset(name[i], 'a' + i, sizeof name[i] - 1);
        many[i] = (struct view){ .all = many, .n_all = 16, .model_id = name[i], .file_id = name[i] };
    }
    assert_false(named_refuse(many, STR("x"), &p));
    assert_non_null(strstr(p.message, "and 14 more (GET /v1/models)"));
    assert_true(strlen(p.message) < sizeof p.message - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_conversation_with_nothing_else_has_the_defaults),
        cmocka_unit_test(test_every_sampling_parameter_is_a_field),
        cmocka_unit_test(test_every_field_refuses_another_type_by_its_name),
        cmocka_unit_test(test_limits_of_tokens_have_three_names),
        cmocka_unit_test(test_seeds_keep_all_their_digits),
        cmocka_unit_test(test_stops_biases_orders_and_breakers_are_copied),
        cmocka_unit_test(test_prompts_are_texts_ids_or_lists_of_them),
        cmocka_unit_test(test_a_gap_has_its_tokens_and_files_before),
        cmocka_unit_test(test_memory_of_likelihoods_is_known_before_they_are_gathered),
        cmocka_unit_test(test_what_is_ignored_is_noted_and_strict_refuses_it),
        cmocka_unit_test(test_a_long_unknown_name_is_cut_between_characters),
        cmocka_unit_test(test_depth_values_numbers_and_keys_have_limits),
        cmocka_unit_test(test_the_cost_of_parsing_is_known_before),
        cmocka_unit_test(test_long_texts_and_many_keys_have_room),
        cmocka_unit_test(test_what_is_no_object_is_no_request),
        cmocka_unit_test(test_places_without_text_yet_come_with_the_next_text),
        cmocka_unit_test(test_what_is_written_again_is_what_would_be_written_anew),
        cmocka_unit_test(test_a_stream_ends_once_with_all_its_answers),
        cmocka_unit_test(test_a_refusal_has_what_clients_look_for),
        cmocka_unit_test(test_without_memory_a_request_is_refused_or_right),
        cmocka_unit_test(test_a_name_is_an_alias_or_a_files_as_it_is_written),
        cmocka_unit_test(test_the_nearest_name_has_the_fewest_edits),
        cmocka_unit_test(test_one_model_answers_to_any_name_and_several_to_their_own),
        cmocka_unit_test(test_a_list_of_long_names_ends_with_how_many_more_there_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
