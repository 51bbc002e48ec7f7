/* typ_p.c: keep tokens whose surprise is near the expected one
 * (Meister et al., "Locally Typical Sampling", 2022).
 *
 * H = -sum p ln p over the candidates. Ordered by |-ln p - H|, the smallest set whose probabilities reach typical_p
 * stays; at least one. Of equal deviations the likelier comes first.
 *
 * Candidates are sorted, so -ln p ascends and |-ln p - H| falls, then rises: the most typical lie side by side, and the
 * set grows from where -ln p crosses H, by whichever neighbour is nearer. On the likelier side equal logits enter
 * together, lower ids first. */
#include <math.h>
#include <string.h>

#include "infer/sampler.h"
#include "kernel/num.h"

static bool wanted(const hearth_sampling *params) { return params->typical_p < 1; }

struct typical {
    const struct choice *ch;
    double log_sum; /* ln of the sum of weights: -ln p = log_sum - (logit - best) / temperature */
    double entropy;
};

static double surprise(const struct typical *t, int i)
{
    const struct candidate *c = t->ch->c;
    double below = c[i].logit == c[0].logit ? 0 : ((double)c[i].logit - (double)c[0].logit) / t->ch->temperature;
    return t->log_sum - below;
}

static double deviation(const struct typical *t, int i)
{
    double d = surprise(t, i) - t->entropy;
    return d < 0 ? -d : d;
}

/* Keep [from, to) and [again, end) of the candidates. */
static void keep_ranges(struct choice *ch, int from, int to, int again, int end)
{
    struct candidate *c = ch->c;
    memmove(c, c + from, (size_t)(to - from) * sizeof *c);
    memmove(c + (to - from), c + again, (size_t)(end - again) * sizeof *c);
    ch->n = to - from + end - again;
}

static void apply(struct choice *ch)
{
    choice_gather(ch);
    double sum = choice_weigh(ch), have = 0, reach = (double)ch->params->typical_p * sum;
    const double *w = ch->room->weights;
    struct typical t = { ch, num_log(sum), 0 };
    for (int i = 0; i < ch->n; i++)
        if (w[i] > 0)
            t.entropy += w[i] / sum * surprise(&t, i);
    int right = 0;
    while (right < ch->n && surprise(&t, right) < t.entropy)
        right++;
    int left = right; /* [left, right) is in */
    while (left == right || have < reach) {
        if (left > 0 && (right == ch->n || deviation(&t, left - 1) <= deviation(&t, right))) {
            int group = left - 1, to;
            while (group > 0 && ch->c[group - 1].logit == ch->c[left - 1].logit)
                group--;
            for (to = group; to < left && (to == group || have < reach); to++)
                have += w[to];
            if (to < left || have >= reach) {
                keep_ranges(ch, group, to, left, right);
                return;
            }
            left = group;
        } else if (right < ch->n) {
            have += w[right++];
        } else {
            break; /* rounding: all are in */
        }
    }
    keep_ranges(ch, left, right, right, right);
}

const struct sampler sampler_typ_p = { true, wanted, apply };
