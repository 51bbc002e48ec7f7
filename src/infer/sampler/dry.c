/* dry.c: penalize tokens that would go on with a repetition ("Don't Repeat Yourself", as its author p-e-w describes it
 * in the pull request that brought it to text-generation-webui, 2024).
 *
 * Of the last dry_penalty_last_n tokens: where their end has stood before, x came next. The longest such end has L(x)
 * tokens; if L(x) >= max(1, dry_allowed_length), dry_multiplier * dry_base^(L(x) - dry_allowed_length) is subtracted
 * from x's logit. A token that is a sequence breaker belongs to no repetition and is never penalized.
 *
 * All L at once are the Z-function of the tokens read backwards (Gusfield, Algorithms on Strings, 1997): linear in
 * their number, also where everything repeats. Lengths count up to 65,535. */
#include <float.h>

#include "infer/sampler.h"
#include "kernel/num.h"

static bool wanted(const hearth_sampling *p) { return p->dry_multiplier > 0 && p->dry_penalty_last_n != 0; }

static bool breaks(const struct sampling_state *s, int32_t id)
{
    return s->breakers && (s->breakers[id / 64] >> (id % 64) & 1);
}

static float adjusted(float x, int length, const hearth_sampling *p)
{
    double by = (double)p->dry_multiplier * num_pow((double)p->dry_base, (double)(length - p->dry_allowed_length));
    return (float)((double)x - (by < (double)FLT_MAX ? by : (double)FLT_MAX));
}

/* z[j] = how many tokens before tokens[n - j] equal those at the end, one by one, without a breaker; j = 1..n - 1. */
static void find_matches(const struct sampling_state *s, const int32_t *tokens, int n, int32_t *z)
{
    const int32_t *last = tokens + n - 1;
    for (int j = 1, begin = 0, end = 0; j < n; j++) { /* [begin, end) is known to equal [0, end - begin) */
        int len = j < end ? min_int(end - j, z[j - begin]) : 0;
        while (j + len < n && last[-len] == last[-j - len] && !breaks(s, last[-len]))
            len++;
        z[j] = len;
        if (j + len > end) {
            begin = j;
            end = j + len;
        }
    }
}

static void apply(struct choice *ch)
{
    const struct sampling_state *s = ch->state;
    const hearth_sampling *p = ch->params;
    int n = p->dry_penalty_last_n < 0 ? s->n_history : min_int(p->dry_penalty_last_n, s->n_history);
    if (n < 2)
        return;
    const int32_t *tokens = s->history + s->n_history - n;
    int32_t *z = ch->room->matches;
    uint16_t *longest = ch->room->counts;
    find_matches(s, tokens, n, z);
    for (int j = 1; j < n; j++) {
        int32_t next = tokens[n - j];
        if (z[j] >= max_int(1, p->dry_allowed_length) && z[j] > longest[next] && !breaks(s, next))
            longest[next] = (uint16_t)min_int(z[j], UINT16_MAX);
    }
    choice_adjust(ch, tokens, n, adjusted);
}

const struct sampler sampler_dry = { false, wanted, apply };
