/* plan_why.h: why a plan of memory is what it is, and what would fit instead: for `hearth inspect --plan` and
 * /hearth/status, in the same words and figures. */
#pragma once
#include <jansson.h>

#include "hearth/hearth.h"

/* What of it somebody said; the rest are defaults. */
struct plan_asked {
    bool ctx, threads, kv_type, n_seqs;
};

/* One sentence each, without what it is about. */
enum { PLAN_WHY_BYTES = 320 };
struct plan_why {
    char ctx[PLAN_WHY_BYTES], threads[PLAN_WHY_BYTES], kv_type[PLAN_WHY_BYTES], n_seqs[PLAN_WHY_BYTES];
};
void plan_why(struct plan_why *out, const hearth_plan *plan, const struct plan_asked *asked);

/* What would fit instead, a line each that begins with two spaces: options to copy. */
enum { PLAN_INSTEAD_BYTES = 1024 };
void plan_instead(char out[PLAN_INSTEAD_BYTES], const hearth_plan *plan, const hearth_plan_choices *choices);

/* The plan (plan_to_json()) with both. NULL: memory is out. */
json_t *plan_why_to_json(const hearth_plan *plan, const struct plan_asked *asked, const hearth_plan_choices *choices);
