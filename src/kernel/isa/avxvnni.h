/* avxvnni.h: the vector vocabulary for AVX2 with AVX-VNNI: avx2.h with the hardware's dot product, which
 * takes weights unsigned, so signed ones are kept 128 too high. */
#include "kernel/isa/ymm.h"

#define ISA avxvnni

TEMPLATE vi8 v_code_i8(vi8 x) { return PAIR(vi8, _mm256_xor_si256, x, v_set8(0x80)); }
TEMPLATE vi8 v_code_u8(vi8 x, int offset) { return PAIR(vi8, _mm256_add_epi8, x, v_set8(0x80 - offset)); }
TEMPLATE vi32 v_dot(vi32 acc, vi8 w, vi8 a)
{
    return (vi32){ _mm256_dpbusd_avx_epi32(acc.a, w.a, a.a), _mm256_dpbusd_avx_epi32(acc.b, w.b, a.b) };
}
TEMPLATE vi32 v_dot_u7(vi32 acc, vi8 w, vi8 a) { return v_dot(acc, w, a); }
TEMPLATE vi32 v_start(vi8 a) { return v_sub32(v_zero32(), v_dot(v_zero32(), v_set8(0x80), a)); }
TEMPLATE vi32 v_start_sum(const int32_t *start32) { return v_set32(*start32); }
TEMPLATE vi32 v_start_sums(const int32_t *start32) { return v_load32(start32); }
