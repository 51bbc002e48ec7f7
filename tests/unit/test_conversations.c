/* test_conversations.c: conversations through the engine: the template, thinking, the end of an answer, the cache. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tiny.h"

struct opened {
    char path[256];
    hearth_engine *engine;
    hearth_model *model;
};

static void open_tiny(struct opened *o, const char *template)
{
    hearth_error err = { 0 };
    tiny_path(o->path, sizeof o->path, "talk");
    tiny_write(o->path, &(struct tiny){ .arch = "llama", .type = DTYPE_q8_0 });
    o->engine = hearth_engine_create(&(hearth_engine_options){ .n_threads = 1 }, &err);
    o->model = hearth_model_open(
        o->engine,
        &(hearth_model_options){
            .source = { .path = o->path, .chat_template = template, .chat_template_name = "of the test" } },
        &err);
    if (!o->model)
        fail_msg("%s", err.message);
}

static void close_tiny(struct opened *o)
{
    hearth_model_release(o->model);
    hearth_engine_destroy(o->engine);
    unlink(o->path);
}

struct said {
    char text[4096], thinking[4096];
    hearth_end_reason reason;
    hearth_receipt receipt;
};

static hearth_request request_for(const hearth_chat *chat)
{
    hearth_request r = { .chat = chat, .max_tokens = 12, .ignore_eos = true };
    hearth_sampling_defaults(NULL, &r.sampling, NULL);
    r.sampling.temperature = 0;
    return r;
}

static void ask(hearth_model *m, const hearth_request *r, struct said *out)
{
    hearth_error err = { 0 };
    hearth_event e;
    *out = (struct said){ 0 };
    hearth_stream *s = hearth_submit(m, r, &err);
    if (!s)
        fail_msg("%s", err.message);
    while (hearth_stream_next(s, &e)) {
        strncat(out->text, e.text, sizeof out->text - strlen(out->text) - 1);
        strncat(out->thinking, e.thinking, sizeof out->thinking - strlen(out->thinking) - 1);
        assert_int_equal(strlen(e.thinking), e.n_thinking_bytes);
        out->reason = e.reason;
    }
    assert_true(hearth_stream_receipt(s, &out->receipt));
    hearth_stream_close(s);
}

static const char plain[] = "{% for m in messages %}{{ m.content }}\n\n{% endfor %}";

static void a_conversation_is_its_rendered_tokens(void **state)
{
    struct opened o;
    static struct said chat, ids;
    hearth_error err = { 0 };
    (void)state;
    open_tiny(&o, plain);
    const hearth_text text = { "Good <s> evening", 16 };
    const hearth_message m = { .role = "user", .parts = &text, .n_parts = 1 };
    const hearth_chat c = { .messages = &m, .n_messages = 1 };
    hearth_request r = request_for(&c);
    ask(o.model, &r, &chat);
    assert_string_equal(chat.receipt.template_from, "of the test");
    assert_int_equal(strlen(chat.receipt.template_sha256), 64);
    assert_string_equal(chat.receipt.template_date, "");
    assert_int_equal(chat.receipt.n_specials_kept, 1);

    hearth_rendered *p = hearth_file_render(hearth_model_file(o.model), &c, &err);
    assert_non_null(p);
    assert_memory_equal(p->text, "Good <s> evening\n\n", p->n_bytes);
    assert_int_equal(p->n_ids, chat.receipt.n_prompt_tokens);
    assert_int_equal(p->bos_added, chat.receipt.bos_added);
    r.chat = NULL;
    r.prompt_ids = p->ids;
    r.n_prompt_ids = p->n_ids;
    ask(o.model, &r, &ids);
    assert_string_equal(chat.text, ids.text);
    assert_int_equal(ids.receipt.n_cached_tokens, ids.receipt.n_prompt_tokens - 1);
    assert_string_equal(ids.receipt.template_from, "");

    r.chat = &c;
    assert_null(hearth_submit(o.model, &r, &err));
    assert_non_null(strstr(err.message, "two forms"));
    hearth_rendered_free(p);
    close_tiny(&o);
}

static void what_is_thought_is_no_answer(void **state)
{
    struct opened o;
    static struct said thought, answered;
    (void)state;
    open_tiny(&o, "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}"
                  "{{ '<think></think>' if enable_thinking is false else '<think>' }}{% endif %}");
    const hearth_text text = { "hello", 5 };
    const hearth_message m = { .role = "user", .parts = &text, .n_parts = 1 };
    hearth_chat c = { .messages = &m, .n_messages = 1 };
    hearth_request r = request_for(&c);
    ask(o.model, &r, &thought);
    assert_true(thought.thinking[0] && !thought.text[0]);
    assert_int_equal(thought.receipt.n_thinking_tokens, 12);
    c.thinking = HEARTH_THINKING_OFF;
    ask(o.model, &r, &answered);
    assert_true(answered.text[0] && !answered.thinking[0]);
    assert_int_equal(answered.receipt.n_thinking_tokens, 0);
    close_tiny(&o);
}

/* A conversation's tokens alone, as a replay has them, are answered as the conversation was. */
static void rendered_tokens_can_be_read_as_the_conversation_they_are(void **state)
{
    struct opened o;
    static struct said thought, replayed, bare;
    hearth_error err = { 0 };
    (void)state;
    open_tiny(&o, "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}<think>{% endif %}");
    const hearth_text text = { "hello", 5 };
    const hearth_message m = { .role = "user", .parts = &text, .n_parts = 1 };
    hearth_chat c = { .messages = &m, .n_messages = 1 };
    hearth_request r = request_for(&c);
    ask(o.model, &r, &thought);
    assert_true(thought.receipt.starts_thinking);
    hearth_rendered *p = hearth_file_render(hearth_model_file(o.model), &c, &err);
    assert_non_null(p);
    r.chat = NULL;
    r.prompt_ids = p->ids;
    r.n_prompt_ids = p->n_ids;
    ask(o.model, &r, &bare);
    assert_false(bare.receipt.starts_thinking);
    assert_string_equal(bare.text, thought.thinking);
    r.ids_are_chat = true;
    r.ids_start_thinking = p->starts_thinking;
    ask(o.model, &r, &replayed);
    assert_string_equal(replayed.thinking, thought.thinking);
    assert_string_equal(replayed.text, "");
    assert_string_equal(replayed.receipt.template_sha256, thought.receipt.template_sha256);
    assert_int_equal(replayed.receipt.n_thinking_tokens, thought.receipt.n_thinking_tokens);
    hearth_rendered_free(p);
    close_tiny(&o);
}

static void where_no_token_ends_an_answer_the_templates_text_does(void **state)
{
    struct opened o;
    static struct said said;
    (void)state;
    open_tiny(&o, plain);
    const hearth_text text = { "hello", 5 };
    const hearth_message m = { .role = "user", .parts = &text, .n_parts = 1 };
    const hearth_chat c = { .messages = &m, .n_messages = 1 };
    int32_t ids[8];
    int64_t n = hearth_file_tokenize(hearth_model_file(o.model), "\n", 1, false, false, ids, 8, NULL);
    const hearth_logit_bias bias = { ids[n - 1], 1000 }; /* line feeds only */
    hearth_request r = request_for(&c);
    r.ignore_eos = false;
    r.logit_bias = &bias;
    r.n_logit_bias = 1;
    ask(o.model, &r, &said);
    assert_int_equal(said.reason, HEARTH_END_STOP);
    assert_int_equal(said.receipt.n_output_tokens, 2);
    assert_string_equal(said.text, "");
    assert_non_null(strstr(said.receipt.notes, "they stop where it would go on"));
    close_tiny(&o);
}

static void what_the_template_says_reaches_the_caller(void **state)
{
    struct opened o;
    hearth_error err = { 0 };
    hearth_template_info info;
    (void)state;
    open_tiny(&o, "{{ raise_exception('only on Sundays') if messages | length > 1 else messages[0].content }}");
    const hearth_text text = { "hello", 5 };
    const hearth_message m[2] = { { .role = "user", .parts = &text, .n_parts = 1 },
                                  { .role = "user", .parts = &text, .n_parts = 1 } };
    const hearth_chat c = { .messages = m, .n_messages = 2 };
    hearth_request r = request_for(&c);
    hearth_stream *s = hearth_submit(o.model, &r, &err);
    assert_non_null(s);
    hearth_event e;
    while (hearth_stream_next(s, &e))
        ;
    assert_int_equal(e.reason, HEARTH_END_ERROR);
    assert_non_null(strstr(hearth_stream_error(s)->message, "line 1 column"));
    assert_non_null(strstr(hearth_stream_error(s)->message, "only on Sundays"));
    hearth_stream_close(s);
    assert_null(hearth_file_render(hearth_model_file(o.model), &c, &err));
    assert_non_null(strstr(err.message, "only on Sundays"));
    assert_true(hearth_file_template(hearth_model_file(o.model), &info));
    assert_false(info.system);
    assert_string_equal(info.from, "of the test");
    close_tiny(&o);

    open_tiny(&o, NULL); /* the file has none */
    assert_null(hearth_submit(o.model, &r, &err));
    assert_int_equal(err.status, HEARTH_ERR_USAGE);
    assert_non_null(strstr(err.message, "--chat-template"));
    assert_false(hearth_file_template(hearth_model_file(o.model), &info));
    close_tiny(&o);

    open_tiny(&o, "{% if %}");
    assert_null(hearth_submit(o.model, &r, &err));
    assert_int_equal(err.status, HEARTH_ERR_FORMAT);
    assert_true(hearth_file_template(hearth_model_file(o.model), &info));
    assert_non_null(strstr(info.problem, "line 1 column"));
    close_tiny(&o);
}

/* The second turn begins with the first one's tokens, question and answer: they are not computed again. */
static void a_conversation_goes_on_where_it_was(void **state)
{
    struct opened o;
    static struct said first, second, again;
    (void)state;
    open_tiny(&o, plain);
    hearth_text texts[3] = { { "Once upon a time there was", 26 }, { first.text, 0 }, { "and then?", 9 } };
    const hearth_message m[3] = { { .role = "user", .parts = &texts[0], .n_parts = 1 },
                                  { .role = "assistant", .parts = &texts[1], .n_parts = 1 },
                                  { .role = "user", .parts = &texts[2], .n_parts = 1 } };
    hearth_chat c = { .messages = m, .n_messages = 1 };
    hearth_request r = request_for(&c);
    ask(o.model, &r, &first);
    texts[1].n_bytes = strlen(first.text);
    c.n_messages = 3;
    ask(o.model, &r, &second);
    assert_true(second.receipt.n_cached_tokens >= first.receipt.n_prompt_tokens);
    r.no_prefix_cache = true;
    ask(o.model, &r, &again);
    assert_int_equal(again.receipt.n_cached_tokens, 0);
    assert_string_equal(again.text, second.text);
    close_tiny(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_conversation_is_its_rendered_tokens),
        cmocka_unit_test(what_is_thought_is_no_answer),
        cmocka_unit_test(rendered_tokens_can_be_read_as_the_conversation_they_are),
        cmocka_unit_test(where_no_token_ends_an_answer_the_templates_text_does),
        cmocka_unit_test(what_the_template_says_reaches_the_caller),
        cmocka_unit_test(a_conversation_goes_on_where_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
