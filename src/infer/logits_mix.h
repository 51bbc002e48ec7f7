/* logits_mix.h: 64 bits that say whether two steps computed the same logits.
 *
 * Not a digest that holds against somebody who wants two to be equal (that is SHA-256, in ten times the time): any
 * single bit that differs changes it, and two steps that differ by accident have the same one with a chance of 2^-64.
 * A function of the bits alone, so it is the same on every machine. */
#pragma once
#include <string.h>

#include "base/rng.h"

/* One step of a lane: one-to-one in what it has and in what comes, so a difference stays; the rotation brings the
 * highest bits, which a multiplication only loses, down to where it spreads them. Wraps: that is the mixing. */
static inline WRAPS uint64_t logits_mix_step(uint64_t lane, const float *two)
{
    uint64_t word;
    memcpy(&word, two, sizeof word);
    lane ^= word;
    return (lane << 29 | lane >> 35) * 0x9fb21c651e98df25u;
}

/* Four lanes, so that multiplications need not wait for each other. */
static inline WRAPS uint64_t logits_mix(const float *logits, int n)
{
    uint64_t a = 1, b = 2, c = 3, d = 4, mix = (uint32_t)n;
    int at = 0;
    for (; at + 8 <= n; at += 8) {
        a = logits_mix_step(a, logits + at);
        b = logits_mix_step(b, logits + at + 2);
        c = logits_mix_step(c, logits + at + 4);
        d = logits_mix_step(d, logits + at + 6);
    }
    for (; at < n; at++) {
        uint32_t bits;
        memcpy(&bits, logits + at, sizeof bits);
        mix = rng_mix(mix ^ bits);
    }
    return rng_mix(rng_mix(rng_mix(rng_mix(mix ^ a) ^ b) ^ c) ^ d);
}
