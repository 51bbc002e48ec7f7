/* iq.h: what the IQ1, IQ2 and IQ3 formats share.
 *
 * 256 weights are groups of 8 (or twice 4); a group is an entry of the format's grid, with signs in IQ2 and IQ3 or a
 * shift in IQ1. Whatever the packing, a weight comes out as
 *
 *   w[i] = d * scale[i / 16] * code(i)
 *
 * with integer codes and scales. A format's expand function gives the three; its plain definition and its kernels
 * are both made from it, and since every product is exact in f32 their order does not matter.
 *
 * Layouts: the ggml authors' file format (ggml-common.h, gguf-py/gguf/quants.py), as docs/decisions/0006-iq-grids.md
 * says. Groups are worked on as 64-bit words, the first value in the lowest byte. */
#pragma once
#include <stdint.h>
#include <string.h>

#include "base/base.h"
#include "dtype/half.h"

/* The grids. An entry holds 8 values of 2 bits, or 4 of 3 bits (IQ3), first value lowest: 0 1 2 for -1 0 1 in
 * IQ1 and 8 25 43 in IQ2; 0..7 for 4 12 20 28 36 44 52 62 in IQ3_XXS and for 1 3 .. 15 in IQ3_S. */
extern const uint16_t iq1_grid[2048], iq2_xxs_grid[256], iq2_xs_grid[512], iq2_s_grid[1024];
extern const uint16_t iq3_xxs_grid[256], iq3_s_grid[512];

/* Of a block of 256: codes `offset` too high (the format's), within 0..127; scales of each 16; returns d. */
typedef float iq_expand_fn(uint8_t codes[256], int16_t scale[16], const void *block);

static inline void iq_block_to_f32(float *out, const void *block, iq_expand_fn *expand, int offset)
{
    uint8_t codes[256];
    int16_t scale[16];
    float d = expand(codes, scale, block);
    for (int i = 0; i < 256; i++)
        out[i] = d * (float)scale[i / 16] * (float)(codes[i] - offset);
}

static inline uint32_t iq_u16(const uint8_t *p) { return p[0] | (uint32_t)p[1] << 8; }
static inline uint32_t iq_u32(const uint8_t *p) { return iq_u16(p) | iq_u16(p + 2) << 16; }

#define IQ_BYTES(x) (0x0101010101010101 * (uint64_t)(x)) /* x in each of 8 bytes */

/* 8 values of 2 bits, one to a byte. */
static inline uint64_t iq_spread2(uint64_t v)
{
    v = (v | v << 24) & 0x000000ff000000ff;
    v = (v | v << 12) & 0x000f000f000f000f;
    return (v | v << 6) & IQ_BYTES(3);
}
/* 4 values of 3 bits at bit 0, and 4 more at bit 32. */
static inline uint64_t iq_spread3(uint64_t v)
{
    v = (v | v << 10) & 0x003f003f003f003f;
    return (v | v << 5) & IQ_BYTES(7);
}
/* offset + magnitude, or offset - magnitude in the bytes whose bit in signs is set. Wraps: where the highest
 * byte has a sign, a one falls off above it. */
static inline WRAPS uint64_t iq_signed(uint64_t magnitude, uint64_t signs, int offset)
{
    uint64_t own = signs * IQ_BYTES(1) & 0x8040201008040201; /* byte j keeps bit j */
    uint64_t one = (own + IQ_BYTES(127)) >> 7 & IQ_BYTES(1), negative = (one << 8) - one;
    return ((IQ_BYTES(offset) + magnitude) & ~negative) | ((IQ_BYTES(offset) - magnitude) & negative);
}
/* 7 signs as stored; the 8th makes their number even. */
static inline uint8_t iq_signs7(uint32_t stored)
{
    uint32_t s = stored & 127, parity = s ^ s >> 4;
    parity ^= parity >> 2;
    parity ^= parity >> 1;
    return (uint8_t)(s | (parity & 1) << 7);
}

/* Codes of the IQ2 formats, from a grid entry and a byte of signs for each 8. */
enum { IQ2_OFFSET = 43 };
static inline void iq2_put(uint8_t codes[256], const uint64_t entry[32], const uint64_t signs[32])
{
    uint64_t words[32];
    for (int i = 0; i < 32; i++) {
        uint64_t v = iq_spread2(entry[i]);
        uint64_t magnitude = IQ_BYTES(8) + (v << 4) + v + (v >> 1 & IQ_BYTES(1)); /* 8 25 43 */
        words[i] = iq_signed(magnitude, signs[i], IQ2_OFFSET);
    }
    memcpy(codes, words, 256);
}
/* Scales of 16 as IQ2_XS and IQ2_S pack them: nibbles, low one first. */
static inline void iq2_scales(int16_t scale[16], const uint8_t nibbles[8])
{
    for (int i = 0; i < 16; i++)
        scale[i] = (int16_t)(2 * (nibbles[i / 2] >> 4 * (i % 2) & 15) + 1);
}

/* IQ1: 8 (-1 0 1) and the shift of +-1, all 9 too high. plus: 2 where the shift is +1, 0 where it is -1. */
enum { IQ1_OFFSET = 9 };
static inline void iq1_put(uint8_t codes[256], const uint64_t entry[32], const uint64_t plus[32])
{
    uint64_t words[32];
    for (int i = 0; i < 32; i++)
        words[i] = (iq_spread2(entry[i]) << 3) + IQ_BYTES(plus[i]);
    memcpy(codes, words, 256);
}
