/* test_sampler_chain.c: every stage, in every order, equals a plain reference written from the papers' formulas: double
 * precision, probabilities of everything, sorting of everything, libm. Where a reference's decision hangs on less than
 * MARGIN (a probability sum that just reaches p, say) rounding may decide it otherwise: such rounds are left out, and
 * how many there may be is part of the test. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "infer/sampler.h"

#include <cmocka.h>

enum { N = 400, CTX = 64 };
#define MARGIN 1e-6 /* penalties are float: 6e-8 of the logit; everything else double */

#define STAGE(name, spellings, help) extern const struct sampler sampler_##name;
#include "hearth/sampling_stages.def"
static const struct sampler *const stages[] = {
#define STAGE(name, spellings, help) &sampler_##name,
#include "hearth/sampling_stages.def"
};

static struct sampler_room room;

static int set_up_room(void **state)
{
    (void)state;
    static _Alignas(64) uint8_t memory[1 << 16];
    assert_true(sampler_room_bytes(N, CTX) <= sizeof memory);
    sampler_room_layout(&room, memory, N, CTX);
    return 0;
}

/* ---- the reference ---- */

struct ref {
    int n, id[N];
    double x[N], t;
    float given[N]; /* the logits that it began with, by id */
    double margin; /* the least distance of a decision from going the other way */
    const hearth_sampling *p;
    const struct sampling_state *s;
};

static void decided(struct ref *r, double by)
{
    by = fabs(by);
    if (!(by >= r->margin)) /* a NaN, too */
        r->margin = isnan(by) ? 0 : by;
}

static void ref_sort(struct ref *r)
{
    for (int i = 1; i < r->n; i++)
        for (int j = i; j > 0 && (r->x[j] > r->x[j - 1] || (r->x[j] == r->x[j - 1] && r->id[j] < r->id[j - 1])); j--) {
            double x = r->x[j];
            int id = r->id[j];
            r->x[j] = r->x[j - 1];
            r->id[j] = r->id[j - 1];
            r->x[j - 1] = x;
            r->id[j - 1] = id;
        }
    for (int i = 1; i < r->n; i++)
        if (isfinite(r->x[i]) && r->x[i] != r->x[i - 1])
            decided(r, (r->x[i - 1] - r->x[i]) / fmax(1, fabs(r->x[i])));
        else if (isfinite(r->x[i]) && r->given[r->id[i]] != r->given[r->id[i - 1]])
            decided(r, 0); /* penalties made them equal, as far as rounding lets one say */
}

static void ref_softmax(const struct ref *r, double *p)
{
    double sum = 0;
    for (int i = 0; i < r->n; i++)
        sum += p[i] = r->x[i] == r->x[0] ? 1 : exp((r->x[i] - r->x[0]) / r->t);
    for (int i = 0; i < r->n; i++)
        p[i] /= sum;
}

static void ref_penalties(struct ref *r)
{
    const struct sampling_state *s = r->s;
    for (int i = 0; i < r->n; i++) {
        int count = 0;
        for (int j = s->n_history - 1; j >= 0 && j >= s->n_history - r->p->repeat_last_n; j--)
            count += s->history[j] == r->id[i];
        if (!count)
            continue;
        double x = r->x[i], repeat = (double)r->p->repeat_penalty;
        x = x > 0 ? x / repeat : x * repeat;
        r->x[i] = (double)(float)(x - count * (double)r->p->frequency_penalty - (double)r->p->presence_penalty);
    }
    ref_sort(r);
}

static bool ref_breaks(const struct sampling_state *s, int id)
{
    return s->breakers && (s->breakers[id / 64] >> id % 64 & 1);
}

/* As its author describes it: every earlier place of the last token, extended backwards. */
static void ref_dry(struct ref *r)
{
    const struct sampling_state *s = r->s;
    int n = r->p->dry_penalty_last_n, longest[N] = { 0 };
    n = n < 0 || n > s->n_history ? s->n_history : n;
    const int32_t *h = s->history + s->n_history - n;
    if (n < 1 || ref_breaks(s, h[n - 1]))
        return;
    for (int i = 0; i < n - 1; i++) {
        int len = 0;
        while (len <= i && h[i - len] == h[n - 1 - len] && !ref_breaks(s, h[i - len]))
            len++;
        if (len > longest[h[i + 1]] && !ref_breaks(s, h[i + 1]))
            longest[h[i + 1]] = len;
    }
    for (int i = 0; i < r->n; i++) {
        int len = longest[r->id[i]];
        if (len >= 1 && len >= r->p->dry_allowed_length)
            r->x[i] = (double)(float)(r->x[i] - fmin((double)FLT_MAX, (double)r->p->dry_multiplier
                                            * pow((double)r->p->dry_base, len - r->p->dry_allowed_length)));
    }
    ref_sort(r);
}

static void ref_top_n_sigma(struct ref *r)
{
    double sum = 0, squares = 0;
    int count = 0, kept = 0;
    for (int i = 0; i < r->n; i++)
        if (isfinite(r->x[i])) {
            sum += r->x[i];
            count++;
        }
    for (int i = 0; i < r->n; i++)
        if (isfinite(r->x[i]))
            squares += pow(r->x[i] - sum / count, 2);
    double least = r->x[0] - (count ? (double)r->p->top_n_sigma * sqrt(squares / count) : 0);
    for (; kept < r->n && (kept == 0 || r->x[kept] >= least); kept++)
        ;
    for (int i = 1; i < r->n; i++)
        if (isfinite(r->x[i]) && squares > 0)
            decided(r, (r->x[i] - least) / fmax(1, fabs(least)));
    r->n = kept;
}

static void ref_top_k(struct ref *r) { r->n = r->p->top_k < r->n ? r->p->top_k : r->n; }

static void ref_top_p(struct ref *r)
{
    double p[N], sum = 0;
    int kept = 0;
    ref_softmax(r, p);
    for (; kept < r->n && (kept == 0 || sum < (double)r->p->top_p); kept++) {
        sum += p[kept];
        decided(r, sum - (double)r->p->top_p);
    }
    r->n = kept;
}

static void ref_min_p(struct ref *r)
{
    double p[N];
    int kept = 1;
    ref_softmax(r, p);
    while (kept < r->n && p[kept] >= (double)r->p->min_p * p[0])
        kept++;
    for (int i = 1; i < r->n; i++)
        if (r->x[i] != r->x[0])
            decided(r, p[i] / ((double)r->p->min_p * p[0]) - 1);
    r->n = kept;
}

static void ref_typ_p(struct ref *r)
{
    double p[N], deviation[N], entropy = 0, sum = 0;
    bool in[N] = { false };
    int n_in = 0, last = -1;
    ref_softmax(r, p);
    for (int i = 0; i < r->n; i++)
        entropy -= p[i] > 0 ? p[i] * log(p[i]) : 0;
    for (int i = 0; i < r->n; i++)
        deviation[i] = p[i] > 0 ? fabs(-log(p[i]) - entropy) : INFINITY;
    while (n_in < r->n && (n_in == 0 || sum < (double)r->p->typical_p)) {
        int next = -1;
        for (int i = 0; i < r->n; i++)
            if (!in[i] && (next < 0 || deviation[i] < deviation[next]))
                next = i;
        in[next] = true;
        sum += p[last = next];
        n_in++;
        decided(r, sum - (double)r->p->typical_p);
    }
    for (int i = 0; i < r->n; i++) /* one that did not get in, and might have before the last one */
        if (!in[i] && r->x[i] != r->x[last])
            decided(r, deviation[i] - deviation[last]);
    int kept = 0;
    for (int i = 0; i < r->n; i++)
        if (in[i]) {
            r->x[kept] = r->x[i];
            r->id[kept++] = r->id[i];
        }
    r->n = kept;
}

static void ref_xtc(struct ref *r)
{
    double p[N], u = sampling_random(r->s->seed, (uint64_t)r->s->n_history, SUB_XTC);
    int n_top = 0;
    if (u >= (double)r->p->xtc_probability)
        return;
    ref_softmax(r, p);
    for (int i = 0; i < r->n; i++) {
        n_top += p[i] >= (double)r->p->xtc_threshold;
        decided(r, p[i] - (double)r->p->xtc_threshold);
    }
    for (int i = 0; n_top >= 2 && i < r->n - (n_top - 1); i++) {
        r->x[i] = r->x[i + n_top - 1];
        r->id[i] = r->id[i + n_top - 1];
    }
    r->n -= n_top >= 2 ? n_top - 1 : 0;
}

static void ref_temperature(struct ref *r)
{
    double t = (double)r->p->temperature, range = (double)r->p->dynatemp_range, p[N], entropy = 0;
    if (range > 0) {
        ref_softmax(r, p);
        for (int i = 0; i < r->n; i++)
            entropy -= p[i] > 0 ? p[i] * log(p[i]) : 0;
        double share = r->n > 1 ? fmin(1, fmax(0, entropy / log(r->n))) : 0, low = fmax(0, t - range);
        t = low + (t + range - low) * pow(share, (double)r->p->dynatemp_exponent);
        if (t < 1e-3) /* so cold that rounding of the entropy shows */
            decided(r, 0);
    }
    if (t > 0)
        r->t *= t;
    else
        r->n = 1;
}

static void (*const ref_stages[HEARTH_N_STAGES])(struct ref *) = {
#define STAGE(name, spellings, help) ref_##name,
#include "hearth/sampling_stages.def"
};

static void ref_begin(struct ref *r, const float *logits, int n, const struct sampling_state *s)
{
    *r = (struct ref){ .n = n, .t = 1, .margin = INFINITY, .p = s->params, .s = s };
    for (int i = 0; i < n; i++) {
        r->id[i] = i;
        r->x[i] = (double)(r->given[i] = logits[i]);
    }
    ref_sort(r);
    r->margin = INFINITY; /* given logits are exact */
}

/* The draw of the reference: the first token whose cumulative probability is above u. */
static int ref_draw(struct ref *r)
{
    double p[N], u = sampling_random(r->s->seed, (uint64_t)r->s->n_history, SUB_DRAW), sum = 0;
    int drawn = -1;
    ref_softmax(r, p);
    for (int i = 0; i < r->n; i++) {
        sum += p[i];
        decided(r, sum - u);
        if (drawn < 0 && (sum > u || i == r->n - 1))
            drawn = i;
    }
    return drawn;
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

static float pick(struct rng *rng, float off, float low, float high)
{
    uint32_t kind = rng_below(rng, 8);
    return kind < 3 ? off : kind == 3 ? low : kind == 4 ? high : rng_uniform(rng, low, high);
}

static void random_params(struct rng *rng, hearth_sampling *s)
{
    hearth_sampling_defaults(NULL, s, NULL);
    s->temperature = pick(rng, 1, 0.01f, 5);
    s->top_k = (int)pick(rng, 0, 1, 60);
    s->top_p = pick(rng, 1, 0, 0.99f);
    s->min_p = pick(rng, 0, 1e-6f, 1);
    s->typical_p = pick(rng, 1, 0, 0.99f);
    s->top_n_sigma = pick(rng, 0, 0.01f, 4);
    s->xtc_probability = pick(rng, 0, 1, 0.5f);
    s->xtc_threshold = pick(rng, 0.1f, 0, 0.6f);
    s->dynatemp_range = pick(rng, 0, 0.1f, 3);
    s->dynatemp_exponent = pick(rng, 1, 0, 4);
    s->repeat_penalty = pick(rng, 1, 0.5f, 3);
    s->repeat_last_n = (int)pick(rng, 64, 0, 40);
    s->presence_penalty = pick(rng, 0, -2, 2);
    s->frequency_penalty = pick(rng, 0, -1, 1);
    s->dry_multiplier = pick(rng, 0, 0.1f, 5);
    s->dry_base = pick(rng, 1.75f, 1, 90);
    s->dry_allowed_length = (int)pick(rng, 2, 0, 6);
    s->dry_penalty_last_n = (int)pick(rng, -1, 0, 50);
}

static void random_order(struct rng *rng, hearth_sampling_order *o)
{
    *o = *sampling_order_standard();
    for (int i = o->n - 1; i > 0; i--) {
        uint32_t j = rng_below(rng, (uint32_t)i + 1);
        unsigned char t = o->stage[i];
        o->stage[i] = o->stage[j];
        o->stage[j] = t;
    }
    if (rng_below(rng, 3) == 0)
        o->n = (int)rng_below(rng, HEARTH_N_STAGES + 1);
}

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
            ref_softmax(&r, p);
            int kept = 1;
            while (kept < r.n && -log2(p[kept]) <= mu)
                kept++;
            for (int i = 1; i < r.n; i++)
                decided(&r, -log2(p[i]) - mu);
            r.n = kept;
            int drawn = ref_draw(&r);
            ref_softmax(&r, p);
            int got = sampler_choose(kernels_get(NULL), c.logits, N, &c.state, &room);
            if (r.margin < 1e-5) /* the sum over all is single precision, 1e-6 */
                continue;
            assert_int_equal(got, r.id[drawn]);
            total += -log2(p[drawn]);
            double want = mu - (double)c.params.mirostat_eta * (-log2(p[drawn]) - (double)c.params.mirostat_tau);
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
