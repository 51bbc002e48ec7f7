/* windows.h: a text cut into windows of tokens, and a model run over them.
 *
 * Windows do not overlap; the rest that fills none is dropped. Each is computed for itself, so the result of one does
 * not depend on the others, on the threads or on how many are in flight. */
#pragma once
#include "cli/command.h"
#include "cli/progress.h"

enum { WINDOW_TOKENS = 256 };

/* Rows of option tables. */
#define OPT_WINDOW_ROW                                                                                        \
    {                                                                                                         \
        .name = "window", .type = OPT_INT, .value = "N", .least = 4, .most = 1 << 20, .dflt = "256",           \
        .help = "tokens of a window"                                                                          \
    }
#define OPT_WINDOW_LIMIT_ROW                                                                                  \
    {                                                                                                         \
        .name = "limit", .type = OPT_INT, .value = "N", .least = 1, .most = 1 << 30, .dflt = "all",            \
        .help = "stop after this many windows"                                                                \
    }

struct windows {
    int32_t *ids; /* of the whole text */
    size_t n_ids;
    int32_t bos; /* begins every window; -1: they are text alone */
    int n_tokens; /* of a window, BOS included */
    size_t n;     /* windows */
};

/* The file at path ("-": standard input) by the vocabulary of `file`; special tokens are plain text. with_bos: where
 * the file asks for one. limit: most windows; 0: all. HEARTH_ERR_USAGE when the text does not fill one.
 * Release with windows_free(), also after a failure. */
bool windows_read(struct windows *w, hearth_file *file, const char *path, int n_tokens, bool with_bos, size_t limit,
                  hearth_error *err);
/* The same of a text in memory; name: what a sentence calls it. */
bool windows_of_text(struct windows *w, hearth_file *file, const char *name, struct str text, int n_tokens,
                     bool with_bos, size_t limit, hearth_error *err);
void windows_free(struct windows *w);
/* How much of the text was not used, on standard error; nothing when it was all. */
void windows_say_rest(const struct windows *w);
/* out: [n_tokens] of window i. */
void window_ids(const struct windows *w, size_t i, int32_t *out);

/* An engine of its own with one model in it. */
struct measured {
    hearth_engine *engine;
    hearth_model *model;
    int n_in_flight; /* windows computed side by side */
};

/* n_in_flight 0: as many as fill a step. options: source, observer, preload and lock; the context is a window. */
bool measured_open(struct measured *m, hearth_model_options options, const struct windows *w, int n_threads,
                   int n_in_flight, hearth_error *err);
void measured_close(struct measured *m); /* fine on a zeroed struct */

/* Negative log-likelihood (natural log) over scored tokens. */
struct score {
    size_t n;
    double sum, sum_of_squares;
};
void score_add(struct score *all, const struct score *one);
double score_mean(const struct score *s);
double score_perplexity(const struct score *s);
/* Of the perplexity, from the spread of its tokens taken as independent. */
double score_standard_error(const struct score *s);

/* Run windows first..first+n, scoring tokens from index `from` on; each[i] is filled for window first+i. on_logits as
 * in hearth_request; with it only one window may be in flight. progress may be NULL. Ctrl-C (interrupt_hold()) ends it
 * with HEARTH_ERR_CANCELLED. */
struct window_run {
    const struct windows *windows;
    size_t first, n, from;
    void (*on_logits)(void *arg, size_t index, const float *logits, int n_vocab);
    void *arg;
    struct progress *progress;
};
bool windows_run(struct measured *m, const struct window_run *run, struct score *each, hearth_error *err);
