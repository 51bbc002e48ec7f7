/* fair.h: whose request is next. Pure: round-robin between owners, first come first within one.
 *
 * The owner that was served longest ago is next (one never served before all others), and of its requests the one that
 * came first: so a key with a hundred requests waiting delays another's by one of them, not by a hundred. */
#pragma once
#include "base/base.h"

enum { FAIR_OWNERS = 512 }; /* remembered; above that the one that was served longest ago is forgotten */

struct fair {
    uint64_t owner[FAIR_OWNERS], turn[FAIR_OWNERS];
    int n;
    uint64_t n_served;
};

/* Of n >= 1 waiting requests, in order of arrival, the one that is next. */
int fair_pick(const struct fair *f, const uint64_t *owners, int n);
void fair_served(struct fair *f, uint64_t owner);
