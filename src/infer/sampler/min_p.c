/* min_p.c: drop tokens much less likely than the best one
 * (Nguyen et al., "Turning Up the Heat: Min-p Sampling", 2024).
 *
 * Keep token i when p[i] >= min_p * p[best]. With p = exp(logit / T) / Z the Z cancels, so logits
 * are compared and no softmax is needed: the rule is a threshold. */
#include "infer/sampler.h"
#include "kernel/num.h"

static bool wanted(const hearth_sampling *params) { return params->min_p > 0; }

static void apply(struct choice *ch)
{
    choice_keep_from(ch, (double)choice_best(ch) + ch->temperature * num_log((double)ch->params->min_p));
}

const struct sampler sampler_min_p = { true, wanted, apply };
