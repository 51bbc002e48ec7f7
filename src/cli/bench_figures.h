/* bench_figures.h: what `hearth bench` counts, and what it makes of repeated runs. Pure. */
#pragma once
#include "hearth/hearth.h"

/* Bytes read for one token of each of n_seqs sequences that each see n_seen positions: the weights once, and every
 * sequence's own keys and values. */
double bench_pass_bytes(const hearth_cost *c, int n_seqs, double n_seen);
/* Multiply-adds of a prompt: token i sees i positions (itself too), and only the last one has logits. */
double bench_prompt_macs(const hearth_cost *c, int n_tokens);

enum { BENCH_MOST_RUNS = 60, BENCH_MOST_READINGS = 4096, BENCH_LIST_MOST = 16 };

enum bench_kind { BENCH_PREFILL, BENCH_DECODE, BENCH_BATCH, BENCH_N_KINDS };

/* One figure. */
struct bench_row {
    enum bench_kind kind;
    int n;         /* tokens of the prompt, of the context, or sequences */
    double amount; /* what a token needs of the roof: multiply-adds or bytes */
    int n_runs;
    struct bench_run {
        double tok_s;
        double roof;   /* 10^9 a second, the mean of the readings before and after */
        double others; /* share of the machine that others used meanwhile, percent */
    } run[BENCH_MOST_RUNS];
};

/* Of the runs that others disturbed least, at most n of them (all: BENCH_MOST_RUNS). */
struct bench_summary {
    double tok_s, low, high; /* median, quartiles */
    double share;            /* of the roof beside it, run by run; median */
    double roof, others;     /* medians */
    int n;
};
void bench_summarize(struct bench_summary *s, const struct bench_row *row, int n);

/* Readings of one roof. */
struct bench_readings {
    double v[BENCH_MOST_READINGS];
    int n;
};
/* Later ones than there is room for are dropped. */
void bench_add_reading(struct bench_readings *r, double v);
/* Median; quartiles where wanted (NULL: not). Sorts. 0 of none. */
double bench_median(double *v, int n, double *low, double *high);

/* "128,512" or "none" into out, each least..most. HEARTH_ERR_USAGE has --option, text and range. */
bool bench_read_list(const char *option, const char *text, int least, int most, int out[BENCH_LIST_MOST], int *n,
                     hearth_error *err);
