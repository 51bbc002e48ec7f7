/* rope.h: rotary positions: how fast each pair of values turns.
 *
 * RoPE: arXiv 2104.09864. Stretched contexts: YaRN, arXiv 2309.00071; LongRoPE, arXiv 2402.13753. */
#pragma once
#include "base/arena.h"
#include "model/hparams.h"

struct rope_table {
    int n_rot;        /* values of a head that it turns, in pairs */
    double *freq;     /* [n_rot/2] radians per position */
    double magnitude; /* cosines and sines times this */
};

/* factors: [n_rot/2] above 0, or NULL: frequencies are divided by them (Llama 3.1: arXiv 2407.21783; LongRoPE).
 * fractional: YaRN's borders are not rounded to whole pairs. Memory is the arena's. HEARTH_ERR_MEMORY. */
bool rope_make(struct rope_table *t, struct arena *arena, const struct rope_params *p, int n_rot, const float *factors,
               bool fractional, hearth_error *err);
/* Angles of one position: [n_rot/2] each. */
void rope_angles(const struct rope_table *t, int pos, float *cos, float *sin);
