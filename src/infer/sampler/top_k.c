/* top_k.c: keep the k likeliest tokens.
 *
 * Candidates arrive sorted, and sampler_choose() gathers no more than k of them to begin
 * with; this stage keeps the rule where the chain is read. */
#include "infer/sampler.h"

static bool wanted(const hearth_sampling *params) { return params->top_k > 0; }

static void apply(struct candidates *cs, const hearth_sampling *params) { cs->n = min_int(cs->n, params->top_k); }

const struct sampler sampler_top_k = { "top_k", wanted, apply };
