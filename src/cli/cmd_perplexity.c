/* cmd_perplexity.c: how well a model predicts a text, alone or against a reference. */
#include <jansson.h>
#include <stdio.h>

#include "base/alloc.h"
#include "cli/generate_opts.h"
#include "cli/interrupt.h"
#include "cli/json_out.h"
#include "cli/kld_windows.h"
#include "cli/loading.h"
#include "cli/model_choice.h"

enum { MODEL, KLD, WINDOW, LIMIT, THREADS, KV_TYPE, PRELOAD, LOCK, JSON, N_OPTS };

static const struct opt options[N_OPTS] = {
    [MODEL] = OPT_MODEL_ROW,
    [KLD] = { .name = "kld", .type = OPT_TEXT, .value = "FILE",
              .help = "compare with this model's distributions at the same positions, over the whole vocabulary" },
    [WINDOW] = OPT_WINDOW_ROW,
    [LIMIT] = OPT_WINDOW_LIMIT_ROW,
    [THREADS] = OPT_THREADS_ROW,
    [KV_TYPE] = OPT_KV_TYPE_ROW, /* the reference of --kld keeps to the default */
    [PRELOAD] = OPT_PRELOAD_ROW,
    [LOCK] = OPT_LOCK_ROW,
    [JSON] = { .name = "json", .type = OPT_FLAG, .help = "print one JSON object, with the sum of each window" },
};

struct job {
    const struct args *args;
    const char *text; /* path */
    struct model_choice choice, reference_choice;
    struct windows windows;
    struct measured model, reference;
    struct score *each, *each_reference; /* [windows.n] */
    struct score all, all_reference;
    /* With a reference: */
    struct kld_windows kld;
    int n_vocab;
    double seconds;
};

/* ---- against a reference ---- */

/* One window after the other, first by the reference: its logits are all that is kept. */
static bool run_against_reference(struct job *job, struct progress *progress, hearth_error *err)
{
    const struct windows *w = &job->windows;
    if (!kld_windows_make(&job->kld, w, job->n_vocab, err))
        return false;
    for (size_t i = 0; i < w->n; i++) {
        if (!kld_windows_keep(&job->kld, &job->reference, i, &job->each_reference[i], err))
            return err_context(err, "the reference");
        if (!kld_windows_compare(&job->kld, &job->model, i, &job->each[i], err))
            return false;
        progress_show(progress, (i + 1) * (uint64_t)w->n_tokens, w->n * (uint64_t)w->n_tokens, "");
    }
    return true;
}

/* ---- what is said ---- */

/* Sticky: one check at the end. */
struct object {
    json_t *json;
    bool failed;
};

static void put(struct object *o, const char *key, json_t *value)
{
    o->failed |= json_object_set_new(o->json, key, value) != 0;
}

static void put_real(struct object *o, const char *key, double v) { put(o, key, json_real(v)); }
static void put_count(struct object *o, const char *key, size_t n) { put(o, key, json_integer((json_int_t)n)); }

static void put_windows(struct object *o, const char *key, const struct score *each, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        o->failed |= json_array_append_new(list, json_real(each[i].sum)) != 0;
    put(o, key, list);
}

/* What was put into it, or NULL. */
static json_t *whole(struct object *o)
{
    if (!o->failed)
        return o->json;
    json_decref(o->json);
    return NULL;
}

static json_t *json_of_kld(const struct job *job, const struct kld_summary *s)
{
    struct object o = { json_object(), false };
    put(&o, "reference", json_of_text(job->args->value[KLD].text));
    put_real(&o, "reference_perplexity", score_perplexity(&job->all_reference));
    put_real(&o, "reference_standard_error", score_standard_error(&job->all_reference));
    put_windows(&o, "reference_window_nll", job->each_reference, job->windows.n);
    put_real(&o, "mean", s->mean);
    put_real(&o, "standard_error", s->standard_error);
    put_real(&o, "median", s->median);
    put_real(&o, "p90", s->p90);
    put_real(&o, "p99", s->p99);
    put_real(&o, "max", s->max);
    put_real(&o, "same_top", s->same_top);
    put_real(&o, "mean_probability_difference", s->mean_difference);
    put_real(&o, "rms_probability_difference", s->rms_difference);
    return whole(&o);
}

static bool print_json(const struct job *job, const struct kld_summary *kld, hearth_error *err)
{
    const struct windows *w = &job->windows;
    struct object o = { json_object(), false };
    put_real(&o, "perplexity", score_perplexity(&job->all));
    put_real(&o, "standard_error", score_standard_error(&job->all));
    put_real(&o, "mean_nll", score_mean(&job->all));
    put_count(&o, "n_scored_tokens", job->all.n);
    put_count(&o, "n_text_tokens", w->n_ids);
    put_count(&o, "n_window_tokens", (size_t)w->n_tokens);
    put_count(&o, "n_windows", w->n);
    put_windows(&o, "window_nll", job->each, w->n);
    put_real(&o, "seconds", job->seconds);
    if (kld)
        put(&o, "kld", json_of_kld(job, kld));
    return json_print(whole(&o), JSON_REAL_PRECISION(15) | JSON_COMPACT, "the JSON of the figures", err);
}

static void print_score(const char *what, const struct score *s)
{
    printf("%s%.4f +/- %.4f\n", what, score_perplexity(s), score_standard_error(s));
}

static void print_text(const struct job *job, const struct kld_summary *kld)
{
    print_score(kld ? "perplexity               " : "perplexity ", &job->all);
    if (kld) {
        print_score("of the reference         ", &job->all_reference);
        printf("divergence, mean         %.6f +/- %.6f\n", kld->mean, kld->standard_error);
        printf("  median                 %.6f\n  90 %%                   %.6f\n", kld->median, kld->p90);
        printf("  99 %%                   %.6f\n  largest                %.6f\n", kld->p99, kld->max);
        printf("same likeliest token     %.2f %%\n", 100 * kld->same_top);
        printf("probability difference   %+.4f %%, root mean square %.4f %%\n", 100 * kld->mean_difference,
               100 * kld->rms_difference);
    }
    fprintf(stderr, "%zu tokens scored in %zu windows of %d, %.1f s, %.0f tokens/s\n", job->all.n, job->windows.n,
            job->windows.n_tokens, job->seconds,
            (double)job->windows.n * job->windows.n_tokens / (job->seconds > 0 ? job->seconds : 1));
    windows_say_rest(&job->windows);
}

/* ---- all of it ---- */

/* Words: MODEL TEXT, or TEXT alone. */
static bool read_words(struct job *job)
{
    const struct args *a = job->args;
    job->text = a->word[a->n_words == 2];
    if (a->n_words == 0) {
        usage_error(&cmd_perplexity, "TEXT is needed: the file to score (- is standard input)");
        return false;
    }
    job->reference_choice.source.path = a->value[KLD].text;
    return model_choose(&job->choice, &cmd_perplexity, a->n_words == 2 ? a->word[0] : NULL, &a->value[MODEL]);
}

static bool read_windows(struct job *job, hearth_error *err)
{
    const struct opt_value *v = job->args->value;
    int n = v[WINDOW].i ? (int)v[WINDOW].i : WINDOW_TOKENS;
    hearth_file_info info;
    hearth_file *file = hearth_file_open(&job->choice.source, err);
    if (!file)
        return false;
    hearth_file_describe(file, &info);
    if (info.n_ctx_train > 0 && n > info.n_ctx_train)
        say("the window of %d tokens is longer than the model was trained for (%d)", n, info.n_ctx_train);
    bool ok = windows_read(&job->windows, file, job->text, n, false, (size_t)v[LIMIT].i, err);
    hearth_file_close(file);
    return ok;
}

static bool measure(struct job *job, hearth_error *err)
{
    const struct opt_value *v = job->args->value;
    size_t n = job->windows.n;
    struct progress progress;
    job->each = mem_alloc(n * sizeof *job->each);
    job->each_reference = mem_alloc(n * sizeof *job->each_reference);
    if (!job->each || !job->each_reference)
        return fail_memory(err, "the list of windows");
    progress_begin(&progress, "tokens");
    struct window_run run = { .windows = &job->windows, .n = n, .from = kld_from(&job->windows),
                              .progress = &progress };
    bool ok = v[KLD].text ? run_against_reference(job, &progress, err)
                          : windows_run(&job->model, &run, job->each, err);
    progress_end(&progress);
    job->seconds = progress_seconds(&progress);
    for (size_t i = 0; i < n; i++) {
        score_add(&job->all, &job->each[i]);
        score_add(&job->all_reference, &job->each_reference[i]);
    }
    return ok;
}

static bool open_one(struct job *job, struct measured *m, const hearth_source *source, hearth_kv_type kv_type,
                     hearth_error *err)
{
    const struct opt_value *v = job->args->value;
    hearth_model_options model = { .source = *source, .kv_type = kv_type,
                                   .preload = v[PRELOAD].on, .lock = v[LOCK].on };
    return measured_open(m, model, &job->windows, (int)v[THREADS].i, v[KLD].text ? 1 : 0, err);
}

static int run_job(struct job *job, hearth_error *err)
{
    const struct opt_value *v = job->args->value;
    struct kld_summary kld;
    if (!read_words(job))
        return EXIT_USAGE;
    if (!interrupt_init(err))
        return report(err);
    if (!job->choice.from_line)
        model_say(&job->choice);
    interrupt_hold();
    hearth_kv_type kv_type = (hearth_kv_type)v[KV_TYPE].i;
    if (!read_windows(job, err) || !open_one(job, &job->model, &job->choice.source, kv_type, err))
        return model_report(&job->choice, err);
    if (v[KLD].text
        && !(open_one(job, &job->reference, &job->reference_choice.source, HEARTH_KV_f16, err)
             && kld_vocabularies(hearth_model_file(job->model.model), hearth_model_file(job->reference.model),
                                 &job->n_vocab, err)))
        return report(err);
    if (!measure(job, err))
        return report(err);
    if (v[KLD].text)
        kld_summarize(job->kld.positions, job->kld.n_positions, &kld);
    const struct kld_summary *summary = v[KLD].text ? &kld : NULL;
    if (v[JSON].on)
        return print_json(job, summary, err) ? EXIT_DONE : report(err);
    print_text(job, summary);
    return EXIT_DONE;
}

static int run(const struct args *a)
{
    struct job job = { .args = a };
    hearth_error err = { 0 };
    int code = run_job(&job, &err);
    measured_close(&job.model);
    measured_close(&job.reference);
    windows_free(&job.windows);
    mem_free(job.each);
    mem_free(job.each_reference);
    kld_windows_free(&job.kld);
    return code;
}

const struct command cmd_perplexity = {
    .name = "perplexity",
    .positionals = "[MODEL] TEXT",
    .max_words = 2,
    .summary = "how well a model predicts a text, alone or against a reference",
    .about = "TEXT is a file (- is standard input), taken as it stands: special tokens are plain text, BOS is not\n"
             "added. It is cut into windows that do not overlap, the rest is dropped, and in each window the tokens\n"
             "after the first half and one more are scored given all before them. The perplexity is exp of the mean\n"
             "negative log-likelihood (natural log), with the standard error of its mean: the same model with the\n"
             "same text and window always gives the same figure. docs/operating.md says what to make of it.\n"
             "\n"
             "With --kld both models run, one window after the other: the mean Kullback-Leibler divergence of the\n"
             "model's distributions from the reference's in nats, its spread, how often both find the same token\n"
             "likeliest, and the difference of the probabilities they give to the token that came.\n",
    .opts = options,
    .n_opts = N_OPTS,
    .run = run,
};
