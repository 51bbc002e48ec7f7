#include "engine/pace.h"

#include <math.h>

double pace_cost(double attended, int n_before, int n)
{
    return n * (1 + attended * (n_before + 0.5 * n));
}

/* n + attended * (n_before n + n^2 / 2) = cost, for n. */
int pace_fit(double attended, int n_before, double cost)
{
    if (cost <= 0)
        return 0;
    double one = 1 + attended * n_before, n = 2 * cost / (one + sqrt(one * one + 2 * attended * cost));
    return n > 1e9 ? 1000000000 : (int)n;
}

/* The mean of the last few: one that took long for no reason is forgotten as soon. */
static double towards(double mean, double ms) { return mean > 0 ? mean + (ms - mean) / 4 : ms; }

void pace_learn(struct pace *p, double prompt_cost, int n_answers, double ms)
{
    if (ms <= 0)
        return;
    if (prompt_cost <= 0) {
        p->answers_ms = towards(p->answers_ms, ms);
        return;
    }
    double prompt_ms = n_answers > 0 && p->answers_ms < ms ? ms - p->answers_ms : ms;
    p->token_ms = towards(p->token_ms, prompt_ms / prompt_cost);
}

double pace_room(const struct pace *p, int n_answers, int n_seqs, double target_ms)
{
    if (n_answers == 0 && n_seqs == 1)
        return PACE_ANY_COST;
    double least = n_answers ? PACE_LEAST_TOKENS : PACE_UNWATCHED_LEAST;
    if (p->token_ms <= 0)
        return n_answers ? PACE_FIRST_TOKENS : least;
    double left = n_answers ? fmax(target_ms - p->answers_ms, p->answers_ms) : PACE_UNWATCHED * target_ms;
    return fmax(left / p->token_ms, least);
}
