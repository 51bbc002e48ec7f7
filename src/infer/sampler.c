#include "infer/sampler.h"

#include "base/rng.h"
#include "kernel/num.h"

#define STAGE(name, spellings, help) extern const struct sampler sampler_##name;
#include "hearth/sampling_stages.def"

static const struct sampler *const stages[HEARTH_N_STAGES] = {
#define STAGE(name, spellings, help) [HEARTH_STAGE_##name] = &sampler_##name,
#include "hearth/sampling_stages.def"
};

/* ---- the order ---- */

const hearth_sampling_order *sampling_order_standard(void)
{
    static const hearth_sampling_order standard = {
        .n = HEARTH_N_STAGES,
        .stage = {
#define STAGE(name, spellings, help) HEARTH_STAGE_##name,
#include "hearth/sampling_stages.def"
        },
    };
    return &standard;
}

bool sampling_stage_wanted(const hearth_sampling *params, int stage) { return stages[stage]->wanted(params); }
bool sampling_stage_drops(int stage) { return stages[stage]->drops; }

/* ---- memory ---- */

static void *take(uint8_t **at, size_t n, size_t each)
{
    uint8_t *p = *at;
    *at += align_size(n * each, 64);
    return p;
}

static size_t lay_out(struct sampler_room *room, uint8_t *memory, int n_vocab, int n_ctx)
{
    uint8_t *at = memory;
    size_t n = (size_t)n_vocab, n_blocks = (n + KERNEL_MAX_BLOCK - 1) / KERNEL_MAX_BLOCK;
    room->candidates = take(&at, n, sizeof *room->candidates);
    room->spare = take(&at, n, sizeof *room->spare);
    room->weights = take(&at, n, sizeof *room->weights);
    room->blocks = take(&at, 2 * n_blocks, sizeof *room->blocks);
    room->counts = take(&at, n, sizeof *room->counts);
    room->matches = take(&at, (size_t)n_ctx, sizeof *room->matches);
    return (size_t)(at - memory);
}

size_t sampler_room_bytes(int n_vocab, int n_ctx)
{
    static uint8_t nowhere[1];
    struct sampler_room room;
    return lay_out(&room, nowhere, n_vocab, n_ctx);
}

void sampler_room_layout(struct sampler_room *room, void *memory, int n_vocab, int n_ctx)
{
    lay_out(room, memory, n_vocab, n_ctx);
}

void sampling_memory_begin(struct sampling_memory *m, const hearth_sampling *params)
{
    m->mu = 2 * (double)params->mirostat_tau;
}

/* ---- what stages share ---- */

double sampling_random(uint64_t seed, uint64_t position, enum sampling_sub sub)
{
    uint64_t bits = rng_at(seed, position);
    return rng_unit_of(sub == SUB_DRAW ? bits : rng_at(bits, (uint64_t)sub));
}

double choice_weigh(struct choice *ch)
{
    double sum = 0, *weights = ch->room->weights;
    float best = ch->c[0].logit;
    for (int i = 0; i < ch->n; i++) {
        /* The best may be infinite. */
        weights[i] = ch->c[i].logit == best ? 1
                                            : num_exp(((double)ch->c[i].logit - (double)best) / ch->temperature);
        sum += weights[i];
    }
    return sum;
}

int choice_draw(const struct choice *ch, double sum)
{
    const struct sampling_state *s = ch->state;
    double at = sampling_random(s->seed, (uint64_t)s->n_history, SUB_DRAW) * sum;
    int last = 0;
    for (int i = 0; i < ch->n; i++) {
        at -= ch->room->weights[i];
        if (at < 0)
            return i;
        if (ch->room->weights[i] > 0)
            last = i;
    }
    return last; /* rounding */
}

void choice_adjust(struct choice *ch, const int32_t *ids, int n_ids,
                   float (*adjusted)(float logit, int count, const hearth_sampling *params))
{
    uint16_t *counts = ch->room->counts;
    for (int i = 0; i < (ch->all ? 0 : ch->n); i++)
        if (counts[ch->c[i].id])
            ch->c[i].logit = adjusted(ch->c[i].logit, counts[ch->c[i].id], ch->params);
    for (int i = 0; i < n_ids; i++) {
        if (ch->all && counts[ids[i]])
            ch->logits[ids[i]] = adjusted(ch->logits[ids[i]], counts[ids[i]], ch->params);
        counts[ids[i]] = 0;
    }
    ch->blocks_known = false;
    if (!ch->all)
        choice_sort(ch);
}

double logits_logsumexp(const struct kernels *k, const float *logits, int n_vocab)
{
    enum { TILE = 4096 };
    float max;
    k->argmax(logits, n_vocab, &max);
    double sum = 0;
    for (int at = 0; at < n_vocab; at += TILE)
        sum += (double)k->sum_exp(logits + at, min_int(TILE, n_vocab - at), max);
    return (double)max + num_log(sum);
}

void choice_saw(const struct choice *ch, int step)
{
    const struct sampling_watch *w = ch->state->watch;
    if (w)
        w->saw(w->arg, step, ch);
}

/* ---- the choice ---- */

static void apply_bias(float *logits, int n_vocab, const struct sampling_state *s)
{
    for (size_t i = 0; i < s->n_bias; i++)
        if (s->bias[i].id >= 0 && s->bias[i].id < n_vocab)
            logits[s->bias[i].id] += s->bias[i].bias;
}

int32_t sampler_choose(const struct kernels *k, float *logits, int n_vocab, const struct sampling_state *state,
                       struct sampler_room *room)
{
    const hearth_sampling *p = state->params;
    const hearth_sampling_order *order = state->order ? state->order : sampling_order_standard();
    bool likeliest = p->temperature == 0 && sampling_order_has(order, HEARTH_STAGE_temperature);
    struct choice ch = { .k = k, .state = state, .params = p, .room = room, .logits = logits, .n_vocab = n_vocab,
                         .all = true, .temperature = 1 };
    choice_saw(&ch, HEARTH_STEP_model);
    apply_bias(logits, n_vocab, state);
    if (state->n_bias > 0)
        choice_saw(&ch, HEARTH_STEP_logit_bias);
    for (int i = 0; i < order->n; i++) {
        const struct sampler *s = stages[order->stage[i]];
        if (!s->wanted(p) || (s->drops && (likeliest || p->mirostat == 2)))
            continue;
        s->apply(&ch);
        if (!likeliest || order->stage[i] != HEARTH_STAGE_temperature)
            choice_saw(&ch, order->stage[i]);
    }
    if (likeliest) {
        struct candidate best;
        best.id = k->argmax(logits, n_vocab, &best.logit);
        ch.all = false;
        ch.c = &best;
        ch.n = 1;
        choice_saw(&ch, HEARTH_STEP_likeliest);
        return best.id;
    }
    if (p->mirostat == 2)
        return choice_mirostat(&ch);
    choice_gather(&ch);
    return ch.c[choice_draw(&ch, choice_weigh(&ch))].id;
}
