/* temperature.c: divide logits by the temperature T, or by one that follows the entropy.
 *
 * Dynamic temperature (as its author kalomaze describes it, 2023): with dynatemp_range r > 0,
 * T = low + (high - low) * (H / H_max)^dynatemp_exponent, low = max(0, T - r), high = T + r, H the entropy of the
 * candidates so far, H_max = ln of their number. A T of 0 leaves the likeliest. */
#include "infer/sampler.h"
#include "kernel/num.h"

static bool wanted(const hearth_sampling *params) { return params->temperature != 1 || params->dynatemp_range > 0; }

/* H / H_max, 0 for a single candidate. */
static double relative_entropy(struct choice *ch)
{
    double sum = choice_weigh(ch), entropy = 0;
    for (int i = 0; i < ch->n; i++) {
        double p = ch->room->weights[i] / sum;
        if (p > 0)
            entropy -= p * num_log(p);
    }
    if (ch->n < 2 || !(entropy > 0))
        return 0;
    double share = entropy / num_log((double)ch->n);
    return share < 1 ? share : 1;
}

static double dynamic(struct choice *ch)
{
    const hearth_sampling *p = ch->params;
    double t = (double)p->temperature, range = (double)p->dynatemp_range, exponent = (double)p->dynatemp_exponent;
    double low = t > range ? t - range : 0, high = t + range;
    choice_gather(ch);
    double share = relative_entropy(ch);
    double power = exponent == 0 ? 1 : share > 0 ? num_pow(share, exponent) : 0;
    return low + (high - low) * power;
}

static void apply(struct choice *ch)
{
    double t = (double)ch->params->temperature;
    if (t == 0)
        return; /* the arg-max comes */
    if (ch->params->dynatemp_range > 0)
        t = dynamic(ch);
    if (t > 0)
        ch->temperature *= t;
    else
        ch->n = 1;
}

const struct sampler sampler_temperature = { false, wanted, apply };
