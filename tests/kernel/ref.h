/* ref.h: norm, rotation and attention written from their formulas, in double, for the checks. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

void ref_rmsnorm(double *y, const float *x, const float *weight, int n, double eps);
/* One head in place. */
void ref_rope(double *x, int n_rot, const float *cos, const float *sin, bool halves);
/* What changes attention; zeros: nothing. */
struct ref_rules {
    int first;         /* keys before this one are not seen */
    double soft_cap;
    const float *sink; /* of this query head */
};
/* One query that sees the last of n_keys keys; k and v are [key][head_dim]. */
void ref_attention(double *out, const float *q, const float *k, const float *v, int n_keys, int head_dim,
                   double scale, const struct ref_rules *rules);
