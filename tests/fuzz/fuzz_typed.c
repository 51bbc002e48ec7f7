/* fuzz_typed.c: any lines, as a person may type them into a conversation: messages and commands out of them, what the
 * commands do to the conversation and its parameters, and what the Tab key says of each line.
 *
 * The commands are the program's own; what they need of a model, a terminal and the engine is played here. /save and
 * /load are left out: they would read and write files of any name. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"
#include "cli/dialogue.h"
#include "cli/prompt_text.h"
#include "cli/receipt_text.h"
#include "cli/typed.h"
#include "fuzz.h"
#include "infer/sampler.h"

enum { MOST_BYTES = 64 << 10 };

/* ---- the rest of the program, played ---- */

void dialogue_refuse(struct dialogue *d, int code, const char *fmt, ...)
{
    char said[2000];
    va_list args;
    va_start(args, fmt);
    must(vsnprintf(said, sizeof said, fmt, args) > 0 && code != 0);
    va_end(args);
    d->code = code;
}

void dialogue_report(struct dialogue *d, const hearth_error *err)
{
    must(err->message[0] && err->status != HEARTH_OK);
    d->code = 1;
}

hearth_rendered *dialogue_render(struct dialogue *d, bool generation_prompt, hearth_error *err)
{
    (void)d, (void)generation_prompt;
    fail(err, HEARTH_ERR_USAGE, "there is no template here");
    return NULL;
}

void dialogue_ask(struct dialogue *d, size_t keep, const struct str *text)
{
    struct conversation_tail tail;
    hearth_error err;
    must(keep <= d->talk.n);
    must(conversation_cut(&d->talk, keep, &tail, &err));
    conversation_tail_free(&tail);
    if (text)
        must(conversation_say(&d->talk, "user", *text, STR(""), &err));
    must(conversation_say(&d->talk, "assistant", STR("So it is."), STR(""), &err));
}

bool line_editor_on_terminal(const struct line_editor *e) { return e != NULL; }

bool hearth_file_template(hearth_file *file, hearth_template_info *info)
{
    (void)file;
    *info = (hearth_template_info){ .thinking_switch = "enable_thinking" };
    return true;
}

void hearth_model_plan(const hearth_model *model, hearth_plan *plan)
{
    (void)model;
    *plan = (hearth_plan){ .n_ctx_tokens = 4096 };
}

const char *hearth_kv_type_name(hearth_kv_type type) { return type == 0 ? "f16" : NULL; }
void hearth_rendered_free(hearth_rendered *rendered) { must(!rendered); }
void prompt_print(FILE *out, hearth_file *file, const hearth_rendered *r) { (void)out, (void)file, (void)r; }
void receipt_print_all(const hearth_receipt *r) { (void)r; }

const hearth_sampling_info hearth_sampling_table[HEARTH_N_SAMPLING] = {
#define SAMPLER(name, type, dflt, least, most, help) { #name, #type, help, dflt, least, most },
#include "hearth/sampling.def"
};

double hearth_sampling_get(const hearth_sampling *s, int index)
{
    (void)s;
    return hearth_sampling_table[index].dflt;
}

void sampling_fill(hearth_sampling *s, hearth_origin origin[HEARTH_N_SAMPLING], const hearth_model *model,
                   const struct opt_value given[HEARTH_N_SAMPLING])
{
    (void)model;
    *s = (hearth_sampling){ 0 };
    for (int i = 0; i < HEARTH_N_SAMPLING; i++) {
        const hearth_sampling_info *info = &hearth_sampling_table[i];
        bool whole = strcmp(info->type, "int") == 0;
        double v = whole ? (double)given[i].i : given[i].f;
        must(given[i].origin == OPT_UNSET || (v >= info->least && v <= info->most));
        origin[i] = given[i].origin == OPT_UNSET ? HEARTH_FROM_DEFAULT : HEARTH_FROM_REQUEST;
    }
}

const hearth_sampling_order *sampling_order_standard(void)
{
    static const hearth_sampling_order standard = { .n = 1, .stage = { HEARTH_STAGE_temperature } };
    return &standard;
}

const char *hearth_version(void) { return "0"; }

/* ---- one input ---- */

static void check_dialogue(const struct dialogue *d)
{
    must(conversation_n_system(&d->talk) <= d->talk.n && conversation_last_user(&d->talk) <= d->talk.n);
    must(!d->has_order || (d->order.n >= 0 && d->order.n <= HEARTH_N_STAGES));
    must(d->max_tokens.origin == OPT_UNSET || d->max_tokens.i >= 0);
    must(d->seed.origin == OPT_UNSET || d->seed.i >= 0);
    for (size_t i = 0; i < d->talk.n; i++) {
        size_t n;
        char *text = message_text(&d->talk.messages[i], &n);
        must(text && strlen(text) <= n);
        mem_free(text);
    }
}

static bool is_of_files(const char *line)
{
    return strncmp(line, "/save", 5) == 0 || strncmp(line, "/load", 5) == 0;
}

static void take(struct dialogue *d, const struct typed *in)
{
    hearth_error err;
    struct str m = typed_message(in);
    must(m.len <= in->text.len && in->text.len - m.len <= 1);
    fuzz_read(m.ptr, m.len);
    if (!typed_is_command(in)) {
        dialogue_ask(d, d->editing ? conversation_last_user(&d->talk) : d->talk.n, &m);
        d->editing = false;
        return;
    }
    must(!in->literal && m.len > 0 && m.ptr[0] == '/');
    if (!is_of_files(in->text.ptr))
        dialogue_command(d, in->text.ptr);
    else if (in->text.len % 2)
        must(conversation_set_kwargs(&d->talk, "{}", &err));
    check_dialogue(d);
}

static void press_tab(const char *line, size_t n)
{
    char *before = malloc(n + 1);
    struct completion out = { 0 };
    must(before);
    memcpy(before, line, n);
    before[n] = 0;
    dialogue_complete(before, &out);
    must(out.n_words <= COMPLETIONS_MAX && out.from <= strlen(before));
    for (size_t i = 0; i < out.n_words; i++)
        must(out.words[i] && out.words[i][0]);
    free(before);
}

static void type_lines(struct dialogue *d, const uint8_t *data, size_t size)
{
    struct typed in = { 0 };
    for (size_t at = 0; at < size && !d->ended;) {
        const uint8_t *end = memchr(data + at, '\n', size - at);
        size_t n = end ? (size_t)(end - data) - at : size - at;
        char *line = (char *)fuzz_copy(data + at, n);
        press_tab(line, n);
        bool whole = typed_add(&in, line, n);
        free(line); /* nothing of it is kept */
        if (whole) {
            take(d, &in);
            typed_clear(&in);
            must(!typed_is_command(&in) && typed_message(&in).len == 0);
        }
        at += n + 1;
    }
    typed_free(&in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static FILE *nowhere;
    FILE *was = stderr;
    struct dialogue d = { .editor = size % 2 ? (struct line_editor *)&nowhere : NULL }; /* asked only whether it is */
    if (size > MOST_BYTES)
        return 0;
    if (!nowhere)
        nowhere = fopen("/dev/null", "w");
    must(nowhere);
    stderr = nowhere; /* what the commands answer; glibc lets it be set */
    type_lines(&d, data, size);
    stderr = was;
    conversation_free(&d.talk);
    return 0;
}
