/* top_p.c: keep the smallest set of likeliest tokens whose probabilities reach p
 * (nucleus sampling: Holtzman et al., "The Curious Case of Neural Text Degeneration", 2019).
 * Probabilities are those among the survivors so far, at the temperature so far. */
#include "infer/sampler.h"

static bool wanted(const hearth_sampling *params) { return params->top_p < 1; }

static void apply(struct choice *ch)
{
    choice_gather(ch);
    double sum = choice_weigh(ch), reach = (double)ch->params->top_p * sum, have = 0;
    int kept = 0;
    while (kept < ch->n && (kept == 0 || have < reach))
        have += ch->room->weights[kept++];
    ch->n = kept;
}

const struct sampler sampler_top_p = { true, wanted, apply };
