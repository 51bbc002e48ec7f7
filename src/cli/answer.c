#include "cli/answer.h"

#include <stdio.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/json_out.h"
#include "record/receipt_json.h"
#include "record/recorder.h"

static void write_text(struct answer *a, const char *text, size_t n)
{
    if (n == 0 || a->write_error)
        return;
    if (fwrite(text, 1, n, stdout) != n || fflush(stdout) != 0) {
        a->write_error = true;
        a->reader_gone = output_failed();
        hearth_stream_cancel(a->stream);
    }
    a->last = text[n - 1];
}

/* Each piece is dimmed by itself, so that a program killed in between leaves the terminal as it was. */
static void write_thinking(struct answer *a, const char *text, size_t n)
{
    bool terminal = isatty(STDERR_FILENO);
    if (n == 0 || !(terminal || a->show_thinking))
        return;
    fputs(terminal ? "\033[2m" : "", stderr);
    fwrite(text, 1, n, stderr);
    fputs(terminal ? "\033[22m" : "", stderr);
    a->last_thinking = text[n - 1];
}

/* Before the answer, which begins on a line of its own. */
static void end_thinking(struct answer *a)
{
    if (a->last_thinking && a->last_thinking != '\n')
        fputc('\n', stderr);
    a->last_thinking = 0;
}

/* A token, or the one that ended it. */
static void keep_token(struct answer *a, const hearth_event *e)
{
    if (!a->record || !recorder_is_full(a->record->recorder))
        return;
    if (e->type == HEARTH_EVENT_TOKEN)
        buf_put(&a->output, &e->id, sizeof e->id);
    if (e->type == HEARTH_EVENT_TOKEN || e->logits_mix)
        buf_put(&a->mixes, &e->logits_mix, sizeof e->logits_mix);
}

static void take_event(struct answer *a, const hearth_event *event)
{
    keep_token(a, event);
    if (event->type == HEARTH_EVENT_END)
        a->reason = event->reason;
    if (!a->json) {
        write_thinking(a, event->thinking, event->n_thinking_bytes);
        if (event->n_bytes > 0)
            end_thinking(a);
        write_text(a, event->text, event->n_bytes);
    }
    if (a->json || a->keep) {
        buf_put(&a->text, event->n_bytes ? event->text : "", event->n_bytes);
        buf_put(&a->thinking, event->n_thinking_bytes ? event->thinking : "", event->n_thinking_bytes);
    }
    if (a->json && event->type == HEARTH_EVENT_TOKEN && json_array_append_new(a->ids, json_integer(event->id)) != 0)
        a->out_of_memory = true;
}

void answer_read(struct answer *a)
{
    a->ids = a->json ? json_array() : NULL;
    hearth_stream_on_wake(a->stream, interrupt_wake, NULL);
    bool cancelled = false;
    for (;;) {
        hearth_event event;
        if (interrupt_pending() && !cancelled) {
            hearth_stream_cancel(a->stream);
            cancelled = true;
        }
        if (!hearth_stream_poll(a->stream, &event)) {
            interrupt_wait_ms(a->loading ? loading_look(a->loading) : -1);
            continue;
        }
        if (a->loading)
            loading_end(a->loading);
        take_event(a, &event);
        if (event.type == HEARTH_EVENT_END)
            return;
    }
}

/* NULL when memory is out. */
static json_t *make_object(struct answer *a, const hearth_receipt *receipt)
{
    json_t *o = json_pack("{s:o, s:O, s:s, s:o}", "text", json_stringn(a->text.ptr ? a->text.ptr : "", a->text.len),
                          "token_ids", a->ids, "finish_reason", finish_reason_name(a->reason), "hearth",
                          receipt ? receipt_to_json(receipt) : json_null());
    int failed = 0;
    if (o && a->thinking.len > 0)
        failed |= json_object_set_new(o, "thinking", json_stringn(a->thinking.ptr, a->thinking.len));
    if (o && a->digest && receipt)
        failed |= json_object_set_new(o, "digest", json_string(receipt->digest));
    if (o && a->reason == HEARTH_END_ERROR)
        failed |= json_object_set_new(o, "error", json_string(hearth_stream_error(a->stream)->message));
    if (!failed)
        return o;
    json_decref(o);
    return NULL;
}

static void print_object(struct answer *a, const hearth_receipt *receipt)
{
    json_t *o = a->out_of_memory || a->text.failed || a->thinking.failed ? NULL : make_object(a, receipt);
    hearth_error err;
    if (!json_print(o, RECEIPT_JSON_FLAGS, "the JSON of the answer", &err)) {
        report(&err);
        a->reason = HEARTH_END_ERROR;
        return;
    }
    a->write_error = fflush(stdout) != 0 || ferror(stdout);
    a->reader_gone = a->write_error && output_failed();
}

void answer_finish(struct answer *a, const hearth_receipt *receipt)
{
    end_thinking(a);
    if (a->json)
        print_object(a, receipt);
    else if (a->last != '\n' && a->last && isatty(STDOUT_FILENO))
        write_text(a, "\n", 1);
}

void answer_prepare(const struct answer_record *to, hearth_request *request)
{
    request->want_logits_mix = recorder_is_full(to->recorder);
}

void answer_keep(const struct answer *a, const hearth_request *request, const hearth_receipt *receipt)
{
    if (!a->record || !a->record->recorder)
        return;
    struct record r = { .receipt = receipt, .source = a->record->source, .model = a->record->model };
    if (request->want_logits_mix && !a->output.failed && !a->mixes.failed) {
        hearth_stream_prompt_ids(a->stream, &r.prompt, &r.n_prompt);
        r.request = request;
        r.output = (const int32_t *)(const void *)a->output.ptr;
        r.mixes = (const uint64_t *)(const void *)a->mixes.ptr;
        r.n_output = a->output.len / sizeof *r.output;
        r.n_mixes = a->mixes.len / sizeof *r.mixes;
    }
    recorder_put(a->record->recorder, &r);
}

void answer_free(struct answer *a)
{
    buf_free(&a->output);
    buf_free(&a->mixes);
    buf_free(&a->text);
    buf_free(&a->thinking);
    json_decref(a->ids);
}
