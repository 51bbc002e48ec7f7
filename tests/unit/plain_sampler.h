/* plain_sampler.h: what the stages between logits and a token should do, written from the papers' formulas: double
 * precision, probabilities of everything, sorting of everything, libm. Where a decision hangs on less than MARGIN (a
 * probability sum that just reaches p, say) rounding may decide it otherwise: whoever compares looks at `margin`. */
#pragma once
#include <float.h>
#include <math.h>

#include "base/rng.h"
#include "infer/sampler.h"

enum { N = 400 }; /* most tokens */
#define MARGIN 1e-6 /* penalties are float: 6e-8 of the logit; everything else double */

/* The real ones: whether they run is theirs to say. */
#define STAGE(name, spellings, help) extern const struct sampler sampler_##name;
#include "hearth/sampling_stages.def"
static const struct sampler *const stages[] = {
#define STAGE(name, spellings, help) &sampler_##name,
#include "hearth/sampling_stages.def"
};

struct ref {
    int n, id[N];
    double x[N], t;
    float given[N]; /* the logits that it began with, by id */
    double margin; /* the least distance of a decision from going the other way */
    const hearth_sampling *p;
    const struct sampling_state *s;
};

static inline void decided(struct ref *r, double by)
{
    by = fabs(by);
    if (!(by >= r->margin)) /* a NaN, too */
        r->margin = isnan(by) ? 0 : by;
}

static inline void ref_sort(struct ref *r)
{
    for (int i = 1; i < r->n; i++)
        for (int j = i; j > 0 && (r->x[j] > r->x[j - 1] || (r->x[j] == r->x[j - 1] && r->id[j] < r->id[j - 1])); j--) {
            double x = r->x[j];
            int id = r->id[j];
            r->x[j] = r->x[j - 1];
            r->id[j] = r->id[j - 1];
            r->x[j - 1] = x;
            r->id[j - 1] = id;
        }
    for (int i = 1; i < r->n; i++)
        if (isfinite(r->x[i]) && r->x[i] != r->x[i - 1])
            decided(r, (r->x[i - 1] - r->x[i]) / fmax(1, fabs(r->x[i])));
        else if (isfinite(r->x[i]) && r->given[r->id[i]] != r->given[r->id[i - 1]])
            decided(r, 0); /* penalties made them equal, as far as rounding lets one say */
}

static inline void ref_softmax(const struct ref *r, double *p)
{
    double sum = 0;
    for (int i = 0; i < r->n; i++)
        sum += p[i] = r->x[i] == r->x[0] ? 1 : exp((r->x[i] - r->x[0]) / r->t);
    for (int i = 0; i < r->n; i++)
        p[i] /= sum;
}

static inline void ref_penalties(struct ref *r)
{
    const struct sampling_state *s = r->s;
    for (int i = 0; i < r->n; i++) {
        int count = 0;
        for (int j = s->n_history - 1; j >= 0 && j >= s->n_history - r->p->repeat_last_n; j--)
            count += s->history[j] == r->id[i];
        if (!count)
            continue;
        double x = r->x[i], repeat = (double)r->p->repeat_penalty;
        x = x > 0 ? x / repeat : x * repeat;
        r->x[i] = (double)(float)(x - count * (double)r->p->frequency_penalty - (double)r->p->presence_penalty);
    }
    ref_sort(r);
}

static inline bool ref_breaks(const struct sampling_state *s, int id)
{
    return s->breakers && (s->breakers[id / 64] >> id % 64 & 1);
}

/* As its author describes it: every earlier place of the last token, extended backwards. */
static inline void ref_dry(struct ref *r)
{
    const struct sampling_state *s = r->s;
    int n = r->p->dry_penalty_last_n, longest[N] = { 0 };
    n = n < 0 || n > s->n_history ? s->n_history : n;
    const int32_t *h = s->history + s->n_history - n;
    if (n < 1 || ref_breaks(s, h[n - 1]))
        return;
    for (int i = 0; i < n - 1; i++) {
        int len = 0;
        while (len <= i && h[i - len] == h[n - 1 - len] && !ref_breaks(s, h[i - len]))
            len++;
        if (len > longest[h[i + 1]] && !ref_breaks(s, h[i + 1]))
            longest[h[i + 1]] = len;
    }
    for (int i = 0; i < r->n; i++) {
        int len = longest[r->id[i]];
        if (len >= 1 && len >= r->p->dry_allowed_length)
            r->x[i] = (double)(float)(r->x[i] - fmin((double)FLT_MAX, (double)r->p->dry_multiplier
                                            * pow((double)r->p->dry_base, len - r->p->dry_allowed_length)));
    }
    ref_sort(r);
}

static inline void ref_top_n_sigma(struct ref *r)
{
    double sum = 0, squares = 0;
    int count = 0, kept = 0;
    for (int i = 0; i < r->n; i++)
        if (isfinite(r->x[i])) {
            sum += r->x[i];
            count++;
        }
    for (int i = 0; i < r->n; i++)
        if (isfinite(r->x[i]))
            squares += pow(r->x[i] - sum / count, 2);
    double least = r->x[0] - (count ? (double)r->p->top_n_sigma * sqrt(squares / count) : 0);
    for (; kept < r->n && (kept == 0 || r->x[kept] >= least); kept++)
        ;
    for (int i = 1; i < r->n; i++)
        if (isfinite(r->x[i]) && squares > 0)
            decided(r, (r->x[i] - least) / fmax(1, fabs(least)));
    r->n = kept;
}

static inline void ref_top_k(struct ref *r) { r->n = r->p->top_k < r->n ? r->p->top_k : r->n; }

static inline void ref_top_p(struct ref *r)
{
    double p[N], sum = 0;
    int kept = 0;
    ref_softmax(r, p);
    for (; kept < r->n && (kept == 0 || sum < (double)r->p->top_p); kept++) {
        sum += p[kept];
        decided(r, sum - (double)r->p->top_p);
    }
    r->n = kept;
}

static inline void ref_min_p(struct ref *r)
{
    double p[N];
    int kept = 1;
    ref_softmax(r, p);
    while (kept < r->n && p[kept] >= (double)r->p->min_p * p[0])
        kept++;
    for (int i = 1; i < r->n; i++)
        if (r->x[i] != r->x[0])
            decided(r, p[i] / ((double)r->p->min_p * p[0]) - 1);
    r->n = kept;
}

static inline void ref_typ_p(struct ref *r)
{
    double p[N], deviation[N], entropy = 0, sum = 0;
    bool in[N] = { false };
    int n_in = 0, last = -1;
    ref_softmax(r, p);
    for (int i = 0; i < r->n; i++)
        entropy -= p[i] > 0 ? p[i] * log(p[i]) : 0;
    for (int i = 0; i < r->n; i++)
        deviation[i] = p[i] > 0 ? fabs(-log(p[i]) - entropy) : INFINITY;
    while (n_in < r->n && (n_in == 0 || sum < (double)r->p->typical_p)) {
        int next = -1;
        for (int i = 0; i < r->n; i++)
            if (!in[i] && (next < 0 || deviation[i] < deviation[next]))
                next = i;
        in[next] = true;
        sum += p[last = next];
        n_in++;
        decided(r, sum - (double)r->p->typical_p);
    }
    for (int i = 0; i < r->n; i++) /* one that did not get in, and might have before the last one */
        if (!in[i] && r->x[i] != r->x[last])
            decided(r, deviation[i] - deviation[last]);
    int kept = 0;
    for (int i = 0; i < r->n; i++)
        if (in[i]) {
            r->x[kept] = r->x[i];
            r->id[kept++] = r->id[i];
        }
    r->n = kept;
}

static inline void ref_xtc(struct ref *r)
{
    double p[N], u = sampling_random(r->s->seed, (uint64_t)r->s->n_history, SUB_XTC);
    int n_top = 0;
    if (u >= (double)r->p->xtc_probability)
        return;
    ref_softmax(r, p);
    for (int i = 0; i < r->n; i++) {
        n_top += p[i] >= (double)r->p->xtc_threshold;
        decided(r, p[i] - (double)r->p->xtc_threshold);
    }
    for (int i = 0; n_top >= 2 && i < r->n - (n_top - 1); i++) {
        r->x[i] = r->x[i + n_top - 1];
        r->id[i] = r->id[i + n_top - 1];
    }
    r->n -= n_top >= 2 ? n_top - 1 : 0;
}

static inline void ref_temperature(struct ref *r)
{
    double t = (double)r->p->temperature, range = (double)r->p->dynatemp_range, p[N], entropy = 0;
    if (range > 0) {
        ref_softmax(r, p);
        for (int i = 0; i < r->n; i++)
            entropy -= p[i] > 0 ? p[i] * log(p[i]) : 0;
        double share = r->n > 1 ? fmin(1, fmax(0, entropy / log(r->n))) : 0, low = fmax(0, t - range);
        t = low + (t + range - low) * pow(share, (double)r->p->dynatemp_exponent);
        if (t < 1e-3) /* so cold that rounding of the entropy shows */
            decided(r, 0);
    }
    if (t > 0)
        r->t *= t;
    else
        r->n = 1;
}

static void (*const ref_stages[HEARTH_N_STAGES])(struct ref *) = {
#define STAGE(name, spellings, help) ref_##name,
#include "hearth/sampling_stages.def"
};

static inline void ref_begin(struct ref *r, const float *logits, int n, const struct sampling_state *s)
{
    *r = (struct ref){ .n = n, .t = 1, .margin = INFINITY, .p = s->params, .s = s };
    for (int i = 0; i < n; i++) {
        r->id[i] = i;
        r->x[i] = (double)(r->given[i] = logits[i]);
    }
    ref_sort(r);
    r->margin = INFINITY; /* given logits are exact */
}

/* The draw of the reference: the first token whose cumulative probability is above u. */
static inline int ref_draw(struct ref *r)
{
    double p[N], u = sampling_random(r->s->seed, (uint64_t)r->s->n_history, SUB_DRAW), sum = 0;
    int drawn = -1;
    ref_softmax(r, p);
    for (int i = 0; i < r->n; i++) {
        sum += p[i];
        decided(r, sum - u);
        if (drawn < 0 && (sum > u || i == r->n - 1))
            drawn = i;
    }
    return drawn;
}

/* Mirostat 2: cut by surprise, draw, and *mu for the next one. Returns the drawn one. */
static inline int ref_mirostat(struct ref *r, double *mu)
{
    double p[N];
    ref_softmax(r, p);
    int kept = 1;
    while (kept < r->n && -log2(p[kept]) <= *mu)
        kept++;
    for (int i = 1; i < r->n; i++)
        decided(r, -log2(p[i]) - *mu);
    r->n = kept;
    int drawn = ref_draw(r);
    ref_softmax(r, p);
    *mu -= (double)r->p->mirostat_eta * (-log2(p[drawn]) - (double)r->p->mirostat_tau);
    return drawn;
}

/* ---- random parameters ---- */

static inline float pick(struct rng *rng, float off, float low, float high)
{
    uint32_t kind = rng_below(rng, 8);
    return kind < 3 ? off : kind == 3 ? low : kind == 4 ? high : rng_uniform(rng, low, high);
}

static inline void random_params(struct rng *rng, hearth_sampling *s)
{
    hearth_sampling_defaults(NULL, s, NULL);
    s->temperature = pick(rng, 1, 0.01f, 5);
    s->top_k = (int)pick(rng, 0, 1, 60);
    s->top_p = pick(rng, 1, 0, 0.99f);
    s->min_p = pick(rng, 0, 1e-6f, 1);
    s->typical_p = pick(rng, 1, 0, 0.99f);
    s->top_n_sigma = pick(rng, 0, 0.01f, 4);
    s->xtc_probability = pick(rng, 0, 1, 0.5f);
    s->xtc_threshold = pick(rng, 0.1f, 0, 0.6f);
    s->dynatemp_range = pick(rng, 0, 0.1f, 3);
    s->dynatemp_exponent = pick(rng, 1, 0, 4);
    s->repeat_penalty = pick(rng, 1, 0.5f, 3);
    s->repeat_last_n = (int)pick(rng, 64, 0, 40);
    s->presence_penalty = pick(rng, 0, -2, 2);
    s->frequency_penalty = pick(rng, 0, -1, 1);
    s->dry_multiplier = pick(rng, 0, 0.1f, 5);
    s->dry_base = pick(rng, 1.75f, 1, 90);
    s->dry_allowed_length = (int)pick(rng, 2, 0, 6);
    s->dry_penalty_last_n = (int)pick(rng, -1, 0, 50);
}

static inline void random_order(struct rng *rng, hearth_sampling_order *o)
{
    *o = *sampling_order_standard();
    for (int i = o->n - 1; i > 0; i--) {
        uint32_t j = rng_below(rng, (uint32_t)i + 1);
        unsigned char t = o->stage[i];
        o->stage[i] = o->stage[j];
        o->stage[j] = t;
    }
    if (rng_below(rng, 3) == 0)
        o->n = (int)rng_below(rng, HEARTH_N_STAGES + 1);
}
