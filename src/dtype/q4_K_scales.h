/* q4_K_scales.h: the scales and minima of q4_K and q5_K: 8 of each, 6 bits wide, in 12 bytes. As little-endian
 * words u0 u1 u2, the low four scales are in u0, the low four minima in u1; of the upper four of each, 4 bits
 * are in u2 and 2 in the top bits of u0, u1. */
#pragma once
#include "dtype/half.h"

static inline int q4_K_scale(const uint8_t *s, int b)
{
    return b < 4 ? s[b] & 63 : (s[b + 4] & 15) | (s[b - 4] >> 6) << 4;
}
static inline int q4_K_min(const uint8_t *s, int b)
{
    return b < 4 ? s[b + 4] & 63 : s[b + 4] >> 4 | (s[b] >> 6) << 4;
}

static inline void q4_K_pack_scales(uint8_t *s, const int *scale, const int *min)
{
    for (int b = 0; b < 4; b++) {
        s[b] = (uint8_t)(scale[b] | (scale[b + 4] >> 4) << 6);
        s[b + 4] = (uint8_t)(min[b] | (min[b + 4] >> 4) << 6);
        s[b + 8] = (uint8_t)((scale[b + 4] & 15) | (min[b + 4] & 15) << 4);
    }
}

/* Each sub-block spans its smallest value (or 0) to its largest, in n_steps steps. */
static inline void q4_K_choose_scales(uint16_t *d16, uint16_t *dmin16, uint8_t *scales, const float *x, int n_steps)
{
    float step[8], low[8], step_max = 0, low_max = 0;
    for (int s = 0; s < 8; s++) {
        float least = 0, most = 0;
        for (int i = 0; i < 32; i++) {
            least = x[32 * s + i] < least ? x[32 * s + i] : least;
            most = x[32 * s + i] > most ? x[32 * s + i] : most;
        }
        step[s] = (most - least) / (float)n_steps;
        low[s] = -least;
        step_max = step[s] > step_max ? step[s] : step_max;
        low_max = low[s] > low_max ? low[s] : low_max;
    }
    *d16 = f16_from_f32(step_max / 63);
    *dmin16 = f16_from_f32(low_max / 63);
    float d = f16_to_f32(*d16), dmin = f16_to_f32(*dmin16);
    int scale[8], min[8];
    for (int s = 0; s < 8; s++) {
        scale[s] = d > 0 ? nearest_int(step[s] / d, 0, 63) : 0;
        min[s] = dmin > 0 ? nearest_int(low[s] / dmin, 0, 63) : 0;
    }
    q4_K_pack_scales(scales, scale, min);
}
