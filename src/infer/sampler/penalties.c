/* penalties.c: make recent tokens less likely.
 *
 * For a token that stands c > 0 times in the last repeat_last_n: its logit is divided by repeat_penalty (multiplied
 * where it is negative, so that a penalty never helps: CTRL, Keskar et al. 2019), then c * frequency_penalty +
 * presence_penalty is subtracted (as the OpenAI API documents them). */
#include "infer/sampler.h"

static bool wanted(const hearth_sampling *p)
{
    return p->repeat_penalty != 1.0f || p->presence_penalty != 0 || p->frequency_penalty != 0;
}

static float adjusted(float x, int count, const hearth_sampling *p)
{
    x = x > 0 ? x / p->repeat_penalty : x * p->repeat_penalty;
    return x - ((float)count * p->frequency_penalty + p->presence_penalty);
}

static void apply(struct choice *ch)
{
    const struct sampling_state *s = ch->state;
    int n = min_int(ch->params->repeat_last_n, s->n_history);
    const int32_t *window = n > 0 ? s->history + s->n_history - n : NULL;
    for (int i = 0; i < n; i++)
        if (ch->room->counts[window[i]] < UINT16_MAX)
            ch->room->counts[window[i]]++;
    choice_adjust(ch, window, n, adjusted);
}

const struct sampler sampler_penalties = { false, wanted, apply };
