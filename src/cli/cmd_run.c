/* cmd_run.c: one prompt, one answer. */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/sandbox.h"
#include "cli/answer.h"
#include "cli/dialogue.h"
#include "cli/generate_opts.h"
#include "cli/interrupt.h"
#include "cli/preset.h"
#include "cli/price.h"
#include "cli/question.h"
#include "cli/record_choice.h"
#include "cli/receipt_text.h"

enum {
    MODEL, PROMPT, SYSTEM, TEMPLATE, KWARGS, THINKING, NO_THINKING, SHOW_THINKING, RAW, SPECIAL, MAX, SEED, THREADS,
    OFFLINE,
    THREADS_PREFILL, PRELOAD, LOCK, CTX, KV_TYPE, CACHE_DIR, CACHE_DISK, CHUNK, IGNORE_EOS, RECEIPT, JSON, DIGEST,
    RECORD, RECORD_DIR, RECORD_DAYS, RECORD_DISK, EQUIVALENT,
    SPECULATE, SAMPLERS, BREAKER,
    SAMPLING, /* one for each line of sampling.def from here on */
    N_OPTS = SAMPLING + HEARTH_N_SAMPLING
};

static const struct opt options[N_OPTS] = {
    [MODEL] = OPT_MODEL_ROW,
    [PROMPT] = { .name = "prompt", .aliases = "-p", .type = OPT_TEXT, .value = "TEXT",
                 .help = "the prompt, as an option instead of the second word" },
    [SYSTEM] = { .name = "system", .type = OPT_TEXT, .value = "TEXT", .help = "a system message before the prompt" },
    [TEMPLATE] = OPT_TEMPLATE_ROW,
    [KWARGS] = OPT_KWARGS_ROW,
    [THINKING] = OPT_THINKING_ROW,
    [NO_THINKING] = OPT_NO_THINKING_ROW,
    [SHOW_THINKING] = OPT_SHOW_THINKING_ROW,
    [MAX] = OPT_MAX_TOKENS_ROW,
    [SEED] = OPT_SEED_ROW,
    [THREADS] = OPT_THREADS_ROW,
    [THREADS_PREFILL] = OPT_THREADS_PREFILL_ROW,
    [PRELOAD] = OPT_PRELOAD_ROW,
    [LOCK] = OPT_LOCK_ROW,
    [OFFLINE] = OPT_OFFLINE_ROW,
    [CTX] = OPT_CTX_ROW,
    [KV_TYPE] = OPT_KV_TYPE_ROW,
    [CACHE_DIR] = OPT_CACHE_DIR_ROW,
    [CACHE_DISK] = OPT_CACHE_DISK_ROW,
    [CHUNK] = OPT_CHUNK_ROW,
    [RAW] = { .name = "raw", .type = OPT_FLAG, .help = "complete the prompt as it stands, without the chat template "
              "(BOS is added as the file asks)" },
    [SPECIAL] = { .name = "special", .type = OPT_FLAG, .help = "with --raw: texts of special tokens in the prompt "
                  "(<|eot_id|>) become those tokens; only for text you trust" },
    [IGNORE_EOS] = { .name = "ignore-eos", .type = OPT_FLAG, .help = "go on where the model would stop" },
    [RECEIPT] = { .name = "receipt", .type = OPT_FLAG, .help = "print the whole receipt on standard error" },
    [JSON] = { .name = "json", .type = OPT_FLAG, .help = "print one JSON object instead of the text: text, token_ids, "
               "thinking where there was some, finish_reason, hearth (the receipt, docs/receipt.md)" },
    [DIGEST] = { .name = "digest", .type = OPT_FLAG, .help = "SHA-256 over the bits of every step's logits: a line on "
                 "standard error, the key digest with --json" },
    [RECORD] = OPT_RECORD_ROW("off"),
    [RECORD_DIR] = OPT_RECORD_DIR_ROW,
    [RECORD_DAYS] = OPT_RECORD_DAYS_ROW,
    [RECORD_DISK] = OPT_RECORD_DISK_ROW,
    [EQUIVALENT] = OPT_EQUIVALENT_ROW,
    [SPECULATE] = OPT_SPECULATE_ROW,
    [SAMPLERS] = OPT_SAMPLERS_ROW,
    [BREAKER] = OPT_BREAKER_ROW,
#include "cli/sampling_rows.def"
};

static_assert((int)N_OPTS <= (int)OPTS_MAX, "struct args holds a value for every option");

enum { STDIN_LIMIT_BYTES = 256 << 20, READ_RATE_MS = 200 };

/* ---- what to ask ---- */

struct job {
    const struct args *args;
    struct args *preset_to; /* the same */
    struct model_choice choice;
    struct template_choice template;
    struct sampling_choice sampling;
    int speculate; /* as in hearth_request */
    bool raw; /* no template: the prompt as it stands */
    char *prompt; /* mem_alloc'ed */
    size_t prompt_bytes;
    struct price_equivalent equivalent;
    struct answer_record record;
    hearth_engine *engine;
    hearth_model *model;
};

/* Words: MODEL PROMPT, or PROMPT alone after --model. False after saying what is wrong. */
static bool read_words(struct job *job, const char **prompt)
{
    const struct args *a = job->args;
    bool model_is_option = a->value[MODEL].origin == OPT_FROM_LINE && a->n_words < 2;
    const char *word = model_is_option ? a->word[0] : a->word[1];
    const struct opt_value *option = &a->value[PROMPT];
    if (!model_choose(&job->choice, &cmd_run, model_is_option ? NULL : a->word[0], &a->value[MODEL]))
        return false;
    if (word && option->origin == OPT_FROM_LINE) {
        usage_error(&cmd_run, "there are two prompts, '%.60s' and --prompt '%.60s'; give one", word, option->text);
        return false;
    }
    *prompt = word ? word : option->text;
    return true;
}

/* The prompt of the line, then standard input to its end unless that is a terminal. */
static bool read_prompt(struct job *job, const char *words, hearth_error *err)
{
    struct buf all = { 0 };
    char *input = NULL;
    size_t n = 0;
    if (!isatty(STDIN_FILENO) && !file_read_fd(STDIN_FILENO, "standard input", STDIN_LIMIT_BYTES, &input, &n, err))
        return false;
    if (words)
        buf_puts(&all, words);
    buf_put(&all, input ? input : "", n);
    mem_free(input);
    if (all.failed) {
        buf_free(&all);
        return fail_memory(err, "the prompt");
    }
    job->prompt = all.ptr;
    job->prompt_bytes = all.len;
    if (!words && n == 0)
        return fail(err, HEARTH_ERR_USAGE,
                    "there is no prompt: give one as a word after the model, with -p, or on standard input");
    return true;
}

static bool wants_receipt(const struct job *job)
{
    return job->args->value[JSON].on || job->args->value[RECEIPT].on;
}

static bool open_model(struct job *job, hearth_error *err)
{
    const struct opt_value *v = job->args->value;
    hearth_engine_options engine = { .n_threads = (int)v[THREADS].i,
                                     .n_threads_prefill = (int)v[THREADS_PREFILL].i,
                                     .n_seqs = 1,
                                     .measure_reads = wants_receipt(job),
                                     .n_step_tokens = (int)v[CHUNK].i };
    hearth_model_options model = { .source = job->choice.source, .n_ctx_tokens = (int)v[CTX].i,
                                   .kv_type = (hearth_kv_type)v[KV_TYPE].i, .preload = v[PRELOAD].on,
                                   .lock = v[LOCK].on };
    cache_fill(&engine, &v[CACHE_DIR], &v[CACHE_DISK], CACHE_CLOSE_ANSWER_MS);
    job->engine = hearth_engine_create(&engine, err);
    job->model = loading_model(job->engine, &model, err);
    return job->model != NULL;
}

static void fill_request(const struct job *job, const struct question *q, hearth_request *r)
{
    const struct opt_value *v = job->args->value;
    *r = (hearth_request){
        .max_tokens = (int)v[MAX].i,
        .has_seed = v[SEED].origin != OPT_UNSET,
        .seed = (uint64_t)v[SEED].i,
        .ignore_eos = v[IGNORE_EOS].on,
        .want_digest = v[DIGEST].on,
        .n_chunk_tokens = (int)v[CHUNK].i,
        .speculate = job->speculate,
    };
    question_ask(q, job->raw, r);
    sampling_fill(&r->sampling, r->sampling_origin, job->model, &v[SAMPLING]);
    sampling_choice_fill(r, &job->sampling);
}

/* ---- what to say on standard error ---- */

/* Options that a prompt without a template has no use for, or one with it. */
static bool check_options(const struct job *job)
{
    static const int of_templates[] = { SYSTEM, TEMPLATE, KWARGS, THINKING, NO_THINKING, SHOW_THINKING };
    const struct opt_value *v = job->args->value;
    for (size_t i = 0; job->raw && i < ARRAY_LEN(of_templates); i++) {
        if (v[of_templates[i]].origin != OPT_FROM_LINE)
            continue;
        usage_error(&cmd_run, "--%s is for conversations, and this prompt goes without a chat template%s",
                    options[of_templates[i]].name, v[RAW].on ? " (--raw)" : ": the file has none (--chat-template)");
        return false;
    }
    if (!job->raw && v[SPECIAL].origin == OPT_FROM_LINE) {
        usage_error(&cmd_run, "--special goes with --raw: in a conversation special tokens come from the template");
        return false;
    }
    return true;
}

/* Is there a template, and what is wrong with it? */
static bool look_at_template(struct job *job)
{
    hearth_file *file = hearth_model_file(job->model);
    hearth_template_info info;
    const hearth_finding *findings;
    job->raw = job->args->value[RAW].on;
    if (!job->raw && !hearth_file_template(file, &info)) {
        job->raw = true;
        fputs("this file has no chat template: the prompt is completed as it stands, as with --raw\n", stderr);
    }
    size_t n = job->raw ? 0 : hearth_file_template_findings(file, &findings);
    for (size_t i = 0; i < n && findings[i].level == HEARTH_FINDING_PROBLEM; i++)
        fprintf(stderr, "chat template: %s\n", findings[i].message);
    return check_options(job);
}

static void say_receipt(const struct job *job, const hearth_receipt *r)
{
    const struct opt_value *v = job->args->value;
    if (r->reason != HEARTH_END_ERROR || r->n_output_tokens > 0)
        receipt_print_figures(r);
    if (v[RECEIPT].on)
        receipt_print_all(r);
    if (v[DIGEST].on && !v[JSON].on)
        fprintf(stderr, "digest %s\n", r->digest);
}

/* ---- running it ---- */

static int answer_exit_code(const struct answer *answer)
{
    if (answer->write_error && !answer->reader_gone)
        return EXIT_FILE; /* finish_output() says so */
    switch (answer->reason) {
    case HEARTH_END_STOP:
    case HEARTH_END_LENGTH:
        return EXIT_DONE;
    case HEARTH_END_CANCELLED:
        return interrupt_pending() ? EXIT_INTERRUPTED : EXIT_DONE;
    case HEARTH_END_ERROR:
        break;
    }
    return EXIT_FAILED;
}

static int ask(struct job *job, hearth_error *err)
{
    const struct opt_value *v = job->args->value;
    struct question question;
    hearth_request request;
    question_fill(&question, (struct str){ job->prompt, job->prompt_bytes }, v[SYSTEM].text, v[SPECIAL].on,
                  &job->template);
    fill_request(job, &question, &request);
    answer_prepare(&job->record, &request);
    hearth_stream *stream = hearth_submit(job->model, &request, err);
    if (!stream)
        return report(err);

    struct loading loading;
    loading_begin(&loading, job->model);
    struct answer answer = { .stream = stream,
                             .record = &job->record,
                             .loading = &loading,
                             .json = v[JSON].on,
                             .digest = v[DIGEST].on,
                             .show_thinking = v[SHOW_THINKING].on };
    hearth_receipt receipt = { 0 };
    answer_read(&answer);
    if (wants_receipt(job)) /* what it is held against, which is measured when the engine has nothing to do */
        hearth_model_read_rate(job->model, READ_RATE_MS);
    bool has_receipt = hearth_stream_receipt(stream, &receipt);
    answer_finish(&answer, has_receipt ? &receipt : NULL);
    if (has_receipt)
        say_receipt(job, &receipt);
    if (has_receipt)
        answer_keep(&answer, &request, &receipt);
    if (answer.reason == HEARTH_END_ERROR)
        report(hearth_stream_error(stream));
    if (answer.reason == HEARTH_END_CANCELLED && interrupt_pending())
        say("interrupted; what came until then is printed");
    int code = answer_exit_code(&answer);
    answer_free(&answer);
    hearth_stream_close(stream);
    return code;
}

/* Nothing to answer and a person at both ends: that wants a conversation. Not with options it has no use for. */
static bool is_conversation(const struct args *a, const char *words)
{
    static const int of_one_answer[] = { RAW, SPECIAL, CHUNK, IGNORE_EOS, RECEIPT, JSON, DIGEST };
    for (size_t i = 0; i < ARRAY_LEN(of_one_answer); i++)
        if (a->value[of_one_answer[i]].origin != OPT_UNSET)
            return false;
    return !words && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
}

static void begin_record(struct job *job, const char *source)
{
    const struct opt_value *v = job->args->value;
    job->record.source = source;
    model_file_id(&job->choice, job->record.model);
    job->record.recorder = record_begin(record_mode_of(&v[RECORD], RECORD_OFF), &v[RECORD_DIR], &v[RECORD_DAYS],
                                        &v[RECORD_DISK]);
}

static int converse(const struct job *job)
{
    const struct opt_value *v = job->args->value;
    return dialogue_run(&(struct dialogue_setup){
        .command = &cmd_run,
        .model = &job->choice,
        .max_tokens = v[MAX],
        .seed = v[SEED],
        .sampling = &v[SAMPLING],
        .sampling_choice = &job->sampling,
        .speculate = job->speculate,
        .n_threads = (int)v[THREADS].i,
        .n_threads_prefill = (int)v[THREADS_PREFILL].i,
        .n_ctx_tokens = (int)v[CTX].i,
        .kv_type = (hearth_kv_type)v[KV_TYPE].i,
        .cache_dir = &v[CACHE_DIR],
        .cache_disk = &v[CACHE_DISK],
        .preload = v[PRELOAD].on,
        .lock = v[LOCK].on,
        .system = v[SYSTEM].text,
        .template_kwargs = job->template.kwargs,
        .thinking = job->template.thinking,
        .show_thinking = v[SHOW_THINKING].on,
        .record = &job->record,
    });
}

static int run_job(struct job *job, hearth_error *err)
{
    const char *words = NULL;
    if (!read_words(job, &words))
        return EXIT_USAGE;
    if (!preset_apply(job->preset_to, &cmd_run, &job->choice, err))
        return report(err);
    const struct opt_value *v = job->args->value;
    bool conversation = is_conversation(job->args, words);
    if (v[OFFLINE].on && !sandbox_offline(err))
        return report(err);
    if (!sampling_choose(&job->sampling, &v[SAMPLERS], &v[BREAKER], err)
        || !speculate_choose(&job->speculate, &v[SPECULATE], err)
        || !price_choose_equivalent(&job->equivalent, job->args->settings, &v[EQUIVALENT], err))
        return usage_error(&cmd_run, "%s", err->message);
    if (!template_choose(&job->template, &job->choice.source, conversation, &v[TEMPLATE], &v[KWARGS], &v[THINKING],
                         &v[NO_THINKING], err))
        return err->status == HEARTH_ERR_USAGE ? usage_error(&cmd_run, "%s", err->message) : report(err);
    begin_record(job, conversation ? "chat" : "run");
    if (conversation)
        return converse(job);
    if (!interrupt_init(err))
        return report(err);
    if (!read_prompt(job, words, err))
        return err->status == HEARTH_ERR_USAGE ? usage_error(&cmd_run, "%s", err->message) : report(err);
    model_say(&job->choice);
    interrupt_hold();
    if (!open_model(job, err))
        return model_report(&job->choice, err);
    if (!look_at_template(job))
        return EXIT_USAGE;
    hearth_plan plan;
    hearth_model_plan(job->model, &plan);
    plan_say(&plan);
    return interrupt_pending() ? EXIT_INTERRUPTED : ask(job, err);
}

static int run(const struct args *line)
{
    struct args a = *line; /* and the model's preset */
    struct job job = { .args = &a, .preset_to = &a };
    hearth_error err = { 0 };
    int code = run_job(&job, &err);
    recorder_close(job.record.recorder);
    hearth_model_release(job.model);
    hearth_engine_destroy(job.engine);
    template_choice_free(&job.template);
    mem_free(job.prompt);
    return code;
}

const struct command cmd_run = {
    .name = "run",
    .positionals = "[MODEL] [PROMPT]",
    .max_words = 2,
    .summary = "answer one prompt",
    .about = "The answer streams to standard output; the prompt is not repeated. With --raw, and for a file without a\n"
             "template, it is byte for byte what the model said; in a conversation the marks around its thinking and\n"
             "the whitespace beside them are left out. One word alone is the MODEL: a prompt alone needs -p. Standard\n"
             "input, unless it is a terminal, is read to its end and appended to the prompt byte for byte. Without a\n"
             "prompt, on a terminal, this is hearth chat.\n"
             "\n"
             "The prompt is put into the words of the file's chat template as one user's message; without a template,\n"
             "and with --raw, it is completed as it stands. What the model thinks before it answers goes dimmed to\n"
             "standard error on a terminal, elsewhere only with --show-thinking. Ctrl-C ends the answer cleanly: what\n"
             "came is printed, with its receipt.\n",
    .opts = options,
    .n_opts = N_OPTS,
    .run = run,
};
