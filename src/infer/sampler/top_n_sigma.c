/* top_n_sigma.c: keep the logits within n standard deviations of the largest
 * (Tang et al., "Top-n-sigma: Not All Logits Are You Need", 2024).
 *
 * Keep l[i] >= max l - n * sigma, with sigma^2 the mean of (l[i] - mean l)^2 over the candidates that are finite. The
 * rule does not depend on the temperature: both sides are divided by it. */
#include <math.h>

#include "infer/sampler.h"

enum { PARTS = 8 };

static bool wanted(const hearth_sampling *params) { return params->top_n_sigma > 0; }

static double finite_or(double x, double other) { return x - x == 0 ? x : other; }

/* Sum of (x - minus)^power over the finite ones, power 1 or 2: eight partial sums, value i into part i mod 8. `stride`:
 * floats from one to the next. */
static double sum_of(const float *x, int n, int stride, double minus, bool squares)
{
    double part[PARTS] = { 0 };
    for (int i = 0; i < n; i += PARTS)
        for (int j = 0; j < PARTS && i + j < n; j++) {
            double d = finite_or((double)x[(i + j) * stride], minus) - minus;
            part[j] += squares ? d * d : d;
        }
    return ((part[0] + part[4]) + (part[2] + part[6])) + ((part[1] + part[5]) + (part[3] + part[7]));
}

static int count_finite(const float *x, int n, int stride)
{
    int count = 0;
    for (int i = 0; i < n; i++)
        count += x[i * stride] - x[i * stride] == 0;
    return count;
}

static void apply(struct choice *ch)
{
    const float *x = ch->all ? ch->logits : &ch->c[0].logit;
    int stride = ch->all ? 1 : (int)(sizeof *ch->c / sizeof *x), n = ch->all ? ch->n_vocab : ch->n;
    int count = count_finite(x, n, stride);
    double mean = count ? sum_of(x, n, stride, 0, false) / count : 0;
    double sigma = count ? sqrt(sum_of(x, n, stride, mean, true) / count) : 0;
    choice_keep_from(ch, (double)choice_best(ch) - (double)ch->params->top_n_sigma * sigma);
}

const struct sampler sampler_top_n_sigma = { true, wanted, apply };
