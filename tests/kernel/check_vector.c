/* check_vector.c: norms, activations, rotation, softmax parts, quantization of activations: every table
 * equals the scalar one, and the scalar one its formula; rows end at a page that cannot be read. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "dtype/half.h"
#include "ref.h"

enum { MAX_N = 70, BIG = 512 };

static void rmsnorm_follows_its_formula(void **state)
{
    (void)state;
    struct rng rng = { 1, 0 };
    for (int n = 1; n <= MAX_N; n++) {
        float *x = row_random(&rng, n, 3), *w = row_random(&rng, n, 1), *y = row_random(&rng, n, 1), want[MAX_N];
        double ref[MAX_N];
        scalar_table()->rmsnorm(want, x, w, n, 1e-5f);
        ref_rmsnorm(ref, x, w, n, (double)1e-5f);
        for (int i = 0; i < n; i++)
            value_near("rmsnorm", n, want[i], ref[i], 1e-6 * fabs(ref[i]) + 1e-30);
        EACH_TABLE(k)
        {
            k->rmsnorm(y, x, w, n, 1e-5f);
            rows_same(k, "rmsnorm", n, y, want, n);
            memcpy(y, x, sizeof(float) * (size_t)n);
            k->rmsnorm(y, y, w, n, 1e-5f);
            rows_same(k, "rmsnorm in place", n, y, want, n);
        }
        row_free(x, n);
        row_free(w, n);
        row_free(y, n);
    }
}

static double ref_activation(enum activation a, double gate, double up)
{
    switch (a) {
    case ACTIVATION_SILU:
        return gate / (1 + exp(-gate)) * up;
    case ACTIVATION_GELU_TANH:
        return gate / 2 * (1 + tanh(sqrt(2 / acos(-1.0)) * (gate + 0.044715 * gate * gate * gate))) * up;
    case ACTIVATION_GELU_ERF:
        return gate / 2 * (1 + erf(gate / sqrt(2))) * up;
    case ACTIVATION_RELU2:
        return gate > 0 ? gate * gate * up : 0;
    case ACTIVATION_SIGMOID:
        return 1 / (1 + exp(-gate)) * up;
    case ACTIVATION_SWIGLU_CLAMPED: {
        double g = fmin(gate, 7);
        return g / (1 + exp(-1.702 * g)) * (fmin(fmax(up, -7), 7) + 1);
    }
    case N_ACTIVATIONS:
        break;
    }
    return NAN;
}

static void activations_follow_their_formulas(void **state)
{
    (void)state;
    struct rng rng = { 2, 0 };
    for (int at = 0; at < MAX_N * N_ACTIVATIONS; at++) {
        enum activation a = (enum activation)(at % N_ACTIVATIONS);
        int n = 1 + at / N_ACTIVATIONS, extreme = a == ACTIVATION_SILU && n % 2;
        float *x = row_random(&rng, n, 10), *u = row_random(&rng, n, 9), *y = row_random(&rng, n, 1), want[MAX_N];
        x[0] = extreme ? -INFINITY : 200.0f;
        scalar_table()->activate[a](want, x, u, n);
        for (int i = extreme; i < n; i++) {
            double ref = ref_activation(a, (double)x[i], (double)u[i]);
            value_near("activation", n, want[i], ref,
                       1e-6 * fabs(ref) + 3e-7 * fabs((double)x[i] * (double)u[i]) + 1e-37);
        }
        EACH_TABLE(k)
        {
            k->activate[a](y, x, u, n);
            rows_same(k, "activation", n, y, want, n);
            memcpy(y, x, sizeof(float) * (size_t)n);
            k->activate[a](y, y, u, n);
            rows_same(k, "activation in place", n, y, want, n);
        }
        scalar_table()->activate[a](want, x, NULL, n);
        if (a != ACTIVATION_SWIGLU_CLAMPED)
            for (int i = extreme; i < n; i++)
                value_near("without up", n, want[i], ref_activation(a, (double)x[i], 1),
                     1e-6 * fabs((double)want[i]) + 3e-7 * fabs((double)x[i]));
        EACH_TABLE(k)
        {
            k->activate[a](y, x, NULL, n);
            rows_same(k, "activation without up", n, y, want, n);
        }
        row_free(x, n);
        row_free(u, n);
        row_free(y, n);
    }
}

static void sums_and_scales_are_one_rounding(void **state)
{
    (void)state;
    struct rng rng = { 12, 0 };
    for (int n = 1; n <= MAX_N; n++) {
        float *x = row_random(&rng, n, 10), *u = row_random(&rng, n, 1), *y = row_random(&rng, n, 1);
        EACH_TABLE(k)
        {
            memcpy(y, u, sizeof(float) * (size_t)n);
            k->add(y, x, n);
            for (int i = 0; i < n; i++)
                assert_true(y[i] == u[i] + x[i]);
            memcpy(y, u, sizeof(float) * (size_t)n);
            k->add_scaled(y, x, 1, n); /* as add() has it: a model without scales keeps its bits */
            for (int i = 0; i < n; i++)
                assert_true(y[i] == u[i] + x[i]);
            memcpy(y, u, sizeof(float) * (size_t)n);
            k->add_scaled(y, x, 0.22f, n);
            for (int i = 0; i < n; i++)
                assert_true(y[i] == fmaf(x[i], 0.22f, u[i]));
            k->scale(y, x, 0.22f, n);
            for (int i = 0; i < n; i++)
                assert_true(y[i] == x[i] * 0.22f);
        }
        row_free(x, n);
        row_free(u, n);
        row_free(y, n);
    }
}

static void layernorm_follows_its_formula(void **state)
{
    (void)state;
    struct rng rng = { 13, 0 };
    for (int n = 1; n <= MAX_N; n++) {
        float *x = row_random(&rng, n, 2), *w = row_random(&rng, n, 1), *b = row_random(&rng, n, 1);
        float *y = row_random(&rng, n, 1), want[MAX_N];
        double mean = 0, squares = 0;
        for (int i = 0; i < n; i++)
            mean += (double)(x[i] += 3) / n;
        for (int i = 0; i < n; i++)
            squares += ((double)x[i] - mean) * ((double)x[i] - mean) / n;
        scalar_table()->layernorm(want, x, w, b, n, 1e-5f);
        double s = 1 / sqrt(squares + 1e-5);
        for (int i = 0; i < n; i++)
            value_near("layernorm", n, want[i], ((double)x[i] - mean) * s * (double)w[i] + (double)b[i], 2e-5);
        EACH_TABLE(k)
        {
            k->layernorm(y, x, w, b, n, 1e-5f);
            rows_same(k, "layernorm", n, y, want, n);
            k->layernorm(y, x, w, NULL, n, 1e-5f);
            k->add(y, b, n);
            rows_same(k, "layernorm, then the bias", n, y, want, n);
            memcpy(y, x, sizeof(float) * (size_t)n);
            k->layernorm(y, y, w, b, n, 1e-5f);
            rows_same(k, "layernorm in place", n, y, want, n);
        }
        row_free(x, n);
        row_free(w, n);
        row_free(b, n);
        row_free(y, n);
    }
}

static void rope_follows_its_formula(void **state)
{
    (void)state;
    struct rng rng = { 3, 0 };
    for (int head_dim = 8; head_dim <= 136; head_dim += 8)
        for (int mode = 0; mode < 4; mode++) {
            bool halves = mode & 1;
            int n_rot = mode & 2 ? head_dim / 2 : head_dim, n = 3 * head_dim, half = n_rot / 2;
            float *x = row_random(&rng, n, 1), *c = row_random(&rng, half, 1), *s = row_random(&rng, half, 1);
            float *y = row_random(&rng, n, 1), want[BIG];
            double ref[BIG];
            for (int i = 0; i < n; i++)
                ref[i] = (double)(want[i] = x[i]);
            scalar_table()->rope(want, 3, head_dim, n_rot, c, s, halves);
            for (int h = 0; h < 3; h++)
                ref_rope(ref + h * head_dim, n_rot, c, s, halves);
            for (int i = 0; i < n; i++)
                value_near("rope", n_rot, want[i], ref[i], 1e-5);
            EACH_TABLE(k)
            {
                memcpy(y, x, sizeof(float) * (size_t)n);
                k->rope(y, 3, head_dim, n_rot, c, s, halves);
                rows_same(k, "rope", n_rot, y, want, n);
            }
            row_free(x, n);
            row_free(y, n);
            row_free(c, half);
            row_free(s, half);
        }
}

static void exp_is_within_one_unit_and_monotone_enough(void **state)
{
    (void)state;
    enum { N = 4096 };
    static float x[N], want[N], got[N];
    double worst = 0;
    for (int part = 0; part < 50; part++) {
        for (int i = 0; i < N; i++)
            x[i] = -106.0f + 4.0f * (float)part + 4.0f * (float)i / N;
        scalar_table()->exp_row(want, x, N, 0);
        for (int i = 0; i < N; i++) {
            double ref = exp((double)x[i]);
            double unit = ref < 0x1p-126 ? 0x1p-149 : ldexp(1, ilogb(ref) - 23);
            if (ref < 3.4e38)
                worst = fmax(worst, fabs((double)want[i] - ref) / unit);
            assert_true(i == 0 || (double)want[i] >= (double)want[i - 1] * (1 - 0x1p-23));
        }
        EACH_TABLE(k)
        {
            k->exp_row(got, x, N, 0);
            rows_same(k, "exp", N, got, want, N);
        }
    }
    if (worst > 1)
        fail_msg("exp is off by %g units in the last place", worst);
    float ends[4] = { -INFINITY, INFINITY, NAN, 0 }, e[4];
    EACH_TABLE(k)
    {
        k->exp_row(e, ends, 4, 0);
        assert_true(e[0] == 0 && e[1] == INFINITY && isnan(e[2]) && e[3] == 1);
    }
}

static void argmax_takes_the_lowest_of_equals_and_never_a_nan(void **state)
{
    (void)state;
    struct rng rng = { 4, 0 };
    for (int n = 1; n <= MAX_N; n++)
        for (int round = 0; round < 20; round++) {
            float *x = row_random(&rng, n, 0), most = -INFINITY;
            int want = 0;
            for (int i = 0; i < n; i++)
                x[i] = rng_below(&rng, 5) == 0 ? NAN : (float)rng_below(&rng, 4) - 5;
            for (int i = n - 1; i >= 0; i--)
                if (x[i] >= most) {
                    most = x[i];
                    want = i;
                }
            EACH_TABLE(k)
            {
                float max;
                int got = k->argmax(x, n, &max);
                if (got != want || max != most)
                    fail_msg("%s argmax, n = %d: %d (%g), want %d", k->isa, n, got, (double)max, want);
            }
            row_free(x, n);
        }
}

/* Against loops that know nothing of blocks of 16; with NaNs, infinities and ties. */
static void block_maxima_and_collecting_follow_their_definitions(void **state)
{
    (void)state;
    struct rng rng = { 9, 0 };
    enum { MOST = 3 * KERNEL_MAX_BLOCK + 5, BLOCKS = 4 };
    static const float odd[4] = { NAN, -INFINITY, INFINITY, -0.0f };
    for (int n = 1; n <= MOST; n += n < 40 ? 1 : 7)
        for (int round = 0; round < 8; round++) {
            float *x = row_random(&rng, n, 3), want_max[BLOCKS], max[BLOCKS];
            struct candidate want[MOST], got[MOST];
            int n_blocks = (n + KERNEL_MAX_BLOCK - 1) / KERNEL_MAX_BLOCK, n_want = 0;
            for (int i = 0; i < n; i++) {
                x[i] = round & 1 ? (float)rng_below(&rng, 4) : x[i];
                x[i] = round & 2 && rng_below(&rng, 3) == 0 ? odd[rng_below(&rng, 4)] : x[i];
            }
            float least = round == 7 ? -INFINITY : x[rng_below(&rng, (uint32_t)n)];
            for (int b = 0; b < n_blocks; b++)
                want_max[b] = -INFINITY;
            for (int i = 0; i < n; i++) {
                float *most = &want_max[i / KERNEL_MAX_BLOCK];
                *most = x[i] > *most ? x[i] : *most;
                if (x[i] >= least)
                    want[n_want++] = (struct candidate){ 1000 + i, x[i] };
            }
            EACH_TABLE(k)
            {
                k->block_max(max, x, n);
                for (int b = 0; b < n_blocks; b++)
                    assert_true(max[b] == want_max[b]);
                assert_int_equal(k->collect(got, x, n, least, 1000), n_want);
                assert_memory_equal(got, want, sizeof *want * (size_t)n_want);
            }
            row_free(x, n);
        }
}

static void sum_exp_and_finite_follow_their_definitions(void **state)
{
    (void)state;
    struct rng rng = { 5, 0 };
    for (int n = 1; n <= MAX_N; n++) {
        float *x = row_random(&rng, n, 5);
        double ref = 0;
        for (int i = 0; i < n; i++)
            ref += exp((double)x[i] - 3);
        float want = scalar_table()->sum_exp(x, n, 3);
        value_near("sum_exp", n, want, ref, 2e-6 * ref);
        EACH_TABLE(k)
        {
            float got = k->sum_exp(x, n, 3);
            rows_same(k, "sum_exp", n, &got, &want, 1);
            assert_true(k->all_finite(x, n));
        }
        for (int i = 0; i < n; i += 3) {
            float old = x[i];
            x[i] = i % 2 ? NAN : -INFINITY;
            EACH_TABLE(k) assert_false(k->all_finite(x, n));
            x[i] = old;
        }
        row_free(x, n);
    }
}

/* Rows with awkward blocks: zeros, tiny, huge, NaN, infinity, halves. */
static void awkward_row(float *x, int n, struct rng *rng)
{
    for (int i = 0; i < n; i++) {
        int kind = i / 32 % 8;
        x[i] = rng_normal(rng);
        x[i] *= kind == 1 ? 1e-38f : kind == 2 ? 1e37f : kind == 3 ? 0.0f : kind == 4 ? 1e-44f : 1.0f;
        if (kind == 5)
            x[i] = (float)((int)rng_below(rng, 255) - 127) + (i % 32 ? 0.5f : 0);
        if (i % 32 == 7 && kind >= 6 && i > 256)
            x[i] = kind == 6 ? NAN : INFINITY;
    }
}

static void check_codes(const float *x, int n, int per, const int8_t *q, const float *d)
{
    for (int b = 0; b < n / per; b++) {
        float most = 0;
        bool finite = true;
        for (int i = b * per; i < (b + 1) * per; i++) {
            finite = finite && isfinite(x[i]);
            most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
        }
        bool nothing = most == 0 || isinf(127.0f / most);
        assert_true(finite ? d[b] == (nothing ? 0 : most / 127) : isnan(d[b]));
        for (int i = b * per; i < (b + 1) * per; i++) {
            assert_true(q[i] >= -127);
            if (!finite || nothing)
                assert_int_equal(q[i], 0);
            else
                assert_true(fabs((double)x[i] - (double)q[i] * (double)d[b]) <= 0.5001 * (double)most / 127);
        }
    }
}

static void activations_are_quantized_by_their_rule(void **state)
{
    (void)state;
    struct rng rng = { 6, 0 };
    enum { N = 512 };
    float *x = row_random(&rng, N, 1);
    for (int round = 0; round < 50; round++) {
        int8_t q[N], want_q[N];
        float d[16], want_d[16];
        int32_t start[16];
        int16_t sums[2 * ACT_SUMS];
        awkward_row(x, N, &rng);
        EACH_TABLE(k)
        {
            scalar_table()->quantize_a32(x, N, want_q, want_d, start, 1, 0);
            check_codes(x, N, 32, want_q, want_d);
            k->quantize_a32(x, N, q, d, start, 1, 0);
            assert_memory_equal(q, want_q, N);
            rows_same(k, "scales per 32", N, d, want_d, 16);
            for (int b = 0; b < 16; b++) {
                int sum = 0;
                for (int i = 0; i < 32; i++)
                    sum += q[32 * b + i];
                assert_int_equal(start[b], -128 * sum);
            }
            scalar_table()->quantize_a256(x, N, want_q, want_d, sums, 1, 0);
            check_codes(x, N, 256, want_q, want_d);
            k->quantize_a256(x, N, q, d, sums, 1, 0);
            assert_memory_equal(q, want_q, N);
            rows_same(k, "scales per 256", N, d, want_d, 2);
            static const int order[8] = { 0, 2, 1, 3, 4, 6, 5, 7 };
            for (int b = 0; b < 16; b++) { /* 8 sums of 32 in each of 2 blocks */
                const int16_t *s = sums + ACT_SUMS * (b / 8);
                int sum[2] = { 0, 0 };
                for (int i = 0; i < 32; i++)
                    sum[i / 16] += q[256 * (b / 8) + 32 * order[b % 8] + i];
                assert_int_equal(s[16 + b % 8], sum[0] + sum[1]);
                assert_int_equal(s[2 * order[b % 8]], sum[0]);
                assert_int_equal(s[2 * order[b % 8] + 1], sum[1]);
            }
        }
    }
    row_free(x, N);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rmsnorm_follows_its_formula),
        cmocka_unit_test(layernorm_follows_its_formula),
        cmocka_unit_test(activations_follow_their_formulas),
        cmocka_unit_test(sums_and_scales_are_one_rounding),
        cmocka_unit_test(rope_follows_its_formula),
        cmocka_unit_test(exp_is_within_one_unit_and_monotone_enough),
        cmocka_unit_test(argmax_takes_the_lowest_of_equals_and_never_a_nan),
        cmocka_unit_test(block_maxima_and_collecting_follow_their_definitions),
        cmocka_unit_test(sum_exp_and_finite_follow_their_definitions),
        cmocka_unit_test(activations_are_quantized_by_their_rule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
