/* avx2.h: the vector vocabulary for AVX2, FMA and F16C (2013 and later).
 *
 * vpmaddubsw adds two products in 16 bits and saturates. Both forms below stay inside: weights as
 * magnitudes up to 128 (their sign moved to the activations) or codes up to 127, activations up to 127:
 * 2 * 128 * 127 = 32512. */
#include "kernel/isa/ymm.h"

#define ISA avx2

TEMPLATE __m256i ymm_dot(__m256i acc, __m256i w, __m256i a)
{
    return _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(w, a), _mm256_set1_epi16(1)));
}
TEMPLATE __m256i ymm_dot_signed(__m256i acc, __m256i w, __m256i a)
{
    return ymm_dot(acc, _mm256_abs_epi8(w), _mm256_sign_epi8(a, w));
}
/* Sums of two products fit 16 bits, and with small codes so do sums of more: tiles add in 16 bits as long as they do
 * (gemm_tmpl.h), which takes half the multiplications. */
#define ISA_PAIR_SUMS
TEMPLATE vi8 v_pairs_u7(vi8 w, vi8 a) { return PAIR(vi8, _mm256_maddubs_epi16, w, a); }
TEMPLATE __m256i ymm_pairs(__m256i w, __m256i a)
{
    return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(a, w));
}
TEMPLATE vi8 v_pairs(vi8 w, vi8 a) { return PAIR(vi8, ymm_pairs, w, a); }
/* A sum that stays where it is in its chain: compilers regroup chains of integer additions, make all the terms first
 * and run out of registers. */
TEMPLATE __m256i ymm_in_turn(__m256i sum)
{
    __asm__("" : "+x"(sum));
    return sum;
}
TEMPLATE __m256i ymm_add16(__m256i x, __m256i y) { return ymm_in_turn(_mm256_add_epi16(x, y)); }
TEMPLATE vi8 v_add16(vi8 x, vi8 y) { return PAIR(vi8, ymm_add16, x, y); }

TEMPLATE vi8 v_code_i8(vi8 x) { return x; }
TEMPLATE vi8 v_code_u8(vi8 x, int offset) { return PAIR(vi8, _mm256_sub_epi8, x, v_set8(offset)); }
TEMPLATE vi32 v_dot(vi32 acc, vi8 w, vi8 a)
{
    return (vi32){ ymm_dot_signed(acc.a, w.a, a.a), ymm_dot_signed(acc.b, w.b, a.b) };
}
TEMPLATE vi32 v_dot_u7(vi32 acc, vi8 w, vi8 a)
{
    return (vi32){ ymm_dot(acc.a, w.a, a.a), ymm_dot(acc.b, w.b, a.b) };
}
TEMPLATE vi32 v_start(vi8 a)
{
    (void)a;
    return v_zero32();
}
TEMPLATE vi32 v_start_sum(const int32_t *start32)
{
    (void)start32;
    return v_zero32();
}
TEMPLATE vi32 v_start_sums(const int32_t *start32)
{
    (void)start32;
    return v_zero32();
}
