/* cmd_apply_template.c: what a chat template makes of a conversation. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "cli/json_out.h"
#include "cli/template_choice.h"
#include "cli/token_lines.h"
#include "server/api/messages.h"

enum {
    MODEL, TEMPLATE, KWARGS, THINKING, NO_THINKING, NO_PROMPT, CONTINUE, DATE, TOKENS, JSON, N_OPTS
};

static const struct opt options[N_OPTS] = {
    [MODEL] = OPT_MODEL_ROW,
    [TEMPLATE] = OPT_TEMPLATE_ROW,
    [KWARGS] = OPT_KWARGS_ROW,
    [THINKING] = OPT_THINKING_ROW,
    [NO_THINKING] = OPT_NO_THINKING_ROW,
    [NO_PROMPT] = { .name = "no-generation-prompt", .type = OPT_FLAG,
                    .help = "do not begin the assistant's answer at the end" },
    [CONTINUE] = { .name = "continue-final-message", .type = OPT_FLAG,
                   .help = "end where the last message ends, for the model to go on with it" },
    [DATE] = { .name = "date", .type = OPT_TEXT, .value = "TEXT", .dflt = "now, in local time",
               .help = "the date for templates that ask for it, as 2026-02-07 15:04:05" },
    [TOKENS] = { .name = "tokens", .type = OPT_FLAG,
                 .help = "print the prompt's tokens, one a line, as hearth tokenize does" },
    [JSON] = { .name = "json", .type = OPT_FLAG,
               .help = "print one JSON object: prompt, token_ids, spans (begin_bytes, end_bytes, trusted: of the "
                       "template, not of a message), bos_added, starts_thinking, n_specials_kept, notes" },
};

enum { STDIN_LIMIT_BYTES = 256 << 20 };

struct job {
    const struct args *args;
    bool json, tokens; /* the form of the output; neither: text */
    struct model_choice model;
    struct template_choice template;
    hearth_file *file;
    struct chat_json chat;
    json_t *notes; /* what was said on standard error */
    bool lost_note; /* memory ran out for one of them */
    hearth_rendered *rendered;
};

static void note(void *arg, const char *sentence)
{
    struct job *job = arg;
    say("%s", sentence);
    job->lost_note |= json_array_append_new(job->notes, json_string(sentence)) != 0;
}

/* ---- the conversation ---- */

static json_t *read_json(hearth_error *err)
{
    char *text = NULL;
    size_t n = 0;
    json_error_t why;
    if (isatty(STDIN_FILENO))
        say("reading messages as JSON from the terminal; Ctrl-D ends them");
    if (!file_read_fd(STDIN_FILENO, "standard input", STDIN_LIMIT_BYTES, &text, &n, err))
        return NULL;
    uint64_t refused = mem_n_refused();
    json_t *j = json_loadb(text, n, MESSAGES_JSON_FLAGS | JSON_DECODE_ANY, &why);
    if (mem_n_refused() != refused) {
        json_decref(j);
        j = NULL;
        fail_memory(err, "standard input");
    } else if (!j && strspn(text, " \t\r\n") == n)
        fail(err, HEARTH_ERR_USAGE, "standard input is empty; give messages as JSON: [{\"role\": \"user\", "
             "\"content\": \"Hello\"}]");
    else if (!j)
        fail(err, HEARTH_ERR_USAGE, "standard input is not JSON: line %d, column %d: %s", why.line, why.column,
             why.text);
    mem_free(text);
    return j;
}

/* --chat-template-kwargs into the request's own; on the same name the option wins. Takes j; a new reference, or
 * NULL when memory is
 * out. */
static json_t *add_kwargs(json_t *j, const char *kwargs)
{
    if (!kwargs)
        return j;
    uint64_t refused = mem_n_refused();
    json_t *given = json_loads(kwargs, MESSAGES_JSON_FLAGS, NULL);
    json_t *request = json_is_array(j) ? json_pack("{s:o}", "messages", j) : j;
    json_t *values = json_object_get(request, "chat_template_kwargs");
    int failed = 0;
    if (json_is_object(values))
        failed = json_object_update(values, given);
    else if (!values || json_is_null(values))
        failed = json_is_object(request) && json_object_set(request, "chat_template_kwargs", given);
    bool lost = !given || failed || mem_n_refused() != refused;
    json_decref(given);
    if (!lost)
        return request;
    json_decref(request);
    return NULL;
}

static bool read_chat(struct job *job, hearth_error *err)
{
    const struct opt_value *v = job->args->value;
    json_t *j = read_json(err);
    if (!j)
        return false;
    j = add_kwargs(j, job->template.kwargs);
    if (!j)
        return fail_memory(err, "the conversation");
    bool ok = chat_from_json(&job->chat, j, note, job, err);
    json_decref(j);
    hearth_chat *chat = &job->chat.chat;
    chat->thinking = job->template.thinking;
    chat->no_generation_prompt |= v[NO_PROMPT].on;
    chat->continue_final_message |= v[CONTINUE].on;
    if (v[DATE].text)
        chat->date = v[DATE].text;
    return ok;
}

/* ---- the answer ---- */

static bool print_text(const hearth_rendered *r)
{
    fwrite(r->text, 1, r->n_bytes, stdout);
    if (r->n_bytes > 0 && r->text[r->n_bytes - 1] != '\n' && isatty(STDOUT_FILENO))
        putchar('\n');
    return true;
}

/* NULL when memory is out or the text is not UTF-8. */
static json_t *object_of(const struct job *job)
{
    const hearth_rendered *r = job->rendered;
    json_t *ids = json_array(), *spans = json_array();
    json_int_t at = 0;
    bool failed = false;
    for (size_t i = 0; i < r->n_ids; i++)
        failed |= json_array_append_new(ids, json_integer(r->ids[i])) != 0;
    for (size_t i = 0; i < r->n_spans; i++) {
        json_int_t end = at + (json_int_t)r->spans[i].n_bytes;
        failed |= json_array_append_new(spans, json_pack("{s:I, s:I, s:b}", "begin_bytes", at, "end_bytes", end,
                                                         "trusted", r->spans[i].trusted)) != 0;
        at = end;
    }
    json_t *o = json_pack("{s:o, s:o, s:o, s:b, s:b, s:I, s:O}", "prompt",
                          json_stringn(r->n_bytes ? r->text : "", r->n_bytes), "token_ids", ids, "spans", spans,
                          "bos_added", r->bos_added, "starts_thinking", r->starts_thinking, "n_specials_kept",
                          (json_int_t)r->n_specials_kept, "notes", job->notes);
    if (!failed)
        return o;
    json_decref(o);
    return NULL;
}

static bool print_json(const struct job *job, hearth_error *err)
{
    json_t *o = job->lost_note ? NULL : object_of(job);
    if (!o)
        return fail(err, HEARTH_ERR_FORMAT, "the prompt does not go into JSON: it is not UTF-8, or memory is out; "
                    "print it without --json");
    return json_print(o, JSON_COMPACT, "the JSON of the prompt", err);
}

static bool print_tokens(const struct job *job, hearth_error *err)
{
    return token_lines_print(job->file, job->rendered->ids, job->rendered->n_ids, err);
}

static void say_notes(struct job *job)
{
    const hearth_rendered *r = job->rendered;
    for (const char *line = r->notes; *line;) {
        size_t n = strcspn(line, "\n");
        json_t *sentence = json_stringn(line, n);
        job->lost_note |= !sentence;
        if (n > 0 && sentence)
            note(job, json_string_value(sentence));
        json_decref(sentence);
        line += n + (line[n] == '\n');
    }
    if (r->n_specials_kept > 0 && !job->json)
        say("%zu place%s in messages look%s like a special token and stay%s text", r->n_specials_kept,
            r->n_specials_kept == 1 ? "" : "s", r->n_specials_kept == 1 ? "s" : "", r->n_specials_kept == 1 ? "s" : "");
    if (r->bos_added && !job->tokens && !job->json)
        say("the prompt in tokens begins with BOS, which is no part of the text");
}

/* ---- running it ---- */

static int refuse(const hearth_error *err)
{
    return err->status == HEARTH_ERR_USAGE ? usage_error(&cmd_apply_template, "%s", err->message) : report(err);
}

static int render(struct job *job, hearth_error *err)
{
    job->rendered = hearth_file_render(job->file, &job->chat.chat, err);
    if (!job->rendered) {
        hearth_file_info info;
        int code = report(err);
        hearth_file_describe(job->file, &info);
        if (!job->model.source.chat_template && !info.template_text[0])
            say("a template of your own comes with --chat-template FILE");
        return code;
    }
    say_notes(job);
    bool ok = job->json ? print_json(job, err) : job->tokens ? print_tokens(job, err) : print_text(job->rendered);
    return ok ? EXIT_DONE : report(err);
}

static int run_job(struct job *job, hearth_error *err)
{
    const struct args *a = job->args;
    const struct opt_value *v = a->value;
    job->json = v[JSON].on;
    job->tokens = v[TOKENS].on;
    if (job->json && job->tokens && v[JSON].origin != v[TOKENS].origin) /* the command line wins */
        *(v[JSON].origin == OPT_FROM_LINE ? &job->tokens : &job->json) = false;
    if (job->json && job->tokens)
        return usage_error(&cmd_apply_template, "--tokens and --json are two forms of output; give one (--json has "
                           "token_ids)");
    if (!model_choose(&job->model, &cmd_apply_template, a->word[0], &v[MODEL]))
        return EXIT_USAGE;
    if (!template_choose(&job->template, &job->model.source, true, &v[TEMPLATE], &v[KWARGS], &v[THINKING],
                         &v[NO_THINKING], err))
        return refuse(err);
    if (!job->model.from_line)
        model_say(&job->model);
    job->file = hearth_file_open(&job->model.source, err);
    if (!job->file)
        return model_report(&job->model, err);
    return read_chat(job, err) ? render(job, err) : report(err);
}

static int run(const struct args *a)
{
    struct job job = { .args = a, .notes = json_array() };
    hearth_error err = { 0 };
    int code = run_job(&job, &err);
    hearth_rendered_free(job.rendered);
    chat_json_free(&job.chat);
    hearth_file_close(job.file);
    template_choice_free(&job.template);
    json_decref(job.notes);
    return code;
}

const struct command cmd_apply_template = {
    .name = "apply-template",
    .positionals = "[MODEL]",
    .max_words = 1,
    .summary = "the prompt that the chat template makes of messages on standard input",
    .about = "Standard input is JSON: an array of messages, or an object with \"messages\" and, as far as wanted,\n"
             "\"tools\", \"chat_template_kwargs\", \"documents\", \"reasoning_effort\", \"add_generation_prompt\",\n"
             "\"continue_final_message\" and \"date\", as in a request to a chat API; options win over it. Standard\n"
             "output is the prompt byte for byte. What was changed to suit the template is said on standard error.\n"
             "The built-in model has a plain template: the texts, each followed by an empty line. Works on every GGUF\n"
             "file with a tokenizer that hearth knows, with or without tensors.\n",
    .opts = options,
    .n_opts = N_OPTS,
    .run = run,
};
