/* ymm.h: the vector vocabulary for AVX2, FMA and F16C, two registers a vector, without the dot products
 * (avx2.h and avxvnni.h differ there). What each function computes is written in scalar.h. */
#include <immintrin.h>

#include "kernel/isa/common.h"

enum { ISA_TILE_COLS = 4, ISA_PREFETCH_BYTES = 8192 };
enum { ISA_FLOAT_GROUP = 6, ISA_FLOAT_ROWS = 4, ISA_FLOAT_FEWER = 4, ISA_FLOAT_COLS = 3 };
enum { ISA_ATTEND_COLS = 6, ISA_ATTEND_VECS = 1, ISA_EXP_VECS = 2 };
#define ISA_TILES(X, ...) X(1, __VA_ARGS__) X(2, __VA_ARGS__) X(3, __VA_ARGS__) X(4, __VA_ARGS__)
#define ISA_ATTEND_TILES(X, ...)                                                                                    \
    X(1, __VA_ARGS__) X(2, __VA_ARGS__) X(3, __VA_ARGS__) X(4, __VA_ARGS__) X(5, __VA_ARGS__)                       \
    X(6, __VA_ARGS__)
#define ISA_FLOAT_TILES(X, ...) X(4, 1, __VA_ARGS__) X(4, 2, __VA_ARGS__) X(4, 3, __VA_ARGS__)
#define ISA_A32_FEW(X, ...) X(1, __VA_ARGS__)
#define ISA_A256_FEW(X, ...) X(1, __VA_ARGS__)

typedef struct { __m256i a, b; } vi8; /* bytes 0..31, 32..63 */
typedef vi8 vi32;
typedef struct { __m256 a, b; } vf32;

#define PAIR(T, op, x, y) (T){ op((x).a, (y).a), op((x).b, (y).b) }

TEMPLATE void v_prefetch(const void *p) { _mm_prefetch((const char *)p, _MM_HINT_T0); }

/* --- bytes --- */
TEMPLATE __m256i ymm_load(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
TEMPLATE void ymm_store(void *p, __m256i x) { _mm256_storeu_si256((__m256i *)p, x); }
TEMPLATE vi8 ymm_twice(__m256i x) { return (vi8){ x, x }; }

TEMPLATE vi8 v_load8(const void *p) { return (vi8){ ymm_load(p), ymm_load((const char *)p + 32) }; }
TEMPLATE vi8 v_load8_once(const void *p) { return v_load8(p); }
TEMPLATE void v_store8(void *p, vi8 x)
{
    ymm_store(p, x.a);
    ymm_store((char *)p + 32, x.b);
}
TEMPLATE vi8 v_load_halves(const void *p, const void *q) { return (vi8){ ymm_load(p), ymm_load(q) }; }
TEMPLATE vi8 v_bcast4(const void *p)
{
    int32_t x;
    memcpy(&x, p, 4);
    return ymm_twice(_mm256_set1_epi32(x));
}
TEMPLATE vi8 v_set8(int x) { return ymm_twice(_mm256_set1_epi8((char)x)); }
TEMPLATE vi8 v_or8(vi8 x, vi8 y) { return PAIR(vi8, _mm256_or_si256, x, y); }
TEMPLATE vi8 v_nib_lo(vi8 x) { return PAIR(vi8, _mm256_and_si256, x, v_set8(15)); }
TEMPLATE vi8 v_nib_hi(vi8 x) { return v_nib_lo((vi8){ _mm256_srli_epi16(x.a, 4), _mm256_srli_epi16(x.b, 4) }); }
TEMPLATE __m256i ymm_nibbles(const uint8_t *p)
{
    __m128i x = _mm_loadu_si128((const __m128i *)p);
    return _mm256_inserti128_si256(_mm256_castsi128_si256(x), _mm_srli_epi16(x, 4), 1);
}
TEMPLATE vi8 v_nibbles(const uint8_t *p, const uint8_t *q) { return v_nib_lo((vi8){ ymm_nibbles(p), ymm_nibbles(q) }); }
TEMPLATE __m256i ymm_bits(__m256i x, int left, int mask)
{
    __m256i moved = left < 0 ? _mm256_srli_epi16(x, -left) : _mm256_slli_epi16(x, left);
    return _mm256_and_si256(moved, _mm256_set1_epi8((char)mask));
}
TEMPLATE vi8 v_bits(vi8 x, int left0, int left1, int mask)
{
    return (vi8){ ymm_bits(x.a, left0, mask), ymm_bits(x.b, left1, mask) };
}
TEMPLATE __m256i ymm_bit_bytes(const uint8_t *p, int value)
{
    int32_t bits;
    memcpy(&bits, p, 4);
    const int64_t each = 0x0101010101010101;
    __m256i from = _mm256_setr_epi64x(0, each, 2 * each, 3 * each);
    __m256i bit = _mm256_set1_epi64x((int64_t)0x8040201008040201);
    __m256i x = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(bits), from), bit);
    return _mm256_and_si256(_mm256_cmpeq_epi8(x, bit), _mm256_set1_epi8((char)value));
}
TEMPLATE vi8 v_bit_bytes(const uint8_t *p, const uint8_t *q, int value)
{
    return (vi8){ ymm_bit_bytes(p, value), ymm_bit_bytes(q, value) };
}
TEMPLATE vi8 v_lookup16(const int8_t table[16], vi8 x)
{
    __m256i t = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)table));
    return (vi8){ _mm256_shuffle_epi8(t, x.a), _mm256_shuffle_epi8(t, x.b) };
}

/* --- 32-bit integers --- */
TEMPLATE vi32 v_as32(vi8 a) { return a; }
TEMPLATE vi8 v_as8(vi32 a) { return a; }
TEMPLATE vi32 v_load32(const int32_t *p) { return v_load8(p); }
TEMPLATE void v_store32(int32_t *p, vi32 x) { v_store8(p, x); }
TEMPLATE vi32 v_set32(int32_t x) { return ymm_twice(_mm256_set1_epi32(x)); }
TEMPLATE vi32 v_zero32(void) { return ymm_twice(_mm256_setzero_si256()); }
TEMPLATE vi32 v_bcast32(const void *p) { return v_bcast4(p); }
TEMPLATE vi32 v_add32(vi32 x, vi32 y) { return PAIR(vi32, _mm256_add_epi32, x, y); }
TEMPLATE vi32 v_sub32(vi32 x, vi32 y) { return PAIR(vi32, _mm256_sub_epi32, x, y); }
TEMPLATE vi32 v_mul32(vi32 x, vi32 y) { return PAIR(vi32, _mm256_mullo_epi32, x, y); }
TEMPLATE vi32 v_and32(vi32 x, vi32 y) { return PAIR(vi32, _mm256_and_si256, x, y); }
TEMPLATE vi32 v_or32(vi32 x, vi32 y) { return PAIR(vi32, _mm256_or_si256, x, y); }
TEMPLATE vi32 v_max32(vi32 x, vi32 y) { return PAIR(vi32, _mm256_max_epi32, x, y); }
TEMPLATE vi32 v_shl32(vi32 x, int n) { return (vi32){ _mm256_slli_epi32(x.a, n), _mm256_slli_epi32(x.b, n) }; }
TEMPLATE vi32 v_shr32(vi32 x, int n) { return (vi32){ _mm256_srli_epi32(x.a, n), _mm256_srli_epi32(x.b, n) }; }
TEMPLATE vi32 v_sar32(vi32 x, int n) { return (vi32){ _mm256_srai_epi32(x.a, n), _mm256_srai_epi32(x.b, n) }; }
TEMPLATE int32_t v_max_lanes32(vi32 x)
{
    __m256i w8 = _mm256_max_epi32(x.a, x.b);
    __m128i w4 = _mm_max_epi32(_mm256_castsi256_si128(w8), _mm256_extracti128_si256(w8, 1));
    __m128i w2 = _mm_max_epi32(w4, _mm_shuffle_epi32(w4, 0x4e));
    return _mm_cvtsi128_si32(_mm_max_epi32(w2, _mm_shuffle_epi32(w2, 0xb1)));
}
TEMPLATE int32_t v_sum_lanes32(vi32 x)
{
    __m256i w8 = _mm256_add_epi32(x.a, x.b);
    __m128i w4 = _mm_add_epi32(_mm256_castsi256_si128(w8), _mm256_extracti128_si256(w8, 1));
    __m128i w2 = _mm_add_epi32(w4, _mm_shuffle_epi32(w4, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(w2, _mm_shuffle_epi32(w2, 0xb1)));
}
/* Packing works within 128-bit parts; the words of 4 bytes are put in order at the end. */
TEMPLATE void v_narrow8(int8_t *p, vi32 x)
{
    __m256i words = _mm256_packs_epi16(_mm256_packs_epi32(x.a, x.b), _mm256_setzero_si256());
    __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 0, 0, 0, 0);
    _mm_storeu_si128((__m128i *)p, _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(words, order)));
}
TEMPLATE vi32 v_bytes_signed(vi32 x, int j) { return v_sar32(v_shl32(x, 24 - 8 * j), 24); }
TEMPLATE void v_widen16(int16_t *out, const int8_t *p)
{
    ymm_store(out, _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)p)));
}

/* --- 16-bit products, scales --- */
TEMPLATE vi32 v_dot16(vi32 acc, vi32 x, vi32 y) { return v_add32(acc, PAIR(vi32, _mm256_madd_epi16, x, y)); }
TEMPLATE vi32 v_mac16(vi32 acc, vi32 x, vi32 s) { return v_dot16(acc, x, s); }
TEMPLATE vi32 v_spread2(const void *p, int a, int b)
{
    const uint8_t *bytes = p;
    return (vi32){ _mm256_set1_epi32(bytes[a]), _mm256_set1_epi32(bytes[b]) };
}
TEMPLATE vi32 v_spread4(const int16_t *p)
{
    const int none = (int)0x80800000;
    const int a = none | 0x0100, b = none | 0x0302, c = none | 0x0504, d = none | 0x0706;
    int64_t x;
    memcpy(&x, p, 8);
    __m256i all = _mm256_set1_epi64x(x);
    return (vi32){ _mm256_shuffle_epi8(all, _mm256_setr_epi32(a, a, a, a, b, b, b, b)),
                   _mm256_shuffle_epi8(all, _mm256_setr_epi32(c, c, c, c, d, d, d, d)) };
}

/* --- turning rows into lanes --- */

/* Lane r: sum of the 8 lanes of x[r]. */
TEMPLATE __m256i ymm_reduce8(const __m256i x[8])
{
    __m256i a = _mm256_hadd_epi32(_mm256_hadd_epi32(x[0], x[1]), _mm256_hadd_epi32(x[2], x[3]));
    __m256i b = _mm256_hadd_epi32(_mm256_hadd_epi32(x[4], x[5]), _mm256_hadd_epi32(x[6], x[7]));
    return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
}
TEMPLATE void v_reduce16_halves(const vi32 x[16], vi32 *low, vi32 *high)
{
    __m256i a[16], b[16];
    UNROLLED
    for (int r = 0; r < 16; r++) {
        a[r] = x[r].a;
        b[r] = x[r].b;
    }
    *low = (vi32){ ymm_reduce8(a), ymm_reduce8(a + 8) };
    *high = (vi32){ ymm_reduce8(b), ymm_reduce8(b + 8) };
}
TEMPLATE vi32 v_reduce16(const vi32 x[16])
{
    __m256i sum[16];
    UNROLLED
    for (int r = 0; r < 16; r++)
        sum[r] = _mm256_add_epi32(x[r].a, x[r].b);
    return (vi32){ ymm_reduce8(sum), ymm_reduce8(sum + 8) };
}
/* In each 128-bit part, transpose the 4 x 4 words of four registers. */
TEMPLATE void ymm_transpose_parts(__m256i x[4])
{
    __m256i a = _mm256_unpacklo_epi32(x[0], x[1]), b = _mm256_unpackhi_epi32(x[0], x[1]);
    __m256i c = _mm256_unpacklo_epi32(x[2], x[3]), d = _mm256_unpackhi_epi32(x[2], x[3]);
    x[0] = _mm256_unpacklo_epi64(a, c);
    x[1] = _mm256_unpackhi_epi64(a, c);
    x[2] = _mm256_unpacklo_epi64(b, d);
    x[3] = _mm256_unpackhi_epi64(b, d);
}
TEMPLATE void ymm_heads(const uint8_t *const rows[8], size_t offset, __m256i out[4])
{
    UNROLLED
    for (int j = 0; j < 4; j++) {
        __m128i low = _mm_loadu_si128((const __m128i *)(rows[j] + offset));
        __m128i high = _mm_loadu_si128((const __m128i *)(rows[j + 4] + offset));
        out[j] = _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
    }
    ymm_transpose_parts(out);
}
TEMPLATE void v_load_heads(const uint8_t *const rows[16], size_t offset, vi32 out[4])
{
    __m256i a[4], b[4];
    ymm_heads(rows, offset, a);
    ymm_heads(rows + 8, offset, b);
    UNROLLED
    for (int j = 0; j < 4; j++)
        out[j] = (vi32){ a[j], b[j] };
}
TEMPLATE void ymm_transpose8(__m256i x[8])
{
    ymm_transpose_parts(x);
    ymm_transpose_parts(x + 4);
    UNROLLED
    for (int j = 0; j < 4; j++) {
        __m256i low = x[j], high = x[j + 4];
        x[j] = _mm256_permute2x128_si256(low, high, 0x20);
        x[j + 4] = _mm256_permute2x128_si256(low, high, 0x31);
    }
}
TEMPLATE void v_transpose16(vi8 x[16])
{
    __m256i t[4][8]; /* [2 * (word >= 8) + (row >= 8)] */
    UNROLLED
    for (int r = 0; r < 8; r++) {
        t[0][r] = x[r].a;
        t[1][r] = x[r + 8].a;
        t[2][r] = x[r].b;
        t[3][r] = x[r + 8].b;
    }
    UNROLLED
    for (int i = 0; i < 4; i++)
        ymm_transpose8(t[i]);
    UNROLLED
    for (int r = 0; r < 8; r++) {
        x[r] = (vi8){ t[0][r], t[1][r] };
        x[r + 8] = (vi8){ t[2][r], t[3][r] };
    }
}

/* --- floats --- */
TEMPLATE vf32 v_setf(float x) { return (vf32){ _mm256_set1_ps(x), _mm256_set1_ps(x) }; }
TEMPLATE vf32 v_zerof(void) { return (vf32){ _mm256_setzero_ps(), _mm256_setzero_ps() }; }
TEMPLATE vf32 v_loadf(const float *p) { return (vf32){ _mm256_loadu_ps(p), _mm256_loadu_ps(p + 8) }; }
TEMPLATE void v_storef(float *p, vf32 x)
{
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
}
/* All ones in the n lowest of 8 lanes, for any n. */
TEMPLATE __m256i ymm_mask(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
TEMPLATE vf32 v_loadf_n(const float *p, int n)
{
    return (vf32){ _mm256_maskload_ps(p, ymm_mask(n)), _mm256_maskload_ps(p + 8, ymm_mask(n - 8)) };
}
TEMPLATE void v_storef_n(float *p, vf32 x, int n)
{
    _mm256_maskstore_ps(p, ymm_mask(n), x.a);
    _mm256_maskstore_ps(p + 8, ymm_mask(n - 8), x.b);
}
TEMPLATE vf32 v_addf(vf32 x, vf32 y) { return PAIR(vf32, _mm256_add_ps, x, y); }
TEMPLATE vf32 v_subf(vf32 x, vf32 y) { return PAIR(vf32, _mm256_sub_ps, x, y); }
TEMPLATE vf32 v_mulf(vf32 x, vf32 y) { return PAIR(vf32, _mm256_mul_ps, x, y); }
TEMPLATE vf32 v_divf(vf32 x, vf32 y) { return PAIR(vf32, _mm256_div_ps, x, y); }
TEMPLATE vf32 v_maxf(vf32 x, vf32 y) { return PAIR(vf32, _mm256_max_ps, x, y); }
TEMPLATE vf32 v_minf(vf32 x, vf32 y) { return PAIR(vf32, _mm256_min_ps, x, y); }
TEMPLATE vf32 v_fma(vf32 x, vf32 y, vf32 z)
{
    return (vf32){ _mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b) };
}
TEMPLATE vf32 v_fnma(vf32 x, vf32 y, vf32 z)
{
    return (vf32){ _mm256_fnmadd_ps(x.a, y.a, z.a), _mm256_fnmadd_ps(x.b, y.b, z.b) };
}
typedef __m256 vpart;
enum { ISA_PART_LANES = 8 };
TEMPLATE vpart v_part_zero(void) { return _mm256_setzero_ps(); }
TEMPLATE vpart v_part_load(const float *p) { return _mm256_loadu_ps(p); }
TEMPLATE vpart v_part_load_n(const float *p, int n) { return _mm256_maskload_ps(p, ymm_mask(n)); }
TEMPLATE void v_part_store(float *p, vpart x) { _mm256_storeu_ps(p, x); }
TEMPLATE vpart v_part_fma(vpart x, vpart y, vpart z) { return _mm256_fmadd_ps(x, y, z); }
TEMPLATE vf32 v_part_whole(vpart x, const float *all)
{
    (void)x;
    return v_loadf(all);
}
TEMPLATE float v_sumf(vf32 x)
{
    __m256 w8 = _mm256_add_ps(x.a, x.b);
    __m128 w4 = _mm_add_ps(_mm256_castps256_ps128(w8), _mm256_extractf128_ps(w8, 1));
    __m128 w2 = _mm_add_ps(w4, _mm_movehl_ps(w4, w4));
    return _mm_cvtss_f32(_mm_add_ss(w2, _mm_movehdup_ps(w2)));
}
/* The tree of v_sumf() for 8 rows; part p of row[j] becomes row 4 p + j. */
TEMPLATE __m256 ymm_sumf8(const vf32 x[8])
{
    __m256 row[4], pair[2];
    UNROLLED
    for (int j = 0; j < 4; j++) {
        __m256 a = _mm256_add_ps(x[j].a, x[j].b), b = _mm256_add_ps(x[j + 4].a, x[j + 4].b);
        row[j] = _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
    }
    UNROLLED
    for (int j = 0; j < 2; j++) {
        __m256 a = row[2 * j], b = row[2 * j + 1];
        pair[j] = _mm256_add_ps(_mm256_shuffle_ps(a, b, 0x44), _mm256_shuffle_ps(a, b, 0xee));
    }
    return _mm256_add_ps(_mm256_shuffle_ps(pair[0], pair[1], 0x88), _mm256_shuffle_ps(pair[0], pair[1], 0xdd));
}
TEMPLATE vf32 v_sumf16(const vf32 x[16]) { return (vf32){ ymm_sumf8(x), ymm_sumf8(x + 8) }; }
TEMPLATE vf32 v_sumf8(const vf32 x[8]) { return (vf32){ ymm_sumf8(x), _mm256_setzero_ps() }; }
TEMPLATE float v_max_lanesf(vf32 x)
{
    __m256 w8 = _mm256_max_ps(x.a, x.b);
    __m128 w4 = _mm_max_ps(_mm256_castps256_ps128(w8), _mm256_extractf128_ps(w8, 1));
    __m128 w2 = _mm_max_ps(w4, _mm_movehl_ps(w4, w4));
    return _mm_cvtss_f32(_mm_max_ss(w2, _mm_movehdup_ps(w2)));
}
TEMPLATE vf32 v_max_each(const vf32 x[16])
{
    float r[16];
    UNROLLED
    for (int i = 0; i < 16; i++)
        r[i] = v_max_lanesf(x[i]);
    return v_loadf(r);
}
TEMPLATE vf32 v_cvtf(vi32 x) { return (vf32){ _mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b) }; }
TEMPLATE vi32 v_rne32(vf32 x) { return (vi32){ _mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b) }; }
TEMPLATE vf32 v_asf(vi32 x) { return (vf32){ _mm256_castsi256_ps(x.a), _mm256_castsi256_ps(x.b) }; }
TEMPLATE vi32 v_bitsf(vf32 x) { return (vi32){ _mm256_castps_si256(x.a), _mm256_castps_si256(x.b) }; }
TEMPLATE vf32 v_times_power(vf32 x, vf32 n)
{
    vi32 power = v_rne32(n), half = v_sar32(power, 1), rest = v_sub32(power, half), one = v_set32(127);
    return v_mulf(v_mulf(x, v_asf(v_shl32(v_add32(half, one), 23))), v_asf(v_shl32(v_add32(rest, one), 23)));
}
TEMPLATE vf32 v_keep(vf32 x, vf32 other, int n)
{
    return (vf32){ _mm256_blendv_ps(other.a, x.a, _mm256_castsi256_ps(ymm_mask(n))),
                   _mm256_blendv_ps(other.b, x.b, _mm256_castsi256_ps(ymm_mask(n - 8))) };
}
TEMPLATE unsigned v_eq_mask(vf32 x, vf32 y)
{
    unsigned low = (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(x.a, y.a, _CMP_EQ_OQ));
    return low | (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(x.b, y.b, _CMP_EQ_OQ)) << 8;
}
TEMPLATE unsigned v_ge_mask(vf32 x, vf32 y)
{
    unsigned low = (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(x.a, y.a, _CMP_GE_OQ));
    return low | (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(x.b, y.b, _CMP_GE_OQ)) << 8;
}
TEMPLATE vf32 v_swap_pairs(vf32 x) { return (vf32){ _mm256_permute_ps(x.a, 0xb1), _mm256_permute_ps(x.b, 0xb1) }; }
TEMPLATE vf32 v_dup_pairs(const float *p, int n)
{
    __m256 x = _mm256_maskload_ps(p, ymm_mask(n));
    return (vf32){ _mm256_permutevar8x32_ps(x, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3)),
                   _mm256_permutevar8x32_ps(x, _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7)) };
}

TEMPLATE __m256 ymm_load_i8(const int8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)));
}
TEMPLATE vf32 v_load_i8(const int8_t *p) { return (vf32){ ymm_load_i8(p), ymm_load_i8(p + 8) }; }

/* --- 16-bit floats --- */
TEMPLATE __m128i ymm_load16(const uint16_t *p) { return _mm_loadu_si128((const __m128i *)(const void *)p); }
TEMPLATE vf32 v_load_f16(const uint16_t *p)
{
    return (vf32){ _mm256_cvtph_ps(ymm_load16(p)), _mm256_cvtph_ps(ymm_load16(p + 8)) };
}
TEMPLATE vf32 v_load_f16_n(const uint16_t *p, int n)
{
    uint16_t part[16] = { 0 };
    memcpy(part, p, 2 * (size_t)n);
    return v_load_f16(part);
}
TEMPLATE void v_store_f16_n(uint16_t *p, vf32 x, int n)
{
    __m128i low = _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m128i high = _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256i all = _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
    if (n == 16)
        ymm_store(p, all);
    else
        memcpy(p, &all, 2 * (size_t)n);
}
TEMPLATE __m256 ymm_bf16(__m128i x) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16)); }
TEMPLATE vf32 v_load_bf16(const uint16_t *p) { return (vf32){ ymm_bf16(ymm_load16(p)), ymm_bf16(ymm_load16(p + 8)) }; }
TEMPLATE vf32 v_load_bf16_n(const uint16_t *p, int n)
{
    uint16_t part[16] = { 0 };
    memcpy(part, p, 2 * (size_t)n);
    return v_load_bf16(part);
}
TEMPLATE vpart v_part_f16(const uint16_t *p) { return _mm256_cvtph_ps(ymm_load16(p)); }
TEMPLATE vpart v_part_bf16(const uint16_t *p) { return ymm_bf16(ymm_load16(p)); }
TEMPLATE __m256 ymm_f16_low(__m256i x)
{
    __m256i words = _mm256_packus_epi32(_mm256_and_si256(x, _mm256_set1_epi32(0xffff)), _mm256_setzero_si256());
    return _mm256_cvtph_ps(_mm256_castsi256_si128(_mm256_permute4x64_epi64(words, 0x08)));
}
TEMPLATE vf32 v_f16_low(vi32 x) { return (vf32){ ymm_f16_low(x.a), ymm_f16_low(x.b) }; }
TEMPLATE vf32 v_f16_high(vi32 x) { return v_f16_low(v_shr32(x, 16)); }
