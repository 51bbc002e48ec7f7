/* cmd_bench.c: how fast a model runs here, beside the most that this machine could do. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/machine.h"
#include "cli/bench_report.h"
#include "cli/bench_runs.h"
#include "cli/generate_opts.h"
#include "cli/interrupt.h"
#include "cli/loading.h"
#include "cli/model_choice.h"

enum { MODEL, PREFILL, DECODE, BATCH, TOKENS, RUNS, THREADS, KV_TYPE, PRELOAD, LOCK, JSON, CSV, N_OPTS };
enum { LONG_RUNS = 3 };
static const double quiet_percent = 5, long_s = 4, least_s = 0.5, most_s = 30;

static const struct opt options[N_OPTS] = {
    [MODEL] = OPT_MODEL_ROW,
    [PREFILL] = { .name = "prefill", .type = OPT_TEXT, .value = "N,N,...", .dflt = "128,512,2048,8192",
                  .help = "lengths of prompts; none: leave them out" },
    [DECODE] = { .name = "decode", .type = OPT_TEXT, .value = "N,N,...", .dflt = "0,2048,8192",
                 .help = "tokens before those that are generated one by one; none: leave them out" },
    [BATCH] = { .name = "batch", .type = OPT_TEXT, .value = "N,N,...", .dflt = "1,2,4,8,16",
                .help = "sequences generated together; none: leave them out" },
    [TOKENS] = { .name = "tokens", .type = OPT_INT, .value = "N", .least = 2, .most = 4096, .dflt = "64",
                 .help = "tokens that a run generates" },
    [RUNS] = { .name = "runs", .type = OPT_INT, .value = "N", .least = 1, .most = BENCH_MOST_RUNS / 3, .dflt = "5",
               .help = "runs of each figure, 3 where one takes over 4 s; more while others use the machine" },
    [THREADS] = OPT_THREADS_ROW,
    [KV_TYPE] = OPT_KV_TYPE_ROW,
    [PRELOAD] = OPT_PRELOAD_ROW,
    [LOCK] = OPT_LOCK_ROW,
    [JSON] = { .name = "json", .type = OPT_FLAG, .help = "print one JSON object" },
    [CSV] = { .name = "csv", .type = OPT_FLAG, .help = "print rows of benchmark,value,unit,low,high,runs,roof,others" },
};

struct job {
    const struct args *args;
    struct model_choice choice;
    hearth_model_options model; /* of every opening */
    struct bench_result *result;
    struct roofs *roofs;
    hearth_cost cost;
    int list[BENCH_N_KINDS][BENCH_LIST_MOST], n_list[BENCH_N_KINDS];
    int n_runs, n_tokens, n_threads; /* n_threads 0: not said */
    bool terminal;
};

/* ---- progress ---- */

/* A line that rewrites itself on a terminal, elsewhere one a figure. */
static void show(const struct job *job, const char *what, int n, int run)
{
    char number[16] = "";
    if (n >= 0)
        snprintf(number, sizeof number, " %d", n);
    if (job->terminal)
        fprintf(stderr, "\rmeasuring %s%s, run %d   \x1b[K", what, number, run);
    else if (run == 1)
        fprintf(stderr, "measuring %s%s\n", what, number);
}

static void show_end(const struct job *job)
{
    if (job->terminal)
        fputs("\r\x1b[K", stderr);
}

/* ---- figures ---- */

static double read_roof(struct job *job, enum roof_kind kind)
{
    double v = roofs_read(job->roofs, kind, job->result->n_threads);
    bench_add_reading(&job->result->roof[kind], v);
    return v;
}

static bool run_once(struct job *job, struct bench_model *m, const struct bench_row *row, double *tok_s,
                     hearth_error *err)
{
    if (row->kind == BENCH_BATCH)
        return bench_together(m, row->n, job->n_tokens, tok_s, err);
    if (row->kind == BENCH_DECODE)
        return bench_decode(m, max_int(1, row->n), job->n_tokens, tok_s, err);
    return bench_prefill(m, row->n, tok_s, err);
}

static bool enough_runs(const struct job *job, const struct bench_row *row, double seconds)
{
    int n_quiet = 0, n = row->n_runs;
    bool slow = seconds / n > long_s;
    for (int i = 0; i < n; i++)
        n_quiet += row->run[i].others <= quiet_percent;
    if (n == BENCH_MOST_RUNS || (slow && n >= min_int(job->n_runs, LONG_RUNS)))
        return true;
    return n >= job->n_runs && (seconds >= least_s || job->n_runs == 1)
        && (n_quiet >= job->n_runs || n >= 3 * job->n_runs || seconds > most_s);
}

static bool measure_row(struct job *job, struct bench_model *m, struct bench_row *row, hearth_error *err)
{
    enum roof_kind kind = bench_roof_of(row->kind);
    int64_t start = clock_ns();
    do {
        struct bench_watch w;
        struct bench_run *run = &row->run[row->n_runs];
        show(job, bench_kind_name(row->kind), row->n, row->n_runs + 1);
        double before = read_roof(job, kind);
        bench_watch_begin(&w);
        if (!run_once(job, m, row, &run->tok_s, err))
            return false;
        run->others = bench_watch_others(&w, NULL);
        run->roof = (before + read_roof(job, kind)) / 2;
        row->n_runs++;
        read_roof(job, ROOF_F32);
    } while (!enough_runs(job, row, clock_ms_since(start) / 1e3));
    return true;
}

/* What one token of the row's runs needs. */
static double amount_of(const struct job *job, enum bench_kind kind, int n)
{
    double half = job->n_tokens / 2.0;
    if (kind == BENCH_PREFILL)
        return bench_prompt_macs(&job->cost, n) / n;
    if (kind == BENCH_DECODE)
        return bench_pass_bytes(&job->cost, 1, max_int(1, n) + half);
    return bench_pass_bytes(&job->cost, n, BENCH_SHORT_PROMPT + half) / n;
}

static bool measure_list(struct job *job, struct bench_model *m, enum bench_kind kind, hearth_error *err)
{
    for (int i = 0; i < job->n_list[kind]; i++) {
        struct bench_row *row = &job->result->row[job->result->n_rows++];
        *row = (struct bench_row){ .kind = kind, .n = job->list[kind][i] };
        row->amount = amount_of(job, kind, row->n);
        if (!measure_row(job, m, row, err))
            return false;
    }
    return true;
}

static int longest(const struct job *job, enum bench_kind kind)
{
    int n = 0;
    for (int i = 0; i < job->n_list[kind]; i++)
        n = max_int(n, job->list[kind][i]);
    return n;
}

/* The context for everything that runs alone. */
static int n_ctx_alone(const struct job *job)
{
    return max_int(max_int(longest(job, BENCH_PREFILL), longest(job, BENCH_DECODE)), BENCH_SHORT_PROMPT)
         + job->n_tokens + 1;
}

/* Alone first, then together: another engine, with less context for more sequences. */
static bool measure_rows(struct job *job, hearth_error *err)
{
    struct bench_model m = { 0 };
    hearth_receipt r;
    bool alone = job->n_list[BENCH_PREFILL] + job->n_list[BENCH_DECODE] > 0, ok = true;
    if (alone)
        ok = bench_open(&m, &job->model, job->n_threads, 1, n_ctx_alone(job), err)
          && bench_answer(&m, BENCH_SHORT_PROMPT, 2, false, &r, err) /* every page of the weights is mapped */
          && measure_list(job, &m, BENCH_PREFILL, err) && measure_list(job, &m, BENCH_DECODE, err);
    bench_close(&m);
    int n_seqs = longest(job, BENCH_BATCH);
    if (ok && n_seqs > 0)
        ok = bench_open(&m, &job->model, job->n_threads, n_seqs + 1,
                        max_int(BENCH_PLUG_PROMPT, BENCH_SHORT_PROMPT + job->n_tokens) + 1, err)
          && bench_answer(&m, BENCH_SHORT_PROMPT, 2, false, &r, err) && measure_list(job, &m, BENCH_BATCH, err);
    bench_close(&m);
    return ok;
}

/* Load, first token, memory: before anything else takes some. */
static bool measure_start(struct job *job, hearth_error *err)
{
    double load[BENCH_MOST_RUNS], first[BENCH_MOST_RUNS];
    for (int i = 0; i < job->n_runs; i++) {
        struct bench_model m;
        hearth_receipt r;
        hearth_plan plan;
        int64_t start = clock_ns();
        show(job, "load and first token", -1, i + 1);
        bool ok = bench_open(&m, &job->model, job->n_threads, 1, 0, err);
        load[i] = clock_ms_since(start);
        ok = ok && bench_answer(&m, BENCH_SHORT_PROMPT, 2, false, &r, err)
          && hearth_file_cost(hearth_model_file(m.model), job->result->kv_type, &job->cost);
        if (ok) {
            first[i] = r.first_token_ms;
            hearth_model_plan(m.model, &plan);
            hearth_model_pages(m.model, &job->result->pages);
            job->result->n_threads = plan.n_threads;
        }
        bench_close(&m);
        if (!ok)
            return false;
    }
    job->result->load_ms = bench_median(load, job->n_runs, NULL, NULL);
    job->result->first_token_ms = bench_median(first, job->n_runs, NULL, NULL);
    job->result->peak_rss_bytes = process_peak_resident_bytes();
    return true;
}

/* ---- what is asked for, and what can be ---- */

static const char *asked_text(const struct args *a, int option)
{
    const char *given = a->value[option].text;
    return given ? given : options[option].dflt;
}

static int asked_number(const struct args *a, int option)
{
    return a->value[option].i ? (int)a->value[option].i : atoi(options[option].dflt);
}

static bool read_lists(struct job *job, hearth_error *err)
{
    static const struct {
        int option;
        int least, most;
    } of[BENCH_N_KINDS] = {
        [BENCH_PREFILL] = { PREFILL, 1, 1 << 24 },
        [BENCH_DECODE] = { DECODE, 0, 1 << 24 },
        [BENCH_BATCH] = { BATCH, 1, BENCH_MOST_SEQS },
    };
    for (int i = 0; i < BENCH_N_KINDS; i++) {
        int option = of[i].option;
        if (!bench_read_list(options[option].name, asked_text(job->args, option), of[i].least, of[i].most,
                             job->list[i], &job->n_list[i], err))
            return false;
    }
    return true;
}

/* What is longer than the model was trained for, or does not fit in memory, is left out and said. */
static bool fit_lists(struct job *job, hearth_error *err)
{
    hearth_file_info info;
    hearth_plan plan;
    hearth_file *file = hearth_file_open(&job->choice.source, err);
    if (!file)
        return false;
    hearth_file_describe(file, &info);
    job->result->file_bytes = info.file_bytes;
    int limit = info.n_ctx_train;
    bool ok = true;
    while (ok && info.runs && limit > 1) {
        for (int kind = BENCH_PREFILL; kind <= BENCH_DECODE; kind++) {
            int kept = 0;
            for (int i = 0; i < job->n_list[kind]; i++) {
                if (job->list[kind][i] <= limit)
                    job->list[kind][kept++] = job->list[kind][i];
                else
                    say("%s %d is left out: %s %d tokens", bench_kind_name((enum bench_kind)kind), job->list[kind][i],
                        limit == info.n_ctx_train ? "the model was trained for" : "memory is there for", limit);
            }
            job->n_list[kind] = kept;
        }
        ok = hearth_file_plan(file, n_ctx_alone(job), job->result->kv_type, job->n_threads, 0, &plan, err);
        if (!ok || plan.fits)
            break;
        limit = max_int(longest(job, BENCH_PREFILL), longest(job, BENCH_DECODE)) / 2;
    }
    hearth_file_close(file);
    return ok;
}

static bool measure(struct job *job, hearth_error *err)
{
    const struct kernels *k = kernels_get(err);
    struct bench_watch all;
    if (!k)
        return false;
    bench_watch_begin(&all);
    if (!measure_start(job, err))
        return false;
    job->roofs = roofs_create(k, job->result->n_threads, err);
    if (!job->roofs)
        return false;
    for (int i = 0; i < 3 * N_ROOFS; i++)
        read_roof(job, (enum roof_kind)(i % N_ROOFS));
    bool ok = measure_rows(job, err);
    job->result->others = bench_watch_others(&all, &job->result->stolen);
    job->result->isa = k->isa;
    show_end(job);
    return ok;
}

static int run_job(struct job *job, hearth_error *err)
{
    const struct opt_value *v = job->args->value;
    if (!model_choose(&job->choice, &cmd_bench, job->args->word[0], &v[MODEL]))
        return EXIT_USAGE;
    if (v[JSON].on && v[CSV].on)
        return usage_error(&cmd_bench, "--json and --csv exclude each other");
    if (!read_lists(job, err))
        return usage_error(&cmd_bench, "%s", err->message);
    if (!interrupt_init(err))
        return report(err);
    if (!job->choice.from_line)
        model_say(&job->choice);
    job->result->model = job->choice.text;
    job->model = (hearth_model_options){ .source = job->choice.source, .kv_type = job->result->kv_type,
                                         .preload = v[PRELOAD].on, .lock = v[LOCK].on };
    if (!fit_lists(job, err) || !measure(job, err))
        return model_report(&job->choice, err);
    if (v[JSON].on)
        return bench_print_json(job->result, err) ? EXIT_DONE : report(err);
    (v[CSV].on ? bench_print_csv : bench_print_text)(job->result);
    return EXIT_DONE;
}

static int run(const struct args *a)
{
    hearth_error err = { 0 };
    struct job job = { .args = a, .terminal = isatty(STDERR_FILENO), .result = mem_alloc(sizeof *job.result) };
    if (!job.result) {
        fail_memory(&err, "the figures");
        return report(&err);
    }
    job.n_runs = job.result->n_runs = asked_number(a, RUNS);
    job.n_tokens = asked_number(a, TOKENS);
    job.result->kv_type = (hearth_kv_type)a->value[KV_TYPE].i;
    job.n_threads = (int)a->value[THREADS].i;
    int code = run_job(&job, &err);
    roofs_destroy(job.roofs);
    mem_free(job.result);
    return code;
}

const struct command cmd_bench = {
    .name = "bench",
    .positionals = "[MODEL]",
    .max_words = 1,
    .summary = "how fast a model runs here, beside the most this machine could do",
    .about = "Measures what bounds every program on this machine (reading memory, and multiply-adds of 8-bit\n"
             "integers and of floats, with as many threads and the instruction set in use), then the model: prompts,\n"
             "tokens one by one after a long context, sequences together. Each figure is the median of runs that\n"
             "alternate with readings of its roof, and share is the part of that: in bytes (weights, read once a\n"
             "token for all sequences, and the keys and values that each sees) or multiply-adds (matrices, attention\n"
             "to what comes before, logits once a prompt). The roofs at the top are the medians of all readings; what\n"
             "a shared machine gives drifts, which their quartiles show. Of experts those of one token count, so\n"
             "sequences together, which have different ones, stay below their roof.\n"
             "others: the part of the machine that other processes and the host used; above 5 % a figure is measured\n"
             "up to three times as often, and the quietest runs count.\n"
             "\n"
             "Load is from nothing to a model that takes requests, the first token comes that much after the request,\n"
             "and the peak of resident memory is that of these two, file pages and all.\n",
    .opts = options,
    .n_opts = N_OPTS,
    .run = run,
};
