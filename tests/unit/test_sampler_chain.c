/* test_sampler_chain.c: every stage, in every order, equals a plain reference (plain_sampler.h). Rounds that hang on
 * rounding are left out, and how many there may be is part of the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "plain_sampler.h"

#include <cmocka.h>

enum { CTX = 64 };

static struct sampler_room room;

static int set_up_room(void **state)
{
    (void)state;
    static _Alignas(64) uint8_t memory[1 << 16];
    assert_true(sampler_room_bytes(N, CTX) <= sizeof memory);
    sampler_room_layout(&room, memory, N, CTX);
    return 0;
}

/* ---- random cases ---- */

struct random_case {
    int n;
    float logits[N];
    hearth_sampling params;
    hearth_sampling_order order;
    int32_t history[CTX];
    uint64_t breakers[N / 64 + 1];
    struct sampling_state state;
    struct sampling_memory memory;
};

static void make_case(struct random_case *c, struct rng *rng)
{
    static const int sizes[] = { 1, 2, 3, 7, 40, 129, N };
    int kind = (int)rng_below(rng, 6), few = 1 + (int)rng_below(rng, 6), n_history = (int)rng_below(rng, CTX + 1);
    memset(c, 0, sizeof *c);
    c->n = sizes[rng_below(rng, 7)];
    for (int i = 0; i < c->n; i++) {
        float x = rng_normal(rng) * (kind == 3 ? 40.0f : 3.0f);
        c->logits[i] = kind == 1 ? (float)rng_below(rng, 4) : kind == 2 ? 0 : x;
        if (kind == 4 && rng_below(rng, 3) == 0)
            c->logits[i] = -INFINITY;
    }
    if (kind == 4)
        c->logits[rng_below(rng, (uint32_t)c->n)] = 1; /* not all banned */
    for (int i = 0; i < n_history; i++)
        c->history[i] = (int32_t)rng_below(rng, (uint32_t)min_int(few, c->n));
    for (int i = 0; i < c->n; i++)
        c->breakers[i / 64] |= (uint64_t)(rng_below(rng, 8) == 0) << (i % 64);
    random_params(rng, &c->params);
    random_order(rng, &c->order);
    c->state = (struct sampling_state){ .params = &c->params, .order = &c->order, .history = c->history,
                                        .n_history = n_history, .seed = rng_u64(rng), .memory = &c->memory,
                                        .breakers = rng_below(rng, 2) ? c->breakers : NULL };
}

static void counts_are_clear(void)
{
    for (int i = 0; i < N; i++)
        assert_int_equal(room.counts[i], 0);
}

/* Survivors of one stage after the other, and what stands of their logits. */
static void every_stage_in_every_order_keeps_what_the_reference_keeps(void **state)
{
    (void)state;
    static struct random_case c;
    static struct ref r;
    struct rng rng = { 17, 0 };
    int n_rounds = 20000, n_close = 0, n_seen[HEARTH_N_STAGES] = { 0 };
    for (int round = 0; round < n_rounds; round++) {
        make_case(&c, &rng);
        ref_begin(&r, c.logits, c.n, &c.state);
        struct choice ch = { .k = kernels_get(NULL), .state = &c.state, .params = &c.params, .room = &room,
                             .logits = c.logits, .n_vocab = c.n, .all = true, .temperature = 1 };
        double t_error = 1e-9; /* of the dynamic temperature: its logits may have gone through floats */
        for (int i = 0; i < c.order.n && r.margin > MARGIN; i++) {
            int stage = c.order.stage[i];
            if (!stages[stage]->wanted(&c.params))
                continue;
            if (stage == HEARTH_STAGE_penalties || stage == HEARTH_STAGE_dry)
                t_error = 1e-4; /* penalties are in float before this; a wrong entropy gives 1e-1 */
            int before = r.n;
            stages[stage]->apply(&ch);
            ref_stages[stage](&r);
            n_seen[stage] += r.margin > MARGIN && (r.n != before || !stages[stage]->drops);
        }
        choice_gather(&ch);
        n_close += !(r.margin > MARGIN);
        if (!(r.margin > MARGIN))
            continue;
        if (ch.n != r.n)
            fail_msg("round %d: %d candidates, the reference has %d", round, ch.n, r.n);
        assert_true(fabs(ch.temperature - r.t) <= t_error * r.t);
        for (int i = 0; i < ch.n; i++) {
            if (ch.c[i].id != r.id[i])
                fail_msg("round %d: candidate %d is %d (%.9g), the reference has %d (%.9g)", round, i, ch.c[i].id,
                         (double)ch.c[i].logit, r.id[i], r.x[i]);
            double x = (double)ch.c[i].logit; /* float penalties: a few roundings of 6e-8 of logits up to some 500 */
            assert_true(x == r.x[i] || fabs(x - r.x[i]) <= 1e-6 * fmax(200, fabs(r.x[i])) || r.x[i] < -1e38);
        }
        counts_are_clear();
    }
    if (n_close * 4 > n_rounds)
        fail_msg("%d of %d rounds hang on rounding", n_close, n_rounds);
    for (int s = 0; s < HEARTH_N_STAGES; s++) /* each stage did something often enough */
        if (n_seen[s] < n_rounds / 100)
            fail_msg("stage %s had an effect in only %d rounds", hearth_sampling_stages()[s], n_seen[s]);
}

/* The whole choice, on every instruction set: the reference's token, and the same bits. */
static void the_token_is_the_references_on_every_instruction_set(void **state)
{
    (void)state;
    static struct random_case c;
    static struct ref r;
    struct rng rng = { 18, 0 };
    int n_rounds = 10000, n_compared = 0;
    for (int round = 0; round < n_rounds; round++) {
        make_case(&c, &rng);
        if (round % 10 == 0)
            c.params.temperature = 0;
        bool likeliest = c.params.temperature == 0 && sampling_order_has(&c.order, HEARTH_STAGE_temperature);
        ref_begin(&r, c.logits, c.n, &c.state);
        for (int i = 0; i < c.order.n; i++) {
            int stage = c.order.stage[i];
            bool gives_way = likeliest && (stages[stage]->drops || stage == HEARTH_STAGE_temperature);
            if (stages[stage]->wanted(&c.params) && !gives_way)
                ref_stages[stage](&r);
        }
        int want = r.id[likeliest ? 0 : ref_draw(&r)], first = -1;
        for (int i = 0; kernels_all[i]; i++) {
            float logits[N];
            if (!kernels_usable(kernels_all[i]))
                continue;
            memcpy(logits, c.logits, sizeof logits);
            int got = sampler_choose(kernels_all[i], logits, c.n, &c.state, &room);
            if (first < 0)
                first = got;
            if (got != first)
                fail_msg("round %d: %s chooses %d, another set %d", round, kernels_all[i]->isa, got, first);
            if (r.margin > MARGIN && got != want)
                fail_msg("round %d: %s chooses %d, the reference %d", round, kernels_all[i]->isa, got, want);
        }
        n_compared += r.margin > MARGIN;
    }
    if (n_compared < n_rounds / 2)
        fail_msg("only %d of %d rounds do not hang on rounding", n_compared, n_rounds);
}

/* mu is compared after every step, and goes on as it is. */
static void mirostat_follows_its_formula_and_holds_the_surprise(void **state)
{
    (void)state;
    struct rng rng = { 19, 0 };
    static struct random_case c;
    static struct ref r;
    for (int round = 0; round < 60; round++) {
        make_case(&c, &rng);
        c.n = N;
        hearth_sampling_defaults(NULL, &c.params, NULL);
        c.params.mirostat = 2;
        c.params.mirostat_tau = rng_uniform(&rng, 1, 6);
        c.params.temperature = round & 1 ? 1 : 0.7f;
        c.params.dynatemp_range = round % 5 == 4 ? 0.3f : 0;
        c.order = *sampling_order_standard();
        c.state.n_history = 0;
        sampling_memory_begin(&c.memory, &c.params);
        assert_true(c.memory.mu == 2 * (double)c.params.mirostat_tau);
        double total = 0;
        int n_steps = 60;
        for (int step = 0; step < n_steps; step++) {
            double p[N], mu = c.memory.mu;
            for (int i = 0; i < N; i++)
                c.logits[i] = rng_normal(&rng) * 2;
            c.state.seed = rng_u64(&rng);
            ref_begin(&r, c.logits, N, &c.state);
            ref_temperature(&r);
            double want = mu;
            int drawn = ref_mirostat(&r, &want);
            ref_softmax(&r, p);
            int got = sampler_choose(kernels_get(NULL), c.logits, N, &c.state, &room);
            if (r.margin < 1e-5) /* the sum over all is single precision, 1e-6 */
                continue;
            assert_int_equal(got, r.id[drawn]);
            total += -log2(p[drawn]);
            assert_true(fabs(c.memory.mu - want) < 1e-6);
        }
        /* Within the spread of 60 draws of a surprise that deviates by some 2 bits, and mu's way down from 2 tau. */
        if (c.params.mirostat_tau < 4)
            assert_true(total / n_steps < (double)c.params.mirostat_tau + 1);
    }
}

/* ---- distributions ---- */

/* Draws with everything but `tweak` off against exact probabilities (0: must not appear); chi-square. */
static void check_distribution(const float *logits, int n, const hearth_sampling *s, const double *want, double limit)
{
    enum { DRAWS = 20000 };
    static int32_t history[DRAWS];
    int counts[N] = { 0 };
    double chi2 = 0;
    for (int i = 0; i < DRAWS; i++) {
        float copy[N];
        memcpy(copy, logits, sizeof(float) * (size_t)n);
        struct sampling_state st = { .params = s, .history = history, .n_history = i, .seed = 5 };
        counts[sampler_choose(kernels_get(NULL), copy, n, &st, &room)]++;
    }
    for (int i = 0; i < n; i++) {
        if (want[i] == 0) {
            assert_int_equal(counts[i], 0);
            continue;
        }
        double d = counts[i] - DRAWS * want[i];
        chi2 += d * d / (DRAWS * want[i]);
    }
    if (chi2 > limit)
        fail_msg("chi-square is %g, above %g", chi2, limit);
}

static hearth_sampling all_off(void)
{
    hearth_sampling s;
    hearth_sampling_defaults(NULL, &s, NULL);
    s.temperature = 1;
    s.top_k = 0;
    s.top_p = 1;
    s.min_p = 0;
    return s;
}

/* Limits: above them once in ten thousand for the degrees of freedom; the seed is fixed. */
static void draws_follow_exact_probabilities(void **state)
{
    (void)state;
    float logits[4] = { logf(0.4f), logf(0.3f), logf(0.2f), logf(0.1f) };
    hearth_sampling s = all_off();
    check_distribution(logits, 4, &s, (double[]){ 0.4, 0.3, 0.2, 0.1 }, 21.1);
    s.typical_p = 0.45f; /* H = 1.280 nats; deviations 0.364, 0.076, 0.329, 1.023: 0.3 and 0.2 */
    check_distribution(logits, 4, &s, (double[]){ 0, 0.6, 0.4, 0 }, 15.1);
    s = all_off();
    s.xtc_probability = 0.25f; /* then 0.4 and 0.3 go, 0.2 is the last above 0.15 */
    s.xtc_threshold = 0.15f;
    check_distribution(logits, 4, &s,
                       (double[]){ 0.75 * 0.4, 0.75 * 0.3, 0.75 * 0.2 + 0.25 * 2 / 3, 0.75 * 0.1 + 0.25 / 3 }, 21.1);
    s = all_off();
    s.temperature = 0.5f; /* squares */
    check_distribution(logits, 4, &s, (double[]){ 16 / 30.0, 9 / 30.0, 4 / 30.0, 1 / 30.0 }, 21.1);
    s.top_p = 0.6f; /* before the temperature: 0.4 and 0.3 */
    check_distribution(logits, 4, &s, (double[]){ 16 / 25.0, 9 / 25.0, 0, 0 }, 15.1);
}

static void what_is_listed_decides_what_runs_and_when(void **state)
{
    (void)state;
    float logits[4] = { logf(0.4f), logf(0.3f), logf(0.2f), logf(0.1f) };
    hearth_sampling s = all_off();
    hearth_sampling_order order;
    s.temperature = 0.25f; /* fourth powers: 256 81 16 1 of 354 */
    s.top_p = 0.7f;
    int seen[2][4] = { { 0 }, { 0 } };
    for (int which = 0; which < 2; which++) {
        assert_true(hearth_sampling_order_read(&order, which ? "temperature;top_p" : " TOP-P ; temp", NULL));
        for (uint64_t seed = 0; seed < 2000; seed++) {
            float copy[4];
            memcpy(copy, logits, sizeof copy);
            struct sampling_state st = { .params = &s, .order = &order, .seed = seed };
            seen[which][sampler_choose(kernels_get(NULL), copy, 4, &st, &room)]++;
        }
    }
    assert_true(seen[0][1] > 0 && seen[0][2] == 0); /* 0.4 + 0.3 reach 0.7 */
    assert_int_equal(seen[1][0], 2000);             /* 256 / 354 = 0.72 alone */
    assert_true(hearth_sampling_order_read(&order, "", NULL));
    assert_int_equal(order.n, 0);
    int last = 0;
    for (uint64_t seed = 0; seed < 2000; seed++) { /* nothing runs, not even the temperature */
        float copy[4];
        memcpy(copy, logits, sizeof copy);
        struct sampling_state st = { .params = &s, .order = &order, .seed = seed };
        last += sampler_choose(kernels_get(NULL), copy, 4, &st, &room) == 3;
    }
    assert_true(last > 140 && last < 260); /* 200; 4 sigma are 54 */
}

static void orders_are_read_and_written_by_their_names(void **state)
{
    (void)state;
    hearth_sampling_order order;
    hearth_error err = { 0 };
    char text[HEARTH_ORDER_BYTES];
    assert_int_equal(hearth_sampling_order_default(NULL, &order), HEARTH_FROM_DEFAULT);
    hearth_sampling_order_write(&order, text);
    assert_string_equal(text, "penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc;temperature");
    assert_true(hearth_sampling_order_read(&order, "xtc;typical;nucleus;Temp;top-n-sigma", &err));
    hearth_sampling_order_write(&order, text);
    assert_string_equal(text, "xtc;typ_p;top_p;temperature;top_n_sigma");
    assert_false(hearth_sampling_order_read(&order, "top_k;mirostat", &err));
    assert_non_null(strstr(err.message, "no sampler 'mirostat'"));
    assert_non_null(strstr(err.message, "penalties;dry"));
    assert_false(hearth_sampling_order_read(&order, "top_k;top-k", &err));
    assert_non_null(strstr(err.message, "stands twice"));
    assert_false(hearth_sampling_order_read(&order, "top_k;", &err));
    assert_non_null(strstr(err.message, "no sampler ''"));
}

/* Banned tokens are never drawn, an infinite bias always, and NaNs are nothing. */
static void infinities_and_nans_are_chosen_as_they_should(void **state)
{
    (void)state;
    hearth_sampling s = all_off();
    for (uint64_t seed = 0; seed < 500; seed++) {
        float banned[4] = { -INFINITY, 0, -INFINITY, -INFINITY }, forced[3] = { 5, INFINITY, 9 };
        float odd[3] = { NAN, 1, NAN }, nothing[2] = { NAN, NAN }, all_banned[2] = { -INFINITY, -INFINITY };
        struct sampling_state st = { .params = &s, .seed = seed, .memory = &(struct sampling_memory){ 10 } };
        s.mirostat = seed % 3 == 0 ? 2 : 0;
        s.typical_p = seed % 5 == 0 ? 0.3f : 1;
        s.top_n_sigma = seed % 7 == 0 ? 0.5f : 0;
        assert_int_equal(sampler_choose(kernels_get(NULL), banned, 4, &st, &room), 1);
        assert_int_equal(sampler_choose(kernels_get(NULL), forced, 3, &st, &room), 1);
        assert_int_equal(sampler_choose(kernels_get(NULL), odd, 3, &st, &room), 1);
        assert_int_equal(sampler_choose(kernels_get(NULL), nothing, 2, &st, &room), 0);
        int32_t any = sampler_choose(kernels_get(NULL), all_banned, 2, &st, &room);
        assert_true(any == 0 || any == 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_stage_in_every_order_keeps_what_the_reference_keeps),
        cmocka_unit_test(the_token_is_the_references_on_every_instruction_set),
        cmocka_unit_test(mirostat_follows_its_formula_and_holds_the_surprise),
        cmocka_unit_test(draws_follow_exact_probabilities),
        cmocka_unit_test(what_is_listed_decides_what_runs_and_when),
        cmocka_unit_test(orders_are_read_and_written_by_their_names),
        cmocka_unit_test(infinities_and_nans_are_chosen_as_they_should),
    };
    return cmocka_run_group_tests(tests, set_up_room, NULL);
}
