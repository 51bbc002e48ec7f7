/* bench_runs.h: the runs that `hearth bench` times, through hearth.h alone. */
#pragma once
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

/* A prompt of pseudo-random tokens and n_output tokens, the likeliest each, whatever they are. keep: what the cache
 * has of the same prompt from an earlier run need not be computed again. */
bool bench_answer(struct bench_model *m, int n_prompt, int n_output, bool keep, hearth_receipt *receipt,
                  hearth_error *err);
/* n_seqs <= BENCH_MOST_SEQS at once, each with a short prompt of its own and n_output tokens: tokens a second of all
 * together. The engine was opened for one more. */
bool bench_together(struct bench_model *m, int n_seqs, int n_output, double *tok_s, hearth_error *err);
