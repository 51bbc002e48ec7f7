/* pace.h: how much of prompts a step may have. Pure, but for the times it is told.
 *
 * Who watches an answer waits for whole steps, so a step with much of a prompt in it is a pause in every answer; and
 * who comes new waits for the step that is under way. The time of steps says what a prompt token costs and what the
 * others' tokens cost without one; the rest of the target is for prompts. What does not fit in the target at all still
 * gets as long as the answers' own part, and never less than some tokens: prompts go on. How a prompt is cut has no
 * influence on any bit.
 *
 * Prompts are counted in what a token costs that has none before it. One at the end of a long prompt attends to all of
 * it, which for a small model is many times its matrices: an equal number of tokens would be a step many times as
 * long, and what a cheap one cost would say nothing about it. */
#pragma once
#include "base/base.h"

enum {
    PACE_FIRST_TOKENS = 32, /* before anything was measured */
    PACE_LEAST_TOKENS = 32, /* fewer cost nearly as much: weights are unpacked for them (docs/kernels.md, drafts) */
    PACE_TARGET_MS = 100,
    PACE_UNWATCHED = 4,        /* times the target, while nobody is streamed to */
    PACE_UNWATCHED_LEAST = 128, /* tokens, then: fewer at once cost more each */
    /* A multiply-add of attention takes as long as so many of a matrix in codes: 3 on AVX-512 by `hearth bench`
     * (prefill 512 against 8192), and more where there are fewer floats to a vector. */
    PACE_ATTENTION_MACS = 4,
};

static const double PACE_ANY_COST = 1e15;

struct pace {
    double attended;   /* what one earlier token adds to the cost of a token, in tokens: of the model's shape */
    double answers_ms; /* of a step without prompt tokens; 0: not seen yet */
    double token_ms;   /* of a prompt token with none before it; 0: not seen yet */
};

/* What n tokens of a prompt cost of which n_before are computed, in tokens with none before them. */
double pace_cost(double attended, int n_before, int n);
/* How many tokens of it so much pays for: rounded down. */
int pace_fit(double attended, int n_before, double cost);

/* A step took so long. */
void pace_learn(struct pace *p, double prompt_cost, int n_answers, double ms);
/* What prompts of the next step may cost beside that many answers. n_answers: of all models, for they take
 * turns. n_seqs (theirs, too) 1: anything, for nobody else can come. */
double pace_room(const struct pace *p, int n_answers, int n_seqs, double target_ms);
