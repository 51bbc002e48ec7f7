#include "cli/bench_figures.h"

#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/err.h"

double bench_pass_bytes(const hearth_cost *c, int n_seqs, double n_seen)
{
    return (double)c->pass_bytes + n_seqs * n_seen * (double)c->kv_read_bytes;
}

double bench_prompt_macs(const hearth_cost *c, int n_tokens)
{
    double n = n_tokens;
    return n * (double)c->layer_macs + n * (n + 1) / 2 * (double)c->attention_macs + (double)c->output_macs;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *v, int n, double *low, double *high)
{
    if (n > 0)
        qsort(v, (size_t)n, sizeof *v, by_value);
    if (low)
        *low = n > 0 ? v[n / 4] : 0;
    if (high)
        *high = n > 0 ? v[3 * n / 4] : 0;
    return n > 0 ? v[n / 2] : 0;
}

void bench_add_reading(struct bench_readings *r, double v)
{
    if (r->n < BENCH_MOST_READINGS)
        r->v[r->n++] = v;
}

static int by_others(const void *a, const void *b)
{
    const struct bench_run *x = a, *y = b;
    return (x->others > y->others) - (x->others < y->others);
}

void bench_summarize(struct bench_summary *s, const struct bench_row *row, int n)
{
    struct bench_run run[BENCH_MOST_RUNS];
    double tok_s[BENCH_MOST_RUNS], share[BENCH_MOST_RUNS], roof[BENCH_MOST_RUNS], others[BENCH_MOST_RUNS];
    memcpy(run, row->run, sizeof run);
    qsort(run, (size_t)row->n_runs, sizeof *run, by_others);
    s->n = min_int(n, row->n_runs);
    for (int i = 0; i < s->n; i++) {
        tok_s[i] = run[i].tok_s;
        share[i] = run[i].tok_s * row->amount / 1e9 / run[i].roof;
        roof[i] = run[i].roof;
        others[i] = run[i].others;
    }
    s->tok_s = bench_median(tok_s, s->n, &s->low, &s->high);
    s->share = bench_median(share, s->n, NULL, NULL);
    s->roof = bench_median(roof, s->n, NULL, NULL);
    s->others = bench_median(others, s->n, NULL, NULL);
}

bool bench_read_list(const char *option, const char *text, int least, int most, int out[BENCH_LIST_MOST], int *n,
                     hearth_error *err)
{
    *n = 0;
    if (strcmp(text, "none") == 0)
        return true;
    for (const char *at = text;; at++) {
        char *end;
        long v = strtol(at, &end, 10);
        if (end == at || (*end && *end != ',') || v < least || v > most || *n == BENCH_LIST_MOST)
            return fail(err, HEARTH_ERR_USAGE,
                        "--%s is '%.80s'; give up to %d numbers from %d to %d with commas between, or none", option,
                        text, BENCH_LIST_MOST, least, most);
        out[(*n)++] = (int)v;
        at = end;
        if (!*at)
            return true;
    }
}
