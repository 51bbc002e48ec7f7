/* xielu.c: the numbers of xIELU and its values. It is no kernel of the table, which has activations without numbers. */
#include "model/xielu.h"

#include <math.h>
#include <string.h>

#include "kernel/num.h"
#include "model/hparams.h"

enum { MOST = 1000 };

static bool read_number(double *out, const char *key, const struct gguf *g, int layer, int n_layers, hearth_error *err)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (!v || v->type != GGUF_ARRAY)
        return gguf_need_float(g, key, -MOST, MOST, out, err);
    struct gguf_array list = { 0 };
    if (!gguf_array_or_none(g, key, GGUF_F32, MAX_LAYERS, &list, err))
        return false;
    if (list.n != (uint64_t)n_layers)
        return fail(err, HEARTH_ERR_FORMAT, "%s has %llu numbers for %d layers; the file's metadata is damaged", key,
                    (unsigned long long)list.n, n_layers);
    *out = (double)gguf_array_f32(&list, (uint64_t)layer);
    return fabs(*out) <= MOST
           || fail(err, HEARTH_ERR_FORMAT, "%s is %g for layer %d; it must be between %d and %d", key, *out, layer,
                   -MOST, MOST);
}

bool xielu_read(struct xielu *by, const struct gguf *g, int layer, int n_layers, hearth_error *err)
{
    double alpha_p, alpha_n, beta, eps;
    if (!read_number(&alpha_p, "xielu.alpha_p", g, layer, n_layers, err)
        || !read_number(&alpha_n, "xielu.alpha_n", g, layer, n_layers, err)
        || !read_number(&beta, "xielu.beta", g, layer, n_layers, err)
        || !read_number(&eps, "xielu.eps", g, layer, n_layers, err))
        return false;
    by->alpha_p = (float)num_softplus(alpha_p);
    by->alpha_n = (float)(beta + num_softplus(alpha_n));
    by->beta = (float)beta;
    by->eps = (float)eps;
    return true;
}

/* e^x - 1 within 2e-7 of its value or of 1, whichever is larger, for x <= 88; below -87 it is -1. With x = n log 2 + r
 * it is 2^n (e^r - 1) + 2^n - 1, which keeps its digits near 0. */
static inline WRAPS float expm1_of(float x)
{
    const float magic = 12582912.0f; /* 1.5 2^23: adding it rounds to an integer, which is in the last bits */
    x = x > -87.0f ? x : -87.0f;
    x = x < 88.0f ? x : 88.0f;
    float shifted = x * 1.44269504f + magic, n = shifted - magic;
    float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.0f / 5040;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * (r * r) + r;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits << 23) + 0x3f800000u;
    float two_n;
    memcpy(&two_n, &bits, sizeof two_n);
    return two_n * p + (two_n - 1.0f);
}

void xielu(float *y, const float *x, int n, const struct xielu *by)
{
    const struct xielu a = *by;
    for (int i = 0; i < n; i++) {
        float v = x[i], low = v < a.eps ? v : a.eps;
        float above = a.alpha_p * v * v, below = a.alpha_n * (expm1_of(low) - v);
        y[i] = (v > 0 ? above : below) + a.beta * v;
    }
}
