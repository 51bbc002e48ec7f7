/* rng.h: counter-based random numbers.
 *
 * The n-th number of a stream is a pure function of (key, n), so sampling at a position is
 * the same whether a sequence runs alone, in a batch, or is replayed from the middle. The
 * mixer is the SplitMix64 finaliser (Steele, Lea, Flood 2014) applied twice. */
#pragma once
#include "base/base.h"

/* Wraps: a multiplication modulo 2^64 is the mixing. */
static inline WRAPS uint64_t rng_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* Wraps: any counter has its odd neighbour. */
static inline WRAPS uint64_t rng_at(uint64_t key, uint64_t counter)
{
    return rng_mix(rng_mix(key) ^ rng_mix(counter * 2 + 1));
}

/* A stream for tests and synthetic weights. */
struct rng {
    uint64_t key, n;
};
static inline uint64_t rng_u64(struct rng *r) { return rng_at(r->key, r->n++); }
static inline uint32_t rng_below(struct rng *r, uint32_t n) { return (uint32_t)(((rng_u64(r) >> 32) * n) >> 32); }
/* In [0, 1), 53 bits. */
static inline double rng_unit_of(uint64_t bits) { return (double)(bits >> 11) * 0x1p-53; }
static inline double rng_unit(struct rng *r) { return rng_unit_of(rng_u64(r)); }
static inline float rng_uniform(struct rng *r, float low, float high)
{
    return low + (high - low) * (float)rng_unit(r);
}
/* Sum of 4 uniforms, scaled to unit variance: near enough to normal for weights, no libm. */
static inline float rng_normal(struct rng *r)
{
    uint64_t bits = rng_u64(r);
    int32_t sum = 0;
    for (int i = 0; i < 4; i++)
        sum += (int32_t)((bits >> (16 * i)) & 0xffff);
    return ((float)sum - 131070.0f) * (1.0f / 37837.0f);
}

/* A seed nobody can guess, from the system. */
uint64_t rng_entropy(void);
/* For keys and the like, which must not be guessed: n <= 256 bytes of the system's, or false. */
bool rng_secret(void *out, size_t n);
