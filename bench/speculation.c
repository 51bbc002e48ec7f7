/* bench_speculation: what drafts bring, and what they cost.
 *
 *   bench_speculation [--csv FILE] [--windows N] [--threads N] [--tokens N] [--text FILE] MODEL.gguf
 *
 * Forced: a bias lets one token come again and again, so every draft is right; N tokens a draft, and as many as pay,
 * beside none, and how long a step is then (in steps of one token). With a text, cut into passages: "repeats" gives the
 * model one passage twice and its beginning once more, "free" a passage once, and lets it go on, with drafts as they
 * pay beside none.
 * Runs with and without alternate; a figure is the median of N windows, each over all passages. Rows
 * "benchmark,value,unit,low,high,runs,roof" are appended to FILE, as by bench_kernel; the unit "x" is tokens a second
 * over those without drafts, and there is no roof (0). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/base.h"
#include "base/file.h"
#include "hearth/hearth.h"

enum { MAX_WINDOWS = 101, PASSAGES = 6, PASSAGE_BYTES = 180, MAX_IDS = 1 << 16, SHORT_PROMPT = 16 };

static struct {
    FILE *csv;
    const char *name;
    int n_windows, n_tokens, n_threads;
    hearth_engine *engine;
    hearth_model *model;
    char *text;
    size_t text_bytes;
    int32_t ids[MAX_IDS];
    size_t n_ids;
} bench = { .n_windows = 15, .n_tokens = 64 };

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double report(const char *what, double *values, const char *unit)
{
    int n = bench.n_windows;
    qsort(values, (size_t)n, sizeof *values, by_value);
    printf("%-40s %9.3f %-5s (%.3f to %.3f)\n", what, values[n / 2], unit, values[n / 4], values[3 * n / 4]);
    fflush(stdout);
    if (bench.csv)
        fprintf(bench.csv, "speculation %s %s,%.4g,%s,%.4g,%.4g,%d,0\n", bench.name, what, values[n / 2], unit,
                values[n / 4], values[3 * n / 4], n);
    return values[n / 2];
}

static void give_up(const char *what, const hearth_error *err)
{
    fprintf(stderr, "bench_speculation: %s: %s\n", what, err->message);
    exit(1);
}

/* Of the tokens after the first. */
struct run {
    double ms;
    int n_tokens, n_draft, n_accepted;
};

static void add_run(struct run *sum, hearth_request *r, int speculate)
{
    hearth_error err = { 0 };
    hearth_event e;
    hearth_receipt receipt;
    r->speculate = speculate;
    hearth_stream *s = hearth_submit(bench.model, r, &err);
    if (!s)
        give_up("a request", &err);
    while (hearth_stream_next(s, &e))
        ;
    if (e.reason == HEARTH_END_ERROR)
        give_up("an answer", hearth_stream_error(s));
    hearth_stream_receipt(s, &receipt);
    hearth_stream_close(s);
    sum->ms += receipt.decode_ms;
    sum->n_tokens += max_int(receipt.n_output_tokens - 1, 0);
    sum->n_draft += receipt.n_draft_tokens;
    sum->n_accepted += receipt.n_accepted_tokens;
}

static hearth_request request_for(float temperature)
{
    hearth_request r = { .prompt_ids = bench.ids, .n_prompt_ids = bench.n_ids, .max_tokens = bench.n_tokens,
                         .ignore_eos = true, .has_seed = true, .seed = 1 };
    hearth_sampling_defaults(bench.model, &r.sampling, NULL);
    r.sampling.temperature = temperature;
    return r;
}

static void bench_forced(void)
{
    static const int lengths[] = { 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, HEARTH_SPECULATE_AUTO };
    static const hearth_logit_bias bias = { 300, INFINITY };
    static double gain[ARRAY_LEN(lengths)][MAX_WINDOWS], step[ARRAY_LEN(lengths)][MAX_WINDOWS], alone[MAX_WINDOWS];
    char what[64];
    bench.n_ids = SHORT_PROMPT;
    for (int i = 0; i < SHORT_PROMPT; i++)
        bench.ids[i] = 260 + i;
    hearth_request r = request_for(0);
    r.logit_bias = &bias;
    r.n_logit_bias = 1;
    for (int w = -1; w < bench.n_windows; w++)
        for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
            struct run without = { 0 }, with = { 0 };
            add_run(&without, &r, HEARTH_SPECULATE_OFF);
            add_run(&with, &r, lengths[i]);
            add_run(&without, &r, HEARTH_SPECULATE_OFF);
            if (w < 0)
                continue;
            alone[w] = without.n_tokens / without.ms * 1e3;
            gain[i][w] = without.ms / 2 / with.ms;
            step[i][w] = with.ms / (with.n_tokens - with.n_accepted) / (without.ms / without.n_tokens);
        }
    report("off", alone, "tok/s");
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        bool as_it_pays = lengths[i] == HEARTH_SPECULATE_AUTO;
        snprintf(what, sizeof what, as_it_pays ? "forced, drafts as they pay" : "forced, drafts of %d", lengths[i]);
        report(what, gain[i], "x");
        if (as_it_pays)
            continue;
        snprintf(what, sizeof what, "a step of %d columns", lengths[i] + 1);
        report(what, step[i], "steps");
    }
}

static void add_ids(const char *text, size_t n, bool bos)
{
    hearth_error err = { 0 };
    int64_t got = hearth_file_tokenize(hearth_model_file(bench.model), text, n, false, bos, bench.ids + bench.n_ids,
                                       MAX_IDS - bench.n_ids, &err);
    if (got < 0)
        give_up("the text", &err);
    bench.n_ids += (size_t)got;
}

static void make_prompt(int passage, bool repeats)
{
    const char *at = bench.text + bench.text_bytes / PASSAGES * (size_t)passage;
    bench.n_ids = 0;
    add_ids(at, PASSAGE_BYTES, true);
    if (repeats) {
        add_ids(at, PASSAGE_BYTES, false);
        add_ids(at, PASSAGE_BYTES / 4, false);
    }
}

static void bench_text(const char *what, bool repeats, float temperature)
{
    static double gain[MAX_WINDOWS];
    struct run last = { 0 };
    char line[96];
    hearth_plan plan;
    hearth_model_plan(bench.model, &plan);
    for (int w = -1; w < bench.n_windows; w++) {
        struct run without = { 0 }, with = { 0 }, first = { 0 };
        for (int i = 0; i < PASSAGES; i++) {
            make_prompt(i, repeats);
            hearth_request r = request_for(temperature);
            r.max_tokens = repeats ? bench.n_tokens : plan.n_ctx_tokens - (int)bench.n_ids - 1;
            r.max_tokens = min_int(r.max_tokens, 4 * bench.n_tokens);
            add_run(&first, &r, HEARTH_SPECULATE_OFF); /* the prompt is computed: not like the others */
            add_run(&without, &r, HEARTH_SPECULATE_OFF);
            add_run(&with, &r, HEARTH_SPECULATE_AUTO);
            add_run(&with, &r, HEARTH_SPECULATE_AUTO);
            add_run(&without, &r, HEARTH_SPECULATE_OFF);
        }
        if (w >= 0)
            gain[w] = without.ms / with.ms;
        last = with;
    }
    snprintf(line, sizeof line, "%s at temperature %.1f", what, (double)temperature);
    report(line, gain, "x");
    printf("%40s %d tokens, %d drafted, %d right\n", "", last.n_tokens, last.n_draft, last.n_accepted);
}

static void open_model(const char *path)
{
    hearth_error err = { 0 };
    const char *slash = strrchr(path, '/');
    bench.name = slash ? slash + 1 : path;
    bench.engine = hearth_engine_create(&(hearth_engine_options){ .n_threads = bench.n_threads }, &err);
    if (bench.engine)
        bench.model = hearth_model_open(bench.engine, &(hearth_model_options){ .source.path = path }, &err);
    if (!bench.model)
        give_up(path, &err);
}

int main(int argc, char **argv)
{
    hearth_error err = { 0 };
    const char *path = NULL;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strncmp(argv[i], "--", 2) != 0) {
            path = argv[i];
            continue;
        }
        i++;
        if (strcmp(argv[i - 1], "--csv") == 0)
            bench.csv = fopen(value, "a");
        else if (strcmp(argv[i - 1], "--windows") == 0)
            bench.n_windows = max_int(1, min_int(MAX_WINDOWS, atoi(value)));
        else if (strcmp(argv[i - 1], "--threads") == 0)
            bench.n_threads = atoi(value);
        else if (strcmp(argv[i - 1], "--tokens") == 0)
            bench.n_tokens = max_int(8, atoi(value));
        else if (strcmp(argv[i - 1], "--text") == 0 && !file_read(value, 1 << 30, &bench.text, &bench.text_bytes, &err))
            give_up(value, &err);
    }
    if (!path) {
        fputs("usage: bench_speculation [--csv FILE] [--windows N] [--threads N] [--tokens N] [--text FILE] MODEL\n",
              stderr);
        return 2;
    }
    open_model(path);
    bench_forced();
    if (bench.text_bytes > 2 * PASSAGES * PASSAGE_BYTES) {
        bench_text("text that repeats", true, 0);
        bench_text("text that repeats", true, 0.8F);
        bench_text("free text", false, 0);
        bench_text("free text", false, 0.8F);
    }
    hearth_model_release(bench.model);
    hearth_engine_destroy(bench.engine);
    mem_free(bench.text);
    if (bench.csv)
        fclose(bench.csv);
    return 0;
}
