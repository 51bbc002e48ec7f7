/* cmd_embed.c: vectors of texts. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "cli/generate_opts.h"
#include "cli/interrupt.h"
#include "cli/loading.h"
#include "cli/model_choice.h"
#include "cli/receipt_text.h"

enum { MODEL, FILE_, POOLING, NORMALIZE, DIMENSIONS, JSON, RECEIPT, CTX, THREADS, PRELOAD, LOCK, N_OPTS };

/* In the order of the choices of --pooling. */
static const hearth_pooling poolings[] = { HEARTH_POOLING_file, HEARTH_POOLING_mean, HEARTH_POOLING_cls,
                                           HEARTH_POOLING_last };

static const struct opt options[N_OPTS] = {
    [MODEL] = OPT_MODEL_ROW,
    [FILE_] = { .name = "file", .aliases = "-f", .type = OPT_TEXT, .value = "FILE",
                .help = "a text on each line of this file; - is standard input" },
    [POOLING] = { .name = "pooling", .type = OPT_CHOICE, .value = "model|mean|cls|last", .dflt = "model",
                  .help = "how the tokens' states become one vector: as the model's file says; their mean; the first "
                          "one's; the last one's" },
    [NORMALIZE] = { .name = "normalize", .aliases = "--normalise", .type = OPT_CHOICE, .value = "length|none",
                    .dflt = "length",
                    .help = "vectors of length 1, whose products are cosines; or as the model makes them" },
    [DIMENSIONS] = { .name = "dimensions", .type = OPT_INT, .value = "N", .least = 1, .most = 131072, .dflt = "all",
                     .help = "only the first N values: for models that were trained for that" },
    [JSON] = { .name = "json", .type = OPT_FLAG, .help = "a JSON object on each line: index, n_tokens, embedding" },
    [RECEIPT] = { .name = "receipt", .type = OPT_FLAG, .help = "the receipt of the last text, on standard error" },
    [CTX] = OPT_CTX_ROW,
    [THREADS] = OPT_THREADS_ROW,
    [PRELOAD] = OPT_PRELOAD_ROW,
    [LOCK] = OPT_LOCK_ROW,
};

/* Sequences computed together; and texts that are with the engine, so that it never waits. */
enum { N_SEQS = 64, IN_FLIGHT = 2 * N_SEQS, LIMIT_BYTES = 1 << 30 };

struct job {
    const struct args *args;
    struct model_choice choice;
    char *lines; /* the file's bytes, mem_alloc'ed */
    struct str *texts; /* [n] mem_alloc'ed */
    size_t n, n_submitted;
    hearth_engine *engine;
    hearth_model *model;
    hearth_stream *streams[IN_FLIGHT]; /* of text i at i % IN_FLIGHT */
    uint64_t n_tokens;
    hearth_receipt receipt; /* of the last one */
};

/* ---- what to embed ---- */

/* A newline at the end of the file begins no text. */
static size_t split_lines(const char *bytes, size_t n, struct str *out)
{
    size_t n_lines = 0;
    for (size_t at = 0; at < n;) {
        const char *end = memchr(bytes + at, '\n', n - at);
        size_t length = end ? (size_t)(end - bytes) - at : n - at;
        if (out)
            out[n_lines] = (struct str){ bytes + at, length };
        n_lines++;
        at += length + 1;
    }
    return n_lines;
}

/* Words: MODEL TEXT..., or TEXT... after --model; a file's lines come behind them. */
static bool read_texts(struct job *job, hearth_error *err)
{
    const struct args *a = job->args;
    const char *path = a->value[FILE_].text;
    size_t first = a->value[MODEL].origin != OPT_FROM_LINE && a->n_words > 0, n_words = (size_t)a->n_words - first;
    size_t n_bytes = 0;
    if (!path && n_words == 0)
        path = "-";
    if (path
        && !(strcmp(path, "-") == 0 ? file_read_fd(0, "standard input", LIMIT_BYTES, &job->lines, &n_bytes, err)
                                    : file_read(path, LIMIT_BYTES, &job->lines, &n_bytes, err)))
        return false;
    job->n = n_words + split_lines(job->lines, n_bytes, NULL);
    job->texts = mem_alloc(max_size(job->n, 1) * sizeof *job->texts);
    if (!job->texts)
        return fail_memory(err, "the list of texts");
    for (size_t i = 0; i < n_words; i++)
        job->texts[i] = str_z(a->word[first + i]);
    split_lines(job->lines, n_bytes, job->texts + n_words);
    return job->n > 0 || fail(err, HEARTH_ERR_USAGE, "there is no text: give some as words after the model, or lines "
                              "with --file or on standard input");
}

static bool open_model(struct job *job, hearth_error *err)
{
    const struct opt_value *v = job->args->value;
    hearth_engine_options engine = { .n_threads = (int)v[THREADS].i,
                                     .n_seqs = (int)min_size(job->n, N_SEQS) };
    hearth_model_options model = { .source = job->choice.source, .n_ctx_tokens = (int)v[CTX].i,
                                   .preload = v[PRELOAD].on, .lock = v[LOCK].on };
    hearth_file_info info;
    job->engine = hearth_engine_create(&engine, err);
    job->model = loading_model(job->engine, &model, err);
    if (!job->model)
        return false;
    hearth_file_describe(hearth_model_file(job->model), &info);
    return v[DIMENSIONS].i <= info.n_embd
           || fail(err, HEARTH_ERR_USAGE, "--dimensions is %lld; the vectors of this model have %d values",
                   (long long)v[DIMENSIONS].i, info.n_embd);
}

/* ---- what comes out ---- */

static bool print_vector(struct job *job, size_t index, const float *vector, size_t n, hearth_error *err)
{
    const struct opt_value *v = job->args->value;
    bool json = v[JSON].on;
    if (v[DIMENSIONS].i > 0)
        n = min_size(n, (size_t)v[DIMENSIONS].i);
    float *part = mem_alloc(n * sizeof *part);
    if (!part)
        return fail_memory(err, "a vector");
    memcpy(part, vector, n * sizeof *part);
    if (v[NORMALIZE].i == 0)
        hearth_normalize(part, n);
    if (json)
        printf("{\"index\":%zu,\"n_tokens\":%d,\"embedding\":[", index, job->receipt.n_prompt_tokens);
    for (size_t i = 0; i < n; i++)
        printf("%s%.9g", i == 0 ? "" : json ? "," : " ", (double)part[i]);
    puts(json ? "]}" : "");
    mem_free(part);
    return true;
}

static bool submit(struct job *job, hearth_error *err)
{
    size_t i = job->n_submitted++;
    hearth_span span = { .text = job->texts[i].ptr, .n_bytes = job->texts[i].len };
    hearth_request r = { .spans = &span, .n_spans = 1, .embed = true,
                         .pooling = poolings[job->args->value[POOLING].i] };
    hearth_sampling_defaults(job->model, &r.sampling, r.sampling_origin);
    job->streams[i % IN_FLIGHT] = hearth_submit(job->model, &r, err);
    if (!job->streams[i % IN_FLIGHT])
        return false;
    hearth_stream_on_wake(job->streams[i % IN_FLIGHT], interrupt_wake, NULL);
    return true;
}

static bool take(struct job *job, size_t i, hearth_error *err)
{
    hearth_stream *s = job->streams[i % IN_FLIGHT];
    hearth_event e;
    size_t n;
    while (interrupt_next(s, &e))
        ;
    if (e.reason == HEARTH_END_CANCELLED)
        return fail(err, HEARTH_ERR_CANCELLED, "interrupted");
    if (e.reason == HEARTH_END_ERROR) {
        *err = *hearth_stream_error(s);
        return job->n == 1 ? false : err_context(err, "text %zu", i + 1);
    }
    const float *vector = hearth_stream_vector(s, &n);
    hearth_stream_receipt(s, &job->receipt);
    job->n_tokens += (uint64_t)job->receipt.n_prompt_tokens;
    bool ok = print_vector(job, i, vector, n, err);
    hearth_stream_close(s);
    job->streams[i % IN_FLIGHT] = NULL;
    return ok;
}

static bool embed_all(struct job *job, hearth_error *err)
{
    int64_t start = clock_ns();
    for (size_t i = 0; i < job->n; i++) {
        while (job->n_submitted < job->n && job->n_submitted < i + IN_FLIGHT)
            if (!submit(job, err))
                return false;
        if (!take(job, i, err))
            return false;
    }
    double seconds = (double)(clock_ns() - start) / 1e9;
    fprintf(stderr, "%zu text%s, %llu tokens, %.2f s: %.0f tokens/s, %.1f texts/s\n", job->n, job->n == 1 ? "" : "s",
            (unsigned long long)job->n_tokens, seconds, (double)job->n_tokens / seconds, (double)job->n / seconds);
    return true;
}

static int run_job(struct job *job, hearth_error *err)
{
    const struct args *a = job->args;
    bool model_is_option = a->value[MODEL].origin == OPT_FROM_LINE;
    if (!model_choose(&job->choice, &cmd_embed, model_is_option || a->n_words == 0 ? NULL : a->word[0],
                      &a->value[MODEL]))
        return EXIT_USAGE;
    if (!interrupt_init(err))
        return report(err);
    if (!job->choice.from_line)
        model_say(&job->choice);
    if (!read_texts(job, err))
        return report(err);
    interrupt_hold();
    if (!open_model(job, err))
        return model_report(&job->choice, err);
    if (!embed_all(job, err))
        return err->status == HEARTH_ERR_CANCELLED ? EXIT_INTERRUPTED : report(err);
    if (a->value[RECEIPT].on)
        receipt_print_all(&job->receipt);
    return EXIT_DONE;
}

static int run(const struct args *a)
{
    struct job *job = mem_alloc(sizeof *job);
    hearth_error err = { 0 };
    int code;
    if (!job) {
        fail_memory(&err, "the command");
        return report(&err);
    }
    job->args = a;
    code = run_job(job, &err);
    for (size_t i = 0; i < IN_FLIGHT; i++)
        hearth_stream_close(job->streams[i]);
    hearth_model_release(job->model);
    hearth_engine_destroy(job->engine);
    mem_free(job->texts);
    mem_free(job->lines);
    mem_free(job);
    return code;
}

const struct command cmd_embed = {
    .name = "embed",
    .positionals = "[MODEL] [TEXT...]",
    .max_words = WORDS_MAX,
    .summary = "vectors of texts",
    .about = "A line for each text: the values of its vector, spaces between. Texts come as words, or a line each\n"
             "from --file or standard input; many short ones are computed together, and each has the same bits as\n"
             "alone. Models that make embeddings say in their file how (hearth inspect); of others, which were not\n"
             "trained for it, --pooling makes some. What models want around a text (\"query: \", \"Instruct: ...\")\n"
             "is part of the text. A text that is longer than the context is refused, with both numbers.\n",
    .opts = options,
    .n_opts = N_OPTS,
    .run = run,
};
