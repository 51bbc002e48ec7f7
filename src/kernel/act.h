/* act.h: between act.c and gemm.c. */
#pragma once
#include "kernel/gemm.h"

/* Group `group` as the matrix kernels want it. Borrowed from the batch's memory. */
void act_view_of(const struct act *a, int group, struct act_view *v);
