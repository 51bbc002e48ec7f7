/* f16: IEEE half precision. */
#ifndef DTYPE_F16_LAYOUT
#define DTYPE_F16_LAYOUT
#include "dtype/half.h"

static inline void f16_block_to_f32(float *out, const void *block)
{
    uint16_t h;
    memcpy(&h, block, sizeof h);
    *out = f16_to_f32(h);
}
static inline void f16_block_from_f32(void *block, const float *x)
{
    uint16_t h = f16_from_f32(*x);
    memcpy(block, &h, sizeof h);
}
#endif

#ifdef ISA
/* n of 16 weights starting at p; the other lanes are 0. */
TEMPLATE vf32 f16_values(const uint8_t *p, int n)
{
    const uint16_t *h = (const uint16_t *)(const void *)p;
    return n == 16 ? v_load_f16(h) : v_load_f16_n(h, n);
}
/* As many as a part has lanes. */
TEMPLATE vpart f16_part(const uint8_t *p) { return v_part_f16((const uint16_t *)(const void *)p); }
#endif
