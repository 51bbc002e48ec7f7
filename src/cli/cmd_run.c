/* cmd_run.c: one prompt, one answer. */
#include <assert.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "cli/answer.h"
#include "cli/generate_opts.h"
#include "cli/interrupt.h"
#include "cli/model_choice.h"
#include "cli/receipt_text.h"

enum {
    MODEL, PROMPT, MAX, SEED, THREADS, CTX, CHUNK, RAW, SPECIAL, IGNORE_EOS, RECEIPT, JSON, DIGEST,
    SAMPLING, /* one for each line of sampling.def from here on */
    N_OPTS = SAMPLING + HEARTH_N_SAMPLING
};

static const struct opt options[N_OPTS] = {
    [MODEL] = OPT_MODEL_ROW,
    [PROMPT] = { .name = "prompt", .aliases = "-p", .type = OPT_TEXT, .value = "TEXT",
                 .help = "the prompt, as an option instead of the second word" },
    [MAX] = OPT_MAX_TOKENS_ROW,
    [SEED] = OPT_SEED_ROW,
    [THREADS] = OPT_THREADS_ROW,
    [CTX] = OPT_CTX_ROW,
    [CHUNK] = { .name = "chunk", .type = OPT_INT, .value = "N", .least = 1, .most = 65536, .dflt = "512",
                .help = "prompt tokens computed in one step; the answer does not depend on it" },
    [RAW] = { .name = "raw", .type = OPT_FLAG, .help = "complete the prompt as it stands, without the chat template "
              "(BOS is added as the file asks)" },
    [SPECIAL] = { .name = "special", .type = OPT_FLAG, .help = "texts of special tokens in the prompt (<|eot_id|>) "
                  "become those tokens; only for text you trust" },
    [IGNORE_EOS] = { .name = "ignore-eos", .type = OPT_FLAG, .help = "go on where the model would stop" },
    [RECEIPT] = { .name = "receipt", .type = OPT_FLAG, .help = "print the whole receipt on standard error" },
    [JSON] = { .name = "json", .type = OPT_FLAG, .help = "print one JSON object instead of the text: text, token_ids, "
               "finish_reason, hearth (the receipt, docs/receipt.md)" },
    [DIGEST] = { .name = "digest", .type = OPT_FLAG, .help = "SHA-256 over the bits of every step's logits: a line on "
                 "standard error, the key digest with --json" },
#include "cli/sampling_rows.def"
};

static_assert((int)N_OPTS <= (int)OPTS_MAX, "struct args holds a value for every option");

enum { STDIN_LIMIT_BYTES = 256 << 20 };

/* ---- what to ask ---- */

struct job {
    const struct args *args;
    struct model_choice choice;
    char *prompt; /* mem_alloc'ed */
    size_t prompt_bytes;
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

static bool open_model(struct job *job, hearth_error *err)
{
    const struct opt_value *v = job->args->value;
    hearth_engine_options engine = { .n_threads = (int)v[THREADS].i, .n_seqs = 1, .n_step_tokens = (int)v[CHUNK].i };
    hearth_model_options model = { .source = job->choice.source, .n_ctx_tokens = (int)v[CTX].i };
    job->engine = hearth_engine_create(&engine, err);
    if (!job->engine)
        return false;
    job->model = hearth_model_open(job->engine, &model, err);
    return job->model != NULL;
}

static void fill_request(const struct job *job, const hearth_span *span, hearth_request *r)
{
    const struct opt_value *v = job->args->value;
    *r = (hearth_request){
        .spans = span,
        .n_spans = 1,
        .max_tokens = (int)v[MAX].i,
        .has_seed = v[SEED].origin != OPT_UNSET,
        .seed = (uint64_t)v[SEED].i,
        .ignore_eos = v[IGNORE_EOS].on,
        .want_digest = v[DIGEST].on,
        .n_chunk_tokens = (int)v[CHUNK].i,
    };
    sampling_fill(&r->sampling, r->sampling_origin, job->model, &v[SAMPLING]);
}

/* ---- what to say on standard error ---- */

static void say_plan(const hearth_plan *p) { fprintf(stderr, "context %d tokens: %s\n", p->n_ctx_tokens, p->reason); }

/* False: the file has a chat template, and rendering it comes later. */
static bool check_template(const struct job *job)
{
    hearth_file_info info;
    hearth_file_describe(hearth_model_file(job->model), &info);
    if (job->args->value[RAW].on)
        return true;
    if (info.template_text[0]) {
        say("this file has a chat template, and this version of hearth does not render templates yet; with --raw the "
            "prompt is completed as it stands");
        return false;
    }
    fputs("this file has no chat template: the prompt is completed as it stands, as with --raw\n", stderr);
    return true;
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
    hearth_span span = { .text = job->prompt, .n_bytes = job->prompt_bytes, .trusted = v[SPECIAL].on };
    hearth_request request;
    fill_request(job, &span, &request);
    hearth_stream *stream = hearth_submit(job->model, &request, err);
    if (!stream)
        return report(err);

    struct answer answer = { .stream = stream, .json = v[JSON].on, .digest = v[DIGEST].on };
    hearth_receipt receipt = { 0 };
    answer_read(&answer);
    bool has_receipt = hearth_stream_receipt(stream, &receipt);
    answer_finish(&answer, has_receipt ? &receipt : NULL);
    if (has_receipt)
        say_receipt(job, &receipt);
    if (answer.reason == HEARTH_END_ERROR)
        report(hearth_stream_error(stream));
    if (answer.reason == HEARTH_END_CANCELLED && interrupt_pending())
        say("interrupted; what came until then is printed");
    int code = answer_exit_code(&answer);
    answer_free(&answer);
    hearth_stream_close(stream);
    return code;
}

static int run_job(struct job *job, hearth_error *err)
{
    const char *words = NULL;
    if (!read_words(job, &words))
        return EXIT_USAGE;
    if (!interrupt_init(err))
        return report(err);
    if (!read_prompt(job, words, err))
        return err->status == HEARTH_ERR_USAGE ? usage_error(&cmd_run, "%s", err->message) : report(err);
    model_say(&job->choice);
    interrupt_hold();
    if (!open_model(job, err))
        return model_report(&job->choice, err);
    if (!check_template(job))
        return EXIT_USAGE;
    hearth_plan plan;
    hearth_model_plan(job->model, &plan);
    say_plan(&plan);
    return interrupt_pending() ? EXIT_INTERRUPTED : ask(job, err);
}

static int run(const struct args *a)
{
    struct job job = { .args = a };
    hearth_error err = { 0 };
    int code = run_job(&job, &err);
    hearth_model_release(job.model);
    hearth_engine_destroy(job.engine);
    mem_free(job.prompt);
    return code;
}

const struct command cmd_run = {
    .name = "run",
    .positionals = "[MODEL] [PROMPT]",
    .max_words = 2,
    .summary = "answer one prompt",
    .about = "The answer streams to standard output, byte for byte what the model said; the prompt is not repeated.\n"
             "One word alone is the MODEL: a prompt alone needs -p. Standard input, unless it is a terminal, is read\n"
             "to its end and appended to the prompt byte for byte.\n"
             "\n"
             "Files with a chat template need --raw in this version. Ctrl-C ends the answer cleanly: what came is\n"
             "printed, with its receipt.\n",
    .opts = options,
    .n_opts = N_OPTS,
    .run = run,
};
