#include "cli/windows.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "cli/interrupt.h"
#include "cli/loading.h"
#include "cli/text_ids.h"

enum { TEXT_LIMIT_BYTES = 256 << 20, STEP_TOKENS = 512, MOST_IN_FLIGHT = 8 };

/* ---- the text ---- */

static bool read_text(const char *path, char **text, size_t *n, hearth_error *err)
{
    if (strcmp(path, "-") == 0)
        return file_read_fd(STDIN_FILENO, "standard input", TEXT_LIMIT_BYTES, text, n, err);
    return file_read(path, TEXT_LIMIT_BYTES, text, n, err);
}

static size_t text_tokens(const struct windows *w) { return (size_t)w->n_tokens - (w->bos >= 0); }

bool windows_of_text(struct windows *w, hearth_file *file, const char *name, struct str text, int n_tokens,
                     bool with_bos, size_t limit, hearth_error *err)
{
    *w = (struct windows){ .bos = -1, .n_tokens = n_tokens };
    bool ok = text_ids(file, text.ptr, text.len, false, false, &w->ids, &w->n_ids, err);
    int32_t bos[2];
    int64_t n_bos = ok && with_bos ? hearth_file_tokenize(file, "", 0, false, true, bos, 2, err) : 0;
    ok = ok && n_bos >= 0;
    if (n_bos == 1)
        w->bos = bos[0];
    size_t n_of_text = text_tokens(w);
    w->n = ok ? w->n_ids / n_of_text : 0;
    if (ok && w->n == 0)
        return fail(err, HEARTH_ERR_USAGE,
                    "%s has %zu tokens, and a window needs %zu; give a longer text or a smaller --window", name,
                    w->n_ids, n_of_text);
    if (limit > 0)
        w->n = min_size(w->n, limit);
    return ok;
}

bool windows_read(struct windows *w, hearth_file *file, const char *path, int n_tokens, bool with_bos, size_t limit,
                  hearth_error *err)
{
    char *text = NULL;
    size_t n_bytes = 0;
    *w = (struct windows){ 0 };
    bool ok = read_text(path, &text, &n_bytes, err)
           && windows_of_text(w, file, path, (struct str){ text, n_bytes }, n_tokens, with_bos, limit, err);
    mem_free(text);
    return ok;
}

void windows_free(struct windows *w)
{
    mem_free(w->ids);
    *w = (struct windows){ 0 };
}

void windows_say_rest(const struct windows *w)
{
    size_t rest = w->n_ids - w->n * text_tokens(w);
    if (rest > 0)
        fprintf(stderr, "the last %zu of the text's %zu tokens are left out\n", rest, w->n_ids);
}

void window_ids(const struct windows *w, size_t i, int32_t *out)
{
    size_t n_of_text = text_tokens(w);
    if (w->bos >= 0)
        *out++ = w->bos;
    memcpy(out, w->ids + i * n_of_text, n_of_text * sizeof *out);
}

/* ---- the model ---- */

bool measured_open(struct measured *m, hearth_model_options options, const struct windows *w, int n_threads,
                   int n_in_flight, hearth_error *err)
{
    m->n_in_flight = n_in_flight > 0 ? n_in_flight : max_int(1, min_int(MOST_IN_FLIGHT, 4 * STEP_TOKENS / w->n_tokens));
    hearth_engine_options engine = { .n_threads = n_threads, .n_seqs = m->n_in_flight, .n_step_tokens = STEP_TOKENS };
    options.n_ctx_tokens = w->n_tokens;
    m->engine = hearth_engine_create(&engine, err);
    m->model = loading_model(m->engine, &options, err);
    return m->model != NULL;
}

void measured_close(struct measured *m)
{
    hearth_model_release(m->model);
    hearth_engine_destroy(m->engine);
    *m = (struct measured){ 0 };
}

/* ---- scores ---- */

void score_add(struct score *all, const struct score *one)
{
    all->n += one->n;
    all->sum += one->sum;
    all->sum_of_squares += one->sum_of_squares;
}

double score_mean(const struct score *s) { return s->sum / (double)s->n; }

double score_perplexity(const struct score *s) { return exp(score_mean(s)); }

double score_standard_error(const struct score *s)
{
    double mean = score_mean(s), n = (double)s->n;
    if (s->n < 2)
        return 0;
    return sqrt(fmax(0, s->sum_of_squares / n - mean * mean) / (n - 1)) * exp(mean); /* d exp(x) = exp(x) dx */
}

/* ---- running ---- */

static hearth_stream *submit(struct measured *m, const struct window_run *run, size_t i, int32_t *ids,
                             hearth_error *err)
{
    const struct windows *w = run->windows;
    window_ids(w, i, ids);
    hearth_request r = { .prompt_ids = ids, .n_prompt_ids = (size_t)w->n_tokens, .no_prefix_cache = true,
                         .score = true, .score_from = run->from, .on_logits = run->on_logits,
                         .on_logits_arg = run->arg };
    hearth_sampling_defaults(NULL, &r.sampling, NULL);
    hearth_stream *s = hearth_submit(m->model, &r, err);
    if (s)
        hearth_stream_on_wake(s, interrupt_wake, NULL);
    return s;
}

/* To its END, whatever happens: on_logits may be called until then. */
static bool read_window(hearth_stream *s, struct score *score, hearth_error *err)
{
    hearth_event e;
    *score = (struct score){ 0 };
    while (interrupt_next(s, &e)) {
        double nll = -(double)e.logprob;
        score->n++;
        score->sum += nll;
        score->sum_of_squares += nll * nll;
    }
    if (e.reason == HEARTH_END_ERROR && err)
        *err = *hearth_stream_error(s);
    if (e.reason == HEARTH_END_CANCELLED)
        fail(err, HEARTH_ERR_CANCELLED, "interrupted; nothing is reported of a part of the text");
    return e.reason == HEARTH_END_LENGTH;
}

/* Cancelled and read to its END: an engine that is destroyed before does not let go of it. */
static void stop(hearth_stream *s)
{
    hearth_event e;
    if (!s)
        return;
    hearth_stream_cancel(s);
    while (hearth_stream_next(s, &e))
        ;
    hearth_stream_close(s);
}

static void show_progress(const struct window_run *run, size_t n_done, const struct score *all)
{
    char text[48] = "";
    if (all->n > 0)
        snprintf(text, sizeof text, "perplexity %.4f", score_perplexity(all));
    if (run->progress)
        progress_show(run->progress, n_done * (uint64_t)run->windows->n_tokens,
                      run->n * (uint64_t)run->windows->n_tokens, text);
}

bool windows_run(struct measured *m, const struct window_run *run, struct score *each, hearth_error *err)
{
    hearth_stream *streams[MOST_IN_FLIGHT] = { NULL };
    int32_t *ids = mem_alloc((size_t)run->windows->n_tokens * sizeof *ids);
    struct score all = { 0 };
    size_t sent = 0, done = 0;
    bool ok = ids || fail_memory(err, "a window");
    while (ok && done < run->n) {
        while (ok && sent < run->n && sent - done < (size_t)m->n_in_flight) {
            streams[sent % MOST_IN_FLIGHT] = submit(m, run, run->first + sent, ids, err);
            ok = streams[sent % MOST_IN_FLIGHT] != NULL;
            sent += ok;
        }
        hearth_stream **oldest = &streams[done % MOST_IN_FLIGHT];
        if (!ok)
            break;
        ok = read_window(*oldest, &each[done], err);
        hearth_stream_close(*oldest);
        *oldest = NULL;
        score_add(&all, &each[done++]);
        show_progress(run, done, &all);
    }
    for (int i = 0; i < MOST_IN_FLIGHT; i++) /* after a failure */
        stop(streams[i]);
    mem_free(ids);
    return ok;
}
