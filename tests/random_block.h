/* random_block.h: a random block of any number format, also of those that have no quantizer. */
#pragma once
#include <math.h>

#include "base/rng.h"
#include "dtype/dtype.h"

/* Values of about a normal distribution of this deviation; without a quantizer, random bits of which the largest
 * value lies between this deviation and eight times it. */
static inline void random_block(const struct dtype_info *d, struct rng *rng, float deviation, void *block)
{
    float x[256];
    if (d->from_f32) {
        for (int i = 0; i < d->n_values; i++)
            x[i] = rng_normal(rng) * deviation;
        d->from_f32(block, x);
        return;
    }
    for (float largest = 0; !(largest >= deviation && largest <= 8 * deviation);) {
        for (int i = 0; i < d->block_bytes; i++)
            ((uint8_t *)block)[i] = (uint8_t)rng_u64(rng);
        d->to_f32(x, block);
        largest = 0;
        for (int i = 0; i < d->n_values; i++)
            largest = fabsf(x[i]) <= largest ? largest : fabsf(x[i]); /* a NaN stays, and is refused */
    }
}
