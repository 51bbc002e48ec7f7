/* top_p.c: keep the smallest set of likeliest tokens whose probabilities reach p
 * (nucleus sampling: Holtzman et al., "The Curious Case of Neural Text Degeneration", 2019).
 * Probabilities are those among the survivors so far, at temperature 1. */
#include "infer/sampler.h"

static bool wanted(const hearth_sampling *params) { return params->top_p < 1; }

static void apply(struct candidates *cs, const hearth_sampling *params)
{
    double sum = candidates_weigh(cs, 1.0), reach = (double)params->top_p * sum, have = 0;
    int kept = 0;
    while (kept < cs->n && (kept == 0 || have < reach))
        have += cs->weights[kept++];
    cs->n = kept;
}

const struct sampler sampler_top_p = { "top_p", wanted, apply };
