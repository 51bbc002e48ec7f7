/* test_choice.c: what is said of how a token was chosen is so: every step of it equals a plain recomputation from the
 * model's logits, and saying it changes no answer. */
#include "plain_sampler.h"

#include "requests.h"
#include <sched.h>

enum { PROMPT = 24, ANSWER = 20, REQUESTS = 50, MOST = 512 };

/* ---- what was said ---- */

struct said {
    int32_t ids[51];
    float logprobs[HEARTH_N_STEPS][51];
    hearth_choice_step steps[HEARTH_N_STEPS];
    int32_t id;
    int rank, n_tokens, n_steps;
    float draw;
};

static void keep(struct said *s, const hearth_choice *c)
{
    assert_non_null(c);
    assert_true(c->n_tokens <= 51 && c->n_steps <= HEARTH_N_STEPS);
    *s = (struct said){ .id = c->id, .n_tokens = c->n_tokens, .n_steps = c->n_steps, .rank = c->rank, .draw = c->draw };
    memcpy(s->ids, c->ids, (size_t)c->n_tokens * sizeof *c->ids);
    for (int i = 0; i < c->n_steps; i++) {
        s->steps[i] = c->steps[i];
        memcpy(s->logprobs[i], c->steps[i].logprobs, (size_t)c->n_tokens * sizeof(float));
    }
}

static struct said said[MOST], end_said;
static int n_said;
static bool ended_by_token;

/* The answer to it; its choices are in said[]. late: nothing is read until it stands still. */
static void ask(const struct opened *o, const hearth_request *r, struct answer *a, bool late)
{
    hearth_stream *s = submit(o, r);
    hearth_event e;
    *a = (struct answer){ 0 };
    n_said = 0;
    ended_by_token = false;
    for (int i = 0; late && i < 100; i++) /* the ring fills, or not: the result is the same */
        sched_yield();
    while (hearth_stream_next(s, &e)) {
        if (e.type == HEARTH_EVENT_TOKEN) {
            keep(&said[n_said++], e.choice);
            a->mixes[a->n] = e.logits_mix;
            a->ids[a->n++] = e.id;
            assert_int_equal(e.choice->id, e.id);
        }
        if (e.type == HEARTH_EVENT_END && e.choice) {
            keep(&end_said, e.choice);
            ended_by_token = true;
        }
        a->reason = e.reason;
    }
    assert_true(hearth_stream_receipt(s, &a->receipt));
    hearth_stream_close(s);
}

/* ---- the logits it was chosen from ---- */

static float logits_of[ANSWER][TINY_VOCAB];

static void keep_logits(void *arg, size_t index, const float *logits, int n_vocab)
{
    (void)arg;
    assert_int_equal(n_vocab, TINY_VOCAB);
    memcpy(logits_of[index - PROMPT], logits, sizeof logits_of[0]);
}

static void score(const struct opened *o, const int32_t *history, int n)
{
    hearth_request r = request_of(history, n, 0);
    struct answer a;
    r.score = true;
    r.score_from = PROMPT;
    r.on_logits = keep_logits;
    answer(o, &r, &a);
    assert_int_equal(a.reason, HEARTH_END_LENGTH);
}

/* ---- against the reference ---- */

struct compared {
    const struct said *said;
    int at;        /* steps of it that were looked at */
    int n_removed; /* tokens that were followed and went */
};

static void look(struct compared *c, const struct ref *r, int step)
{
    double p[N], entropy = 0;
    int n = 0;
    if (!(r->margin > MARGIN))
        return;
    assert_true(c->at < c->said->n_steps);
    const hearth_choice_step *s = &c->said->steps[c->at];
    const float *logprobs = c->said->logprobs[c->at++];
    ref_softmax(r, p);
    for (int i = 0; i < r->n; i++) {
        n += r->x[i] > -INFINITY;
        entropy -= p[i] > 0 ? p[i] * log2(p[i]) : 0;
    }
    assert_string_equal(hearth_step_name(s->step), hearth_step_name(step));
    assert_int_equal(s->n_candidates, n);
    assert_true(fabs((double)s->temperature - r->t) <= 1e-4 * r->t);
    assert_true(fabs((double)s->entropy_bits - entropy) <= 2e-3);
    for (int j = 0; j < c->said->n_tokens; j++) {
        double want = -INFINITY;
        for (int i = 0; i < r->n; i++)
            if (r->id[i] == c->said->ids[j] && r->x[i] > -INFINITY)
                want = (r->x[i] - r->x[0]) / r->t + log(p[0]);
        c->n_removed += !(want > -INFINITY);
        if (!(want > -INFINITY) != !(logprobs[j] > -INFINITY))
            fail_msg("%s: token %d has %g, the reference %g", hearth_step_name(step), c->said->ids[j],
                     (double)logprobs[j], want);
        assert_true(!(want > -INFINITY) || fabs((double)logprobs[j] - want) <= 1e-3 * fmax(1, fabs(want)));
    }
}

/* One token of the answer. Returns whether all could be compared. */
static bool compare(const struct said *s, const hearth_request *r, const float *logits, const int32_t *history, int n,
                    double *mu, int *n_removed)
{
    static struct ref ref;
    const hearth_sampling *p = &r->sampling;
    struct compared c = { .said = s };
    struct sampling_state state = { .params = p, .history = history, .n_history = n, .seed = r->seed };
    bool likeliest = p->temperature == 0 && sampling_order_has(r->sampling_order, HEARTH_STAGE_temperature);
    float biased[TINY_VOCAB];
    ref_begin(&ref, logits, TINY_VOCAB, &state);
    look(&c, &ref, HEARTH_STEP_model);
    int rank = 0;
    for (int i = 0; i < TINY_VOCAB; i++)
        rank += logits[i] > logits[s->id];
    assert_int_equal(s->rank, rank);
    for (int i = 0; i + 1 < s->n_tokens - 1; i++) /* the likeliest first */
        assert_true(s->logprobs[0][i] >= s->logprobs[0][i + 1]);
    memcpy(biased, logits, sizeof biased);
    for (size_t i = 0; i < r->n_logit_bias; i++)
        biased[r->logit_bias[i].id] += r->logit_bias[i].bias;
    ref_begin(&ref, biased, TINY_VOCAB, &state);
    if (r->n_logit_bias)
        look(&c, &ref, HEARTH_STEP_logit_bias);
    for (int i = 0; i < r->sampling_order->n; i++) {
        int stage = r->sampling_order->stage[i];
        if (!stages[stage]->wanted(p) || (stages[stage]->drops && (likeliest || p->mirostat == 2)))
            continue;
        if (likeliest && stage == HEARTH_STAGE_temperature)
            continue; /* the likeliest comes instead */
        ref_stages[stage](&ref);
        look(&c, &ref, stage);
    }
    int chosen;
    if (likeliest) {
        ref.n = 1;
        chosen = 0;
        look(&c, &ref, HEARTH_STEP_likeliest);
    } else if (p->mirostat == 2) {
        chosen = ref_mirostat(&ref, mu);
        look(&c, &ref, HEARTH_STEP_mirostat);
    } else {
        chosen = ref_draw(&ref);
    }
    if (!(ref.margin > 1e-5)) /* mirostat's sum is single precision */
        return false;
    assert_int_equal(c.at, s->n_steps);
    assert_int_equal(s->id, ref.id[chosen]);
    assert_true(likeliest ? isnan(s->draw)
                          : fabs((double)s->draw - sampling_random(r->seed, (uint64_t)n, SUB_DRAW)) < 1e-6);
    *n_removed += c.n_removed;
    return true;
}

static void what_is_said_of_a_thousand_tokens_is_what_a_plain_recomputation_says(void **state)
{
    (void)state;
    struct opened o;
    struct rng rng = { 31, 0 };
    int n_tokens = 0, n_close = 0, n_removed = 0;
    static const char *const no_breakers[1];
    open_model(&o, "choice-plain", (struct tiny){ .arch = "llama", .type = DTYPE_q8_0 }, (hearth_engine_options){ 0 },
               (hearth_model_options){ 0 });
    for (int i = 0; i < REQUESTS; i++) {
        int32_t history[PROMPT + ANSWER];
        hearth_sampling_order order;
        struct answer a;
        fill_ids(history, PROMPT, (uint64_t)i);
        hearth_request r = request_of(history, PROMPT, ANSWER);
        hearth_logit_bias bias[3] = { { 270, -INFINITY }, { 271, 2.5f }, { 272, -1 } };
        random_params(&rng, &r.sampling);
        random_order(&rng, &order);
        r.sampling.mirostat = i % 7 == 3 ? 2 : 0;
        r.sampling.temperature = i % 7 == 5 ? 0 : r.sampling.temperature;
        r.sampling_order = &order;
        r.dry_sequence_breakers = no_breakers;
        r.logit_bias = bias;
        r.n_logit_bias = i % 3 == 0 ? 3 : 0;
        r.seed = rng_u64(&rng);
        r.want_choice = true;
        r.n_alternatives = 1 + i;
        ask(&o, &r, &a, false);
        assert_int_equal(a.n, ANSWER);
        memcpy(history + PROMPT, a.ids, sizeof *a.ids * ANSWER);
        score(&o, history, PROMPT + ANSWER);
        double mu = 2 * (double)r.sampling.mirostat_tau;
        for (int t = 0; t < ANSWER; t++, n_tokens++)
            n_close += !compare(&said[t], &r, logits_of[t], history, PROMPT + t, &mu, &n_removed);
    }
    close_model(&o);
    assert_int_equal(n_tokens, 1000);
    assert_true(n_removed > 1000); /* stages had something to remove */
    if (n_close > 250)
        fail_msg("%d of %d tokens hang on rounding", n_close, n_tokens);
}

/* ---- and nothing else changes ---- */

static void asking_why_changes_no_answer(void **state)
{
    (void)state;
    struct opened o;
    int32_t ids[PROMPT];
    struct answer plain, told, late;
    open_model(&o, "choice-same", (struct tiny){ .arch = "llama", .type = DTYPE_q4_0 }, (hearth_engine_options){ 0 },
               (hearth_model_options){ 0 });
    for (int i = 0; i < 6; i++) {
        fill_ids(ids, PROMPT, 100);
        hearth_request r = request_of(ids, PROMPT, 300);
        r.sampling.mirostat = i == 1 ? 2 : 0;
        r.sampling.repeat_penalty = i == 2 ? 1.3f : 1;
        r.speculate = i == 3 ? 4 : i == 4 ? HEARTH_SPECULATE_OFF : 0;
        r.sampling.temperature = i == 5 ? 0 : 0.8f;
        answer(&o, &r, &plain);
        r.want_choice = true;
        ask(&o, &r, &told, false);
        assert_same(&plain, &told);
        assert_int_equal(said[0].n_tokens, 1); /* nobody asked for others */
        r.n_alternatives = 50;
        ask(&o, &r, &late, true);
        assert_same(&plain, &late);
        assert_int_equal(n_said, 300);
        assert_true(said[299].n_tokens >= 50);
    }
    close_model(&o);
}

static void the_token_that_ends_an_answer_is_told_too(void **state)
{
    (void)state;
    struct opened o;
    int32_t ids[PROMPT];
    struct answer a;
    open_model(&o, "choice-end", (struct tiny){ .arch = "llama", .type = DTYPE_q8_0 }, (hearth_engine_options){ 0 },
               (hearth_model_options){ 0 });
    hearth_file_info info;
    hearth_file_describe(hearth_model_file(o.model), &info);
    hearth_logit_bias bias = { info.eos_id, 100 };
    fill_ids(ids, PROMPT, 1);
    hearth_request r = request_of(ids, PROMPT, 8);
    r.ignore_eos = false;
    r.want_choice = true;
    r.n_alternatives = 3;
    r.logit_bias = &bias;
    r.n_logit_bias = 1;
    ask(&o, &r, &a, false);
    assert_int_equal(a.n, 0);
    assert_true(ended_by_token);
    assert_int_equal(end_said.id, info.eos_id);
    assert_int_equal(end_said.steps[1].step, HEARTH_STEP_logit_bias);
    assert_true(end_said.logprobs[1][end_said.n_tokens - 1] > -0.01f);
    r.n_logit_bias = 0;
    r.ignore_eos = true;
    ask(&o, &r, &a, false);
    assert_false(ended_by_token);
    close_model(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_said_of_a_thousand_tokens_is_what_a_plain_recomputation_says),
        cmocka_unit_test(asking_why_changes_no_answer),
        cmocka_unit_test(the_token_that_ends_an_answer_is_told_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
