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
    if (a->request.score_prompt)
        return refuse(p, PROBLEM_not_supported, "suffix", "suffix together with echo of likelihoods, or of the prompt "
                      "alone, is not supported; leave echo out");
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
    if (!ask_read_common(a, f, v, p) || !ask_read_prompts(a, f, F_prompt, ASK_MAX_PROMPTS, p)
        || !read_suffix(a, f, v, p))
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

/* Characters of the prompt, where it comes before the answer. */
static size_t chars_before(const struct reply *r, const struct choice *c)
{
    struct buf prompt = { 0 };
    put_prompt(r, c, &prompt);
    size_t n = reply_count_chars(prompt.len ? prompt.ptr : "", prompt.len);
    buf_free(&prompt);
    return n;
}

/* The space that some vocabularies put before a text is in its first token, and not in the text. */
static size_t space_before(const struct reply *r, const struct choice *c)
{
    const hearth_text *text = &r->ask->prompts[c->prompt].text;
    const char *first = json_string_value(json_object_get(json_array_get(c->prompt_tokens, 0), "token"));
    return text->text && first && first[0] == ' '
        && reply_chars_of_places(c->prompt_tokens) == chars_before(r, c) + 1;
}

static json_t *of_places(const struct reply *r, const struct choice *c, const json_t *places, size_t first_char)
{
    bool of_prompt = places == c->prompt_tokens;
    return json_array_size(places) ? reply_legacy_logprobs(places, &first_char, of_prompt ? space_before(r, c) : 0)
                                   : json_null();
}

/* logprobs is taken. */
static json_t *one_choice(const struct choice *c, json_t *text, json_t *logprobs)
{
    return json_pack("{s:o, s:i, s:o, s:s?}", "text", text, "index", c->index, "logprobs", logprobs, "finish_reason",
                     reply_finish(c));
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

/* The prompt, where it was asked for, as the first chunk of a choice. */
static void send_prompt(struct reply *r, struct choice *c, struct buf *out)
{
    struct json_out o = object(r);
    struct buf prompt = { 0 };
    put_prompt(r, c, &prompt);
    json_key(&o, "choices", json_pack("[{s:o, s:i, s:o, s:n}]", "text", json_of_bytes(prompt.ptr, prompt.len), "index",
                                      c->index, "logprobs", of_places(r, c, c->prompt_tokens, 0), "finish_reason"));
    buf_free(&prompt);
    reply_sse(r, out, json_end(&o));
    c->begun = true;
}

/* With likelihoods of its tokens it waits until they are there. */
static void begin(struct reply *r, struct buf *out)
{
    for (int i = 0; r->ask->echo && !r->ask->request.score_prompt && i < r->n_choices; i++)
        send_prompt(r, &r->choices[i], out);
}

static void progress(struct reply *r, struct choice *c, json_t *how_far, struct buf *out)
{
    struct json_out o = object(r);
    json_key(&o, "choices", json_pack("[o]", one_choice(c, json_string(""), json_null())));
    json_key(&o, "prompt_progress", how_far);
    reply_sse(r, out, json_end(&o));
}

static void event(struct reply *r, struct choice *c, const hearth_event *e, struct buf *out)
{
    if (e->n_bytes == 0 && e->type != HEARTH_EVENT_END)
        return;
    if (r->ask->echo && !c->begun)
        send_prompt(r, c, out);
    struct json_out o = object(r);
    json_t *logprobs = of_places(r, c, c->tokens, chars_before(r, c) + c->n_text_chars);
    json_key(&o, "choices", json_pack("[o]", one_choice(c, json_of_bytes(e->text, e->n_bytes), logprobs)));
    if (e->type == HEARTH_EVENT_END && !r->ask->include_usage) {
        json_key(&o, "timings", reply_timings(c));
        json_key(&o, "hearth", reply_receipt(r, c));
    }
    reply_sse(r, out, json_end(&o));
}

static void end(struct reply *r, struct buf *out) { reply_end_openai(r, out, object); }

/* Of the prompt, where it is there, and the answer. */
static json_t *all_logprobs(const struct reply *r, const struct choice *c)
{
    if (json_array_size(c->prompt_tokens) == 0)
        return of_places(r, c, c->tokens, chars_before(r, c));
    size_t at = 0;
    json_t *all = reply_legacy_logprobs(c->prompt_tokens, &at, space_before(r, c));
    at = chars_before(r, c);
    json_t *more = reply_legacy_logprobs(c->tokens, &at, 0);
    const char *key;
    json_t *list;
    bool failed = !all || !more;
    json_object_foreach(more, key, list)
        failed |= json_array_extend(json_object_get(all, key), list) != 0;
    json_decref(more);
    if (!failed)
        return all;
    json_decref(all);
    return NULL;
}

static json_t *whole(struct reply *r)
{
    struct json_out o = object(r);
    json_t *choices = json_array();
    for (int i = 0; i < r->n_choices; i++) {
        const struct choice *c = &r->choices[i];
        struct buf text = { 0 };
        put_prompt(r, c, &text);
        buf_put(&text, c->text.len ? c->text.ptr : "", c->text.len);
        json_t *one = text.failed ? NULL : one_choice(c, json_of_bytes(text.ptr, text.len), all_logprobs(r, c));
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
