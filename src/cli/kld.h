/* kld.h: how far one model's distributions are from another's. Pure.
 *
 * The Kullback-Leibler divergence (Kullback and Leibler, 1951) of a model Q from the reference P at one position is
 * the sum of P(i) * ln(P(i) / Q(i)) over the whole vocabulary: 0 where they agree, in nats. All in double. */
#pragma once
#include "base/base.h"

/* ln of the sum of exp over a row: a logit less that is the natural log of its probability. *top: the likeliest. */
double kld_log_sum_exp(const float *x, int n, int *top);

struct kld_position {
    double divergence;
    double p, p_reference; /* what the two give the token that came */
    bool same_top;         /* both find the same token likeliest (ties: the lower id) */
};

/* token: the one that came. A distribution and its equal have divergence 0 exactly. */
void kld_compare(const float *logits, const float *reference, int n_vocab, int32_t token, struct kld_position *out);

struct kld_summary {
    double mean, standard_error, median, p90, p99, max;
    double same_top;                    /* share of positions */
    double mean_difference, rms_difference; /* of p - p_reference */
};

/* n >= 1 positions; they are sorted by divergence. */
void kld_summarize(struct kld_position *positions, size_t n, struct kld_summary *out);
