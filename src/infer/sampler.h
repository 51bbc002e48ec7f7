/* sampler.h: from logits to one token.
 *
 * The chain: logit bias, penalties, then at temperature 0 the arg-max; otherwise top_k,
 * top_p, min_p, temperature and one draw. All on survivors only, never sorting more than is
 * kept. Ties go to the lower id everywhere. No libm: the same logits, parameters, seed and
 * position give the same token on every machine. */
#pragma once
#include "kernel/kernel.h"

/* Memory for one vocabulary, owned by the engine and reused for every choice. */
struct sampler_room {
    struct candidate *candidates; /* [n_vocab] */
    double *weights;              /* [n_vocab] */
    uint16_t *counts;             /* [n_vocab] occurrences in the penalty window; all 0 between calls */
};

/* Candidates on their way through the chain, likeliest first once sorted. */
struct candidates {
    struct candidate *c;
    int n;
    double *weights;
};

struct sampling_state {
    const hearth_sampling *params;
    const hearth_logit_bias *bias;
    size_t n_bias;
    const int32_t *history; /* prompt and output so far */
    int n_history;
    uint64_t seed;
};

/* One stage: `wanted` false skips it. */
struct sampler {
    const char *name;
    bool (*wanted)(const hearth_sampling *params);
    void (*apply)(struct candidates *cs, const hearth_sampling *params);
};

/* NULL-terminated, in the order they run. */
extern const struct sampler *const sampler_chain[];

/* Choose a token. logits [n_vocab] are changed by bias and penalties. */
int32_t sampler_choose(const struct kernels *k, float *logits, int n_vocab, const struct sampling_state *state,
                       struct sampler_room *room);

/* exp(logit - best) of every candidate into cs->weights; returns their sum. */
double candidates_weigh(struct candidates *cs, double temperature);

/* The n likeliest of all logits, sorted; ties to the lower id. heap: [n] candidates. Returns how many. */
int candidates_best(struct candidate *best, int n, const float *logits, int n_vocab);

/* Natural log of the sum of exp over all logits, over fixed tiles merged in ascending order. */
double logits_logsumexp(const struct kernels *k, const float *logits, int n_vocab);
