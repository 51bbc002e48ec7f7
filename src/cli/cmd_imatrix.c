/* cmd_imatrix.c: which input columns of a model's matrices matter on a text. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/generate_opts.h"
#include "cli/imatrix.h"
#include "cli/interrupt.h"
#include "cli/model_choice.h"
#include "cli/windows.h"

enum { MODEL, OUT, WINDOW, LIMIT, THREADS, N_OPTS };

static const struct opt options[N_OPTS] = {
    [MODEL] = OPT_MODEL_ROW,
    [OUT] = { .name = "output", .aliases = "-o", .type = OPT_TEXT, .value = "FILE",
              .help = "the file to write (GGUF); needed" },
    [WINDOW] = OPT_WINDOW_ROW,
    [LIMIT] = OPT_WINDOW_LIMIT_ROW,
    [THREADS] = OPT_THREADS_ROW,
};

struct job {
    const struct args *args;
    const char *text; /* path */
    struct model_choice choice;
    struct windows windows;
    struct measured model;
    struct imatrix sums;
};

static bool read_words(struct job *job)
{
    const struct args *a = job->args;
    job->text = a->word[a->n_words == 2];
    if (a->n_words == 0)
        usage_error(&cmd_imatrix, "TEXT is needed: the file to run the model over (- is standard input)");
    else if (!a->value[OUT].text)
        usage_error(&cmd_imatrix, "--output is needed: the file to write");
    else
        return model_choose(&job->choice, &cmd_imatrix, a->n_words == 2 ? a->word[0] : NULL, &a->value[MODEL]);
    return false;
}

static bool open_all(struct job *job, hearth_error *err)
{
    const struct opt_value *v = job->args->value;
    int n = v[WINDOW].i ? (int)v[WINDOW].i : WINDOW_TOKENS;
    hearth_file *file = hearth_file_open(&job->choice.source, err);
    if (!file)
        return false;
    bool ok = windows_read(&job->windows, file, job->text, n, true, (size_t)v[LIMIT].i, err);
    hearth_file_close(file);
    hearth_model_options model = { .source = job->choice.source, .on_product = imatrix_add,
                                   .on_product_arg = &job->sums };
    /* One window at a time: the order of the sums is the order of the text. */
    return ok && measured_open(&job->model, model, &job->windows, (int)v[THREADS].i, 1, err);
}

/* Scored from the second token on, so that the output matrix has its part too. */
static bool sum(struct job *job, double *seconds, hearth_error *err)
{
    size_t n = job->windows.n;
    struct score *each = mem_alloc(n * sizeof *each);
    struct progress progress;
    struct window_run run = { .windows = &job->windows, .n = n, .from = 1, .progress = &progress };
    if (!each)
        return fail_memory(err, "the list of windows");
    progress_begin(&progress, "tokens");
    bool ok = windows_run(&job->model, &run, each, err);
    progress_end(&progress);
    *seconds = progress_seconds(&progress);
    mem_free(each);
    return ok && (!job->sums.failed || fail_memory(err, "the sums of the importance matrix"));
}

static const char *last_component(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int run_job(struct job *job, hearth_error *err)
{
    double seconds = 0;
    if (!read_words(job))
        return EXIT_USAGE;
    if (!interrupt_init(err))
        return report(err);
    if (!job->choice.from_line)
        model_say(&job->choice);
    interrupt_hold();
    if (!open_all(job, err))
        return model_report(&job->choice, err);
    const struct windows *w = &job->windows;
    struct imatrix_source from = { last_component(job->text), (uint32_t)w->n, (uint32_t)w->n_tokens };
    const char *out = job->args->value[OUT].text;
    if (!sum(job, &seconds, err) || !imatrix_write(&job->sums, &from, out, err))
        return report(err);
    fprintf(stderr, "%s: %zu matrices, %zu windows of %d tokens, %.1f s\n", out, job->sums.n, w->n, w->n_tokens,
            seconds);
    windows_say_rest(w);
    return EXIT_DONE;
}

static int run(const struct args *a)
{
    struct job job = { .args = a };
    hearth_error err = { 0 };
    imatrix_init(&job.sums);
    int code = run_job(&job, &err);
    measured_close(&job.model);
    windows_free(&job.windows);
    imatrix_free(&job.sums);
    return code;
}

const struct command cmd_imatrix = {
    .name = "imatrix",
    .positionals = "[MODEL] TEXT",
    .max_words = 2,
    .summary = "which weights matter on a text, for quantizing",
    .about = "Runs the model over TEXT (- is standard input) in windows, and writes for every weight matrix the sum\n"
             "over tokens of x^2 for each of its input columns, where x is what the matrix is multiplied with.\n"
             "Windows begin with BOS where the file asks for it; the rest of the text that fills none is dropped.\n"
             "Take an F32, F16 or Q8_0 file, and text like what the model will be used for. The file is the same on\n"
             "any number of threads. A token's embedding row is looked up, not multiplied: a matrix that is only the\n"
             "embedding has no sums, one that is also the output has those of the output. Matrices of experts have\n"
             "none yet.\n",
    .opts = options,
    .n_opts = N_OPTS,
    .run = run,
};
