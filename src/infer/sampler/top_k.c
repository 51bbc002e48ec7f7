/* top_k.c: keep the k likeliest tokens (Fan et al., "Hierarchical Neural Story Generation", 2018). */
#include "infer/sampler.h"

static bool wanted(const hearth_sampling *params) { return params->top_k > 0; }

static void apply(struct choice *ch) { choice_keep_best(ch, ch->params->top_k); }

const struct sampler sampler_top_k = { true, wanted, apply };
