/* mirostat.c: steer the surprise of the text (Basu et al., "Mirostat: A Neural Text Decoding Algorithm that Directly
 * Controls Perplexity", 2021; version 2 as in its authors' implementation).
 *
 * Tokens whose surprise -log2 p is above mu go, all but the best; one of the rest is drawn by their probabilities q
 * (p over those that stay); then mu -= mirostat_eta * (-log2 q - mirostat_tau). mu begins at 2 * mirostat_tau.
 *
 * mu belongs to the sequence, and is a function of its choices so far: a replay has the same.
 *
 * As long as no stage has gathered the candidates, the sum of all weights is taken in single precision over fixed
 * tiles (logits_logsumexp), and the cut is a threshold on logits. */
#include "infer/sampler.h"
#include "kernel/num.h"

#define LN_2 0.6931471805599453

/* ln sum exp(logit / T) over all logits; room->spare holds the quotients. */
static double log_sum_of_all(const struct choice *ch)
{
    if (ch->temperature == 1)
        return logits_logsumexp(ch->k, ch->logits, ch->n_vocab);
    float *quotient = (float *)(void *)ch->room->spare;
    for (int i = 0; i < ch->n_vocab; i++)
        quotient[i] = (float)((double)ch->logits[i] / ch->temperature);
    return logits_logsumexp(ch->k, quotient, ch->n_vocab);
}

int32_t choice_mirostat(struct choice *ch)
{
    const hearth_sampling *p = ch->params;
    struct sampling_memory *memory = ch->state->memory;
    double log_sum; /* p = exp(logit / T - log_sum); -log2 p <= mu where logit >= T * (log_sum - mu ln 2) */
    if (ch->all)
        log_sum = log_sum_of_all(ch);
    else
        log_sum = (double)ch->c[0].logit / ch->temperature + num_log(choice_weigh(ch));
    choice_keep_from(ch, ch->temperature * (log_sum - memory->mu * LN_2));
    choice_saw(ch, HEARTH_STEP_mirostat);
    double sum = choice_weigh(ch);
    int chosen = choice_draw(ch, sum);
    double surprise = -num_log(ch->room->weights[chosen] / sum) / LN_2;
    memory->mu -= (double)p->mirostat_eta * (surprise - (double)p->mirostat_tau);
    return ch->c[chosen].id;
}
