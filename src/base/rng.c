#define _GNU_SOURCE
#include "base/rng.h"

#include <stdio.h>
#include <sys/random.h>

#include "base/clock.h"

uint64_t rng_entropy(void)
{
    uint64_t seed;
    if (getrandom(&seed, sizeof seed, 0) == (ssize_t)sizeof seed)
        return seed;
    return rng_mix((uint64_t)clock_ns() ^ (uint64_t)(uintptr_t)&seed);
}

bool rng_secret(void *out, size_t n) { return getrandom(out, n, 0) == (ssize_t)n; }
