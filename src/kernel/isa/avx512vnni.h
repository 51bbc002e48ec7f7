/* avx512vnni.h: the vector vocabulary for AVX-512 F, BW, DQ, VL and VNNI: one register a vector.
 * What each function computes is written in scalar.h. */
#include <immintrin.h>

#include "kernel/isa/common.h"

#define ISA avx512vnni

enum { ISA_TILE_COLS = 12, ISA_PREFETCH_BYTES = 8192 };
enum { ISA_FLOAT_GROUP = 12, ISA_FLOAT_ROWS = 4, ISA_FLOAT_FEWER = 4, ISA_FLOAT_COLS = 6 };
enum { ISA_ATTEND_COLS = 6, ISA_ATTEND_VECS = 4, ISA_EXP_VECS = 8 };
#define ISA_TILES(X, ...) X(1, __VA_ARGS__) X(2, __VA_ARGS__) X(3, __VA_ARGS__) X(4, __VA_ARGS__)                   \
    X(5, __VA_ARGS__) X(6, __VA_ARGS__) X(7, __VA_ARGS__) X(8, __VA_ARGS__) X(9, __VA_ARGS__) X(10, __VA_ARGS__)    \
    X(11, __VA_ARGS__) X(12, __VA_ARGS__)
#define ISA_ATTEND_TILES(X, ...)                                                                                    \
    X(1, __VA_ARGS__) X(2, __VA_ARGS__) X(3, __VA_ARGS__) X(4, __VA_ARGS__) X(5, __VA_ARGS__)                       \
    X(6, __VA_ARGS__)
#define ISA_FLOAT_TILES(X, ...) X(4, 1, __VA_ARGS__) X(4, 2, __VA_ARGS__) X(4, 3, __VA_ARGS__) X(4, 4, __VA_ARGS__) \
    X(4, 5, __VA_ARGS__) X(4, 6, __VA_ARGS__)
#define ISA_A32_FEW(X, ...) X(1, __VA_ARGS__) X(2, __VA_ARGS__) X(3, __VA_ARGS__) X(4, __VA_ARGS__)
#define ISA_A256_FEW(X, ...) X(1, __VA_ARGS__) X(2, __VA_ARGS__) X(3, __VA_ARGS__)

typedef __m512i vi8;
typedef __m512i vi32;
typedef __m512 vf32;

/* The n lowest of 16 bits, for any n. */
TEMPLATE __mmask16 zmm_mask(int n) { return (__mmask16)(n >= 16 ? 0xffff : n <= 0 ? 0 : (1 << n) - 1); }

TEMPLATE void v_prefetch(const void *p) { _mm_prefetch((const char *)p, _MM_HINT_T0); }

/* --- bytes --- */
TEMPLATE vi8 v_load8(const void *p) { return _mm512_loadu_si512(p); }
/* Compilers fold a load into each instruction that uses it, and loads are what there is too few of. */
TEMPLATE vi8 v_load8_once(const void *p)
{
    vi8 a = v_load8(p);
    __asm__("" : "+v"(a));
    return a;
}
TEMPLATE void v_store8(void *p, vi8 a) { _mm512_storeu_si512(p, a); }
TEMPLATE vi8 v_load_halves(const void *p, const void *q)
{
    if (p == q)
        return _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)p));
    __m512i low = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)p));
    return _mm512_inserti64x4(low, _mm256_loadu_si256((const __m256i *)q), 1);
}
TEMPLATE vi8 v_bcast4(const void *p)
{
    int32_t x;
    memcpy(&x, p, 4);
    return _mm512_set1_epi32(x);
}
TEMPLATE vi8 v_set8(int x) { return _mm512_set1_epi8((char)x); }
TEMPLATE vi8 v_or8(vi8 a, vi8 b) { return _mm512_or_si512(a, b); }
TEMPLATE vi8 v_nib_lo(vi8 a) { return _mm512_and_si512(a, _mm512_set1_epi8(15)); }
TEMPLATE vi8 v_nib_hi(vi8 a) { return _mm512_and_si512(_mm512_srli_epi16(a, 4), _mm512_set1_epi8(15)); }
TEMPLATE vi8 v_nibbles(const uint8_t *p, const uint8_t *q)
{
    __m512i both = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)p));
    both = _mm512_mask_broadcast_i32x4(both, 0xff00, _mm_loadu_si128((const __m128i *)q));
    __m512i shift = _mm512_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4, 0, 0, 0, 0, 4, 4, 4, 4);
    return _mm512_and_si512(_mm512_srlv_epi32(both, shift), _mm512_set1_epi8(15));
}
/* Rotating words moves bits between bytes, but never into those that are kept. */
TEMPLATE vi8 v_bits(vi8 a, int left0, int left1, int mask)
{
    int l = left0 & 31, h = left1 & 31;
    __m512i left = _mm512_setr_epi32(l, l, l, l, l, l, l, l, h, h, h, h, h, h, h, h);
    return _mm512_and_si512(_mm512_rolv_epi32(a, left), _mm512_set1_epi8((char)mask));
}
TEMPLATE vi8 v_bit_bytes(const uint8_t *p, const uint8_t *q, int value)
{
    uint32_t low, high;
    memcpy(&low, p, 4);
    memcpy(&high, q, 4);
    return _mm512_maskz_set1_epi8((__mmask64)((uint64_t)high << 32 | low), (char)value);
}
TEMPLATE vi8 v_lookup16(const int8_t table[16], vi8 a)
{
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)table)), a);
}

/* --- 32-bit integers --- */
TEMPLATE vi32 v_as32(vi8 a) { return a; }
TEMPLATE vi8 v_as8(vi32 a) { return a; }
TEMPLATE vi32 v_load32(const int32_t *p) { return _mm512_loadu_si512(p); }
TEMPLATE void v_store32(int32_t *p, vi32 a) { _mm512_storeu_si512(p, a); }
TEMPLATE vi32 v_set32(int32_t x) { return _mm512_set1_epi32(x); }
TEMPLATE vi32 v_zero32(void) { return _mm512_setzero_si512(); }
TEMPLATE vi32 v_bcast32(const void *p) { return v_bcast4(p); }
TEMPLATE vi32 v_add32(vi32 a, vi32 b) { return _mm512_add_epi32(a, b); }
TEMPLATE vi32 v_sub32(vi32 a, vi32 b) { return _mm512_sub_epi32(a, b); }
TEMPLATE vi32 v_mul32(vi32 a, vi32 b) { return _mm512_mullo_epi32(a, b); }
TEMPLATE vi32 v_and32(vi32 a, vi32 b) { return _mm512_and_si512(a, b); }
TEMPLATE vi32 v_or32(vi32 a, vi32 b) { return _mm512_or_si512(a, b); }
TEMPLATE vi32 v_shl32(vi32 a, int n) { return _mm512_slli_epi32(a, (unsigned)n); }
TEMPLATE vi32 v_shr32(vi32 a, int n) { return _mm512_srli_epi32(a, (unsigned)n); }
TEMPLATE vi32 v_sar32(vi32 a, int n) { return _mm512_srai_epi32(a, (unsigned)n); }
TEMPLATE vi32 v_max32(vi32 a, vi32 b) { return _mm512_max_epi32(a, b); }
TEMPLATE int32_t v_max_lanes32(vi32 a) { return _mm512_reduce_max_epi32(a); }
TEMPLATE int32_t v_sum_lanes32(vi32 a) { return _mm512_reduce_add_epi32(a); }
TEMPLATE void v_narrow8(int8_t *p, vi32 a) { _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(a)); }

/* --- dot products: the hardware takes weights unsigned, so signed ones are kept 128 too high --- */
TEMPLATE vi8 v_code_i8(vi8 a) { return _mm512_xor_si512(a, _mm512_set1_epi8((char)0x80)); }
TEMPLATE vi8 v_code_u8(vi8 a, int offset) { return _mm512_add_epi8(a, _mm512_set1_epi8((char)(0x80 - offset))); }
TEMPLATE vi32 v_dot(vi32 acc, vi8 w, vi8 a) { return _mm512_dpbusd_epi32(acc, w, a); }
TEMPLATE vi32 v_dot_u7(vi32 acc, vi8 w, vi8 a) { return _mm512_dpbusd_epi32(acc, w, a); }
TEMPLATE vi32 v_start(vi8 a)
{
    __m512i sum = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8((char)0x80), a);
    return _mm512_sub_epi32(_mm512_setzero_si512(), sum);
}
TEMPLATE vi32 v_start_sum(const int32_t *start32) { return _mm512_set1_epi32(*start32); }
TEMPLATE vi32 v_start_sums(const int32_t *start32) { return v_load32(start32); }
TEMPLATE vi32 v_mac16(vi32 acc, vi32 a, vi32 s) { return _mm512_dpwssd_epi32(acc, a, s); }
TEMPLATE vi32 v_dot16(vi32 acc, vi32 a, vi32 b) { return _mm512_dpwssd_epi32(acc, a, b); }
TEMPLATE vi32 v_spread2(const void *p, int a, int b)
{
    const int none = (int)0x80808000;
    int l = none | a, h = none | b;
    __m512i from = _mm512_setr_epi32(l, l, l, l, l, l, l, l, h, h, h, h, h, h, h, h);
    return _mm512_shuffle_epi8(v_bcast4(p), from);
}
TEMPLATE vi32 v_spread4(const int16_t *p)
{
    const int none = (int)0x80800000;
    const int a = none | 0x0100, b = none | 0x0302, c = none | 0x0504, d = none | 0x0706;
    __m512i from = _mm512_setr_epi32(a, a, a, a, b, b, b, b, c, c, c, c, d, d, d, d);
    int64_t x;
    memcpy(&x, p, 8);
    return _mm512_shuffle_epi8(_mm512_set1_epi64(x), from);
}
TEMPLATE vi32 v_bytes_signed(vi32 a, int j)
{
    return _mm512_srai_epi32(_mm512_slli_epi32(a, (unsigned)(24 - 8 * j)), 24);
}
TEMPLATE void v_widen16(int16_t *out, const int8_t *p)
{
    _mm256_storeu_si256((__m256i *)out, _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)p)));
}

/* --- turning rows into lanes --- */

/* Sums within each 128-bit part: part L of out[g] is the four rows 4g..4g+3, summed over words 4L..4L+3. */
TEMPLATE void zmm_reduce_parts(const vi32 x[16], __m512i out[4])
{
    UNROLLED
    for (int g = 0; g < 4; g++) {
        const __m512i *r = x + 4 * g;
        __m512i a = _mm512_add_epi32(_mm512_unpacklo_epi32(r[0], r[1]), _mm512_unpackhi_epi32(r[0], r[1]));
        __m512i b = _mm512_add_epi32(_mm512_unpacklo_epi32(r[2], r[3]), _mm512_unpackhi_epi32(r[2], r[3]));
        out[g] = _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    }
}
/* Parts 0 and 2 of a, then of b; and parts 1 and 3. */
TEMPLATE __m512i zmm_even(__m512i a, __m512i b) { return _mm512_shuffle_i32x4(a, b, 0x88); }
TEMPLATE __m512i zmm_odd(__m512i a, __m512i b) { return _mm512_shuffle_i32x4(a, b, 0xdd); }

TEMPLATE void v_reduce16_halves(const vi32 x[16], vi32 *low, vi32 *high)
{
    __m512i p[4];
    zmm_reduce_parts(x, p);
    __m512i a = _mm512_add_epi32(zmm_even(p[0], p[1]), zmm_odd(p[0], p[1]));
    __m512i b = _mm512_add_epi32(zmm_even(p[2], p[3]), zmm_odd(p[2], p[3]));
    *low = zmm_even(a, b);
    *high = zmm_odd(a, b);
}
TEMPLATE vi32 v_reduce16(const vi32 x[16])
{
    vi32 low, high;
    v_reduce16_halves(x, &low, &high);
    return _mm512_add_epi32(low, high);
}
/* In each 128-bit part, transpose the 4 x 4 words of four registers. */
TEMPLATE void zmm_transpose_parts(__m512i x[4])
{
    __m512i a = _mm512_unpacklo_epi32(x[0], x[1]), b = _mm512_unpackhi_epi32(x[0], x[1]);
    __m512i c = _mm512_unpacklo_epi32(x[2], x[3]), d = _mm512_unpackhi_epi32(x[2], x[3]);
    x[0] = _mm512_unpacklo_epi64(a, c);
    x[1] = _mm512_unpackhi_epi64(a, c);
    x[2] = _mm512_unpacklo_epi64(b, d);
    x[3] = _mm512_unpackhi_epi64(b, d);
}
TEMPLATE void v_load_heads(const uint8_t *const rows[16], size_t offset, vi32 out[4])
{
    UNROLLED
    for (int j = 0; j < 4; j++) {
        __m512i x = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(rows[j] + offset)));
        x = _mm512_inserti32x4(x, _mm_loadu_si128((const __m128i *)(rows[j + 4] + offset)), 1);
        x = _mm512_inserti32x4(x, _mm_loadu_si128((const __m128i *)(rows[j + 8] + offset)), 2);
        out[j] = _mm512_inserti32x4(x, _mm_loadu_si128((const __m128i *)(rows[j + 12] + offset)), 3);
    }
    zmm_transpose_parts(out);
}
TEMPLATE void v_transpose16(vi8 x[16])
{
    UNROLLED
    for (int g = 0; g < 4; g++)
        zmm_transpose_parts(x + 4 * g);
    UNROLLED
    for (int j = 0; j < 4; j++) { /* part L of x[4g + j] goes to part g of x[4L + j] */
        __m512i a = zmm_even(x[j], x[4 + j]), b = zmm_odd(x[j], x[4 + j]);
        __m512i c = zmm_even(x[8 + j], x[12 + j]), d = zmm_odd(x[8 + j], x[12 + j]);
        x[j] = zmm_even(a, c);
        x[4 + j] = zmm_even(b, d);
        x[8 + j] = zmm_odd(a, c);
        x[12 + j] = zmm_odd(b, d);
    }
}

/* --- floats --- */
TEMPLATE vf32 v_setf(float x) { return _mm512_set1_ps(x); }
TEMPLATE vf32 v_zerof(void) { return _mm512_setzero_ps(); }
TEMPLATE vf32 v_loadf(const float *p) { return _mm512_loadu_ps(p); }
TEMPLATE void v_storef(float *p, vf32 a) { _mm512_storeu_ps(p, a); }
TEMPLATE vf32 v_loadf_n(const float *p, int n) { return _mm512_maskz_loadu_ps(zmm_mask(n), p); }
TEMPLATE void v_storef_n(float *p, vf32 a, int n) { _mm512_mask_storeu_ps(p, zmm_mask(n), a); }
TEMPLATE vf32 v_addf(vf32 a, vf32 b) { return _mm512_add_ps(a, b); }
TEMPLATE vf32 v_subf(vf32 a, vf32 b) { return _mm512_sub_ps(a, b); }
TEMPLATE vf32 v_mulf(vf32 a, vf32 b) { return _mm512_mul_ps(a, b); }
TEMPLATE vf32 v_divf(vf32 a, vf32 b) { return _mm512_div_ps(a, b); }
TEMPLATE vf32 v_fma(vf32 a, vf32 b, vf32 c) { return _mm512_fmadd_ps(a, b, c); }
TEMPLATE vf32 v_fnma(vf32 a, vf32 b, vf32 c) { return _mm512_fnmadd_ps(a, b, c); }
TEMPLATE vf32 v_maxf(vf32 a, vf32 b) { return _mm512_max_ps(a, b); }
TEMPLATE vf32 v_minf(vf32 a, vf32 b) { return _mm512_min_ps(a, b); }
typedef __m512 vpart;
enum { ISA_PART_LANES = 16 };
TEMPLATE vpart v_part_zero(void) { return v_zerof(); }
TEMPLATE vpart v_part_load(const float *p) { return v_loadf(p); }
TEMPLATE vpart v_part_load_n(const float *p, int n) { return v_loadf_n(p, n); }
TEMPLATE void v_part_store(float *p, vpart a) { v_storef(p, a); }
TEMPLATE vpart v_part_fma(vpart a, vpart b, vpart c) { return v_fma(a, b, c); }
TEMPLATE vf32 v_part_whole(vpart a, const float *all)
{
    (void)all;
    return a;
}
TEMPLATE float v_sumf(vf32 a)
{
    __m256 w8 = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 w4 = _mm_add_ps(_mm256_castps256_ps128(w8), _mm256_extractf128_ps(w8, 1));
    __m128 w2 = _mm_add_ps(w4, _mm_movehl_ps(w4, w4));
    return _mm_cvtss_f32(_mm_add_ss(w2, _mm_movehdup_ps(w2)));
}
/* Steps of the tree of v_sumf(), each for two vectors whose sums then share one: a blend, a shuffle, an addition. */
TEMPLATE __m512 zmm_add8(__m512 a, __m512 b) /* 8 lanes of each, b's above a's */
{
    return _mm512_add_ps(_mm512_mask_blend_ps(0xff00, a, b), _mm512_shuffle_f32x4(a, b, 0x4e));
}
TEMPLATE __m512 zmm_add4(__m512 a, __m512 b)
{
    const __m512i other = _mm512_setr_epi32(4, 5, 6, 7, 16, 17, 18, 19, 12, 13, 14, 15, 24, 25, 26, 27);
    return _mm512_add_ps(_mm512_mask_blend_ps(0xf0f0, a, b), _mm512_permutex2var_ps(a, other, b));
}
TEMPLATE __m512 zmm_add2(__m512 a, __m512 b)
{
    return _mm512_add_ps(_mm512_mask_blend_ps(0xcccc, a, b), _mm512_shuffle_ps(a, b, 0x4e));
}
TEMPLATE __m512 zmm_add1(__m512 a, __m512 b)
{
    const __m512i other = _mm512_setr_epi32(1, 16, 3, 18, 5, 20, 7, 22, 9, 24, 11, 26, 13, 28, 15, 30);
    return _mm512_add_ps(_mm512_mask_blend_ps(0xaaaa, a, b), _mm512_permutex2var_ps(a, other, b));
}
/* Sums of x[0], x[step], x[2 step], x[3 step] by two lanes of each 8. */
TEMPLATE __m512 zmm_add_four(const __m512 *x, const int step)
{
    return zmm_add4(zmm_add8(x[0], x[2 * step]), zmm_add8(x[step], x[3 * step]));
}
TEMPLATE vf32 v_sumf16(const vf32 x[16])
{
    return zmm_add1(zmm_add2(zmm_add_four(x, 4), zmm_add_four(x + 2, 4)),
                    zmm_add2(zmm_add_four(x + 1, 4), zmm_add_four(x + 3, 4)));
}
TEMPLATE vf32 v_sumf8(const vf32 x[8])
{
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 0, 2, 4, 6, 8, 10, 12, 14);
    __m512 twice = zmm_add2(zmm_add_four(x, 2), zmm_add_four(x + 1, 2));
    return _mm512_permutexvar_ps(even, zmm_add1(twice, twice));
}
TEMPLATE float v_max_lanesf(vf32 a)
{
    __m256 w8 = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 w4 = _mm_max_ps(_mm256_castps256_ps128(w8), _mm256_extractf128_ps(w8, 1));
    __m128 w2 = _mm_max_ps(w4, _mm_movehl_ps(w4, w4));
    return _mm_cvtss_f32(_mm_max_ss(w2, _mm_movehdup_ps(w2)));
}
TEMPLATE __m512 zmm_pairs(__m512 a, __m512 b, const int high) /* lanes 0 1 or 2 3 of each four: of a, then of b */
{
    __m512d x = _mm512_castps_pd(a), y = _mm512_castps_pd(b);
    return _mm512_castpd_ps(high ? _mm512_unpackhi_pd(x, y) : _mm512_unpacklo_pd(x, y));
}
TEMPLATE vf32 v_max_each(const vf32 x[16])
{
    __m512 t[8], u[4], w[2];
    UNROLLED
    for (int i = 0; i < 8; i++) /* lanes i and i + 8 */
        t[i] = _mm512_max_ps(_mm512_shuffle_f32x4(x[i], x[i + 8], 0x44), _mm512_shuffle_f32x4(x[i], x[i + 8], 0xee));
    UNROLLED
    for (int i = 0; i < 4; i++) /* and i + 4 */
        u[i] = _mm512_max_ps(_mm512_shuffle_f32x4(t[i], t[i + 4], 0x88), _mm512_shuffle_f32x4(t[i], t[i + 4], 0xdd));
    UNROLLED
    for (int i = 0; i < 2; i++) /* and i + 2 */
        w[i] = _mm512_max_ps(zmm_pairs(u[2 * i], u[2 * i + 1], 0), zmm_pairs(u[2 * i], u[2 * i + 1], 0xff));
    __m512 r = _mm512_max_ps(_mm512_shuffle_ps(w[0], w[1], 0x88), _mm512_shuffle_ps(w[0], w[1], 0xdd));
    return _mm512_shuffle_f32x4(r, r, 0xd8); /* rows 0..3, 8..11, 4..7, 12..15 */
}
TEMPLATE vf32 v_cvtf(vi32 a) { return _mm512_cvtepi32_ps(a); }
TEMPLATE vi32 v_rne32(vf32 a) { return _mm512_cvtps_epi32(a); }
TEMPLATE vf32 v_asf(vi32 a) { return _mm512_castsi512_ps(a); }
TEMPLATE vi32 v_bitsf(vf32 a) { return _mm512_castps_si512(a); }
TEMPLATE vf32 v_times_power(vf32 a, vf32 n) { return _mm512_scalef_ps(a, n); }
TEMPLATE vf32 v_keep(vf32 a, vf32 other, int n) { return _mm512_mask_mov_ps(other, zmm_mask(n), a); }
TEMPLATE unsigned v_eq_mask(vf32 a, vf32 b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
TEMPLATE unsigned v_ge_mask(vf32 a, vf32 b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
TEMPLATE vf32 v_swap_pairs(vf32 a) { return _mm512_permute_ps(a, 0xb1); }
TEMPLATE vf32 v_dup_pairs(const float *p, int n)
{
    __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    return _mm512_permutexvar_ps(twice, v_loadf_n(p, n));
}

TEMPLATE vf32 v_load_i8(const int8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}

/* --- 16-bit floats --- */
TEMPLATE __m256i zmm_load16(const uint16_t *p) { return _mm256_loadu_si256((const __m256i *)(const void *)p); }
TEMPLATE __m256i zmm_load16_n(const uint16_t *p, int n) { return _mm256_maskz_loadu_epi16(zmm_mask(n), p); }
TEMPLATE vf32 v_load_f16(const uint16_t *p) { return _mm512_cvtph_ps(zmm_load16(p)); }
TEMPLATE vf32 v_load_f16_n(const uint16_t *p, int n) { return _mm512_cvtph_ps(zmm_load16_n(p, n)); }
TEMPLATE void v_store_f16_n(uint16_t *p, vf32 a, int n)
{
    _mm256_mask_storeu_epi16(p, zmm_mask(n), _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
TEMPLATE vf32 zmm_bf16(__m256i a) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(a), 16)); }
TEMPLATE vf32 v_load_bf16(const uint16_t *p) { return zmm_bf16(zmm_load16(p)); }
TEMPLATE vf32 v_load_bf16_n(const uint16_t *p, int n) { return zmm_bf16(zmm_load16_n(p, n)); }
TEMPLATE vpart v_part_f16(const uint16_t *p) { return v_load_f16(p); }
TEMPLATE vpart v_part_bf16(const uint16_t *p) { return v_load_bf16(p); }
TEMPLATE vf32 v_f16_low(vi32 a) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(a)); }
TEMPLATE vf32 v_f16_high(vi32 a) { return v_f16_low(_mm512_srli_epi32(a, 16)); }
