/* completion.c: POST /completion, llama.cpp's own form: a text goes on. */
#include <stdio.h>
#include <string.h>

#include "server/api/endpoints.h"
#include "server/api/json_text.h"

static bool read(struct ask *a, const struct fields *f, const struct view *v, struct problem *p)
{
    a->op = OP_GENERATE;
    return ask_read_common(a, f, v, p) && ask_read_prompts(a, f, F_prompt, 1, p);
}

static json_t *of_ids(const struct choice *c) { return c->ids ? json_same(c->ids) : json_array(); }

/* What they call why it stopped. */
static const char *stop_type(const struct choice *c)
{
    if (c->reason == HEARTH_END_LENGTH)
        return "limit";
    return c->receipt && strncmp(c->receipt->finish_detail, "stop text", 9) == 0 ? "word" : "eos";
}

/* The receipt has its number. */
static const char *stopping_word(const struct reply *r, const struct choice *c)
{
    size_t which = 0;
    bool is_word = c->receipt && sscanf(c->receipt->finish_detail, "stop text %zu", &which) == 1;
    return is_word && which < r->ask->request.n_stop ? r->ask->request.stop[which] : "";
}

static void put_probabilities(const struct reply *r, const struct choice *c, struct json_out *o)
{
    if (r->ask->logprobs)
        json_key(o, "completion_probabilities", c->tokens ? json_same(c->tokens) : json_array());
}

/* The keys of the last piece, and of a whole answer. */
static void put_end(const struct reply *r, const struct choice *c, struct json_out *o)
{
    const hearth_receipt *receipt = c->receipt;
    json_key(o, "model", json_string(r->view->model_id));
    json_key(o, "tokens_predicted", json_integer(receipt ? receipt->n_output_tokens : 0));
    json_key(o, "tokens_evaluated", json_integer(receipt ? receipt->n_prompt_tokens : 0));
    json_key(o, "tokens_cached", json_integer(receipt ? receipt->n_cached_tokens : 0));
    json_key(o, "truncated", json_false());
    json_key(o, "stop_type", json_string(stop_type(c)));
    json_key(o, "stopping_word", json_string(stopping_word(r, c)));
    json_key(o, "timings", reply_timings(c));
    json_key(o, "hearth", reply_receipt(r, c));
}

static void progress(struct reply *r, struct choice *c, json_t *how_far, struct buf *out)
{
    struct json_out o = json_begin();
    json_key(&o, "index", json_integer(c->index));
    json_key(&o, "content", json_string(""));
    json_key(&o, "tokens", json_array());
    json_key(&o, "stop", json_false());
    json_key(&o, "id_slot", json_integer(-1));
    json_key(&o, "prompt_progress", how_far);
    reply_sse(r, out, json_end(&o));
}

static void event(struct reply *r, struct choice *c, const hearth_event *e, struct buf *out)
{
    if (e->n_bytes == 0 && e->type != HEARTH_EVENT_END)
        return;
    struct json_out o = json_begin();
    json_key(&o, "index", json_integer(c->index));
    json_key(&o, "content", json_of_bytes(e->text, e->n_bytes));
    json_key(&o, "tokens", of_ids(c));
    json_key(&o, "stop", json_boolean(e->type == HEARTH_EVENT_END));
    json_key(&o, "id_slot", json_integer(-1));
    put_probabilities(r, c, &o);
    if (e->type == HEARTH_EVENT_END)
        put_end(r, c, &o);
    reply_sse(r, out, json_end(&o));
}

static void end(struct reply *r, struct buf *out)
{
    (void)r;
    (void)out;
}

static json_t *whole(struct reply *r)
{
    const struct choice *c = r->choices;
    struct json_out o = json_begin();
    json_key(&o, "index", json_integer(0));
    json_key(&o, "content", json_of_bytes(c->text.ptr, c->text.len));
    json_key(&o, "tokens", of_ids(c));
    json_key(&o, "stop", json_true());
    json_key(&o, "id_slot", json_integer(-1));
    put_probabilities(r, c, &o);
    put_end(r, c, &o);
    return json_end(&o);
}

const struct dialect native_dialect = { .id_prefix = "cmpl-", .event = event, .progress = progress, .end = end,
                                        .whole = whole };

const struct endpoint endpoint_completion = { .on = ON_NATIVE, .read = read, .dialect = &native_dialect };
