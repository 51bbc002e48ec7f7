/* completions.c: POST /v1/completions: texts that go on, in the form that evaluation harnesses read. */
#include <string.h>

#include "server/api/endpoints.h"
#include "server/api/fim.h"

/* The answer goes between each prompt and the suffix. */
static bool read_suffix(struct ask *a, const struct fields *f, const struct view *v, struct problem *p)
{
    struct fim fim = { 0 };
    if (json_string_length(f->value[F_suffix]) == 0)
        return true;
    if (!ask_read_text(a, f, F_suffix, &fim.suffix, p) || !fim_possible(&v->info, "suffix", p))
        return false;
    for (int i = 0; i < a->n_prompts; i++) {
        struct ask_prompt *prompt = &a->prompts[i];
        if (!prompt->text.text)
            return refuse(p, PROBLEM_invalid_type, "prompt", "prompt is a list of token ids, and suffix a text; give "
                          "two texts");
        fim.prefix = prompt->text;
        if (!fim_spans(&a->arena, &v->info, &fim, &prompt->spans, &prompt->n_spans))
            return ask_no_memory(p);
    }
    return true;
}

static bool read(struct ask *a, const struct fields *f, const struct view *v, struct problem *p)
{
    a->op = OP_GENERATE;
    if (!ask_read_common(a, f, v, p) || !ask_read_prompts(a, f, true, p) || !read_suffix(a, f, v, p))
        return false;
    if (a->n_prompts * a->n > ASK_MAX_CHOICES)
        return refuse(p, PROBLEM_invalid_value, "n", "%d prompts with %d answers each are %d; at most %d are taken in "
                      "one request", a->n_prompts, a->n, a->n_prompts * a->n, ASK_MAX_CHOICES);
    return true;
}

/* With echo the prompt comes first; of ids their text. */
static void put_prompt(const struct reply *r, const struct choice *c, struct buf *out)
{
    const struct ask_prompt *p = &r->ask->prompts[c->prompt];
    if (!r->ask->echo)
        return;
    if (p->text.text)
        buf_put(out, p->text.text, p->text.n_bytes);
    for (size_t i = 0; !p->text.text && i < p->n_ids; i++) {
        size_t n = 0;
        const char *text = r->view->token_text(r->view->token_arg, p->ids[i], &n);
        buf_put(out, text ? text : "", n);
    }
}

static json_t *of_logprobs(const struct choice *c, size_t first_char)
{
    return json_array_size(c->tokens) ? reply_legacy_logprobs(c, first_char) : json_null();
}

static json_t *one_choice(const struct choice *c, json_t *text, size_t first_char)
{
    return json_pack("{s:o, s:i, s:o, s:s?}", "text", text, "index", c->index, "logprobs", of_logprobs(c, first_char),
                     "finish_reason", reply_finish(c));
}

static struct json_out object(const struct reply *r)
{
    struct json_out o = json_begin();
    json_key(&o, "id", json_string(r->id));
    json_key(&o, "object", json_string("text_completion"));
    json_key(&o, "created", json_integer(r->created_s));
    json_key(&o, "model", json_string(r->view->model_id));
    json_key(&o, "system_fingerprint", json_string(r->view->fingerprint));
    return o;
}

static void begin(struct reply *r, struct buf *out)
{
    for (int i = 0; r->ask->echo && i < r->n_choices; i++) {
        struct json_out o = object(r);
        struct buf prompt = { 0 };
        put_prompt(r, &r->choices[i], &prompt);
        json_key(&o, "choices", json_pack("[o]", one_choice(&r->choices[i], json_of_bytes(prompt.ptr, prompt.len), 0)));
        buf_free(&prompt);
        reply_sse(r, out, json_end(&o));
    }
}

static void progress(struct reply *r, struct choice *c, json_t *how_far, struct buf *out)
{
    struct json_out o = object(r);
    json_key(&o, "choices", json_pack("[o]", one_choice(c, json_string(""), 0)));
    json_key(&o, "prompt_progress", how_far);
    reply_sse(r, out, json_end(&o));
}

static void event(struct reply *r, struct choice *c, const hearth_event *e, struct buf *out)
{
    if (e->n_bytes == 0 && e->type != HEARTH_EVENT_END)
        return;
    struct json_out o = object(r);
    json_key(&o, "choices", json_pack("[o]", one_choice(c, json_of_bytes(e->text, e->n_bytes), c->n_text_chars)));
    if (e->type == HEARTH_EVENT_END && !r->ask->include_usage) {
        json_key(&o, "timings", reply_timings(c));
        json_key(&o, "hearth", reply_receipt(r, c));
    }
    reply_sse(r, out, json_end(&o));
}

static void end(struct reply *r, struct buf *out) { reply_end_openai(r, out, object); }

static json_t *whole(struct reply *r)
{
    struct json_out o = object(r);
    json_t *choices = json_array();
    for (int i = 0; i < r->n_choices; i++) {
        const struct choice *c = &r->choices[i];
        struct buf text = { 0 };
        put_prompt(r, c, &text);
        buf_put(&text, c->text.len ? c->text.ptr : "", c->text.len);
        json_t *one = text.failed ? NULL : one_choice(c, json_of_bytes(text.ptr, text.len), 0);
        o.failed |= json_array_append_new(choices, one) != 0;
        buf_free(&text);
    }
    json_key(&o, "choices", choices);
    json_key(&o, "usage", reply_usage(r));
    json_key(&o, "timings", reply_timings(r->choices));
    json_key(&o, "hearth", reply_receipt(r, NULL));
    return json_end(&o);
}

static const struct dialect dialect = {
    .id_prefix = "cmpl-", .begin = begin, .event = event, .progress = progress, .end = end, .whole = whole
};

const struct endpoint endpoint_completions = { .on = ON_TEXT, .read = read, .dialect = &dialect };
