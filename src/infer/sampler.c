#include "infer/sampler.h"

#include "base/rng.h"
#include "kernel/num.h"

extern const struct sampler sampler_top_k, sampler_top_p, sampler_min_p;

const struct sampler *const sampler_chain[] = { &sampler_top_k, &sampler_top_p, &sampler_min_p, NULL };

/* ---- order ---- */

/* True when a comes before b: higher logit, then lower id. */
static bool before(struct candidate a, struct candidate b)
{
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

/* A heap of the best n with the worst of them on top. */
static void sift_down(struct candidate *heap, int n, int i)
{
    for (;;) {
        int worst = i, left = 2 * i + 1;
        for (int child = left; child < n && child <= left + 1; child++)
            if (before(heap[worst], heap[child]))
                worst = child;
        if (worst == i)
            return;
        struct candidate t = heap[i];
        heap[i] = heap[worst];
        heap[worst] = t;
        i = worst;
    }
}

int candidates_best(struct candidate *best, int n, const float *logits, int n_vocab)
{
    int have = min_int(n, n_vocab);
    if (have <= 0)
        return 0;
    for (int i = 0; i < have; i++)
        best[i] = (struct candidate){ i, logits[i] };
    for (int i = have / 2 - 1; i >= 0; i--)
        sift_down(best, have, i);
    for (int i = have; i < n_vocab; i++) {
        if (!(logits[i] > best[0].logit)) /* an equal one has a higher id: stays out */
            continue;
        best[0] = (struct candidate){ i, logits[i] };
        sift_down(best, have, 0);
    }
    for (int end = have - 1; end > 0; end--) { /* heap sort: worst to the back */
        struct candidate t = best[0];
        best[0] = best[end];
        best[end] = t;
        sift_down(best, end, 0);
    }
    return have;
}

/* ---- weights ---- */

double candidates_weigh(struct candidates *cs, double temperature)
{
    double sum = 0;
    for (int i = 0; i < cs->n; i++) {
        cs->weights[i] = num_exp(((double)cs->c[i].logit - (double)cs->c[0].logit) / temperature);
        sum += cs->weights[i];
    }
    return sum;
}

double logits_logsumexp(const struct kernels *k, const float *logits, int n_vocab)
{
    enum { TILE = 4096 };
    float max;
    k->argmax(logits, n_vocab, &max);
    double sum = 0;
    for (int at = 0; at < n_vocab; at += TILE)
        sum += (double)k->sum_exp(logits + at, min_int(TILE, n_vocab - at), max);
    return (double)max + num_log(sum);
}

/* ---- before the chain ---- */

static void apply_bias(float *logits, int n_vocab, const struct sampling_state *s)
{
    for (size_t i = 0; i < s->n_bias; i++)
        if (s->bias[i].id >= 0 && s->bias[i].id < n_vocab)
            logits[s->bias[i].id] += s->bias[i].bias;
}

/* Penalties touch the tokens of the window only. repeat: CTRL (Keskar et al. 2019);
 * presence and frequency as the OpenAI API documents them. */
static void apply_penalties(float *logits, const struct sampling_state *s, uint16_t *counts)
{
    const hearth_sampling *p = s->params;
    if (p->repeat_penalty == 1.0f && p->presence_penalty == 0 && p->frequency_penalty == 0)
        return;
    int n = min_int(p->repeat_last_n, s->n_history);
    const int32_t *window = s->history + s->n_history - n;
    for (int i = 0; i < n; i++)
        if (counts[window[i]] < UINT16_MAX)
            counts[window[i]]++;
    for (int i = 0; i < n; i++) {
        int32_t id = window[i];
        if (!counts[id])
            continue; /* done already */
        float x = logits[id];
        x = x > 0 ? x / p->repeat_penalty : x * p->repeat_penalty;
        x -= (float)counts[id] * p->frequency_penalty + p->presence_penalty;
        logits[id] = x;
        counts[id] = 0;
    }
}

/* ---- the choice ---- */

static int32_t draw(struct candidates *cs, const struct sampling_state *s)
{
    double sum = candidates_weigh(cs, (double)s->params->temperature);
    double at = rng_unit_of(rng_at(s->seed, (uint64_t)s->n_history)) * sum;
    for (int i = 0; i < cs->n; i++) {
        at -= cs->weights[i];
        if (at < 0)
            return cs->c[i].id;
    }
    return cs->c[cs->n - 1].id; /* rounding */
}

int32_t sampler_choose(const struct kernels *k, float *logits, int n_vocab, const struct sampling_state *state,
                       struct sampler_room *room)
{
    const hearth_sampling *p = state->params;
    apply_bias(logits, n_vocab, state);
    apply_penalties(logits, state, room->counts);
    if (p->temperature == 0) {
        float best;
        return k->argmax(logits, n_vocab, &best);
    }
    struct candidates cs = { .c = room->candidates, .weights = room->weights };
    int keep = p->top_k > 0 ? min_int(p->top_k, n_vocab) : n_vocab;
    cs.n = candidates_best(cs.c, keep, logits, n_vocab);
    for (int i = 0; sampler_chain[i]; i++)
        if (sampler_chain[i]->wanted(p) && cs.n > 1)
            sampler_chain[i]->apply(&cs, p);
    return draw(&cs, state);
}
