#include "cli/compare_ask.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/energy.h"
#include "cli/interrupt.h"
#include "record/receipt_json.h"

static double ms_between(int64_t from_ns, int64_t to_ns)
{
    return from_ns > 0 && to_ns > 0 ? (double)(to_ns - from_ns) / 1e6 : NAN;
}

/* What both sides' clocks say, in the same way: n_written tokens came as text. */
static void put_times(struct compare_run *run, int64_t start_ns, int64_t first_ns, int64_t last_ns, int64_t end_ns,
                      double n_written)
{
    double *f = run->figure;
    f[COMPARE_FIRST] = ms_between(start_ns, first_ns);
    f[COMPARE_WRITE] = ms_between(first_ns, last_ns);
    f[COMPARE_TOTAL] = ms_between(start_ns, end_ns);
    if (n_written > 1 && f[COMPARE_WRITE] > 0)
        f[COMPARE_RATE] = (n_written - 1) / f[COMPARE_WRITE] * 1e3;
}

static bool failed(struct compare_answers *a, const hearth_error *why, hearth_error *err)
{
    a->n_failed++;
    snprintf(a->error, sizeof a->error, "%s", why->message);
    if (why->status != HEARTH_ERR_CANCELLED)
        return true;
    *err = *why;
    return false;
}

/* ---- here ---- */

struct local_reading {
    struct buf text, thinking;
    int64_t start_ns, first_ns, last_ns, end_ns;
};

static void take(struct local_reading *l, const hearth_event *e)
{
    if (e->n_bytes > 0 || e->n_thinking_bytes > 0) {
        l->last_ns = clock_ns();
        if (l->first_ns == 0)
            l->first_ns = l->last_ns;
    }
    buf_put(&l->text, e->n_bytes ? e->text : "", e->n_bytes);
    buf_put(&l->thinking, e->n_thinking_bytes ? e->thinking : "", e->n_thinking_bytes);
}

static void put_receipt(struct compare_run *run, const hearth_receipt *r)
{
    double *f = run->figure;
    f[COMPARE_CONNECT] = 0;
    f[COMPARE_PROMPT] = r->n_prompt_tokens;
    f[COMPARE_CACHED] = r->n_cached_tokens;
    f[COMPARE_OUTPUT] = r->n_output_tokens;
    f[COMPARE_THINKING] = r->n_thinking_tokens;
    f[COMPARE_RESIDENT] = (double)r->resident_bytes;
    f[COMPARE_PRICE] = 0;
    snprintf(run->finish, sizeof run->finish, "%s", finish_reason_name(r->reason));
}

static bool read_local(hearth_stream *stream, struct local_reading *l, struct compare_answers *a,
                       struct compare_run *run, hearth_error *err)
{
    struct energy before, after;
    hearth_event e;
    hearth_receipt receipt = { 0 };
    bool has_energy = energy_read("", &before);
    hearth_stream_on_wake(stream, interrupt_wake, NULL);
    while (interrupt_next(stream, &e))
        take(l, &e);
    take(l, &e);
    l->end_ns = clock_ns();
    if (has_energy && energy_read("", &after))
        run->figure[COMPARE_ENERGY] = energy_j_between(&before, &after);
    if (e.reason == HEARTH_END_ERROR)
        return failed(a, hearth_stream_error(stream), err);
    if (e.reason == HEARTH_END_CANCELLED)
        return fail(err, HEARTH_ERR_CANCELLED, "interrupted");
    if (hearth_stream_receipt(stream, &receipt))
        put_receipt(run, &receipt);
    run->ok = true;
    put_times(run, l->start_ns, l->first_ns, l->last_ns, l->end_ns, run->figure[COMPARE_OUTPUT]);
    if (l->text.failed || l->thinking.failed)
        return fail_memory(err, "the answer");
    return compare_keep_text(a, buf_str(&l->text), buf_str(&l->thinking), err);
}

bool compare_ask_local(const struct compare_question *q, hearth_model *model, const char *prompt,
                       struct compare_answers *a, struct compare_run *run, hearth_error *err)
{
    hearth_text system = { q->system, q->system ? strlen(q->system) : 0 }, user = { prompt, strlen(prompt) };
    hearth_message messages[2] = { { .role = "system", .parts = &system, .n_parts = 1 } };
    int n = q->system ? 1 : 0;
    messages[n++] = (hearth_message){ .role = "user", .parts = &user, .n_parts = 1 };
    hearth_chat chat = { .messages = messages, .n_messages = (size_t)n, .thinking = q->thinking,
                         .template_kwargs = q->template_kwargs };
    hearth_span span = { .text = user.text, .n_bytes = user.n_bytes };
    hearth_request request = q->request;
    request.chat = q->chat ? &chat : NULL;
    request.spans = &span;
    request.n_spans = q->chat ? 0 : 1;

    struct local_reading l = { .start_ns = clock_ns() };
    hearth_error why = { 0 };
    run->asked = true;
    hearth_stream *stream = hearth_submit(model, &request, &why);
    bool ok = stream ? read_local(stream, &l, a, run, err) : failed(a, &why, err);
    hearth_stream_close(stream);
    buf_free(&l.text);
    buf_free(&l.thinking);
    return ok;
}

/* ---- there ---- */

/* NULL when memory is out. */
static json_t *body_of(const struct compare_question *q, const char *prompt)
{
    json_t *body = json_deep_copy(q->fields), *messages = json_array();
    bool ok = body && messages;
    if (ok && q->chat && q->system)
        ok = json_array_append_new(messages, json_pack("{s:s, s:s}", "role", "system", "content", q->system)) == 0;
    if (ok && q->chat)
        ok = json_array_append_new(messages, json_pack("{s:s, s:s}", "role", "user", "content", prompt)) == 0
          && json_object_set(body, "messages", messages) == 0;
    else if (ok)
        ok = json_object_set_new(body, "prompt", json_string(prompt)) == 0;
    json_decref(messages);
    if (ok)
        return body;
    json_decref(body);
    return NULL;
}

static double known(int64_t n) { return n >= 0 ? (double)n : NAN; }

static void put_answer(const struct compare_question *q, struct compare_run *run, const struct openai_answer *got)
{
    double *f = run->figure;
    /* What was thought and not shown was not written in the time between the first piece and the last. */
    double hidden = got->thinking.len == 0 && got->n_thinking_tokens > 0 ? (double)got->n_thinking_tokens : 0;
    run->by_pieces = got->n_output_tokens < 0;
    f[COMPARE_CONNECT] = got->connect_ms;
    f[COMPARE_PROMPT] = known(got->n_prompt_tokens);
    f[COMPARE_CACHED] = known(got->n_cached_tokens);
    f[COMPARE_OUTPUT] = run->by_pieces ? got->n_pieces : known(got->n_output_tokens);
    f[COMPARE_THINKING] = known(got->n_thinking_tokens);
    if (q->price && got->n_prompt_tokens >= 0 && !run->by_pieces)
        f[COMPARE_PRICE] = price_of(q->price, f[COMPARE_PROMPT], f[COMPARE_CACHED], f[COMPARE_OUTPUT]);
    put_times(run, got->start_ns, got->first_ns, got->last_ns, got->end_ns, f[COMPARE_OUTPUT] - hidden);
    snprintf(run->finish, sizeof run->finish, "%s", got->finish);
}

bool compare_ask_api(const struct compare_question *q, struct openai_server *server, const char *prompt,
                     struct compare_answers *a, struct compare_run *run, hearth_error *err)
{
    struct openai_answer got = { 0 };
    hearth_error why = { 0 };
    json_t *body = body_of(q, prompt);
    if (!body)
        return fail_memory(err, "the request");
    run->asked = true;
    run->ok = openai_ask(server, q->chat, body, &got, &why);
    run->http_status = got.status;
    bool ok = true;
    if (run->ok) {
        put_answer(q, run, &got);
        memcpy(a->model, got.model, sizeof a->model);
        ok = compare_keep_text(a, buf_str(&got.text), buf_str(&got.thinking), err);
    } else {
        ok = failed(a, &why, err);
    }
    json_decref(body);
    openai_answer_free(&got);
    return ok;
}
