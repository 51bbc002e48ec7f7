/* chat_completions.c: POST /v1/chat/completions, as OpenAI's clients have it. */
#include "server/api/endpoints.h"
#include "server/api/json_text.h"

static bool read(struct ask *a, const struct fields *f, const struct view *v, struct problem *p)
{
    a->op = OP_GENERATE;
    return ask_read_common(a, f, v, p) && ask_read_chat(a, f, v, p);
}

static json_t *of_logprobs(const struct choice *c)
{
    if (json_array_size(c->tokens) == 0)
        return json_null();
    return json_pack("{s:o, s:n}", "content", json_same(c->tokens), "refusal");
}

/* ---- a stream ---- */

static struct json_out chunk(const struct reply *r)
{
    struct json_out o = json_begin();
    json_key(&o, "id", json_string(r->id));
    json_key(&o, "object", json_string("chat.completion.chunk"));
    json_key(&o, "created", json_integer(r->created_s));
    json_key(&o, "model", json_string(r->view->model_id));
    json_key(&o, "system_fingerprint", json_string(r->view->fingerprint));
    return o;
}

/* delta is taken. finish NULL: it goes on. */
static json_t *one_choice(const struct choice *c, json_t *delta, const char *finish)
{
    return json_pack("[{s:i, s:o, s:o, s:s?}]", "index", c->index, "delta", delta, "logprobs", of_logprobs(c),
                     "finish_reason", finish);
}

static void begin(struct reply *r, struct buf *out)
{
    for (int i = 0; i < r->n_choices; i++) {
        struct json_out o = chunk(r);
        json_key(&o, "choices", one_choice(&r->choices[i], json_pack("{s:s, s:s}", "role", "assistant", "content", ""),
                                           NULL));
        reply_sse(r, out, json_end(&o));
    }
}

static json_t *of_delta(const hearth_event *e)
{
    struct json_out o = json_begin();
    if (e->n_thinking_bytes > 0)
        json_key(&o, "reasoning_content", json_of_bytes(e->thinking, e->n_thinking_bytes));
    if (e->n_bytes > 0)
        json_key(&o, "content", json_of_bytes(e->text, e->n_bytes));
    return json_end(&o);
}

static void progress(struct reply *r, struct choice *c, json_t *how_far, struct buf *out)
{
    struct json_out o = chunk(r);
    json_key(&o, "choices", one_choice(c, json_object(), NULL));
    json_key(&o, "prompt_progress", how_far);
    reply_sse(r, out, json_end(&o));
}

static void event(struct reply *r, struct choice *c, const hearth_event *e, struct buf *out)
{
    bool rest = e->n_bytes > 0 || e->n_thinking_bytes > 0;
    if (rest || (e->type == HEARTH_EVENT_END && json_array_size(c->tokens) > 0)) {
        struct json_out o = chunk(r);
        json_key(&o, "choices", one_choice(c, of_delta(e), NULL));
        reply_sse(r, out, json_end(&o));
        json_array_clear(c->tokens);
    }
    if (e->type != HEARTH_EVENT_END)
        return;
    struct json_out o = chunk(r);
    json_key(&o, "choices", one_choice(c, json_object(), reply_finish(c)));
    if (!r->ask->include_usage) {
        json_key(&o, "timings", reply_timings(c));
        json_key(&o, "hearth", reply_receipt(r, c));
    }
    reply_sse(r, out, json_end(&o));
}

static void end(struct reply *r, struct buf *out) { reply_end_openai(r, out, chunk); }

/* ---- a whole answer ---- */

static json_t *of_message(const struct choice *c)
{
    struct json_out o = json_begin();
    json_key(&o, "role", json_string("assistant"));
    json_key(&o, "content", json_of_bytes(c->text.ptr, c->text.len));
    json_key(&o, "refusal", json_null());
    if (c->thinking.len > 0)
        json_key(&o, "reasoning_content", json_of_bytes(c->thinking.ptr, c->thinking.len));
    return json_end(&o);
}

static json_t *whole(struct reply *r)
{
    struct json_out o = json_begin();
    json_t *choices = json_array();
    for (int i = 0; i < r->n_choices; i++) {
        const struct choice *c = &r->choices[i];
        o.failed |= json_array_append_new(choices, json_pack("{s:i, s:o, s:o, s:s?}", "index", c->index, "message",
                                                             of_message(c), "logprobs", of_logprobs(c),
                                                             "finish_reason", reply_finish(c))) != 0;
    }
    json_key(&o, "id", json_string(r->id));
    json_key(&o, "object", json_string("chat.completion"));
    json_key(&o, "created", json_integer(r->created_s));
    json_key(&o, "model", json_string(r->view->model_id));
    json_key(&o, "system_fingerprint", json_string(r->view->fingerprint));
    json_key(&o, "choices", choices);
    json_key(&o, "usage", reply_usage(r));
    json_key(&o, "timings", reply_timings(r->choices));
    json_key(&o, "hearth", reply_receipt(r, NULL));
    return json_end(&o);
}

static const struct dialect dialect = {
    .id_prefix = "chatcmpl-", .begin = begin, .event = event, .progress = progress, .end = end, .whole = whole
};

const struct endpoint endpoint_chat_completions = { .on = ON_CHAT, .read = read, .dialect = &dialect };
