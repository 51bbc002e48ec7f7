/* test_quant.c: fitted blocks are better than plainly rounded ones, and exact where they can be. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "dtype/all.h"
#include "dtype/iq4_nl.h"
#include "dtype/iq4_xs.h"
#include "dtype/mxfp4.h"
#include "dtype/q1_0.h"
#include "dtype/q2_0.h"
#include "dtype/q2_K.h"
#include "dtype/q3_K.h"
#include "dtype/q4_1.h"
#include "dtype/q5_0.h"
#include "dtype/q5_1.h"
#include "dtype/q5_K.h"
#include "dtype/tq1_0.h"
#include "dtype/tq2_0.h"
#include "quant/fit.h"

static const struct codec {
    const char *name;
    int block_bytes;
    void (*to_f32)(float *out, const void *block);
    void (*from_f32)(void *block, const float *x);
} codecs[] = {
#define FORM(name, ...) { #name, sizeof(struct block_##name), name##_block_to_f32, name##_block_from_f32 },
#include "quant/forms.def"
};

static int block_values(const struct quant_form *f) { return f->n_groups * f->n_group; }

/* kind 0: normal; 1: with outliers; 2: all positive; 3: a slope */
static void fill(float *x, int n, int kind, struct rng *r)
{
    for (int i = 0; i < n; i++) {
        x[i] = 0.02f * rng_normal(r);
        if (kind == 1 && rng_below(r, 40) == 0)
            x[i] *= 20;
        if (kind == 2)
            x[i] = x[i] < 0 ? -x[i] : x[i];
        if (kind == 3)
            x[i] += 0.001f * (float)i;
    }
}

static double error_of(const struct codec *c, const void *block, const float *x, const float *w, int n)
{
    float y[QUANT_BLOCK_MAX];
    double sum = 0;
    c->to_f32(y, block);
    for (int i = 0; i < n; i++)
        sum += (double)w[i] * ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
    return sum;
}

static void fit(uint8_t *block, const struct quant_form *f, const float *x, const float *w)
{
    struct quant_fit fitted;
    assert_true(quant_fit_block(&fitted, f, x, w));
    f->pack(block, &fitted);
}

/* Observed ratios of the sums: 0.31 (tq1_0, normal) to 0.98 (q5_0, outliers). A fit that solved for nothing would
 * give 1. */
static void every_fit_leaves_less_error_than_plain_rounding(void **state)
{
    (void)state;
    struct rng r = { 1, 0 };
    for (size_t c = 0; c < ARRAY_LEN(codecs); c++) {
        const struct quant_form *f = quant_form_of(codecs[c].name);
        for (int kind = 0; kind < 4; kind++) {
            double plain_sum = 0, fit_sum = 0;
            for (int round = 0; round < 100; round++) {
                float x[QUANT_BLOCK_MAX], w[QUANT_BLOCK_MAX];
                uint8_t plain[1024], fitted[1024];
                fill(x, block_values(f), kind, &r);
                quant_weights(w, x, NULL, block_values(f));
                codecs[c].from_f32(plain, x);
                fit(fitted, f, x, w);
                plain_sum += error_of(&codecs[c], plain, x, w, block_values(f));
                fit_sum += error_of(&codecs[c], fitted, x, w, block_values(f));
            }
            print_message("%-7s kind %d: error %.3f of plain\n", codecs[c].name, kind, fit_sum / plain_sum);
            assert_true(fit_sum < plain_sum);
        }
    }
}

/* By construction, block for block: both are decoded and compared. */
static void no_block_is_worse_than_plain_rounding(void **state)
{
    (void)state;
    struct rng r = { 2, 0 };
    for (int type = 0; type < N_DTYPES; type++) {
        const struct dtype_info *info = &dtype_table[type];
        if (info->n_values == 1 || !quant_known((enum dtype)type))
            continue;
        struct codec c = { info->name, info->block_bytes, info->to_f32, info->from_f32 };
        for (int round = 0; round < 200; round++) {
            float x[QUANT_BLOCK_MAX], w[QUANT_BLOCK_MAX];
            uint8_t plain[1024], fitted[1024];
            fill(x, info->n_values, round % 4, &r);
            quant_weights(w, x, NULL, info->n_values);
            info->from_f32(plain, x);
            assert_int_equal(quant_block((enum dtype)type, fitted, x, w), QUANT_OK);
            assert_true(error_of(&c, fitted, x, w, info->n_values) <= error_of(&c, plain, x, w, info->n_values));
        }
    }
}

/* Numbers that a format can hold: scales at the end of their range, levels that use all of theirs. */
static void what_a_format_can_hold_comes_back_exactly(void **state)
{
    (void)state;
    struct rng r = { 3, 0 };
    for (size_t c = 0; c < ARRAY_LEN(codecs); c++) {
        const struct quant_form *f = quant_form_of(codecs[c].name);
        for (int round = 0; round < 50; round++) {
            struct quant_fit made = { .d = f16_from_f32(0.0078125f), .m = f16_from_f32(0.015625f) };
            float x[QUANT_BLOCK_MAX], y[QUANT_BLOCK_MAX], w[QUANT_BLOCK_MAX];
            uint8_t block[1024];
            for (int g = 0; g < f->n_groups; g++) {
                made.scale[g] = f->scale_least < 0 ? f->scale_least : f->scale_most;
                made.min[g] = f->min_most;
            }
            for (int i = 0; i < block_values(f); i++) {
                int k = i % f->n_group, n = f->table ? f->n_table : f->most - f->least + 1;
                int level = k == 0 ? 0 : k == 1 ? n - 1 : (int)rng_below(&r, (uint32_t)n);
                made.level[i] = (int8_t)(f->table ? f->table[level] : f->least + level);
                w[i] = 1;
            }
            f->pack(block, &made);
            codecs[c].to_f32(x, block);
            memset(block, 0xff, sizeof block);
            fit(block, f, x, w);
            codecs[c].to_f32(y, block);
            for (int i = 0; i < block_values(f); i++)
                if (x[i] != y[i])
                    fail_msg("%s: value %d is %.9g, was %.9g", codecs[c].name, i, (double)y[i], (double)x[i]);
        }
    }
}

/* The half of the columns that matters a thousand times more gets less error than without being told. */
static void importance_moves_the_error_to_columns_that_matter_less(void **state)
{
    (void)state;
    struct rng r = { 4, 0 };
    for (size_t c = 0; c < ARRAY_LEN(codecs); c++) {
        const struct quant_form *f = quant_form_of(codecs[c].name);
        int n = block_values(f);
        double told = 0, untold = 0;
        for (int round = 0; round < 60; round++) {
            float x[QUANT_BLOCK_MAX], w[QUANT_BLOCK_MAX], importance[QUANT_BLOCK_MAX], only[QUANT_BLOCK_MAX];
            uint8_t block[1024];
            fill(x, n, 0, &r);
            for (int i = 0; i < n; i++) {
                only[i] = i % 2 ? 1.0f : 0.0f;
                importance[i] = i % 2 ? 1000.0f : 1.0f;
            }
            quant_weights(w, x, NULL, n);
            fit(block, f, x, w);
            untold += error_of(&codecs[c], block, x, only, n);
            quant_weights(w, x, importance, n);
            fit(block, f, x, w);
            told += error_of(&codecs[c], block, x, only, n);
        }
        assert_true(told < untold);
    }
}

static void zeros_and_constants_are_kept(void **state)
{
    (void)state;
    for (int type = 0; type < N_DTYPES; type++) {
        if (!quant_known((enum dtype)type))
            continue;
        const struct dtype_info *info = &dtype_table[type];
        float x[QUANT_BLOCK_MAX] = { 0 }, y[QUANT_BLOCK_MAX];
        uint8_t block[1024];
        assert_int_equal(quant_row((enum dtype)type, block, x, NULL, (size_t)info->n_values, NULL), QUANT_OK);
        info->to_f32(y, block);
        for (int i = 0; i < info->n_values; i++)
            assert_true(y[i] == 0);
        for (int i = 0; i < info->n_values; i++)
            x[i] = -0.5f;
        assert_int_equal(quant_row((enum dtype)type, block, x, NULL, (size_t)info->n_values, NULL), QUANT_OK);
        info->to_f32(y, block);
        for (int i = 0; i < info->n_values; i++)
            assert_true(y[i] < -0.498f && y[i] > -0.502f);
    }
}

static void what_cannot_be_written_is_said(void **state)
{
    (void)state;
    const float bad[] = { (float)NAN, INFINITY, -INFINITY };
    float x[2 * QUANT_BLOCK_MAX] = { 0 };
    uint8_t out[4096];
    for (int type = 0; type < N_DTYPES; type++) {
        if (!quant_known((enum dtype)type))
            continue;
        size_t n = (size_t)dtype_table[type].n_values, at = 0;
        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
            x[2 * n - 1] = bad[i];
            assert_int_equal(quant_row((enum dtype)type, out, x, NULL, 2 * n, &at), QUANT_NOT_FINITE);
            assert_int_equal(at, n);
        }
        x[2 * n - 1] = 0;
    }
    x[3] = 1e30f;
    assert_int_equal(quant_row(DTYPE_q4_0, out, x, NULL, 32, NULL), QUANT_TOO_LARGE);
    assert_int_equal(quant_row(DTYPE_q4_K, out, x, NULL, 256, NULL), QUANT_TOO_LARGE);
    assert_int_equal(quant_row(DTYPE_f16, out, x, NULL, 4, NULL), QUANT_TOO_LARGE);
    assert_int_equal(quant_row(DTYPE_bf16, out, x, NULL, 4, NULL), QUANT_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_fit_leaves_less_error_than_plain_rounding),
        cmocka_unit_test(no_block_is_worse_than_plain_rounding),
        cmocka_unit_test(what_a_format_can_hold_comes_back_exactly),
        cmocka_unit_test(importance_moves_the_error_to_columns_that_matter_less),
        cmocka_unit_test(zeros_and_constants_are_kept),
        cmocka_unit_test(what_cannot_be_written_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
