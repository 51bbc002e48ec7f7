/* fuzz.h: what every fuzz target uses. A target is one file with LLVMFuzzerTestOneInput();
 * libFuzzer drives it, or replay.c where there is none. */
#pragma once
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* libFuzzer's entry: one input; returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A broken promise ends the process, which is what a fuzzer looks for. */
#define must(condition) ((condition) ? (void)0 : abort())

extern volatile uint64_t fuzz_sink;

/* Touch every byte. p may be NULL when n is 0. */
static inline void fuzz_read(const void *p, uint64_t n)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < n; i++)
        sum += ((const uint8_t *)p)[i];
    fuzz_sink ^= sum;
}

/* A block of exactly n bytes; free() it. */
static inline uint8_t *fuzz_copy(const uint8_t *p, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    must(copy);
    if (n)
        memcpy(copy, p, n);
    return copy;
}
