/* sampler.h: from logits to one token.
 *
 * Logit bias comes first, then the stages of sampling_stages.def in the order that the request has, then one draw. At
 * temperature 0 (and with that stage in the order) the draw and all stages that drop tokens give way to the arg-max;
 * with mirostat 2 the stages that drop tokens give way to mirostat's own.
 *
 * Candidates are selected by threshold: as long as no stage needs probabilities, the logits stay where they are, and a
 * stage that keeps the best or those above a value collects the survivors alone (select.c). Ties go to the lower id
 * everywhere: of two equal logits the lower id counts as the likelier. A NaN is never chosen before a number. No libm:
 * the same logits, parameters, history, seed and memory give the same token on every machine.
 *
 * Randomness comes from the seed and the position alone: at position n (tokens before the new one) the draw takes
 * sampling_random(seed, n, SUB_DRAW), xtc sampling_random(seed, n, SUB_XTC). So a replay, also from the middle, has the
 * same numbers, whatever else runs, and a stage that is switched on takes none away from another. */
#pragma once
#include "kernel/kernel.h"

/* Memory for one choice, owned by the engine and reused for every one. */
struct sampler_room {
    struct candidate *candidates; /* [n_vocab] */
    struct candidate *spare;      /* [n_vocab] for sorting */
    double *weights;              /* [n_vocab] */
    float *blocks;                /* [n_vocab / KERNEL_MAX_BLOCK, rounded up] twice: maxima, and a heap of them */
    uint16_t *counts;             /* [n_vocab] by token, of a window; all 0 between calls */
    int32_t *matches;             /* [n_ctx] lengths of repetitions (dry) */
};
size_t sampler_room_bytes(int n_vocab, int n_ctx);
/* memory: sampler_room_bytes(), 64-byte aligned, zeroed. */
void sampler_room_layout(struct sampler_room *room, void *memory, int n_vocab, int n_ctx);

/* What a sequence remembers from token to token: the same history gives the same. */
struct sampling_memory {
    double mu; /* mirostat: the largest surprise allowed, in bits */
};
void sampling_memory_begin(struct sampling_memory *m, const hearth_sampling *params);

/* Who looks on: called with what is left after each step that has something to do. */
struct choice;
struct sampling_watch {
    void (*saw)(void *arg, int step, const struct choice *ch); /* changes nothing but room->weights */
    void *arg;
};

struct sampling_state {
    const hearth_sampling *params;
    const hearth_sampling_order *order; /* NULL: sampling_order_standard() */
    const hearth_logit_bias *bias;
    size_t n_bias;
    const int32_t *history; /* prompt and output so far */
    int n_history;
    uint64_t seed;
    const uint64_t *breakers;       /* dry: a bit for each token that ends a repetition; NULL: none */
    struct sampling_memory *memory; /* needed for mirostat alone */
    const struct sampling_watch *watch; /* NULL: nobody */
};

/* In the order of sampling_stages.def. */
const hearth_sampling_order *sampling_order_standard(void);
static inline bool sampling_order_has(const hearth_sampling_order *order, int stage)
{
    for (int i = 0; i < order->n; i++)
        if (order->stage[i] == stage)
            return true;
    return false;
}
/* What the stage's parameters ask of it; false: it does nothing. */
bool sampling_stage_wanted(const hearth_sampling *params, int stage);
/* Drops tokens: gives way to mirostat and to temperature 0. */
bool sampling_stage_drops(int stage);

enum sampling_sub { SUB_DRAW, SUB_XTC };
double sampling_random(uint64_t seed, uint64_t position, enum sampling_sub sub); /* in [0, 1) */

/* Choose a token. logits [n_vocab] are changed by bias and penalties. */
int32_t sampler_choose(const struct kernels *k, float *logits, int n_vocab, const struct sampling_state *state,
                       struct sampler_room *room);

/* The n likeliest of all logits into room->candidates, sorted. Returns how many. */
int candidates_best(const struct kernels *k, struct sampler_room *room, const float *logits, int n_vocab, int n);

/* Natural log of the sum of exp over all logits, over fixed tiles merged in ascending order. */
double logits_logsumexp(const struct kernels *k, const float *logits, int n_vocab);

/* ---- for the stages ---- */

/* One choice on its way through the chain. */
struct choice {
    const struct kernels *k;
    const struct sampling_state *state;
    const hearth_sampling *params;
    struct sampler_room *room;
    float *logits; /* [n_vocab] */
    int n_vocab;
    bool all;           /* nothing is gathered yet: every logit is a candidate, c and n mean nothing */
    bool blocks_known;  /* room->blocks has the maxima of logits */
    struct candidate *c; /* likeliest first */
    int n;              /* at least 1 */
    double temperature; /* that logits are to be divided by wherever probabilities matter; > 0 */
};

/* One stage, src/infer/sampler/NAME.c. `wanted` false skips it. */
struct sampler {
    bool drops;
    bool (*wanted)(const hearth_sampling *params);
    void (*apply)(struct choice *ch);
};

void choice_saw(const struct choice *ch, int step);     /* for who looks on */
void choice_gather(struct choice *ch);                  /* all logits to candidates, sorted */
void choice_sort(struct choice *ch);                    /* after candidates' logits changed */
void choice_keep_best(struct choice *ch, int n);        /* n >= 1 */
void choice_keep_from(struct choice *ch, double least); /* logits not below least; at least the best */
float choice_best(struct choice *ch);                   /* the largest logit */
/* Probabilities of gathered candidates but for a factor, exp((logit - best) / temperature), into room->weights;
 * returns their sum. */
double choice_weigh(struct choice *ch);
/* Which candidate, with probability weight / sum; after choice_weigh(). */
int choice_draw(const struct choice *ch, double sum);
/* Change the logits of tokens whose count (room->counts) is not 0, wherever they are. ids: [n_ids] holds each of them,
 * some more than once; their counts are 0 afterwards. */
void choice_adjust(struct choice *ch, const int32_t *ids, int n_ids,
                   float (*adjusted)(float logit, int count, const hearth_sampling *params));
int32_t choice_mirostat(struct choice *ch); /* sampler/mirostat.c: the draw of mirostat 2 */
