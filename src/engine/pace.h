/* pace.h: how many prompt tokens a step may have while somebody is streamed to. Pure, but for the times it is told.
 *
 * Who watches an answer waits for whole steps, so a step with much of a prompt in it is a pause in every answer. The
 * time of steps says what a prompt token costs and what the others' tokens cost without one; the rest of the target is
 * for prompts. What does not fit in the target at all still gets as long as the answers' own part, and never less than
 * some tokens: prompts go on. How a prompt is cut has no influence on any bit. */
#pragma once
#include "base/base.h"

enum {
    PACE_FIRST_TOKENS = 32, /* before anything was measured */
    PACE_LEAST_TOKENS = 32, /* fewer cost nearly as much: weights are unpacked for them (docs/kernels.md, drafts) */
    PACE_TARGET_MS = 100,
};

struct pace {
    double answers_ms; /* of a step without prompt tokens; 0: not seen yet */
    double token_ms;   /* of a prompt token; 0: not seen yet */
};

/* A step took so long. */
void pace_learn(struct pace *p, int n_prompt_tokens, int n_answers, double ms);
/* Prompt tokens that the next one may have beside answers; at most `most`. */
int pace_tokens(const struct pace *p, double target_ms, int most);
