/* bench_runs.h: the runs that `hearth bench` times, through hearth.h alone. */
#pragma once
#include "base/machine.h"
#include "hearth/hearth.h"

enum { BENCH_SHORT_PROMPT = 16, BENCH_PLUG_PROMPT = 64, BENCH_MOST_SEQS = 63 };

struct bench_model {
    hearth_engine *engine;
    hearth_model *model;
    int n_vocab;
};

/* An engine of its own with the model in it. n_ctx 0: as without a word said. model: all but the context. */
bool bench_open(struct bench_model *m, const hearth_model_options *model, int n_threads, int n_seqs, int n_ctx,
                hearth_error *err);
void bench_close(struct bench_model *m); /* fine on a zeroed struct */

/* interrupt_init() comes first. After interrupt_hold() Ctrl-C ends a run with HEARTH_ERR_CANCELLED. */

/* A prompt of pseudo-random tokens and n_output tokens, the likeliest each, whatever they are. keep: what the cache
 * has of the same prompt from an earlier run need not be computed again. */
bool bench_answer(struct bench_model *m, int n_prompt, int n_output, bool keep, hearth_receipt *receipt,
                  hearth_error *err);
/* Tokens a second of a prompt, computed whole; of n_output >= 2 tokens but the first, after n_before others. */
bool bench_prefill(struct bench_model *m, int n_prompt, double *tok_s, hearth_error *err);
bool bench_decode(struct bench_model *m, int n_before, int n_output, double *tok_s, hearth_error *err);
/* n_seqs <= BENCH_MOST_SEQS at once, each with a short prompt of its own and n_output tokens: tokens a second of all
 * together. The engine was opened for one more. */
bool bench_together(struct bench_model *m, int n_seqs, int n_output, double *tok_s, hearth_error *err);

/* What others used of the machine since bench_watch_begin(). */
struct bench_watch {
    struct machine_use use;
    int64_t ns, own_ns;
};
void bench_watch_begin(struct bench_watch *w);
/* Percent of all processors, the host's part in it too; *stolen: that alone (NULL: not wanted). */
double bench_watch_others(const struct bench_watch *w, double *stolen);
