/* keyed_hash.h: hashes for tables over what a file holds.
 *
 * The key is drawn when the vocabulary is loaded, so that no file can be made whose texts
 * or pairs all fall into one place. Nothing but the order inside a table depends on it. */
#pragma once
#include <string.h>

#include "base/base.h"

/* Both halves of the 128-bit product: every bit of a and b reaches every bit of the result. */
static inline uint64_t fold_multiply(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Wraps: the halves of the key change places, and what falls off is meant to. */
static inline WRAPS uint64_t keyed_hash_pair(uint64_t key, uint32_t a, uint32_t b)
{
    return fold_multiply(((uint64_t)a << 32 | b) ^ key, (key << 32 | key >> 32) ^ 0x9e3779b97f4a7c15u);
}

/* Wraps: as above, and the key of a place is a multiple of its number modulo 2^64. */
static inline WRAPS uint64_t keyed_hash(uint64_t key, struct str s)
{
    uint64_t k = (key << 32 | key >> 32) ^ 0x9e3779b97f4a7c15u;
    uint64_t h = key ^ s.len;
    size_t i = 0;
    for (; i + 8 <= s.len; i += 8) {
        uint64_t word;
        memcpy(&word, s.ptr + i, 8);
        h = fold_multiply(h ^ word, k);
        k += 0xd6e8feb86659fd93u;
    }
    uint64_t tail = 0;
    for (; i < s.len; i++)
        tail = tail << 8 | (uint8_t)s.ptr[i];
    return fold_multiply(h ^ tail, k) ^ h;
}
