/* half.h: 16-bit floats in plain C, with the same bits as the hardware's conversions:
 * round to nearest even, denormals kept, NaNs made quiet. */
#pragma once
#include <stdint.h>
#include <string.h>

static inline float f32_of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
static inline uint32_t bits_of_f32(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t rest = h & 0x7fff;
    if (rest >= 0x7c00) /* infinity; a NaN keeps its payload and turns quiet */
        return f32_of_bits(sign | 0x7f800000 | (rest & 0x3ff) << 13 | (rest > 0x7c00 ? 0x400000u : 0));
    if (rest < 0x0400) { /* denormal: rest * 2^-24 is exact */
        float tiny = (float)rest * 0x1p-24f;
        return f32_of_bits(sign | bits_of_f32(tiny));
    }
    return f32_of_bits(sign | ((rest << 13) + 0x38000000));
}

static inline uint16_t f16_from_f32(float x)
{
    uint32_t bits = bits_of_f32(x);
    uint32_t sign = bits >> 16 & 0x8000;
    uint32_t rest = bits & 0x7fffffff;
    if (rest > 0x7f800000)
        return (uint16_t)(sign | 0x7e00 | (rest >> 13 & 0x3ff));
    if (rest >= 0x47800000) /* 65536 and more; 65520..65535 round up to infinity below */
        return (uint16_t)(sign | 0x7c00);
    if (rest < 0x38800000) { /* below 2^-14: adding 0.5 rounds at 2^-24, to even */
        float shifted = f32_of_bits(rest) + 0.5f;
        return (uint16_t)(sign | (bits_of_f32(shifted) - 0x3f000000));
    }
    uint32_t odd = rest >> 13 & 1;
    return (uint16_t)(sign | ((rest - 0x38000000 + 0xfff + odd) >> 13));
}

static inline float bf16_to_f32(uint16_t h) { return f32_of_bits((uint32_t)h << 16); }

static inline uint16_t bf16_from_f32(float x)
{
    uint32_t bits = bits_of_f32(x);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* Half of an E8M0 scale, 2^(e - 128), as bf16, which holds each of them exactly. */
static inline uint16_t e8m0_half_bf16(uint8_t e) { return (uint16_t)(e < 2 ? 0x20 << e : (e - 1) << 7); }

/* The whole number nearest to x (ties to even), held to [low, high], which lie within
 * +-2^21; a NaN gives low. */
static inline int nearest_int(float x, int low, int high)
{
    if (!(x > (float)low))
        return low;
    if (x > (float)high)
        return high;
    return (int)(x + 12582912.0f - 12582912.0f);
}
