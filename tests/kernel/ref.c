#include "ref.h"

#include <math.h>

void ref_rmsnorm(double *y, const float *x, const float *weight, int n, double eps)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    for (int i = 0; i < n; i++)
        y[i] = (double)x[i] / sqrt(sum / n + eps) * (double)weight[i];
}

void ref_rope(double *x, int n_rot, const float *cos, const float *sin, bool halves)
{
    for (int i = 0; i < n_rot / 2; i++) {
        int a = halves ? i : 2 * i, b = halves ? i + n_rot / 2 : 2 * i + 1;
        double xa = x[a], xb = x[b];
        x[a] = xa * (double)cos[i] - xb * (double)sin[i];
        x[b] = xa * (double)sin[i] + xb * (double)cos[i];
    }
}

void ref_attention(double *out, const float *q, const float *k, const float *v, int n_keys, int head_dim,
                   double scale, const struct ref_rules *rules)
{
    double score[1024], most = rules->sink ? (double)*rules->sink : -INFINITY;
    for (int i = rules->first; i < n_keys; i++) {
        score[i] = 0;
        for (int d = 0; d < head_dim; d++)
            score[i] += (double)q[d] * (double)k[(long)i * head_dim + d];
        score[i] *= scale;
        if (rules->soft_cap > 0)
            score[i] = rules->soft_cap * tanh(score[i] / rules->soft_cap);
        most = fmax(most, score[i]);
    }
    double sum = rules->sink ? exp((double)*rules->sink - most) : 0;
    for (int d = 0; d < head_dim; d++)
        out[d] = 0;
    for (int i = rules->first; i < n_keys; i++) {
        double p = exp(score[i] - most);
        sum += p;
        for (int d = 0; d < head_dim; d++)
            out[d] += p * (double)v[(long)i * head_dim + d];
    }
    for (int d = 0; d < head_dim; d++)
        out[d] /= sum;
}
