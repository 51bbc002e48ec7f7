/* inspect_plan.h: `hearth inspect --plan`: memory by part, why, and what would fit instead. */
#pragma once
#include <jansson.h>

#include "hearth/hearth.h"

struct plan_choices {
    int longest_ctx[HEARTH_N_KV_TYPES]; /* tokens that fit beside the weights with each KV type; 0: none */
    double most_bits;                   /* of each weight, that fit beside this plan's context; 0: none */
};

/* By planning again, within the plan's own budget. */
void plan_choices_find(struct plan_choices *out, const hearth_file *file, const hearth_plan *plan);
void inspect_plan_print(const hearth_file *file, const hearth_plan *plan, bool ctx_asked, bool threads_asked);
/* "plan" with what would fit in it; NULL: memory is out. */
json_t *inspect_plan_json(const hearth_file *file, const hearth_plan *plan);
