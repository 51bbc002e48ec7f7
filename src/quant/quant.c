#include "quant/quant.h"

#include <math.h>
#include <string.h>

#include "dtype/iq4.h"
#include "quant/pack.h"

static const int8_t two_levels[] = { -1, 1 };

static const struct quant_form forms[] = {
#define FORM(name, n_groups, n_group, least, most, table, n_table, scale_least, scale_most, min_most)          \
    { #name, n_groups, n_group, least, most, table, n_table, scale_least, scale_most, min_most, quant_pack_##name },
#include "quant/forms.def"
};

const struct quant_form *quant_form_of(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(forms); i++)
        if (strcmp(forms[i].name, name) == 0)
            return &forms[i];
    return NULL;
}

static bool is_float(enum dtype type) { return dtype_table[type].n_values == 1; }

static bool is_mxfp4(enum dtype type) { return strcmp(dtype_table[type].name, "mxfp4") == 0; }

bool quant_known(enum dtype type) { return is_float(type) || is_mxfp4(type) || quant_form_of(dtype_table[type].name); }

/* False: there is no fit, or none that half-precision scales can hold. */
static bool fit_bytes(enum dtype type, void *block, const float *x, const float *w)
{
    const struct quant_form *form = quant_form_of(dtype_table[type].name);
    struct quant_fit fit;
    if (is_mxfp4(type))
        return quant_fit_mxfp4(block, x, w);
    if (!form || !quant_fit_block(&fit, form, x, w))
        return false;
    form->pack(block, &fit);
    return true;
}

static bool all_finite(const float *x, int n)
{
    uint32_t largest = 0;
    for (int i = 0; i < n; i++) {
        uint32_t bits = bits_of_f32(x[i]) & 0x7fffffff;
        largest = bits > largest ? bits : largest;
    }
    return largest < 0x7f800000;
}

/* The error of a block's bytes; infinite when they decode to something that is not finite. */
static double block_error(enum dtype type, const void *block, const float *x, const float *w, int n)
{
    float decoded[QUANT_BLOCK_MAX];
    double error = 0;
    dtype_table[type].to_f32(decoded, block);
    if (!all_finite(decoded, n))
        return INFINITY;
    for (int i = 0; i < n; i++) {
        double e = (double)x[i] - (double)decoded[i];
        error += (double)w[i] * e * e;
    }
    return error;
}

enum quant_result quant_block(enum dtype type, void *block, const float *x, const float *w)
{
    const struct dtype_info *info = &dtype_table[type];
    uint8_t fitted[QUANT_BLOCK_MAX * sizeof(float)];
    if (!all_finite(x, info->n_values))
        return QUANT_NOT_FINITE;
    info->from_f32(block, x);
    double error = block_error(type, block, x, w, info->n_values);
    if (error > 0 && fit_bytes(type, fitted, x, w)) {
        double fit_error = block_error(type, fitted, x, w, info->n_values);
        if (fit_error < error) {
            error = fit_error;
            memcpy(block, fitted, (size_t)info->block_bytes);
        }
    }
    return isfinite(error) ? QUANT_OK : QUANT_TOO_LARGE;
}

void quant_weights(float *w, const float *x, const float *importance, int n)
{
    double sum = 0, largest = 0;
    for (int i = 0; i < n; i++)
        sum += (double)x[i] * x[i];
    /* Scaled so that the largest is 1: squares of f32 values may leave the range of f32. */
    double mean = sum / n;
    for (int i = 0; i < n; i++) {
        double squares = sqrt(mean + (double)x[i] * x[i]);
        double v = importance ? (double)importance[i] * squares : squares;
        largest = v > largest ? v : largest;
    }
    for (int i = 0; i < n; i++) {
        double squares = sqrt(mean + (double)x[i] * x[i]);
        double v = importance ? (double)importance[i] * squares : squares;
        w[i] = largest > 0 ? (float)(v / largest) : 1;
    }
}

enum quant_result quant_row(enum dtype type, void *out, const float *x, const float *importance, size_t n,
                            size_t *bad_index)
{
    const struct dtype_info *info = &dtype_table[type];
    float w[QUANT_BLOCK_MAX] = { 1 };
    uint8_t *to = out;
    for (size_t i = 0; i < n; i += (size_t)info->n_values, to += info->block_bytes) {
        if (!is_float(type))
            quant_weights(w, x + i, importance ? importance + i : NULL, info->n_values);
        enum quant_result result = quant_block(type, to, x + i, w);
        if (result != QUANT_OK) {
            if (bad_index)
                *bad_index = i;
            return result;
        }
    }
    return QUANT_OK;
}
