/* neondot.h: the vector vocabulary for aarch64 with the dot product instructions (2018 and later). */
#include "kernel/isa/neon.h"

#define ISA neondot

TEMPLATE int32x4_t neon_dot(int32x4_t acc, uint8x16_t w, uint8x16_t a)
{
    return vdotq_s32(acc, vreinterpretq_s8_u8(w), vreinterpretq_s8_u8(a));
}
