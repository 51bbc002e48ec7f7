/* A conversation in JSON becomes the one that was meant, or one sentence that says what is wrong where. */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "server/api/json_text.h"
#include "server/api/messages.h"

#include <cmocka.h> /* last: it has a macro fail() */

static json_t *parse(const char *text)
{
    json_error_t why;
    json_t *j = json_loads(text, MESSAGES_JSON_FLAGS | JSON_DECODE_ANY, &why);
    if (!j)
        fail_msg("%s: %s", text, why.text);
    return j;
}

static void collect(void *arg, const char *sentence)
{
    buf_puts(arg, sentence);
    buf_puts(arg, "\n");
}

/* Read it, and forget the JSON: nothing may point into it. notes (may be NULL): a line for each note. */
static struct chat_json read_noted(const char *text, struct buf *notes)
{
    struct chat_json c;
    hearth_error err;
    json_t *j = parse(text);
    if (!chat_from_json(&c, j, notes ? collect : NULL, notes, &err))
        fail_msg("%s: %s", text, err.message);
    assert_int_equal(err.status, HEARTH_OK);
    json_decref(j);
    return c;
}

static struct chat_json read_ok(const char *text)
{
    struct buf notes = { 0 };
    struct chat_json c = read_noted(text, &notes);
    if (notes.len)
        fail_msg("%s: %s", text, notes.ptr);
    return c;
}

static void refused_j(json_t *j, const char *part)
{
    struct chat_json c;
    hearth_error err;
    bool ok = chat_from_json(&c, j, NULL, NULL, &err);
    if (ok)
        fail_msg("taken, and should say '%s'", part);
    if (err.status != HEARTH_ERR_USAGE || !strstr(err.message, part))
        fail_msg("should say '%s': (%d) %s", part, (int)err.status, err.message);
    chat_json_free(&c);
    json_decref(j);
}

static void refused(const char *text, const char *part) { refused_j(parse(text), part); }

static void text_is(const hearth_text *t, const char *want)
{
    assert_int_equal(t->n_bytes, strlen(want));
    assert_memory_equal(t->text, want, t->n_bytes);
    assert_int_equal(t->text[t->n_bytes], 0);
}

/* ---------------------------------------------------------------- what is taken */

static void an_array_of_messages_is_a_conversation(void **state)
{
    (void)state;
    static const char *const roles[] = { "system", "developer", "user", "assistant", "tool" };
    struct chat_json c = read_ok("[{\"role\":\"system\",\"content\":\"a\"},{\"role\":\"developer\",\"content\":\"b\"},"
                                 "{\"role\":\"user\",\"content\":\"\\u00e9\\n\"},"
                                 "{\"role\":\"assistant\",\"content\":\"d\"},{\"role\":\"tool\",\"content\":\"e\"}]");
    assert_int_equal(c.chat.n_messages, ARRAY_LEN(roles));
    for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
        const hearth_message *m = &c.chat.messages[i];
        assert_string_equal(m->role, roles[i]);
        assert_int_equal(m->n_parts, 1);
        assert_null(m->thinking.text);
        assert_int_equal(m->n_tool_calls, 0);
        assert_null(m->tool_call_id);
        assert_null(m->name);
    }
    text_is(c.chat.messages[2].parts, "\xc3\xa9\n");
    assert_null(c.chat.tools);
    assert_null(c.chat.template_kwargs);
    assert_null(c.chat.date);
    assert_int_equal(c.chat.thinking, HEARTH_THINKING_DEFAULT);
    assert_false(c.chat.no_generation_prompt || c.chat.continue_final_message);
    chat_json_free(&c);
}

static void content_may_come_in_parts(void **state)
{
    (void)state;
    struct chat_json c = read_ok("[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"one\"},\"two\","
                                 "{\"text\":\"\",\"type\":\"text\"}]},{\"role\":\"user\",\"content\":\"\"}]");
    const hearth_message *m = c.chat.messages;
    assert_int_equal(m->n_parts, 3);
    text_is(&m->parts[0], "one");
    text_is(&m->parts[1], "two");
    text_is(&m->parts[2], "");
    assert_int_equal(m[1].n_parts, 1);
    text_is(m[1].parts, "");
    chat_json_free(&c);
}

static void parts_that_are_no_text_are_refused_by_place_and_type(void **state)
{
    (void)state;
    refused("[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"user\",\"content\":[\"b\",{\"type\":\"image_url\","
            "\"image_url\":{\"url\":\"data:\"}}]}]",
            "messages[1].content[1] is of type 'image_url'; this model takes text only");
    refused("[{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\",\"input_audio\":{}}]}]",
            "messages[0].content[0] is of type 'input_audio'");
    refused("[{\"role\":\"user\",\"content\":[{\"text\":\"a\"}]}]", "messages[0].content[0] has no type");
    refused("[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]", "messages[0].content[0] has no text");
    refused("[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":1}]}]",
            "messages[0].content[0].text is a number");
    refused("[{\"role\":\"user\",\"content\":[{\"type\":[],\"text\":\"\"}]}]",
            "messages[0].content[0].type is a list");
    refused("[{\"role\":\"user\",\"content\":[7]}]", "messages[0].content[0] is a number");
    refused("[{\"role\":\"user\",\"content\":[null]}]", "messages[0].content[0] is null");
}

static void arguments_of_calls_are_the_text_of_an_object(void **state)
{
    (void)state;
    struct chat_json c = read_ok(
        "[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":["
        "{\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"f\","
        "\"arguments\":\"{ \\\"a\\\": 0.10 }\\n\"}},"
        "{\"function\":{\"name\":\"g\",\"arguments\":{\"z\":0.1,\"a\":[1,null,true,\"\\u00e9\\n\\\"\"],\"m\":{}}}}]}]");
    const hearth_message *m = c.chat.messages;
    assert_int_equal(m->n_parts, 0);
    assert_int_equal(m->n_tool_calls, 2);
    assert_string_equal(m->tool_calls[0].id, "call_1");
    assert_string_equal(m->tool_calls[0].name, "f");
    assert_string_equal(m->tool_calls[0].arguments, "{ \"a\": 0.10 }\n");
    assert_null(m->tool_calls[1].id);
    assert_string_equal(m->tool_calls[1].arguments,
                        "{\"z\":0.1,\"a\":[1,null,true,\"\xc3\xa9\\n\\\"\"],\"m\":{}}");
    chat_json_free(&c);
}

static void calls_that_cannot_be_read_are_refused(void **state)
{
    (void)state;
#define CALL(call) "[{\"role\":\"assistant\",\"tool_calls\":[" call "]}]"
#define ARGUMENTS(text) CALL("{\"function\":{\"name\":\"f\",\"arguments\":" text "}}")
    refused(CALL("1"), "messages[0].tool_calls[0] is a number");
    refused(CALL("{}"), "messages[0].tool_calls[0] has no function");
    refused(CALL("{\"function\":\"f\"}"), "messages[0].tool_calls[0].function is a text");
    refused(CALL("{\"type\":\"custom\",\"function\":{}}"), "messages[0].tool_calls[0] is of type 'custom'");
    refused(CALL("{\"type\":3,\"function\":{}}"), "messages[0].tool_calls[0].type is a number");
    refused(CALL("{\"function\":{\"arguments\":{}}}"), "messages[0].tool_calls[0].function has no name");
    refused(CALL("{\"function\":{\"name\":\"\",\"arguments\":{}}}"), "messages[0].tool_calls[0].function has no name");
    refused(CALL("{\"function\":{\"name\":{},\"arguments\":{}}}"), "function.name is an object");
    refused(CALL("{\"id\":4,\"function\":{\"name\":\"f\",\"arguments\":{}}}"), "messages[0].tool_calls[0].id");
    refused(CALL("{\"function\":{\"name\":\"f\"}}"), "messages[0].tool_calls[0].function has no arguments");
    refused(ARGUMENTS("[]"), "function.arguments is a list");
    refused(ARGUMENTS("\"\""), "messages[0].tool_calls[0].function.arguments is not the text of a JSON object: ''");
    refused(ARGUMENTS("\"not json\""), "'not json'");
    refused(ARGUMENTS("\"[1]\""), "it is a list");
    refused(ARGUMENTS("\"null\""), "it is null");
    refused(ARGUMENTS("\"{\\\"a\\\":1,\\\"a\\\":2}\""), "duplicate");
    refused(ARGUMENTS("\"{}\\u0000\""), "function.arguments");
    refused("[{\"role\":\"assistant\",\"tool_calls\":{}}]", "messages[0].tool_calls is an object");
    refused("[{\"role\":\"user\",\"content\":\"\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{}}}]}]",
            "messages[0] has tool_calls and the role 'user'");
}

static void thinking_has_three_names(void **state)
{
    (void)state;
    static const char *const names[] = { "reasoning_content", "reasoning", "thinking" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char text[200];
        snprintf(text, sizeof text, "[{\"role\":\"assistant\",\"content\":null,\"%s\":\"hm\"}]", names[i]);
        struct chat_json c = read_ok(text);
        text_is(&c.chat.messages->thinking, "hm");
        assert_int_equal(c.chat.messages->n_parts, 0);
        chat_json_free(&c);
        snprintf(text, sizeof text, "[{\"role\":\"assistant\",\"content\":\"\",\"%s\":{}}]", names[i]);
        refused(text, names[i]);
    }
    struct chat_json c = read_ok("[{\"role\":\"assistant\",\"content\":\"a\",\"thinking\":\"t\",\"reasoning\":\"t\"},"
                                 "{\"role\":\"user\",\"content\":\"a\",\"thinking\":\"\"}]");
    text_is(&c.chat.messages->thinking, "t");
    assert_null(c.chat.messages[1].thinking.text); /* "" is what some clients send for none */
    chat_json_free(&c);
    refused("[{\"role\":\"assistant\",\"content\":\"a\",\"thinking\":\"t\",\"reasoning\":\"u\"}]",
            "messages[0] has both reasoning and thinking, and they differ");
    refused("[{\"role\":\"user\",\"content\":\"a\",\"thinking\":\"t\"}]",
            "messages[0] has thinking and the role 'user'; only 'assistant'");
}

static void results_name_their_call_and_function(void **state)
{
    (void)state;
    struct chat_json c = read_ok("[{\"role\":\"tool\",\"content\":\"1\",\"tool_call_id\":\"c\",\"name\":\"f\"},"
                                 "{\"role\":\"tool\",\"content\":\"2\",\"tool_name\":\"g\"},"
                                 "{\"role\":\"tool\",\"content\":\"3\",\"tool_name\":\"h\",\"name\":\"h\"},"
                                 "{\"role\":\"user\",\"content\":\"4\",\"name\":\"Ann\"}]");
    const hearth_message *m = c.chat.messages;
    assert_string_equal(m[0].tool_call_id, "c");
    assert_string_equal(m[0].name, "f");
    assert_null(m[1].tool_call_id);
    assert_string_equal(m[1].name, "g");
    assert_string_equal(m[2].name, "h");
    assert_string_equal(m[3].name, "Ann");
    chat_json_free(&c);
    refused("[{\"role\":\"tool\",\"content\":\"1\",\"tool_name\":\"f\",\"name\":\"g\"}]", "both name and tool_name");
    refused("[{\"role\":\"tool\",\"content\":\"1\",\"tool_name\":1}]", "messages[0].tool_name is a number");
    refused("[{\"role\":\"user\",\"content\":\"1\",\"name\":1}]", "messages[0].name is a number");
    refused("[{\"role\":\"tool\",\"content\":\"1\",\"tool_call_id\":1}]", "messages[0].tool_call_id is a number");
    refused("[{\"role\":\"user\",\"content\":\"1\",\"tool_call_id\":\"c\"}]",
            "messages[0] has tool_call_id and the role 'user'; only 'tool'");
}

static void every_message_says_something(void **state)
{
    (void)state;
    static const char *const roles[] = { "system", "developer", "user", "tool" };
    char text[200], part[100];
    for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
        static const char *const nothing[] = { "", ",\"content\":null", ",\"content\":[]" };
        snprintf(part, sizeof part, "messages[0] (%s) has no content", roles[i]);
        for (size_t k = 0; k < ARRAY_LEN(nothing); k++) {
            snprintf(text, sizeof text, "[{\"role\":\"%s\"%s}]", roles[i], nothing[k]);
            refused(text, part);
        }
    }
    refused("[{\"role\":\"user\",\"content\":\"\"},{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[],"
            "\"thinking\":\"\"}]", "messages[1] (assistant) has no content, tool_calls or reasoning_content");
    refused("[{\"role\":\"user\",\"content\":3}]", "messages[0].content is a number; it must be a text or a list");
    refused("[{\"role\":\"user\",\"content\":{}}]", "messages[0].content is an object");
    refused("[{\"role\":\"user\",\"content\":true}]", "messages[0].content is true");
}

static void roles_are_the_five(void **state)
{
    (void)state;
    refused("[{\"role\":\"user\",\"content\":\"\"},{\"role\":\"function\",\"content\":\"\"}]",
            "messages[1] has the role 'function'; it must be system, developer, user, assistant or tool");
    refused("[{\"role\":\"user\\u0000\",\"content\":\"\"}]", "messages[0] has the role");
    refused("[{\"role\":\"User\",\"content\":\"\"}]", "'User'");
    refused("[{\"content\":\"\"}]", "messages[0] has no role");
    refused("[{\"role\":null,\"content\":\"\"}]", "messages[0] has no role");
    refused("[{\"role\":[],\"content\":\"\"}]", "messages[0].role is a list");
    refused("[\"hello\"]", "messages[0] is a text");
    refused("[null]", "messages[0] is null");
}

/* ---------------------------------------------------------------- requests */

static void a_request_brings_tools_and_values(void **state)
{
    (void)state;
    struct chat_json c = read_ok(
        "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"tools\":[ {\"type\":\"function\", \"b\":1, \"a\":2} ],"
        "\"chat_template_kwargs\":{\"z\":1.5,\"a\":null},\"documents\":[{\"t\":\"x\"}],\"reasoning_effort\":\"high\","
        "\"add_generation_prompt\":false,\"continue_final_message\":true,\"date\":\"2026-02-07 15:04:05\"}");
    assert_string_equal(c.chat.tools, "[{\"type\":\"function\",\"b\":1,\"a\":2}]");
    assert_string_equal(c.chat.template_kwargs, "{\"z\":1.5,\"a\":null,\"documents\":[{\"t\":\"x\"}],"
                                                "\"reasoning_effort\":\"high\"}");
    assert_true(c.chat.no_generation_prompt && c.chat.continue_final_message);
    assert_string_equal(c.chat.date, "2026-02-07 15:04:05");
    chat_json_free(&c);
    c = read_ok("{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"tools\":[],\"reasoning_effort\":\"low\","
                "\"chat_template_kwargs\":{\"reasoning_effort\":\"low\"}}");
    assert_string_equal(c.chat.tools, "[]");
    assert_string_equal(c.chat.template_kwargs, "{\"reasoning_effort\":\"low\"}");
    chat_json_free(&c);
}

static void null_is_the_same_as_not_there(void **state)
{
    (void)state;
    struct chat_json c = read_ok(
        "{\"messages\":[{\"role\":\"assistant\",\"content\":\"a\",\"name\":null,\"tool_calls\":null,\"refusal\":null,"
        "\"reasoning_content\":null,\"reasoning\":null,\"thinking\":null,\"tool_call_id\":null}],\"tools\":null,"
        "\"chat_template_kwargs\":null,\"documents\":null,\"reasoning_effort\":null,\"add_generation_prompt\":null,"
        "\"continue_final_message\":null,\"date\":null,\"audio\":null}");
    const hearth_message *m = c.chat.messages;
    assert_true(!m->name && !m->tool_call_id && !m->thinking.text && m->n_tool_calls == 0);
    assert_true(!c.chat.tools && !c.chat.template_kwargs && !c.chat.date);
    assert_false(c.chat.no_generation_prompt || c.chat.continue_final_message);
    chat_json_free(&c);
}

static void requests_of_other_forms_are_refused(void **state)
{
    (void)state;
#define REQUEST(rest) "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]," rest "}"
    refused("{}", "has no messages");
    refused("{\"messages\":null}", "has no messages");
    refused("{\"messages\":{}}", "messages is an object; it must be a list");
    refused("{\"messages\":[]}", "there are no messages");
    refused("[]", "there are no messages");
    refused("\"hello\"", "this is a text");
    refused_j(NULL, "this is nothing");
    refused(REQUEST("\"tools\":{}"), "tools is an object; it must be a list");
    refused(REQUEST("\"tools\":[{},\"f\"]"), "tools[1] is a text");
    refused(REQUEST("\"chat_template_kwargs\":\"{}\""), "chat_template_kwargs is a text; it must be an object");
    refused(REQUEST("\"documents\":{}"), "documents is an object");
    refused(REQUEST("\"reasoning_effort\":3"), "reasoning_effort is a number");
    refused(REQUEST("\"add_generation_prompt\":0"), "add_generation_prompt is a number; it must be true or false");
    refused(REQUEST("\"continue_final_message\":\"yes\""), "continue_final_message is a text");
    refused(REQUEST("\"date\":20260207"), "date is a number");
    refused(REQUEST("\"date\":\"2026\\u0000\""), "date has a NUL character");
    refused(REQUEST("\"documents\":[1],\"chat_template_kwargs\":{\"documents\":[2]}"),
            "documents and chat_template_kwargs.documents differ");
}

/* ---------------------------------------------------------------- nothing silent */

static void unknown_keys_are_called_out(void **state)
{
    (void)state;
    struct buf notes = { 0 };
    struct chat_json c = read_noted(
        "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\",\"cache_control\":{}}],"
        "\"tool_name\":\"x\"},{\"role\":\"assistant\",\"function_call\":{},\"tool_calls\":[{\"index\":0,"
        "\"function\":{\"name\":\"f\",\"arguments\":\"{}\",\"strict\":true}}]}],\"model\":\"m\",\"a\\u001b[m\":1}",
        &notes);
    assert_string_equal(notes.ptr, "messages[0].content[0].cache_control is not known here and was not used\n"
                                   "messages[0].tool_name is not known here and was not used\n"
                                   "messages[1].tool_calls[0].index is not known here and was not used\n"
                                   "messages[1].tool_calls[0].function.strict is not known here and was not used\n"
                                   "messages[1].function_call is not known here and was not used\n"
                                   "model is not known here and was not used\n"
                                   "a?[m is not known here and was not used\n");
    chat_json_free(&c);
    buf_clear(&notes);
    c = read_noted("[{\"role\":\"user\",\"content\":\"\",\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,"
                   "\"h\":1,\"i\":1,\"j\":1,\"k\":1,\"l\":1,\"m\":1,\"n\":1,\"o\":1,\"p\":1,\"q\":1,\"r\":1}]", &notes);
    assert_non_null(strstr(notes.ptr, "messages[0].p is"));
    assert_null(strstr(notes.ptr, "messages[0].q is"));
    assert_non_null(strstr(notes.ptr, "\n2 further keys are not known here and were not used\n"));
    chat_json_free(&c);
    buf_free(&notes);
}

static void nul_stays_in_texts_and_nowhere_else(void **state)
{
    (void)state;
    struct chat_json c = read_ok("[{\"role\":\"assistant\",\"content\":\"a\\u0000b\",\"thinking\":\"\\u0000\","
                                 "\"tool_calls\":[{\"function\":{\"name\":\"f\","
                                 "\"arguments\":{\"x\":\"\\u0000\"}}}]}]");
    const hearth_message *m = c.chat.messages;
    assert_int_equal(m->parts->n_bytes, 3);
    assert_memory_equal(m->parts->text, "a\0b", 4);
    assert_int_equal(m->thinking.n_bytes, 1);
    assert_string_equal(m->tool_calls->arguments, "{\"x\":\"\\u0000\"}");
    chat_json_free(&c);
    refused("[{\"role\":\"user\",\"content\":\"\",\"name\":\"a\\u0000\"}]", "messages[0].name has a NUL character");
    refused("[{\"role\":\"tool\",\"content\":\"\",\"tool_call_id\":\"\\u0000\"}]", "tool_call_id has a NUL character");
    refused("[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"\\u0000\",\"function\":{\"name\":\"f\","
            "\"arguments\":{}}}]}]", "messages[0].tool_calls[0].id has a NUL character");
}

static void messages_go_to_json_and_back(void **state)
{
    (void)state;
    static const char text[] =
        "[{\"role\":\"system\",\"content\":\"a\\u0000\"},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"b\"},{\"type\":\"text\",\"text\":\"\"}],"
        "\"name\":\"Ann\"},"
        "{\"role\":\"assistant\",\"content\":null,\"reasoning_content\":\"hm\",\"tool_calls\":["
        "{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\": 1}\"}},"
        "{\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]},"
        "{\"role\":\"tool\",\"content\":\"\",\"tool_call_id\":\"c1\",\"name\":\"f\"}]";
    struct chat_json c = read_ok(text);
    json_t *back = messages_to_json(c.chat.messages, c.chat.n_messages), *want = parse(text);
    char *dumped = json_dumps(back, JSON_COMPACT), *wanted = json_dumps(want, JSON_COMPACT);
    assert_string_equal(dumped, wanted); /* the order of keys too */
    free(dumped);
    free(wanted);
    json_decref(back);
    json_decref(want);
    chat_json_free(&c);

    hearth_text bad = { "\xff", 1 };
    hearth_message m = { .role = "user", .parts = &bad, .n_parts = 1 };
    assert_null(messages_to_json(&m, 1));
    back = messages_to_json(NULL, 0);
    assert_int_equal(json_array_size(back), 0);
    json_decref(back);
}

/* ---------------------------------------------------------------- limits */

static json_t *user_message(json_t *content) { return json_pack("{s:s, s:o}", "role", "user", "content", content); }

static json_t *many(json_t *item, size_t n)
{
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append(array, item);
    json_decref(item);
    return array;
}

static void more_than_the_limits_is_refused(void **state)
{
    (void)state;
    struct chat_json c;
    hearth_error err;
    json_t *j = many(user_message(json_string("a")), MESSAGES_MAX);
    assert_true(chat_from_json(&c, j, NULL, NULL, &err));
    assert_int_equal(c.chat.n_messages, MESSAGES_MAX);
    chat_json_free(&c);
    json_array_append_new(j, user_message(json_string("a")));
    refused_j(j, "there are 100001 messages, at most 100000 are taken");

    char *text = malloc(MESSAGES_TEXT_MAX_BYTES / 2 + 1);
    memset(text, 'x', MESSAGES_TEXT_MAX_BYTES / 2 + 1);
    json_t *half = json_stringn(text, MESSAGES_TEXT_MAX_BYTES / 2),
           *above = json_stringn(text, MESSAGES_TEXT_MAX_BYTES / 2 + 1);
    j = json_pack("[o, o]", user_message(json_incref(half)), user_message(json_incref(half)));
    assert_true(chat_from_json(&c, j, NULL, NULL, &err));
    chat_json_free(&c);
    json_decref(j);
    refused_j(json_pack("[o, o]", user_message(json_incref(half)), user_message(json_incref(above))),
              "more than 67108864 bytes of text");
    refused_j(json_pack("{s:[o], s:[{s:o}]}", "messages", user_message(above), "tools", "a", half),
              "more than 67108864 bytes of text");
    free(text);

    j = json_pack("[o]", user_message(many(json_string(""), MESSAGES_PIECES_MAX)));
    assert_true(chat_from_json(&c, j, NULL, NULL, &err));
    chat_json_free(&c);
    json_array_append_new(j, user_message(json_string("")));
    refused_j(j, "with the 1 of messages[1].content the conversation has more than 1000000 parts and tool calls");
}

static void without_memory_it_says_so(void **state)
{
    (void)state;
    json_t *j = parse("{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"tool_calls\":"
                      "[{\"function\":{\"name\":\"f\",\"arguments\":{}}}]}],\"tools\":[{}]}");
    json_t *big = user_message(json_stringn("", 0));
    json_t *parts = many(json_pack("{s:s, s:s}", "type", "text", "text", "some words"), 10000);
    json_object_set_new(big, "content", parts);
    json_array_append_new(json_object_get(j, "messages"), big);
    int refusals = 0;
    for (uint64_t n = 1;; n++) {
        struct chat_json c;
        hearth_error err;
        mem_fail_at(n);
        bool ok = chat_from_json(&c, j, NULL, NULL, &err);
        mem_fail_at(0);
        chat_json_free(&c);
        if (ok)
            break;
        assert_int_equal(err.status, HEARTH_ERR_MEMORY);
        refusals++;
    }
    assert_true(refusals > 3);
    json_decref(j);
}

/* ---------------------------------------------------------------- compact JSON */

static void json_text_reads_back_as_the_same_value(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}", "[]", "[{},[[]],\"\"]", "{\"b\":1,\"a\":{\"d\":-9223372036854775808,\"c\":9223372036854775807}}",
        "[0.1,-0.0,1.5,100000.0,1e22,5e-324,1.7976931348623157e308,0.30000000000000004]",
        "[\"\\u0000\\u001f\\b\\f\\n\\r\\t\\\"\\\\/\x7f\xc3\xa9\xf0\x9f\x98\x80\"]", "{\"a\\\"\\n\":true,\"\":false}",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct arena a;
        arena_init(&a, 1 << 20);
        json_t *j = parse(texts[i]);
        struct str s = json_text(&a, j);
        assert_non_null(s.ptr);
        assert_int_equal(strlen(s.ptr), s.len);
        json_t *back = parse(s.ptr);
        assert_true(json_equal(back, j));
        json_decref(back);
        json_decref(j);
        arena_free(&a);
    }
    struct arena a;
    arena_init(&a, 1 << 20);
    json_t *j = parse("[ 0.1, 0.30000000000000004, 2.5, \"a\\u000ab\", {\"k\": null} ]");
    assert_string_equal(json_text(&a, j).ptr, "[0.1,0.30000000000000004,2.5,\"a\\nb\",{\"k\":null}]");
    json_decref(j);
    arena_free(&a);
}

static void json_text_has_an_end(void **state)
{
    (void)state;
    struct arena a;
    json_t *deep = json_array();
    arena_init(&a, 1 << 20);
    for (int i = 1; i < 2048; i++)
        deep = json_pack("[o]", deep);
    assert_int_equal(json_text(&a, deep).len, 2 * 2048);
    deep = json_pack("[o]", deep);
    assert_null(json_text(&a, deep).ptr);
    json_decref(deep);
    arena_free(&a);
    arena_init(&a, 64);
    json_t *j = parse("[\"more than there is room for in so small an arena, by some words\"]");
    assert_null(json_text(&a, j).ptr);
    json_decref(j);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_array_of_messages_is_a_conversation),
        cmocka_unit_test(content_may_come_in_parts),
        cmocka_unit_test(parts_that_are_no_text_are_refused_by_place_and_type),
        cmocka_unit_test(arguments_of_calls_are_the_text_of_an_object),
        cmocka_unit_test(calls_that_cannot_be_read_are_refused),
        cmocka_unit_test(thinking_has_three_names),
        cmocka_unit_test(results_name_their_call_and_function),
        cmocka_unit_test(every_message_says_something),
        cmocka_unit_test(roles_are_the_five),
        cmocka_unit_test(a_request_brings_tools_and_values),
        cmocka_unit_test(null_is_the_same_as_not_there),
        cmocka_unit_test(requests_of_other_forms_are_refused),
        cmocka_unit_test(unknown_keys_are_called_out),
        cmocka_unit_test(nul_stays_in_texts_and_nowhere_else),
        cmocka_unit_test(messages_go_to_json_and_back),
        cmocka_unit_test(more_than_the_limits_is_refused),
        cmocka_unit_test(without_memory_it_says_so),
        cmocka_unit_test(json_text_reads_back_as_the_same_value),
        cmocka_unit_test(json_text_has_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
