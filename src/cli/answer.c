#include "cli/answer.h"

#include <stdio.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "record/receipt_json.h"

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

static void take_event(struct answer *a, const hearth_event *event)
{
    if (event->type == HEARTH_EVENT_END)
        a->reason = event->reason;
    if (!a->json) {
        write_text(a, event->text, event->n_bytes);
        return;
    }
    buf_put(&a->text, event->n_bytes ? event->text : "", event->n_bytes);
    if (event->type == HEARTH_EVENT_TOKEN && json_array_append_new(a->ids, json_integer(event->id)) != 0)
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
            interrupt_wait();
            continue;
        }
        take_event(a, &event);
        if (event.type == HEARTH_EVENT_END)
            return;
    }
}

static json_t *make_object(struct answer *a, const hearth_receipt *receipt)
{
    json_t *o = json_pack("{s:o, s:O, s:s, s:o}", "text", json_stringn(a->text.ptr ? a->text.ptr : "", a->text.len),
                          "token_ids", a->ids, "finish_reason", finish_reason_name(a->reason), "hearth",
                          receipt ? receipt_to_json(receipt) : json_null());
    if (o && a->digest && receipt)
        json_object_set_new(o, "digest", json_string(receipt->digest));
    if (o && a->reason == HEARTH_END_ERROR)
        json_object_set_new(o, "error", json_string(hearth_stream_error(a->stream)->message));
    return o;
}

static void print_object(struct answer *a, const hearth_receipt *receipt)
{
    json_t *o = a->out_of_memory || a->text.failed ? NULL : make_object(a, receipt);
    if (!o) {
        hearth_error err;
        fail_memory(&err, "the JSON of the answer");
        report(&err);
        a->reason = HEARTH_END_ERROR;
        return;
    }
    a->write_error = json_dumpf(o, stdout, RECEIPT_JSON_FLAGS) != 0 || fputc('\n', stdout) == EOF
                  || fflush(stdout) != 0;
    a->reader_gone = a->write_error && output_failed();
    json_decref(o);
}

void answer_finish(struct answer *a, const hearth_receipt *receipt)
{
    if (a->json)
        print_object(a, receipt);
    else if (a->last != '\n' && a->last && isatty(STDOUT_FILENO))
        write_text(a, "\n", 1);
}

void answer_free(struct answer *a)
{
    buf_free(&a->text);
    json_decref(a->ids);
}
