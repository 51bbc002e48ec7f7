/* pump.c: events of the engine into the answer. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "server/core.h"

static void too_long(struct problem *p, const hearth_error *err)
{
    refuse(p, PROBLEM_context_length_exceeded, NULL, "this model's maximum context length is %d tokens, but the prompt "
           "has %llu: the request exceeds the available context size; shorten it, or start the server with a larger "
           "--ctx", err->n_ctx_tokens, (unsigned long long)err->n_prompt_tokens);
    p->n_prompt_tokens = (int64_t)err->n_prompt_tokens;
    p->n_ctx = err->n_ctx_tokens;
}

void problem_of_error(struct problem *p, const hearth_error *err)
{
    switch (err->status) {
    case HEARTH_ERR_USAGE:
        if (err->n_ctx_tokens > 0)
            too_long(p, err);
        else
            refuse(p, PROBLEM_invalid_value, NULL, "%s", err->message);
        return;
    case HEARTH_ERR_BUSY:
        refuse(p, PROBLEM_queue_full, NULL, "%s", err->message);
        p->retry_after_s = 1;
        return;
    case HEARTH_ERR_MEMORY:
        refuse(p, PROBLEM_out_of_memory, NULL, "%s", err->message);
        p->retry_after_s = 1;
        return;
    case HEARTH_ERR_CANCELLED:
        refuse(p, PROBLEM_shutting_down, NULL, "the server ended before the answer did; send the request again");
        return;
    case HEARTH_ERR_MODEL:
    case HEARTH_ERR_FORMAT:
        refuse(p, PROBLEM_model_error, NULL, "%s", err->message);
        return;
    case HEARTH_OK:
    case HEARTH_ERR_IO:
        break;
    }
    refuse(p, PROBLEM_server_error, NULL, "%s", err->message[0] ? err->message : "the request failed");
}

void exchange_begin_stream(struct exchange *x)
{
    if (x->begun)
        return;
    x->begun = true;
    if (x->reply.dialect->begin)
        x->reply.dialect->begin(&x->reply, &x->out);
}

/* It is over for all of them; a stream that has begun says so in an event. */
static void fail_all(struct exchange *x)
{
    for (int i = 0; i < x->n_streams; i++)
        if (x->streams[i])
            hearth_stream_cancel(x->streams[i]);
    x->ended = true;
    if (x->begun)
        reply_error(&x->reply, &x->problem, &x->out);
}

/* Which of many it was. */
static void name_input(struct problem *p, const char *inputs, int i)
{
    char message[sizeof p->message];
    snprintf(p->param, sizeof p->param, "%s[%d]", inputs, i);
    snprintf(message, sizeof message, "%s", p->message);
    snprintf(p->message, sizeof p->message, "%s: %.590s", p->param, message);
}

/* The end of one. False: it failed; not reserved: for want of memory, as the problem says. */
static bool take_end(struct exchange *x, int i, const hearth_event *e, bool reserved)
{
    hearth_receipt receipt;
    hearth_stream *stream = x->streams[i];
    bool has_receipt = hearth_stream_receipt(stream, &receipt);
    if (has_receipt)
        usage_take(x, i, &receipt);
    bool failed = e->reason == HEARTH_END_ERROR || e->reason == HEARTH_END_CANCELLED;
    if (failed && reserved) {
        hearth_error cancelled = { .status = HEARTH_ERR_CANCELLED };
        problem_of_error(&x->problem, e->reason == HEARTH_END_ERROR ? hearth_stream_error(stream) : &cancelled);
        retry_estimate(x->server, &x->problem);
        if (x->ask.request.embed && x->reply.n_choices > 1)
            name_input(&x->problem, x->ask.inputs, i);
    }
    if (has_receipt && !failed && reserved)
        served_count(x, &receipt);
    if (has_receipt)
        tape_end(x, i, e, &receipt);
    if (failed || !reserved)
        return false;
    if (x->ask.stream)
        exchange_begin_stream(x);
    size_t n_vector;
    const float *vector = hearth_stream_vector(stream, &n_vector);
    if (vector && x->reply.dialect->vector)
        x->reply.dialect->vector(&x->reply, &x->reply.choices[i], vector, n_vector);
    reply_take(&x->reply, i, e, has_receipt ? &receipt : NULL, x->ask.stream ? &x->out : NULL);
    x->streams[i] = NULL;
    hearth_stream_on_wake(stream, NULL, NULL);
    hearth_stream_close(stream);
    return exchange_submit_next(x);
}

/* What is gathered until the end comes out of the memory for requests. */
static bool reserve(struct exchange *x, const hearth_event *e)
{
    struct request_memory *m = &x->server->memory;
    size_t bytes = reply_bytes(&x->reply, e, x->ask.stream);
    if (bytes == 0)
        return true;
    if (bytes > m->most - min_size(x->reserved_bytes, m->most))
        return refuse(&x->problem, PROBLEM_invalid_value, x->ask.logprobs ? "logprobs" : NULL, "this answer takes more "
                      "than all memory for requests (%zu MiB) until it is whole; stream it, or ask for less",
                      m->most >> 20);
    if (!memory_take(m, bytes)) {
        x->problem.retry_after_s = 1;
        return refuse(&x->problem, PROBLEM_out_of_memory, NULL, "the memory for requests (%zu MiB) is in use; try "
                      "again later", m->most >> 20);
    }
    x->reserved_bytes += bytes;
    return true;
}

static bool take(struct exchange *x, int i, const hearth_event *e)
{
    tape_token(x, i, e); /* first: it has been read, whatever becomes of it */
    bool reserved = reserve(x, e);
    if (e->type == HEARTH_EVENT_END)
        return take_end(x, i, e, reserved);
    if (!reserved)
        return false;
    if (x->ask.stream)
        exchange_begin_stream(x);
    reply_take(&x->reply, i, e, NULL, x->ask.stream ? &x->out : NULL);
    return true;
}

bool refuse_late(const struct exchange *x, struct problem *p)
{
    refuse(p, PROBLEM_deadline_exceeded, NULL, "the time for the request (%lld ms) was over before an answer began; "
           "try again later, or give it more", (long long)(atomic_load(&x->deadline_ns) - x->start_ns) / 1000000);
    return false;
}

/* Its time is over. What there is of the answer is the answer, as at a limit of tokens; nothing is none. True: none. */
static bool cut(struct exchange *x)
{
    bool whole = x->route->endpoint->explains || x->ask.request.embed; /* a part would say that it is another */
    bool any = x->reply.n_ended > 0 && !x->ask.request.embed;
    x->cut = true;
    for (int i = 0; i < x->reply.n_choices && !whole; i++)
        any = any || x->reply.choices[i].n_tokens > 0;
    if (!any) {
        refuse_late(x, &x->problem);
        return true;
    }
    notes_adjusted(&x->ask.notes, "the answer was ended after %lld ms, the time that it had, and may not be whole",
                   (long long)(atomic_load(&x->deadline_ns) - x->start_ns) / 1000000);
    x->reply.failed |= x->ask.notes.failed;
    for (int i = 0; i < x->n_streams; i++)
        if (x->streams[i])
            hearth_stream_stop(x->streams[i]);
    return false;
}

static bool is_ended_by_others(struct exchange *x)
{
    hearth_error stopped = { .status = HEARTH_ERR_CANCELLED };
    if (x->ended || (!atomic_load(&x->stopping) && !atomic_load(&x->cancelled)))
        return false;
    if (atomic_load(&x->cancelled))
        refuse(&x->problem, PROBLEM_request_cancelled, NULL, "the request was cancelled");
    else
        problem_of_error(&x->problem, &stopped);
    return true;
}

bool exchange_pump(struct exchange *x)
{
    bool any = false;
    if (x->route->endpoint->tells)
        return wake_pump(x);
    if (is_ended_by_others(x) || (atomic_load(&x->late) && !x->cut && !x->ended && cut(x))) {
        fail_all(x);
        return true;
    }
    for (int i = 0; i < x->n_streams && !x->ended; i++) {
        hearth_event e;
        while (x->streams[i] && !x->ended && x->out.len - x->n_sent < PUMP_BYTES
               && hearth_stream_poll(x->streams[i], &e)) {
            any = true;
            if (!take(x, i, &e))
                fail_all(x);
            else if (x->reply.failed) {
                ask_no_memory(&x->problem);
                fail_all(x);
            }
        }
    }
    if (!x->ended && x->reply.n_ended == x->reply.n_choices)
        x->ended = true;
    if (any && x->begun)
        atomic_store(&x->last_write_ns, clock_ns());
    return any;
}
