/* f32: weights as they are. */
#ifndef DTYPE_F32_LAYOUT
#define DTYPE_F32_LAYOUT
#include "dtype/half.h"

static inline void f32_block_to_f32(float *out, const void *block) { memcpy(out, block, sizeof *out); }
static inline void f32_block_from_f32(void *block, const float *x) { memcpy(block, x, sizeof *x); }
#endif

#ifdef ISA
/* n of 16 weights starting at p; the other lanes are 0. */
TEMPLATE vf32 f32_values(const uint8_t *p, int n)
{
    const float *f = (const float *)(const void *)p;
    return n == 16 ? v_loadf(f) : v_loadf_n(f, n);
}
/* As many as a part has lanes. */
TEMPLATE vpart f32_part(const uint8_t *p) { return v_part_load((const float *)(const void *)p); }
#endif
