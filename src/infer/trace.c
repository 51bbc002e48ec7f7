#include "infer/trace.h"

#include <math.h>

#include "kernel/num.h"

#define LN_2 0.6931471805599453

static const char *const names[HEARTH_N_STEPS] = {
#define STAGE(name, spellings, help) [HEARTH_STAGE_##name] = #name,
#include "hearth/sampling_stages.def"
    [HEARTH_STEP_model] = "model",
    [HEARTH_STEP_logit_bias] = "logit_bias",
    [HEARTH_STEP_likeliest] = "likeliest",
    [HEARTH_STEP_mirostat] = "mirostat",
};

const char *hearth_step_name(int step) { return step >= 0 && step < HEARTH_N_STEPS ? names[step] : NULL; }

/* A logit's weight beside the best one's, as choice_weigh() has it, and what it adds to the entropy. */
struct sums {
    float best;
    double temperature, weight, weighted; /* sum of w, sum of w * ln w */
    int n;
};

static double log_weight(const struct sums *s, float logit)
{
    return logit == s->best ? 0 : ((double)logit - (double)s->best) / s->temperature; /* the best may be infinite */
}

static void add(struct sums *s, float logit)
{
    if (!(logit > -INFINITY) && logit != s->best) /* banned, or no number */
        return;
    double x = log_weight(s, logit), w = num_exp(x);
    s->n++;
    s->weight += w;
    if (w > 0)
        s->weighted += w * x;
}

static struct sums sum_up(const struct choice *ch)
{
    struct sums s = { .temperature = ch->temperature };
    if (ch->all)
        ch->k->argmax(ch->logits, ch->n_vocab, &s.best);
    else
        s.best = ch->c[0].logit;
    int n = ch->all ? ch->n_vocab : ch->n;
    for (int i = 0; i < n; i++)
        add(&s, ch->all ? ch->logits[i] : ch->c[i].logit);
    return s;
}

/* Its logit among what is left; -INFINITY: it is not. */
static float logit_of(const struct choice *ch, int32_t id)
{
    if (ch->all)
        return ch->logits[id];
    for (int i = 0; i < ch->n; i++)
        if (ch->c[i].id == id)
            return ch->c[i].logit;
    return -INFINITY;
}

static void saw(void *arg, int step, const struct choice *ch)
{
    struct choice_trace *t = arg;
    if (t->choice.n_steps == TRACE_STEPS)
        return;
    if (step == HEARTH_STEP_model)
        for (int i = 0; i < ch->n_vocab; i++)
            t->choice.rank += ch->logits[i] > ch->logits[t->choice.id];
    int at = t->choice.n_steps++;
    struct sums s = sum_up(ch);
    double log_sum = num_log(s.weight), entropy = (log_sum - s.weighted / s.weight) / LN_2;
    t->steps[at] = (hearth_choice_step){ .step = step, .n_candidates = s.n, .temperature = (float)ch->temperature,
                                         .entropy_bits = (float)(entropy > 0 ? entropy : 0),
                                         .logprobs = t->logprobs[at] };
    for (int i = 0; i < t->choice.n_tokens; i++) {
        float logit = logit_of(ch, t->ids[i]);
        t->logprobs[at][i] = logit > -INFINITY ? (float)(log_weight(&s, logit) - log_sum) : -INFINITY;
    }
}

void trace_choice(struct choice_trace *t, const struct kernels *k, float *logits, int n_vocab,
                  const struct sampling_state *state, struct sampler_room *room, const hearth_alternative *likeliest,
                  int n, int32_t chosen)
{
    struct sampling_watch watch = { saw, t };
    struct sampling_state watched = *state;
    bool known = false;
    t->choice = (hearth_choice){ .id = chosen, .draw = NAN, .ids = t->ids, .steps = t->steps };
    for (int i = 0; i < min_int(n, TRACE_TOKENS - 1); i++) {
        t->ids[t->choice.n_tokens++] = likeliest[i].id;
        known = known || likeliest[i].id == chosen;
    }
    if (!known)
        t->ids[t->choice.n_tokens++] = chosen;
    watched.watch = &watch;
    sampler_choose(k, logits, n_vocab, &watched, room);
    const float below_one = 0x1.fffffep-1f;
    float draw = (float)sampling_random(state->seed, (uint64_t)state->n_history, SUB_DRAW);
    if (t->steps[t->choice.n_steps - 1].step != HEARTH_STEP_likeliest)
        t->choice.draw = draw < below_one ? draw : below_one;
}
