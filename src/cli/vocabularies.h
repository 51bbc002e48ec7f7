/* vocabularies.h: whether ids mean the same in two files. */
#pragma once
#include "base/err.h"

struct vocabulary_difference {
    int n_a, n_b; /* tokens */
    int32_t id;   /* as many, and the first whose text is another; -1: none */
};

/* The same: as many tokens, with the same texts. HEARTH_ERR_MEMORY. */
bool vocabularies_compare(hearth_file *a, hearth_file *b, struct vocabulary_difference *out, hearth_error *err);
static inline bool vocabularies_same(const struct vocabulary_difference *d) { return d->n_a == d->n_b && d->id < 0; }
