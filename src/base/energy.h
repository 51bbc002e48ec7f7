/* energy.h: the energy that the processors used, where the machine has counters for it (RAPL) and lets us read them. */
#pragma once
#include "base/base.h"

enum { ENERGY_MOST_PACKAGES = 8 };

struct energy {
    int n; /* processors (packages) that are counted */
    uint64_t uj[ENERGY_MOST_PACKAGES], range_uj[ENERGY_MOST_PACKAGES]; /* now; where the counter begins again */
};

/* Of whole processors with all that runs on them, without the memory beside them. root: put before /sys, "" for the
 * machine itself. False: there is none, or it may not be read (most systems let root alone). */
bool energy_read(const char *root, struct energy *out);
/* Joules between two readings, less than a minute or so apart: counters begin again. */
double energy_j_between(const struct energy *before, const struct energy *after);
