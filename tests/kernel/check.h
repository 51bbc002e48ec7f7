/* check.h: what the kernel checks share. */
#pragma once
#include "base/rng.h"
#include "kernel/kernel.h" /* before cmocka.h, which makes a macro of fail */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Memory whose last byte touches a page that cannot be read or written. Fails the test when there is none. */
void *guard_alloc(size_t bytes);
void guard_free(void *p, size_t bytes);
/* A copy that may be read only; p's first byte is aligned as `bytes` allows. */
void *guard_copy(const void *from, size_t bytes);

/* Equal bits, any NaN being equal to any NaN. Index of the first difference, or -1. */
int first_difference(const float *a, const float *b, int n);

/* n normal values times size, in guarded memory. */
float *row_random(struct rng *rng, int n, float size);
void row_free(float *x, int n);
/* A table's `what` of rows of n gave count values; fails where one has other bits than the scalar table's. */
void rows_same(const struct kernels *k, const char *what, int n, const float *got, const float *want, int count);
/* Fails where the scalar table's value is further than the tolerance from the formula's, or is no number. */
void value_near(const char *what, int n, float got, double want, double tolerance);

/* Loop over the tables this CPU runs. The last of kernels_all is the scalar one. */
const struct kernels *scalar_table(void);
#define EACH_TABLE(k)                                                        \
    for (int table_ = 0; kernels_all[table_]; table_++)                      \
        for (const struct kernels *k = kernels_all[table_]; k && kernels_usable(k); k = NULL)
