/* bf16: the upper half of an f32. */
#ifndef DTYPE_BF16_LAYOUT
#define DTYPE_BF16_LAYOUT
#include "dtype/half.h"

static inline void bf16_block_to_f32(float *out, const void *block)
{
    uint16_t h;
    memcpy(&h, block, sizeof h);
    *out = bf16_to_f32(h);
}
static inline void bf16_block_from_f32(void *block, const float *x)
{
    uint16_t h = bf16_from_f32(*x);
    memcpy(block, &h, sizeof h);
}
#endif

#ifdef ISA
/* n of 16 weights starting at p; the other lanes are 0. */
TEMPLATE vf32 bf16_values(const uint8_t *p, int n)
{
    const uint16_t *h = (const uint16_t *)(const void *)p;
    return n == 16 ? v_load_bf16(h) : v_load_bf16_n(h, n);
}
/* As many as a part has lanes. */
TEMPLATE vpart bf16_part(const uint8_t *p) { return v_part_bf16((const uint16_t *)(const void *)p); }
#endif
