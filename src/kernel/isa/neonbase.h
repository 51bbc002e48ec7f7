/* neonbase.h: the vector vocabulary for every aarch64 CPU: neon.h with the dot product made of products of 16
 * bits, which hold 127 * 128. */
#include "kernel/isa/neon.h"

#define ISA neonbase

TEMPLATE int32x4_t neon_dot(int32x4_t acc, uint8x16_t w, uint8x16_t a)
{
    int8x16_t x = vreinterpretq_s8_u8(w), y = vreinterpretq_s8_u8(a);
    int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(x), vget_low_s8(y)));
    return vaddq_s32(acc, vpaddq_s32(low, vpaddlq_s16(vmull_high_s8(x, y))));
}
