/* min_p.c: drop tokens much less likely than the best one.
 *
 * Keep token i when p[i] >= min_p * p[best]. With p = exp(logit) / Z the Z cancels, so logits
 * are compared and no softmax is needed. Candidates are sorted, so the rest follows. */
#include "infer/sampler.h"
#include "kernel/num.h"

static bool wanted(const hearth_sampling *params) { return params->min_p > 0; }

static void apply(struct candidates *cs, const hearth_sampling *params)
{
    double least = (double)cs->c[0].logit + num_log((double)params->min_p);
    int kept = 1;
    while (kept < cs->n && (double)cs->c[kept].logit >= least)
        kept++;
    cs->n = kept;
}

const struct sampler sampler_min_p = { "min_p", wanted, apply };
