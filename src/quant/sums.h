/* sums.h: the inner loops of the fit. Sums run over 8 partial sums in a fixed order, so that a compiler may
 * use vectors and the bits stay the same. */
#pragma once
#include "quant/fit.h"

enum { SUM_LANES = 8 };

struct quant_sums { /* over i of w, w x, w q, w q^2, w x q */
    float w, wx, wq, wqq, wxq;
};

static inline float sum_lanes(const float lane[SUM_LANES])
{
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

/* q[i]: the level nearest to (x[i] + shift) * inverse. */
static inline void quant_nearest(const struct quant_form *f, const float *x, int n, float shift, float inverse,
                                 float *q)
{
    const float round = 12582912.0f, least = (float)f->least, most = (float)f->most; /* 1.5 * 2^23 */
    if (!f->table) {
        for (int i = 0; i < n; i++) {
            float v = (x[i] + shift) * inverse;
            v = v > least ? v : least; /* a NaN (infinity * 0) gives least */
            v = v < most ? v : most;
            q[i] = v + round - round;
        }
        return;
    }
    for (int i = 0; i < n; i++)
        q[i] = least;
    for (int k = 1; k < f->n_table; k++) {
        float middle = 0.5f * (float)(f->table[k - 1] + f->table[k]), step = (float)(f->table[k] - f->table[k - 1]);
        for (int i = 0; i < n; i++)
            q[i] += (x[i] + shift) * inverse > middle ? step : 0;
    }
}

static inline struct quant_sums quant_sum(const float *x, const float *w, const float *q, int n)
{
    float sw[SUM_LANES] = { 0 }, swx[SUM_LANES] = { 0 }, swq[SUM_LANES] = { 0 }, swqq[SUM_LANES] = { 0 },
          swxq[SUM_LANES] = { 0 };
    for (int i = 0; i < n; i += SUM_LANES) {
        for (int j = 0; j < SUM_LANES; j++) {
            float wj = w[i + j], xj = x[i + j], qj = q[i + j], wq = wj * qj;
            sw[j] += wj;
            swx[j] += wj * xj;
            swq[j] += wq;
            swqq[j] += wq * qj;
            swxq[j] += wq * xj;
        }
    }
    return (struct quant_sums){ sum_lanes(sw), sum_lanes(swx), sum_lanes(swq), sum_lanes(swqq), sum_lanes(swxq) };
}

/* sum of w (x + offset - unit q)^2 */
static inline float quant_error(const float *x, const float *w, const float *q, int n, float unit, float offset)
{
    float sum[SUM_LANES] = { 0 };
    for (int i = 0; i < n; i += SUM_LANES) {
        for (int j = 0; j < SUM_LANES; j++) {
            float e = x[i + j] + offset - unit * q[i + j];
            sum[j] += w[i + j] * e * e;
        }
    }
    return sum_lanes(sum);
}
