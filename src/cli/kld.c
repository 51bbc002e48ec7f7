#include "cli/kld.h"

#include <math.h>
#include <stdlib.h>

double kld_log_sum_exp(const float *x, int n, int *top)
{
    double sum = 0;
    *top = 0;
    for (int i = 1; i < n; i++)
        if (x[i] > x[*top])
            *top = i;
    for (int i = 0; i < n; i++)
        sum += exp((double)x[i] - (double)x[*top]);
    return log(sum) + (double)x[*top];
}

void kld_compare(const float *logits, const float *reference, int n_vocab, int32_t token, struct kld_position *out)
{
    int top, top_reference;
    double all = kld_log_sum_exp(logits, n_vocab, &top);
    double all_reference = kld_log_sum_exp(reference, n_vocab, &top_reference);
    double divergence = 0;
    for (int i = 0; i < n_vocab; i++) {
        double log_p = (double)reference[i] - all_reference, log_q = (double)logits[i] - all;
        divergence += exp(log_p) * (log_p - log_q);
    }
    *out = (struct kld_position){ .divergence = divergence,
                                  .p = exp((double)logits[token] - all),
                                  .p_reference = exp((double)reference[token] - all_reference),
                                  .same_top = top == top_reference };
}

static int by_divergence(const void *a, const void *b)
{
    const struct kld_position *x = a, *y = b;
    return (x->divergence > y->divergence) - (x->divergence < y->divergence);
}

/* Between the two positions nearest to it, on a straight line. */
static double percentile(const struct kld_position *sorted, size_t n, double share)
{
    double at = share * (double)(n - 1);
    size_t low = (size_t)at, high = min_size(low + 1, n - 1);
    return sorted[low].divergence + (at - (double)low) * (sorted[high].divergence - sorted[low].divergence);
}

void kld_summarize(struct kld_position *positions, size_t n, struct kld_summary *out)
{
    double sum = 0, squares = 0, difference = 0, difference_squares = 0, same = 0, count = (double)n;
    for (size_t i = 0; i < n; i++) {
        double d = positions[i].p - positions[i].p_reference;
        sum += positions[i].divergence;
        difference += d;
        difference_squares += d * d;
        same += positions[i].same_top;
    }
    *out = (struct kld_summary){ .mean = sum / count,
                                 .same_top = same / count,
                                 .mean_difference = difference / count,
                                 .rms_difference = sqrt(difference_squares / count) };
    for (size_t i = 0; i < n; i++)
        squares += (positions[i].divergence - out->mean) * (positions[i].divergence - out->mean);
    out->standard_error = n > 1 ? sqrt(squares / (count - 1) / count) : 0;
    qsort(positions, n, sizeof *positions, by_divergence);
    out->median = percentile(positions, n, 0.5);
    out->p90 = percentile(positions, n, 0.9);
    out->p99 = percentile(positions, n, 0.99);
    out->max = positions[n - 1].divergence;
}
