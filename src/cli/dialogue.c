#include "cli/dialogue.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "cli/answer.h"
#include "cli/generate_opts.h"
#include "cli/interrupt.h"
#include "cli/receipt_text.h"
#include "cli/typed.h"

/* ---- what goes wrong ---- */

static void note_failure(struct dialogue *d, int code)
{
    if (d->code == EXIT_DONE && !line_editor_on_terminal(d->editor))
        d->code = code;
}

void dialogue_refuse(struct dialogue *d, int code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fputs("hearth: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
    note_failure(d, code);
}

void dialogue_report(struct dialogue *d, const hearth_error *err) { note_failure(d, report(err)); }

/* ---- answering ---- */

hearth_rendered *dialogue_render(struct dialogue *d, bool generation_prompt, hearth_error *err)
{
    hearth_chat chat = conversation_chat(&d->talk);
    chat.thinking = d->thinking;
    chat.no_generation_prompt = !generation_prompt;
    return hearth_file_render(d->file, &chat, err);
}

/* *asked: what was asked, but for the conversation, which is gone. */
static hearth_stream *submit(struct dialogue *d, hearth_request *asked, hearth_error *err)
{
    hearth_chat chat = conversation_chat(&d->talk);
    chat.thinking = d->thinking;
    hearth_request r = {
        .chat = &chat,
        .max_tokens = (int)d->max_tokens.i,
        .has_seed = d->seed.origin != OPT_UNSET,
        .seed = (uint64_t)d->seed.i,
    };
    sampling_fill(&r.sampling, r.sampling_origin, d->model, d->sampling);
    sampling_choice_fill(&r, d->setup->sampling_choice);
    r.speculate = d->setup->speculate;
    r.sampling_order = d->has_order ? &d->order : NULL;
    if (d->has_order && memcmp(&d->order, &d->setup->sampling_choice->order, sizeof d->order) != 0)
        r.sampling_order_origin = HEARTH_FROM_REQUEST; /* /set */
    answer_prepare(d->setup->record, &r);
    hearth_stream *s = hearth_submit(d->model, &r, err);
    *asked = r;
    asked->chat = NULL;
    return s;
}

/* Text without digits: notes that differ in the number of a message say the same. */
static void strip_digits(char *out, size_t room, const char *text, size_t n)
{
    size_t used = 0;
    for (size_t i = 0; i < n && used + 1 < room; i++)
        if (text[i] < '0' || text[i] > '9')
            out[used++] = text[i];
    out[used] = 0;
}

/* What the template makes of the conversation may differ from what was typed: each kind of note is said once, not
 * before every answer. */
static void say_new_notes(struct dialogue *d)
{
    hearth_rendered *r = dialogue_render(d, true, NULL);
    for (const char *line = r ? r->notes : ""; *line;) {
        size_t n = strcspn(line, "\n"), used = strlen(d->notes);
        char kind[200];
        strip_digits(kind, sizeof kind, line, n);
        if (!strstr(d->notes, kind)) {
            fprintf(stderr, "note: %.*s\n", (int)n, line);
            snprintf(d->notes + used, sizeof d->notes - used, "%s\n", kind);
        }
        line += n + (line[n] == '\n');
    }
    hearth_rendered_free(r);
}

static void take_receipt(struct dialogue *d, const hearth_stream *stream)
{
    hearth_receipt now;
    if (!hearth_stream_receipt(stream, &now))
        return;
    if (d->timing)
        receipt_print_figures(&now);
    d->receipt = now;
    d->has_receipt = true;
}

static void say_how_it_ended(struct dialogue *d, const struct answer *a)
{
    if (a->reason == HEARTH_END_CANCELLED && !a->write_error) {
        say("interrupted; what came until then is kept (/retry answers again, /undo takes it back)");
        note_failure(d, EXIT_INTERRUPTED);
    } else if (a->reason == HEARTH_END_LENGTH) {
        say("the answer is cut: %s", d->receipt.finish_detail);
    }
}

/* True: the answer is part of the conversation now. */
static bool keep_answer(struct dialogue *d, struct answer *a, hearth_error *err)
{
    if (a->reason == HEARTH_END_ERROR) {
        *err = *hearth_stream_error(a->stream);
        return false;
    }
    if (a->text.failed || a->thinking.failed)
        return fail_memory(err, "the answer");
    if (a->reason == HEARTH_END_CANCELLED && a->text.len == 0 && a->thinking.len == 0)
        return fail(err, HEARTH_ERR_CANCELLED, "interrupted before anything came");
    if (!conversation_say(&d->talk, "assistant", buf_str(&a->text), buf_str(&a->thinking), err))
        return false;
    say_how_it_ended(d, a);
    return true;
}

static bool answer(struct dialogue *d, hearth_error *err)
{
    say_new_notes(d);
    hearth_request asked;
    hearth_stream *stream = submit(d, &asked, err);
    if (!stream)
        return false;
    struct loading loading;
    loading_begin(&loading, d->model);
    struct answer a = { .stream = stream, .loading = &loading, .keep = true, .record = d->setup->record,
                        .show_thinking = d->setup->show_thinking };
    answer_read(&a);
    answer_finish(&a, NULL);
    if (a.last && a.last != '\n' && !isatty(STDOUT_FILENO)) { /* the next answer begins on a line of its own */
        fputc('\n', stdout);
        a.write_error |= fflush(stdout) != 0;
    }
    take_receipt(d, stream);
    if (d->has_receipt)
        answer_keep(&a, &asked, &d->receipt);
    bool ok = keep_answer(d, &a, err);
    d->ended |= a.write_error; /* finish_output() says so */
    answer_free(&a);
    hearth_stream_close(stream);
    return ok;
}

static bool add_message(struct dialogue *d, const struct str *text, hearth_error *err)
{
    return !text || conversation_say(&d->talk, "user", *text, (struct str){ 0 }, err);
}

/* Would the prompt alone fill the context? */
static bool is_too_long(struct dialogue *d)
{
    hearth_plan plan;
    hearth_model_plan(d->model, &plan);
    hearth_rendered *r = dialogue_render(d, true, NULL);
    bool too_long = r && r->n_ids >= (size_t)plan.n_ctx_tokens;
    hearth_rendered_free(r);
    return too_long;
}

static void say_what_now(struct dialogue *d, const hearth_error *err, bool too_long)
{
    dialogue_report(d, err);
    fputs("the conversation is as it was before\n", stderr);
    if (too_long)
        fputs("/drop forgets the oldest message and its answer, /undo the last one, /clear all of them; a larger --ctx "
              "holds more\n", stderr);
}

void dialogue_ask(struct dialogue *d, size_t keep, const struct str *text)
{
    hearth_error err = { 0 };
    struct conversation_tail tail;
    if (!conversation_cut(&d->talk, keep, &tail, &err)) {
        dialogue_report(d, &err);
        return;
    }
    interrupt_clear();
    if (add_message(d, text, &err) && answer(d, &err)) {
        conversation_tail_free(&tail);
    } else {
        bool too_long = err.status != HEARTH_ERR_CANCELLED && is_too_long(d);
        conversation_restore(&d->talk, keep, &tail);
        say_what_now(d, &err, too_long);
    }
    if (interrupt_terminated()) {
        d->ended = true;
        d->code = EXIT_INTERRUPTED;
    }
    interrupt_clear();
}

/* ---- reading ---- */

/* Text of the last message, to be changed in the editor. mem_alloc'ed; NULL when memory is out. */
static char *text_to_edit(const struct dialogue *d)
{
    size_t n;
    return message_text(&d->talk.messages[conversation_last_user(&d->talk)], &n);
}

/* How a message is typed: what begins with / gets one more. */
static void remember(struct dialogue *d, const struct typed *in)
{
    hearth_error err;
    struct buf typed = { 0 };
    if (in->literal && in->text.len > 0 && in->text.ptr[0] == '/')
        buf_puts(&typed, "/");
    buf_put(&typed, in->text.ptr, in->text.len);
    bool ok = !typed.failed || fail_memory(&err, "the history");
    if (!(ok && line_editor_remember(d->editor, typed.ptr, &err)))
        dialogue_report(d, &err);
    buf_free(&typed);
}

/* Lines into in, until they are a message or a command. */
static enum line_result read_lines(struct dialogue *d, struct typed *in, const char *prefill, hearth_error *err)
{
    struct buf line = { 0 };
    enum line_result r = LINE_READ;
    for (bool complete = false; r == LINE_READ && !complete;) {
        buf_clear(&line);
        r = line_editor_read(d->editor, in->begun ? ". " : d->editing ? "edit> " : "> ", prefill, &line, err);
        const char *text = line.ptr ? line.ptr : "";
        if (r == LINE_READ && d->editing) { /* as it stands, whatever it begins or ends with */
            in->literal = complete = true;
            buf_put(&in->text, text, line.len);
        } else if (r == LINE_READ) {
            complete = typed_add(in, text, line.len);
        }
        if (in->text.failed && !fail_memory(err, "the message"))
            r = LINE_FAILED;
    }
    buf_free(&line);
    return r;
}

/* One message or command into in, or nothing. False: the conversation is over. */
static bool read_input(struct dialogue *d, struct typed *in)
{
    hearth_error err = { 0 };
    char *prefill = d->editing ? text_to_edit(d) : NULL;
    enum line_result r = read_lines(d, in, prefill, &err);
    mem_free(prefill);
    if (r == LINE_READ)
        return true;

    bool go_on = false;
    if (r == LINE_FAILED) {
        d->code = report(&err);
    } else if (r == LINE_INTERRUPTED) {
        go_on = line_editor_on_terminal(d->editor) && !interrupt_terminated();
        d->code = go_on ? d->code : EXIT_INTERRUPTED;
    } else if (in->begun || d->editing) { /* Ctrl-D leaves the message, not the conversation */
        go_on = true;
        dialogue_refuse(d, EXIT_USAGE, "the input ended inside a message; it is not sent");
    }
    d->editing = false;
    typed_clear(in);
    interrupt_clear();
    return go_on;
}

static void take_message(struct dialogue *d, struct str text)
{
    bool valid = true;
    size_t keep = d->editing ? conversation_last_user(&d->talk) : d->talk.n;
    d->editing = false;
    size_t n_valid = utf8_run(text, 0, &valid);
    if (!valid || n_valid < text.len) {
        dialogue_refuse(d, EXIT_USAGE, "the message is not UTF-8 (byte %zu is 0x%02x); it is not sent",
                    valid ? n_valid : 0, (unsigned char)text.ptr[valid ? n_valid : 0]);
        return;
    }
    dialogue_ask(d, keep, &text);
}

static int converse(struct dialogue *d)
{
    struct typed in = { 0 };
    while (!d->ended && read_input(d, &in)) {
        if (in.text.len > 0) {
            remember(d, &in);
            if (typed_is_command(&in))
                dialogue_command(d, in.text.ptr);
            else
                take_message(d, typed_message(&in));
        } else {
            d->editing = false; /* everything was deleted */
        }
        typed_clear(&in);
    }
    typed_free(&in);
    return d->code;
}

/* ---- the beginning ---- */

static bool open_model(struct dialogue *d, hearth_error *err)
{
    hearth_engine_options engine = { .n_threads = d->setup->n_threads,
                                     .n_threads_prefill = d->setup->n_threads_prefill,
                                     .n_seqs = 1,
                                     .measure_reads = true };
    hearth_model_options model = { .source = d->setup->model->source, .n_ctx_tokens = d->setup->n_ctx_tokens,
                                   .kv_type = d->setup->kv_type, .preload = d->setup->preload,
                                   .lock = d->setup->lock };
    cache_fill(&engine, d->setup->cache_dir, d->setup->cache_disk, CACHE_CLOSE_ANSWER_MS);
    d->engine = hearth_engine_create(&engine, err);
    d->model = loading_model(d->engine, &model, err);
    d->file = d->model ? hearth_model_file(d->model) : NULL;
    return d->model != NULL;
}

static int check_template(struct dialogue *d)
{
    hearth_template_info info;
    const struct command *command = d->setup->command;
    if (!hearth_file_template(d->file, &info))
        return usage_error(command, "this model has no chat template; give one with --chat-template FILE, or complete "
                           "texts with hearth run --raw");
    if (info.problem[0])
        return usage_error(command, "the chat template cannot be used: %s; give another with --chat-template FILE",
                           info.problem);
    if (d->thinking != HEARTH_THINKING_DEFAULT && !info.thinking_switch[0])
        return usage_error(command, "%s: the chat template of this model has no switch for thinking; leave it out",
                           d->thinking == HEARTH_THINKING_ON ? "--thinking" : "--no-thinking");
    return EXIT_DONE;
}

static void say_findings(struct dialogue *d)
{
    const hearth_finding *findings;
    size_t n = hearth_file_template_findings(d->file, &findings);
    for (size_t i = 0; i < n; i++)
        if (findings[i].level != HEARTH_FINDING_NOTE)
            fprintf(stderr, "chat template, %s: %s\n",
                    findings[i].level == HEARTH_FINDING_PROBLEM ? "problem" : "warning", findings[i].message);
}

static bool begin_conversation(struct dialogue *d, hearth_error *err)
{
    const struct dialogue_setup *s = d->setup;
    if (s->template_kwargs && !conversation_set_kwargs(&d->talk, s->template_kwargs, err))
        return false;
    if (s->system && !conversation_set_system(&d->talk, str_z(s->system), err))
        return false;
    d->editor = line_editor_open(dialogue_complete, s->history_path, err);
    return d->editor != NULL;
}

static int start(struct dialogue *d)
{
    hearth_error err = { 0 };
    hearth_plan plan;
    if (!interrupt_init(&err))
        return report(&err);
    model_say(d->setup->model);
    interrupt_hold();
    if (!open_model(d, &err))
        return model_report(d->setup->model, &err);
    int code = check_template(d);
    if (code != EXIT_DONE)
        return code;
    hearth_model_plan(d->model, &plan);
    plan_say(&plan);
    say_findings(d);
    if (interrupt_pending())
        return EXIT_INTERRUPTED;
    if (!begin_conversation(d, &err))
        return report(&err);
    if (line_editor_on_terminal(d->editor))
        fputs("/help lists the commands; Ctrl-C stops an answer, Ctrl-D ends\n", stderr);
    interrupt_hold_conversation();
    code = converse(d);
    if (code == EXIT_DONE && line_editor_on_terminal(d->editor))
        fprintf(stderr, "next: hearth serve %s gives programs an address for it\n",
                d->setup->model->from_line ? d->setup->model->text : "MODEL");
    return code;
}

int dialogue_run(const struct dialogue_setup *setup)
{
    struct dialogue d = { .setup = setup, .max_tokens = setup->max_tokens, .seed = setup->seed,
                      .thinking = setup->thinking, .timing = setup->timing,
                      .has_order = setup->sampling_choice->has_order, .order = setup->sampling_choice->order };
    memcpy(d.sampling, setup->sampling, sizeof d.sampling);
    int code = start(&d);
    line_editor_close(d.editor);
    conversation_free(&d.talk);
    hearth_model_release(d.model);
    hearth_engine_destroy(d.engine);
    return code;
}
