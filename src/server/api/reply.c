#include "server/api/reply.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "record/receipt_json.h"

/* ---- writing JSON ---- */

struct json_out json_begin(void) { return (struct json_out){ json_object(), false }; }

void json_key(struct json_out *o, const char *key, json_t *value)
{
    if (json_object_set_new(o->json, key, value) != 0)
        o->failed = true;
}

json_t *json_end(struct json_out *o)
{
    if (!o->failed)
        return o->json;
    json_decref(o->json);
    return NULL;
}

static int put_piece(const char *bytes, size_t n, void *out)
{
    struct buf *b = out;
    buf_put(b, bytes, n);
    return b->failed ? -1 : 0;
}

bool json_put(struct buf *out, json_t *j)
{
    bool ok = j && json_dump_callback(j, put_piece, out, RECEIPT_JSON_FLAGS) == 0 && !out->failed;
    json_decref(j);
    return ok;
}

void reply_sse(struct reply *r, struct buf *out, json_t *j)
{
    buf_puts(out, "data: ");
    if (!json_put(out, j))
        r->failed = true;
    buf_puts(out, "\n\n");
}

json_t *json_of_bytes(const char *text, size_t n)
{
    struct str s = { n ? text : "", n };
    if (utf8_valid(s))
        return json_stringn_nocheck(s.ptr, n);
    struct buf clean = { 0 };
    bool valid;
    for (size_t at = 0; at < n;) {
        size_t run = utf8_run(s, at, &valid);
        if (valid)
            buf_put(&clean, s.ptr + at, run);
        else
            buf_puts(&clean, "\xef\xbf\xbd");
        at += run;
    }
    json_t *j = clean.failed ? NULL : json_stringn_nocheck(clean.ptr ? clean.ptr : "", clean.len);
    buf_free(&clean);
    return j;
}

/* ---- tokens and their likelihoods ---- */

static json_t *bytes_of(const char *text, size_t n)
{
    json_t *list = json_array();
    bool failed = false;
    for (size_t i = 0; i < n; i++)
        failed |= json_array_append_new(list, json_integer((unsigned char)text[i])) != 0;
    if (!failed)
        return list;
    json_decref(list);
    return NULL;
}

/* JSON has no -Infinity: the lowest float stands for it, as other servers have it. NaN: there is none. */
static json_t *of_logprob(float v)
{
    return isnan(v) ? json_null() : json_of_float(isfinite(v) ? v : -3.4028235e38f);
}

static json_t *of_token(const struct view *v, int32_t id, float logprob)
{
    size_t n = 0;
    const char *text = v->token_text(v->token_arg, id, &n);
    return json_pack("{s:i, s:o, s:o, s:o}", "id", (int)id, "token", json_of_bytes(text, n), "logprob",
                     of_logprob(logprob), "bytes", bytes_of(text, n));
}

static json_t *of_place(const struct view *v, const hearth_event *e)
{
    json_t *place = of_token(v, e->id, e->logprob), *top = json_array();
    bool failed = !place || !top;
    for (int i = 0; i < e->n_alternatives; i++)
        failed |= json_array_append_new(top, of_token(v, e->alternatives[i].id, e->alternatives[i].logprob)) != 0;
    failed |= json_object_set_new(place, "top_logprobs", top) != 0;
    if (!failed)
        return place;
    json_decref(place);
    return NULL;
}

size_t reply_count_chars(const char *text, size_t n)
{
    size_t chars = 0;
    for (size_t i = 0; i < n; i++)
        chars += ((unsigned char)text[i] & 0xc0) != 0x80;
    return chars;
}

/* Of its bytes: a token may be a part of a character. */
static size_t chars_of_place(const json_t *place)
{
    const json_t *bytes = json_object_get(place, "bytes");
    size_t n = 0;
    for (size_t i = 0; i < json_array_size(bytes); i++)
        n += (json_integer_value(json_array_get(bytes, i)) & 0xc0) != 0x80;
    return n;
}

size_t reply_chars_of_places(const json_t *places)
{
    size_t n = 0;
    for (size_t i = 0; i < json_array_size(places); i++)
        n += chars_of_place(json_array_get(places, i));
    return n;
}

/* {"token": logprob, ...}; null where there is nothing before the token. */
static json_t *tops_of_place(const json_t *place)
{
    const json_t *top = json_object_get(place, "top_logprobs");
    json_t *likeliest = json_object();
    bool failed = !likeliest;
    if (json_is_null(json_object_get(place, "logprob"))) {
        json_decref(likeliest);
        return json_null();
    }
    for (size_t i = 0; !failed && i < json_array_size(top); i++) {
        const json_t *one = json_array_get(top, i);
        const char *token = json_string_value(json_object_get(one, "token"));
        if (!json_object_get(likeliest, token)) /* of two that look the same the likelier one */
            failed |= json_object_set_nocheck(likeliest, token, json_object_get(one, "logprob")) != 0;
    }
    if (!failed)
        return likeliest;
    json_decref(likeliest);
    return NULL;
}

json_t *reply_legacy_logprobs(const json_t *places, size_t *at, size_t skip)
{
    json_t *tokens = json_array(), *logprobs = json_array(), *tops = json_array(), *offsets = json_array();
    bool failed = !tokens || !logprobs || !tops || !offsets;
    for (size_t i = 0; !failed && i < json_array_size(places); i++) {
        const json_t *place = json_array_get(places, i);
        failed |= json_array_append(tokens, json_object_get(place, "token")) != 0;
        failed |= json_array_append(logprobs, json_object_get(place, "logprob")) != 0;
        failed |= json_array_append_new(offsets, json_integer((json_int_t)*at)) != 0;
        failed |= json_array_append_new(tops, tops_of_place(place)) != 0;
        *at += chars_of_place(place) - (i == 0 ? min_size(skip, chars_of_place(place)) : 0);
    }
    json_t *all = json_pack("{s:o, s:o, s:o, s:o}", "tokens", tokens, "token_logprobs", logprobs, "top_logprobs", tops,
                            "text_offset", offsets);
    if (!failed)
        return all;
    json_decref(all);
    return NULL;
}

/* ---- what comes with an end ---- */

const char *reply_finish(const struct choice *c)
{
    if (!c->ended)
        return NULL;
    return c->reason == HEARTH_END_STOP || c->reason == HEARTH_END_LENGTH ? finish_reason_name(c->reason) : "error";
}

json_t *reply_usage(const struct reply *r)
{
    json_int_t prompt = 0, cached = 0, output = 0, thinking = 0;
    for (int i = 0; i < r->n_choices; i++) {
        const hearth_receipt *receipt = r->choices[i].receipt;
        if (!receipt)
            continue;
        if (i % r->ask->n == 0) { /* answers to one prompt share it */
            prompt += receipt->n_prompt_tokens;
            cached += receipt->n_cached_tokens;
        }
        output += receipt->n_output_tokens;
        thinking += receipt->n_thinking_tokens;
    }
    return json_pack("{s:I, s:I, s:I, s:{s:I}, s:{s:I}}", "prompt_tokens", prompt, "completion_tokens", output,
                     "total_tokens", prompt + output, "prompt_tokens_details", "cached_tokens", cached,
                     "completion_tokens_details", "reasoning_tokens", thinking);
}

json_t *reply_usage_of_inputs(const struct reply *r)
{
    json_int_t n = 0;
    for (int i = 0; i < r->n_choices; i++)
        n += r->choices[i].n_prompt_tokens;
    return json_pack("{s:I, s:I}", "prompt_tokens", n, "total_tokens", n);
}

static json_t *of_rate(double n, double ms) { return ms > 0 ? json_real(n * 1000 / ms) : json_real(0); }
static json_t *of_each(double ms, double n) { return n > 0 ? json_real(ms / n) : json_real(0); }

json_t *reply_timings(const struct choice *c)
{
    const hearth_receipt *r = c->receipt;
    if (!r)
        return json_null();
    int computed = r->n_prompt_tokens - r->n_cached_tokens;
    struct json_out o = json_begin();
    json_key(&o, "cache_n", json_integer(r->n_cached_tokens));
    json_key(&o, "prompt_n", json_integer(computed));
    json_key(&o, "prompt_ms", json_real(r->prefill_ms));
    json_key(&o, "prompt_per_token_ms", of_each(r->prefill_ms, computed));
    json_key(&o, "prompt_per_second", of_rate(computed, r->prefill_ms));
    json_key(&o, "predicted_n", json_integer(r->n_output_tokens));
    json_key(&o, "predicted_ms", json_real(r->decode_ms));
    json_key(&o, "predicted_per_token_ms", of_each(r->decode_ms, r->n_output_tokens));
    json_key(&o, "predicted_per_second", of_rate(r->n_output_tokens, r->decode_ms));
    if (r->n_draft_tokens > 0) {
        json_key(&o, "draft_n", json_integer(r->n_draft_tokens));
        json_key(&o, "draft_n_accepted", json_integer(r->n_accepted_tokens));
    }
    return json_end(&o);
}

/* What the server knows of the request, beside what the engine does. */
json_t *reply_request(const struct reply *r)
{
    const struct notes *n = &r->ask->notes;
    return json_pack("{s:s, s:s, s:O, s:O, s:o}", "id", r->id, "model", r->ask->model, "ignored_fields", n->ignored,
                     "adjusted", n->adjusted, "preset", preset_used(r->ask, r->view));
}

json_t *reply_receipt(const struct reply *r, const struct choice *c)
{
    if (!c && r->n_choices == 1)
        c = r->choices;
    if (c) {
        json_t *receipt = c->receipt ? receipt_to_json(c->receipt) : json_object();
        if (json_object_set_new(receipt, "request", reply_request(r)) == 0)
            return receipt;
        json_decref(receipt);
        return NULL;
    }
    json_t *list = json_array();
    bool failed = false;
    for (int i = 0; i < r->n_choices; i++)
        failed |= r->choices[i].receipt
               && json_array_append_new(list, receipt_to_json(r->choices[i].receipt)) != 0;
    json_t *all = json_pack("{s:o, s:o}", "choices", list, "request", reply_request(r));
    if (!failed)
        return all;
    json_decref(all);
    return NULL;
}

void reply_error(struct reply *r, const struct problem *p, struct buf *out) { reply_sse(r, out, problem_to_json(p)); }

/* ---- events ---- */

bool reply_init(struct reply *r, const struct ask *a, const struct view *v, const struct dialect *d, const char *id,
                int64_t now_s)
{
    *r = (struct reply){ .ask = a, .view = v, .dialect = d, .created_s = now_s };
    snprintf(r->id, sizeof r->id, "%s%s", d->id_prefix, id);
    r->n_choices = max_int(a->n_prompts, 1) * a->n;
    r->choices = mem_alloc((size_t)r->n_choices * sizeof *r->choices);
    for (int i = 0; r->choices && i < r->n_choices; i++) {
        r->choices[i].index = i;
        r->choices[i].prompt = i / a->n;
    }
    return r->choices != NULL;
}

void reply_free(struct reply *r)
{
    for (int i = 0; r->choices && i < r->n_choices; i++) {
        struct choice *c = &r->choices[i];
        buf_free(&c->text);
        buf_free(&c->thinking);
        buf_free(&c->frame);
        json_decref(c->tokens);
        json_decref(c->prompt_tokens);
        json_decref(c->ids);
        json_decref(c->end_token);
        mem_free(c->receipt);
    }
    mem_free(r->choices);
    *r = (struct reply){ 0 };
}

void reply_add(struct reply *r, json_t **list, json_t *item)
{
    if (!*list)
        *list = json_array();
    if (json_array_append_new(*list, item) != 0)
        r->failed = true;
}

static void take_prompt_token(struct reply *r, struct choice *c, const hearth_event *e)
{
    if (r->ask->logprobs)
        reply_add(r, &c->prompt_tokens, of_place(r->view, e));
}

static void take_token(struct reply *r, struct choice *c, const hearth_event *e)
{
    if (r->dialect->gather)
        r->dialect->gather(r, c, e);
    c->n_tokens++;
    if (r->ask->logprobs)
        reply_add(r, &c->tokens, of_place(r->view, e));
    if (r->ask->return_tokens)
        reply_add(r, &c->ids, json_integer(e->id));
}

static void take_end(struct reply *r, struct choice *c, const hearth_event *e, const hearth_receipt *receipt)
{
    c->ended = true;
    c->reason = e->reason;
    if (r->dialect->gather)
        r->dialect->gather(r, c, e);
    r->n_ended++;
    c->n_prompt_tokens = receipt ? receipt->n_prompt_tokens : 0;
    if (r->ask->request.embed && c->index > 0) /* thousands of them would take more than their vectors */
        return;
    c->receipt = receipt ? mem_alloc(sizeof *c->receipt) : NULL;
    if (c->receipt)
        *c->receipt = *receipt;
    r->failed |= receipt && !c->receipt;
}

static void put_text(struct reply *r, struct buf *to, const char *text, size_t n)
{
    buf_put(to, n ? text : "", n);
    r->failed |= to->failed;
}

/* A token as of_token() makes it: the JSON library takes up to 1 KB for the object and 32 bytes for each byte that is
 * listed (tests/unit/test_requests.c counts them); and its text in the answer. */
static size_t token_bytes(const struct view *v, int32_t id)
{
    enum { OBJECT = 1400, BYTE = 80 };
    size_t n = 0;
    v->token_text(v->token_arg, id, &n);
    return OBJECT + BYTE * n;
}

/* As explain_choice() makes it. */
static size_t choice_bytes(const struct reply *r, const hearth_choice *c)
{
    enum { STEP = 2000, LOGPROB = 96 };
    size_t bytes = token_bytes(r->view, c->id);
    for (int i = 0; i < c->n_tokens; i++)
        bytes += token_bytes(r->view, c->ids[i]);
    if (r->ask->only_token >= 0)
        bytes += (size_t)c->n_steps * (STEP + LOGPROB * (size_t)c->n_tokens);
    return bytes;
}

size_t reply_bytes(const struct reply *r, const hearth_event *e, bool streaming)
{
    enum { ID = 64, FLOAT_TEXT = 16, BASE64_TEXT = 6 };
    if (r->ask->request.embed) /* as text, and as part of the body */
        return 2 * (size_t)r->ask->n_dimensions * (r->ask->base64 ? BASE64_TEXT : FLOAT_TEXT);
    bool of_prompt = e->type == HEARTH_EVENT_PROMPT_TOKEN; /* gathered in streams, too */
    bool of_answer = e->type == HEARTH_EVENT_TOKEN && !streaming;
    size_t bytes = streaming ? 0 : 4 * (e->n_bytes + e->n_thinking_bytes);
    if (of_answer && r->ask->return_tokens)
        bytes += ID;
    if (e->choice && reply_explains_token(r))
        bytes += choice_bytes(r, e->choice);
    if (!r->ask->logprobs || (!of_prompt && !of_answer))
        return bytes;
    bytes += token_bytes(r->view, e->id);
    for (int i = 0; i < e->n_alternatives; i++)
        bytes += token_bytes(r->view, e->alternatives[i].id);
    return bytes;
}

/* As llama.cpp has it. */
static json_t *of_progress(const hearth_event *e)
{
    return json_pack("{s:i, s:i, s:i, s:I}", "total", e->n_prompt_tokens, "cache", e->n_cached_tokens, "processed",
                     e->n_processed_tokens, "time_ms", (json_int_t)e->elapsed_ms);
}

/* ---- the same again ----
 *
 * Most events of a stream differ in their text only. What the dialect writes around it is kept, as it wrote it: a token
 * costs less than half as much then as one whose JSON is built anew. */

static const char mark[] = "\x01", written_mark[] = "\\u0001";

static bool is_plain(const struct choice *c, const hearth_event *e)
{
    struct str text = { e->n_bytes ? e->text : "", e->n_bytes };
    if (e->type != HEARTH_EVENT_TOKEN || e->n_bytes == 0 || e->n_thinking_bytes > 0 || c->tokens || c->ids)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == '"' || text.ptr[i] == '\\')
            return false; /* JSON writes it in another way */
    return utf8_valid(text);
}

/* From an event that has nothing but the mark. Where that is not there once, nothing is kept. */
static void keep_frame(struct reply *r, struct choice *c)
{
    hearth_event marked = { .type = HEARTH_EVENT_TOKEN, .text = mark, .n_bytes = 1 };
    const size_t n = sizeof written_mark - 1;
    c->frame_tried = true;
    r->dialect->event(r, c, &marked, &c->frame);
    const char *at = c->frame.failed ? NULL : strstr(c->frame.ptr, written_mark);
    if (!at || strstr(at + n, written_mark))
        buf_clear(&c->frame);
    else
        c->n_before = (size_t)(at - c->frame.ptr);
}

/* False: it is another kind of event. */
static bool put_again(struct reply *r, struct choice *c, const hearth_event *e, struct buf *out)
{
    if (!is_plain(c, e) || c->n_text_chars == 0) /* the first may have more before it */
        return false;
    if (!c->frame_tried)
        keep_frame(r, c);
    if (c->frame.len == 0)
        return false;
    size_t n_until = c->n_before + sizeof written_mark - 1;
    buf_put(out, c->frame.ptr, c->n_before);
    buf_put(out, e->text, e->n_bytes);
    buf_put(out, c->frame.ptr + n_until, c->frame.len - n_until);
    return true;
}

void reply_take(struct reply *r, int i, const hearth_event *e, const hearth_receipt *receipt, struct buf *out)
{
    struct choice *c = &r->choices[i];
    if (e->type == HEARTH_EVENT_ADMITTED || e->type == HEARTH_EVENT_PROGRESS) {
        if (out)
            r->dialect->progress(r, c, of_progress(e), out);
        return;
    }
    if (e->type == HEARTH_EVENT_PROMPT_TOKEN) {
        take_prompt_token(r, c, e);
        return;
    }
    if (e->type == HEARTH_EVENT_END)
        take_end(r, c, e, receipt);
    else
        take_token(r, c, e);
    if (out) {
        if (!put_again(r, c, e, out))
            r->dialect->event(r, c, e, out);
        bool waits = e->type == HEARTH_EVENT_TOKEN && e->n_bytes == 0; /* its text comes with a later event */
        if (!waits && c->tokens)
            json_array_clear(c->tokens);
        if (!waits && c->ids)
            json_array_clear(c->ids);
        if (r->n_ended == r->n_choices && c->ended)
            r->dialect->end(r, out);
        r->failed |= out->failed;
    } else {
        put_text(r, &c->text, e->text, e->n_bytes);
        put_text(r, &c->thinking, e->thinking, e->n_thinking_bytes);
    }
    c->n_text_chars += reply_count_chars(e->n_bytes ? e->text : "", e->n_bytes);
}

void reply_end_openai(struct reply *r, struct buf *out, struct json_out (*chunk)(const struct reply *r))
{
    if (r->ask->include_usage) {
        struct json_out o = chunk(r);
        json_key(&o, "choices", json_array());
        json_key(&o, "usage", reply_usage(r));
        json_key(&o, "timings", reply_timings(r->choices));
        json_key(&o, "hearth", reply_receipt(r, NULL));
        reply_sse(r, out, json_end(&o));
    }
    buf_puts(out, "data: [DONE]\n\n");
}
