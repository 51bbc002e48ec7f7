/* test_sampler.c: the chain keeps what its definitions say, and draws what its probabilities say. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "infer/sampler.h"

#include <cmocka.h>

enum { N = 300, BIG = 20000 };

static struct sampler_room room;

static int set_up_room(void **state)
{
    (void)state;
    static _Alignas(64) uint8_t memory[32 * BIG + 4096];
    assert_true(sampler_room_bytes(BIG, 1) <= sizeof memory);
    sampler_room_layout(&room, memory, BIG, 1);
    return 0;
}

static hearth_sampling defaults(void)
{
    hearth_sampling s;
    hearth_sampling_defaults(NULL, &s, NULL);
    return s;
}

static int32_t choose(const float *logits, int n, const hearth_sampling *params, const int32_t *history, int n_history,
                      uint64_t seed)
{
    float copy[N];
    memcpy(copy, logits, (size_t)n * sizeof *copy);
    struct sampling_state s = { .params = params, .history = history, .n_history = n_history, .seed = seed };
    return sampler_choose(kernels_get(NULL), copy, n, &s, &room);
}

/* Draws at many positions: which tokens appear, and how often. */
static void draw_many(const float *logits, int n, const hearth_sampling *params, int *counts, int n_draws)
{
    static int32_t history[20000];
    memset(counts, 0, (size_t)n * sizeof *counts);
    for (int i = 0; i < n_draws; i++)
        counts[choose(logits, n, params, history, i, 11)]++;
}

static void at_temperature_zero_the_likeliest_wins_and_ties_go_to_the_lower_id(void **state)
{
    (void)state;
    hearth_sampling s = defaults();
    s.temperature = 0;
    float logits[5] = { 1, 3, 2, 3, -1 };
    for (uint64_t seed = 0; seed < 5; seed++)
        assert_int_equal(choose(logits, 5, &s, NULL, 0, seed), 1);
}

static void best_are_sorted_with_ties_to_the_lower_id(void **state)
{
    (void)state;
    struct rng rng = { 3, 0 };
    for (int round = 0; round < 600; round++) {
        float logits[N];
        const struct candidate *best = room.candidates;
        int n = 1 + (int)rng_below(&rng, N), k = 1 + (int)rng_below(&rng, round % 2 ? N : 4);
        for (int i = 0; i < n; i++)
            logits[i] = round % 3 ? (float)rng_below(&rng, 20) - 10 : rng_normal(&rng); /* many ties, or none */
        int got = candidates_best(kernels_get(NULL), &room, logits, n, k);
        assert_int_equal(got, k < n ? k : n);
        bool taken[N] = { false };
        for (int i = 0; i < got; i++) {
            int want = -1; /* plain selection: the best not yet taken */
            for (int j = 0; j < n; j++)
                if (!taken[j] && (want < 0 || logits[j] > logits[want]))
                    want = j;
            taken[want] = true;
            assert_int_equal(best[i].id, want);
        }
    }
}

static int by_logit_then_id(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    return x->logit != y->logit ? (x->logit < y->logit) - (x->logit > y->logit) : x->id - y->id;
}

/* A vocabulary of many blocks: as qsort has them, few and many, in good and bad orders, on every instruction set. */
static void the_best_of_many_are_those_of_sorting(void **state)
{
    (void)state;
    static float logits[BIG];
    static struct candidate sorted[BIG];
    static const int keep[] = { 1, 2, 40, 157, 158, 513, 4000, BIG };
    struct rng rng = { 4, 0 };
    for (int kind = 0; kind < 6; kind++) {
        int n = kind == 5 ? BIG - 77 : BIG;
        for (int i = 0; i < n; i++) {
            float x = rng_normal(&rng);
            logits[i] = kind == 1 ? (float)i : kind == 2 ? (float)-i : kind == 3 ? (float)(i % 3) : kind == 4 && x < 2
                      ? -INFINITY : x;
            logits[i] = i % 1000 == 7 ? (kind ? -0.0f : 0.0f) : logits[i];
            sorted[i] = (struct candidate){ i, logits[i] };
        }
        qsort(sorted, (size_t)n, sizeof *sorted, by_logit_then_id);
        for (size_t j = 0; j < ARRAY_LEN(keep); j++)
            for (int t = 0; kernels_all[t]; t++) {
                if (!kernels_usable(kernels_all[t]))
                    continue;
                int got = candidates_best(kernels_all[t], &room, logits, n, keep[j]);
                assert_int_equal(got, min_int(keep[j], n));
                assert_memory_equal(room.candidates, sorted, (size_t)got * sizeof *sorted);
            }
    }
}

static void top_k_keeps_k(void **state)
{
    (void)state;
    hearth_sampling s = defaults();
    s.top_k = 2;
    s.top_p = 1;
    s.min_p = 0;
    float logits[4] = { 0, 0.1f, 0.2f, 0.3f };
    int counts[4];
    draw_many(logits, 4, &s, counts, 2000);
    assert_int_equal(counts[0] + counts[1], 0);
    assert_true(counts[2] > 500 && counts[3] > 500);
}

static void top_p_keeps_the_smallest_set_that_reaches_p(void **state)
{
    (void)state;
    hearth_sampling s = defaults();
    s.temperature = 1;
    s.top_k = 0;
    s.min_p = 0;
    s.top_p = 0.75f; /* of 0.5, 0.3, 0.15, 0.05: two of them */
    float logits[4] = { logf(0.05f), logf(0.5f), logf(0.15f), logf(0.3f) };
    int counts[4];
    draw_many(logits, 4, &s, counts, 4000);
    assert_int_equal(counts[0] + counts[2], 0);
    assert_true(fabs(counts[1] / 4000.0 - 0.625) < 0.04); /* 0.5 / 0.8; 4 sigma are 0.031 */
    s.top_p = 0; /* always at least one */
    draw_many(logits, 4, &s, counts, 100);
    assert_int_equal(counts[1], 100);
}

static void min_p_drops_what_is_below_its_share_of_the_best(void **state)
{
    (void)state;
    hearth_sampling s = defaults();
    s.top_k = 0;
    s.top_p = 1;
    s.min_p = 0.2f;
    float logits[3] = { logf(0.7f), logf(0.15f), logf(0.13f) };
    int counts[3];
    draw_many(logits, 3, &s, counts, 2000);
    assert_int_equal(counts[2], 0);
    assert_true(counts[1] > 0);
}

/* With everything off, draws follow the softmax: chi-square over 8 tokens. */
static void draws_follow_the_distribution(void **state)
{
    (void)state;
    enum { TOKENS = 8, DRAWS = 20000 };
    hearth_sampling s = defaults();
    s.temperature = 1;
    s.top_k = 0;
    s.top_p = 1;
    s.min_p = 0;
    float logits[TOKENS];
    double p[TOKENS], sum = 0, chi2 = 0;
    int counts[TOKENS];
    for (int i = 0; i < TOKENS; i++)
        sum += p[i] = exp((double)(logits[i] = 0.4f * (float)(i % 5)));
    draw_many(logits, TOKENS, &s, counts, DRAWS);
    for (int i = 0; i < TOKENS; i++) {
        double want = DRAWS * p[i] / sum;
        chi2 += (counts[i] - want) * (counts[i] - want) / want;
    }
    assert_true(chi2 < 30); /* 7 degrees of freedom: above 30 once in ten thousand, and the seed is fixed */
}

static void penalties_touch_recent_tokens_by_their_count(void **state)
{
    (void)state;
    hearth_sampling s = defaults();
    s.temperature = 0;
    int32_t history[] = { 2, 0, 0, 1 };
    float logits[3] = { 3.0f, 2.5f, 2.0f };
    s.frequency_penalty = 0.6f; /* 3 - 1.2, 2.5 - 0.6, 2 - 0.6 */
    assert_int_equal(choose(logits, 3, &s, history, 4, 0), 1);
    s.frequency_penalty = 0;
    s.presence_penalty = 2; /* the window of one token holds only 1 */
    s.repeat_last_n = 1;
    assert_int_equal(choose(logits, 3, &s, history, 4, 0), 0);
    s.presence_penalty = 0;
    s.repeat_penalty = 10;
    s.repeat_last_n = 3; /* 0 and 1 divided by ten, 2 has left the window */
    assert_int_equal(choose(logits, 3, &s, history, 4, 0), 2);
    float negative[2] = { -1.0f, -2.0f }; /* a penalty never helps: negative logits are multiplied */
    int32_t seen[] = { 0 };
    assert_int_equal(choose(negative, 2, &s, seen, 1, 0), 1);
    for (int i = 0; i < N; i++)
        assert_int_equal(room.counts[i], 0);
}

static void bias_bans_and_forces(void **state)
{
    (void)state;
    hearth_sampling s = defaults();
    s.temperature = 0;
    hearth_logit_bias bias[] = { { 1, -INFINITY }, { 2, 5 } };
    float logits[3] = { 1, 9, 0 };
    struct sampling_state st = { .params = &s, .bias = bias, .n_bias = 2 };
    assert_int_equal(sampler_choose(kernels_get(NULL), logits, 3, &st, &room), 2);
}

static void logsumexp_is_that_of_double_precision(void **state)
{
    (void)state;
    static float logits[10000];
    struct rng rng = { 5, 0 };
    double sum = 0;
    for (int i = 0; i < 10000; i++)
        sum += exp((double)(logits[i] = rng_uniform(&rng, -30, 30)));
    assert_true(fabs(logits_logsumexp(kernels_get(NULL), logits, 10000) - log(sum)) < 1e-5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_temperature_zero_the_likeliest_wins_and_ties_go_to_the_lower_id),
        cmocka_unit_test(best_are_sorted_with_ties_to_the_lower_id),
        cmocka_unit_test(the_best_of_many_are_those_of_sorting),
        cmocka_unit_test(top_k_keeps_k),
        cmocka_unit_test(top_p_keeps_the_smallest_set_that_reaches_p),
        cmocka_unit_test(min_p_drops_what_is_below_its_share_of_the_best),
        cmocka_unit_test(draws_follow_the_distribution),
        cmocka_unit_test(penalties_touch_recent_tokens_by_their_count),
        cmocka_unit_test(bias_bans_and_forces),
        cmocka_unit_test(logsumexp_is_that_of_double_precision),
    };
    return cmocka_run_group_tests(tests, set_up_room, NULL);
}
