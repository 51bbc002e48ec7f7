/* trace.h: a choice once more, to say how it came about: what each step left of some tokens.
 *
 * The chain of sampler.c itself runs, with somebody who looks on; nothing is computed another way. */
#pragma once
#include "infer/sampler.h"

enum { TRACE_TOKENS = 51, TRACE_STEPS = HEARTH_N_STAGES + 3 /* model, bias, and one of the two ends */ };

struct choice_trace {
    hearth_choice choice; /* its pointers lead into this struct */
    hearth_choice_step steps[TRACE_STEPS];
    int32_t ids[TRACE_TOKENS];
    float logprobs[TRACE_STEPS][TRACE_TOKENS];
};

/* logits and state as sampler_choose() had them before it chose `chosen`; logits are changed. ids: n of them, at most
 * TRACE_TOKENS - 1, that are followed besides. */
void trace_choice(struct choice_trace *t, const struct kernels *k, float *logits, int n_vocab,
                  const struct sampling_state *state, struct sampler_room *room, const hearth_alternative *likeliest,
                  int n, int32_t chosen);
