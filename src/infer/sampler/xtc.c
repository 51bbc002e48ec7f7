/* xtc.c: now and then leave out the obvious ("Exclude Top Choices", as its author p-e-w describes it in the pull
 * request that brought it to text-generation-webui, 2024).
 *
 * With probability xtc_probability: of the tokens with p >= xtc_threshold all go but the least likely. With fewer than
 * two of them nothing happens, so a threshold above one half never does anything. */
#include "infer/sampler.h"

static bool wanted(const hearth_sampling *params)
{
    return params->xtc_probability > 0 && params->xtc_threshold <= 0.5f;
}

static void apply(struct choice *ch)
{
    const struct sampling_state *s = ch->state;
    if (!(sampling_random(s->seed, (uint64_t)s->n_history, SUB_XTC) < (double)ch->params->xtc_probability))
        return;
    choice_gather(ch);
    double least = (double)ch->params->xtc_threshold * choice_weigh(ch);
    int n_top = 0;
    while (n_top < ch->n && ch->room->weights[n_top] >= least)
        n_top++;
    if (n_top >= 2) {
        ch->c += n_top - 1;
        ch->n -= n_top - 1;
    }
}

const struct sampler sampler_xtc = { true, wanted, apply };
