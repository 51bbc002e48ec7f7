/* openai_answer.c: what a server says, into an answer: the pure part. */
#include "base/alloc.h"
#include "store/foreign.h"
#include "store/openai.h"

void openai_answer_begin(struct openai_answer *a)
{
    struct buf text = a->text, thinking = a->thinking;
    buf_clear(&text);
    buf_clear(&thinking);
    *a = (struct openai_answer){ .text = text, .thinking = thinking, .n_prompt_tokens = -1, .n_cached_tokens = -1,
                                 .n_output_tokens = -1, .n_thinking_tokens = -1 };
}

void openai_answer_free(struct openai_answer *a)
{
    buf_free(&a->text);
    buf_free(&a->thinking);
}

/* A text there; "" for anything else. */
static struct str text_of(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return (struct str){ json_is_string(v) ? json_string_value(v) : "", json_string_length(v) };
}

static void put_error_text(char *out, size_t room, const json_t *o)
{
    const json_t *error = json_object_get(o, "error");
    struct str said = json_is_string(error) ? text_of(o, "error") : text_of(error, "message");
    if (said.len == 0)
        said = text_of(o, "message");
    if (said.len == 0)
        said = text_of(o, "detail");
    foreign_line(out, room, said);
}

/* HTML, of whatever stands in front of a server. */
static bool is_page(struct str body)
{
    size_t i = 0;
    while (i < body.len && (body.ptr[i] == ' ' || (body.ptr[i] >= '\t' && body.ptr[i] <= '\r')))
        i++;
    return i < body.len && body.ptr[i] == '<';
}

void openai_error_text(char *out, size_t room, struct str body)
{
    json_t *o = json_loadb(body.ptr, body.len, JSON_DECODE_ANY, NULL);
    out[0] = 0;
    if (o)
        put_error_text(out, room, o);
    else if (!is_page(body))
        foreign_line(out, room, body);
    json_decref(o);
}

static void take_text(struct openai_answer *a, struct buf *to, struct str text, int64_t now_ns, bool *any)
{
    if (text.len == 0)
        return;
    buf_put(to, text.ptr, text.len);
    a->last_ns = now_ns;
    if (a->first_ns == 0)
        a->first_ns = now_ns;
    *any = true;
}

static int64_t count_of(const json_t *o, const char *key, int64_t otherwise)
{
    const json_t *v = json_object_get(o, key);
    const json_int_t most = (json_int_t)1 << 53; /* what a double holds */
    json_int_t n = json_is_integer(v) ? json_integer_value(v) : -1;
    return n >= 0 && n <= most ? n : otherwise;
}

static void take_usage(struct openai_answer *a, const json_t *usage)
{
    const json_t *prompt = json_object_get(usage, "prompt_tokens_details");
    const json_t *output = json_object_get(usage, "completion_tokens_details");
    a->n_prompt_tokens = count_of(usage, "prompt_tokens", a->n_prompt_tokens);
    a->n_output_tokens = count_of(usage, "completion_tokens", a->n_output_tokens);
    a->n_cached_tokens = count_of(prompt, "cached_tokens", a->n_cached_tokens);
    a->n_thinking_tokens = count_of(output, "reasoning_tokens", a->n_thinking_tokens);
}

static void take_choice(struct openai_answer *a, const json_t *choice, int64_t now_ns)
{
    const json_t *delta = json_object_get(choice, "delta");
    struct str finish = text_of(choice, "finish_reason"), thinking = text_of(delta, "reasoning_content");
    bool any = false;
    if (thinking.len == 0)
        thinking = text_of(delta, "reasoning"); /* some say it so */
    take_text(a, &a->thinking, thinking, now_ns, &any);
    take_text(a, &a->text, text_of(delta, "content"), now_ns, &any);
    take_text(a, &a->text, text_of(choice, "text"), now_ns, &any);
    a->n_pieces += any;
    if (finish.len > 0)
        foreign_line(a->finish, sizeof a->finish, finish);
}

bool openai_read_event(struct openai_answer *a, struct str data, int64_t now_ns, hearth_error *err)
{
    if (str_eq_z(data, "[DONE]")) {
        a->done = true;
        return true;
    }
    uint64_t refused = mem_n_refused();
    json_error_t why;
    json_t *o = json_loadb(data.ptr, data.len, 0, &why);
    bool ok = json_is_object(o) && refused == mem_n_refused();
    if (refused != mem_n_refused()) {
        fail_memory(err, "a piece of the answer");
    } else if (!ok) {
        char shown[80];
        fail(err, HEARTH_ERR_FORMAT, "the stream has an event that is no JSON object: '%s'",
             foreign_line(shown, sizeof shown, data));
    } else if (json_is_object(json_object_get(o, "error")) || json_is_string(json_object_get(o, "error"))) {
        char said[OPENAI_SAID_BYTES];
        put_error_text(said, sizeof said, o);
        ok = fail(err, HEARTH_ERR_IO, "the server ended the answer: %s", said[0] ? said : "it does not say why");
    } else {
        struct str model = text_of(o, "model");
        if (model.len > 0)
            foreign_line(a->model, sizeof a->model, model);
        if (json_array_size(json_object_get(o, "choices")) > 0)
            take_choice(a, json_array_get(json_object_get(o, "choices"), 0), now_ns);
        if (json_is_object(json_object_get(o, "usage")))
            take_usage(a, json_object_get(o, "usage"));
        if (a->text.failed || a->thinking.failed)
            ok = fail_memory(err, "the answer");
    }
    json_decref(o);
    return ok;
}
