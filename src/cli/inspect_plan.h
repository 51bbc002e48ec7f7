/* inspect_plan.h: `hearth inspect --plan`: memory by part, why, and what would fit instead. */
#pragma once
#include "record/plan_why.h"

void inspect_plan_print(const hearth_file *file, const hearth_plan *plan, const struct plan_asked *asked);
