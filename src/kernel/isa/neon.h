/* neon.h: the vector vocabulary for the NEON that every aarch64 has, four registers a vector, without the
 * dot products (neonbase.h, neondot.h and neoni8mm.h differ there). What each function computes is written in
 * scalar.h. */
#include <arm_neon.h>

#include "kernel/isa/common.h"

enum { ISA_TILE_COLS = 4, ISA_PREFETCH_BYTES = 8192 };
enum { ISA_FLOAT_GROUP = 4, ISA_FLOAT_ROWS = 5, ISA_FLOAT_FEWER = 4, ISA_FLOAT_COLS = 4 };
enum { ISA_ATTEND_COLS = 6, ISA_ATTEND_VECS = 1, ISA_EXP_VECS = 2 };
#define ISA_TILES(X, ...) X(1, __VA_ARGS__) X(2, __VA_ARGS__) X(3, __VA_ARGS__) X(4, __VA_ARGS__)
#define ISA_ATTEND_TILES(X, ...)                                                                                    \
    X(1, __VA_ARGS__) X(2, __VA_ARGS__) X(3, __VA_ARGS__) X(4, __VA_ARGS__) X(5, __VA_ARGS__)                       \
    X(6, __VA_ARGS__)
#define ISA_FLOAT_TILES(X, ...) X(4, 1, __VA_ARGS__) X(4, 2, __VA_ARGS__) X(4, 3, __VA_ARGS__) X(4, 4, __VA_ARGS__) \
    X(5, 1, __VA_ARGS__) X(5, 2, __VA_ARGS__) X(5, 3, __VA_ARGS__) X(5, 4, __VA_ARGS__)
#define ISA_A32_FEW(X, ...) X(1, __VA_ARGS__)
#define ISA_A256_FEW(X, ...) X(1, __VA_ARGS__)

typedef struct { uint8x16_t v[4]; } vi8;
typedef struct { int32x4_t v[4]; } vi32;
typedef struct { float32x4_t v[4]; } vf32;

/* One operation on each of the four registers. */
#define QUAD(T, op)          (T){ { op(0), op(1), op(2), op(3) } }
#define QUAD_1(T, f, x)      (T){ { f((x).v[0]), f((x).v[1]), f((x).v[2]), f((x).v[3]) } }
#define QUAD_2(T, f, x, y)                                                                                          \
    (T){ { f((x).v[0], (y).v[0]), f((x).v[1], (y).v[1]), f((x).v[2], (y).v[2]), f((x).v[3], (y).v[3]) } }
#define QUAD_3(T, f, x, y, z)                                                                                       \
    (T){ { f((x).v[0], (y).v[0], (z).v[0]), f((x).v[1], (y).v[1], (z).v[1]), f((x).v[2], (y).v[2], (z).v[2]),       \
           f((x).v[3], (y).v[3], (z).v[3]) } }
#define QUAD_SAME(T, x)      (T){ { x, x, x, x } }

TEMPLATE void v_prefetch(const void *p) { __builtin_prefetch(p); }

/* --- bytes --- */
TEMPLATE vi8 v_load8(const void *p)
{
    const uint8_t *b = p;
    return (vi8){ { vld1q_u8(b), vld1q_u8(b + 16), vld1q_u8(b + 32), vld1q_u8(b + 48) } };
}
TEMPLATE vi8 v_load8_once(const void *p) { return v_load8(p); }
TEMPLATE void v_store8(void *p, vi8 x)
{
    uint8_t *b = p;
    vst1q_u8(b, x.v[0]);
    vst1q_u8(b + 16, x.v[1]);
    vst1q_u8(b + 32, x.v[2]);
    vst1q_u8(b + 48, x.v[3]);
}
TEMPLATE vi8 v_load_halves(const void *p, const void *q)
{
    const uint8_t *a = p, *b = q;
    return (vi8){ { vld1q_u8(a), vld1q_u8(a + 16), vld1q_u8(b), vld1q_u8(b + 16) } };
}
TEMPLATE vi8 v_bcast4(const void *p)
{
    uint32_t x;
    memcpy(&x, p, 4);
    uint8x16_t all = vreinterpretq_u8_u32(vdupq_n_u32(x));
    return QUAD_SAME(vi8, all);
}
TEMPLATE vi8 v_set8(int x)
{
    uint8x16_t all = vdupq_n_u8((uint8_t)x);
    return QUAD_SAME(vi8, all);
}
TEMPLATE vi8 v_or8(vi8 x, vi8 y) { return QUAD_2(vi8, vorrq_u8, x, y); }
TEMPLATE uint8x16_t neon_low(uint8x16_t x) { return vandq_u8(x, vdupq_n_u8(15)); }
TEMPLATE uint8x16_t neon_high(uint8x16_t x) { return vshrq_n_u8(x, 4); }
TEMPLATE vi8 v_nib_lo(vi8 x) { return QUAD_1(vi8, neon_low, x); }
TEMPLATE vi8 v_nib_hi(vi8 x) { return QUAD_1(vi8, neon_high, x); }
TEMPLATE vi8 v_nibbles(const uint8_t *p, const uint8_t *q)
{
    uint8x16_t a = vld1q_u8(p), b = vld1q_u8(q);
    return (vi8){ { neon_low(a), neon_high(a), neon_low(b), neon_high(b) } };
}
TEMPLATE uint8x16_t neon_bits(uint8x16_t x, int left, int mask)
{
    return vandq_u8(vshlq_u8(x, vdupq_n_s8((int8_t)left)), vdupq_n_u8((uint8_t)mask));
}
TEMPLATE vi8 v_bits(vi8 x, int left0, int left1, int mask)
{
    return (vi8){ { neon_bits(x.v[0], left0, mask), neon_bits(x.v[1], left0, mask), neon_bits(x.v[2], left1, mask),
                    neon_bits(x.v[3], left1, mask) } };
}
TEMPLATE vi8 v_bits_45(vi8 x, int left0, int left1) { return v_bits(x, left0, left1, 0x30); }
TEMPLATE uint8x16_t neon_bit_bytes(const uint8_t *p, int value)
{
    uint8x16_t bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201));
    uint8x16_t x = vcombine_u8(vdup_n_u8(p[0]), vdup_n_u8(p[1]));
    return vandq_u8(vtstq_u8(x, bit), vdupq_n_u8((uint8_t)value));
}
TEMPLATE vi8 v_bit_bytes(const uint8_t *p, const uint8_t *q, int value)
{
    return (vi8){ { neon_bit_bytes(p, value), neon_bit_bytes(p + 2, value), neon_bit_bytes(q, value),
                    neon_bit_bytes(q + 2, value) } };
}
TEMPLATE vi8 v_lookup16(const int8_t table[16], vi8 x)
{
    uint8x16_t t = vreinterpretq_u8_s8(vld1q_s8(table));
    return (vi8){ { vqtbl1q_u8(t, x.v[0]), vqtbl1q_u8(t, x.v[1]), vqtbl1q_u8(t, x.v[2]), vqtbl1q_u8(t, x.v[3]) } };
}

/* --- 32-bit integers --- */
TEMPLATE vi32 v_as32(vi8 x) { return QUAD_1(vi32, vreinterpretq_s32_u8, x); }
TEMPLATE vi8 v_as8(vi32 x) { return QUAD_1(vi8, vreinterpretq_u8_s32, x); }
TEMPLATE vi32 v_load32(const int32_t *p)
{
    return (vi32){ { vld1q_s32(p), vld1q_s32(p + 4), vld1q_s32(p + 8), vld1q_s32(p + 12) } };
}
TEMPLATE void v_store32(int32_t *p, vi32 x)
{
    vst1q_s32(p, x.v[0]);
    vst1q_s32(p + 4, x.v[1]);
    vst1q_s32(p + 8, x.v[2]);
    vst1q_s32(p + 12, x.v[3]);
}
TEMPLATE vi32 v_set32(int32_t x)
{
    int32x4_t all = vdupq_n_s32(x);
    return QUAD_SAME(vi32, all);
}
TEMPLATE vi32 v_zero32(void) { return v_set32(0); }
TEMPLATE vi32 v_bcast32(const void *p) { return v_as32(v_bcast4(p)); }
TEMPLATE vi32 v_add32(vi32 x, vi32 y) { return QUAD_2(vi32, vaddq_s32, x, y); }
TEMPLATE vi32 v_sub32(vi32 x, vi32 y) { return QUAD_2(vi32, vsubq_s32, x, y); }
TEMPLATE vi32 v_mul32(vi32 x, vi32 y) { return QUAD_2(vi32, vmulq_s32, x, y); }
TEMPLATE vi32 v_and32(vi32 x, vi32 y) { return QUAD_2(vi32, vandq_s32, x, y); }
TEMPLATE vi32 v_or32(vi32 x, vi32 y) { return QUAD_2(vi32, vorrq_s32, x, y); }
TEMPLATE vi32 v_max32(vi32 x, vi32 y) { return QUAD_2(vi32, vmaxq_s32, x, y); }
/* Shifts by a register go left, or right when it is negative; they take constants as well. */
TEMPLATE int32x4_t neon_shr(int32x4_t x, int32x4_t left)
{
    return vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(x), left));
}
TEMPLATE vi32 v_shl32(vi32 x, int n) { return QUAD_2(vi32, vshlq_s32, x, v_set32(n)); }
TEMPLATE vi32 v_shr32(vi32 x, int n) { return QUAD_2(vi32, neon_shr, x, v_set32(-n)); }
TEMPLATE vi32 v_sar32(vi32 x, int n) { return QUAD_2(vi32, vshlq_s32, x, v_set32(-n)); }
TEMPLATE int32x4_t neon_sum(vi32 x) { return vaddq_s32(vaddq_s32(x.v[0], x.v[1]), vaddq_s32(x.v[2], x.v[3])); }
TEMPLATE int32_t v_max_lanes32(vi32 x)
{
    return vmaxvq_s32(vmaxq_s32(vmaxq_s32(x.v[0], x.v[1]), vmaxq_s32(x.v[2], x.v[3])));
}
TEMPLATE int32_t v_sum_lanes32(vi32 x) { return vaddvq_s32(neon_sum(x)); }
TEMPLATE void v_narrow8(int8_t *p, vi32 x)
{
    int16x8_t low = vcombine_s16(vmovn_s32(x.v[0]), vmovn_s32(x.v[1]));
    int16x8_t high = vcombine_s16(vmovn_s32(x.v[2]), vmovn_s32(x.v[3]));
    vst1q_s8(p, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
}
TEMPLATE vi32 v_bytes_signed(vi32 x, int j) { return v_sar32(v_shl32(x, 24 - 8 * j), 24); }
TEMPLATE void v_widen16(int16_t *out, const int8_t *p)
{
    vst1q_s16(out, vmovl_s8(vld1_s8(p)));
    vst1q_s16(out + 8, vmovl_s8(vld1_s8(p + 8)));
}

/* --- dot products: NEON multiplies signed by signed, so weights are what they are --- */
TEMPLATE int32x4_t neon_dot(int32x4_t acc, uint8x16_t w, uint8x16_t a); /* the file that includes this one has it */
TEMPLATE vi8 v_code_i8(vi8 x) { return x; }
TEMPLATE vi8 v_code_u8(vi8 x, int offset) { return QUAD_2(vi8, vsubq_u8, x, v_set8(offset)); }
TEMPLATE vi32 v_dot(vi32 acc, vi8 w, vi8 a) { return QUAD_3(vi32, neon_dot, acc, w, a); }
TEMPLATE vi32 v_dot_u7(vi32 acc, vi8 w, vi8 a) { return v_dot(acc, w, a); }
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

/* --- 16-bit products, scales --- */
TEMPLATE int32x4_t neon_mac16(int32x4_t acc, int32x4_t x, int32x4_t s)
{
    return vmlal_s16(acc, vmovn_s32(x), vmovn_s32(s));
}
TEMPLATE vi32 v_mac16(vi32 acc, vi32 x, vi32 s) { return QUAD_3(vi32, neon_mac16, acc, x, s); }
TEMPLATE int32x4_t neon_dot16(int32x4_t acc, int32x4_t x, int32x4_t y)
{
    int16x8_t a = vreinterpretq_s16_s32(x), b = vreinterpretq_s16_s32(y);
    return vaddq_s32(acc, vpaddq_s32(vmull_s16(vget_low_s16(a), vget_low_s16(b)), vmull_high_s16(a, b)));
}
TEMPLATE vi32 v_dot16(vi32 acc, vi32 x, vi32 y) { return QUAD_3(vi32, neon_dot16, acc, x, y); }
TEMPLATE vi32 v_spread2(const void *p, int a, int b)
{
    const uint8_t *bytes = p;
    int32x4_t low = vdupq_n_s32(bytes[a]), high = vdupq_n_s32(bytes[b]);
    return (vi32){ { low, low, high, high } };
}
TEMPLATE vi32 v_spread4(const int16_t *p)
{
    return (vi32){ { vdupq_n_s32((uint16_t)p[0]), vdupq_n_s32((uint16_t)p[1]), vdupq_n_s32((uint16_t)p[2]),
                     vdupq_n_s32((uint16_t)p[3]) } };
}

/* --- turning rows into lanes --- */

/* Lane r: sum of the 4 lanes of x[r]. */
TEMPLATE int32x4_t neon_reduce4(const int32x4_t x[4])
{
    return vpaddq_s32(vpaddq_s32(x[0], x[1]), vpaddq_s32(x[2], x[3]));
}
TEMPLATE vi32 neon_reduce16(const int32x4_t x[16])
{
    return (vi32){ { neon_reduce4(x), neon_reduce4(x + 4), neon_reduce4(x + 8), neon_reduce4(x + 12) } };
}
TEMPLATE void v_reduce16_halves(const vi32 x[16], vi32 *low, vi32 *high)
{
    int32x4_t a[16], b[16];
    UNROLLED
    for (int r = 0; r < 16; r++) {
        a[r] = vaddq_s32(x[r].v[0], x[r].v[1]);
        b[r] = vaddq_s32(x[r].v[2], x[r].v[3]);
    }
    *low = neon_reduce16(a);
    *high = neon_reduce16(b);
}
TEMPLATE vi32 v_reduce16(const vi32 x[16])
{
    int32x4_t sum[16];
    UNROLLED
    for (int r = 0; r < 16; r++)
        sum[r] = neon_sum(x[r]);
    return neon_reduce16(sum);
}
/* The 4 x 4 words of four registers. */
TEMPLATE void neon_transpose4(int32x4_t x[4])
{
    int32x4_t a = vtrn1q_s32(x[0], x[1]), b = vtrn2q_s32(x[0], x[1]);
    int32x4_t c = vtrn1q_s32(x[2], x[3]), d = vtrn2q_s32(x[2], x[3]);
    x[0] = vcombine_s32(vget_low_s32(a), vget_low_s32(c));
    x[1] = vcombine_s32(vget_low_s32(b), vget_low_s32(d));
    x[2] = vcombine_s32(vget_high_s32(a), vget_high_s32(c));
    x[3] = vcombine_s32(vget_high_s32(b), vget_high_s32(d));
}
TEMPLATE void v_load_heads(const uint8_t *const rows[16], size_t offset, vi32 out[4])
{
    UNROLLED
    for (int g = 0; g < 4; g++) {
        int32x4_t x[4];
        UNROLLED
        for (int r = 0; r < 4; r++)
            x[r] = vreinterpretq_s32_u8(vld1q_u8(rows[4 * g + r] + offset));
        neon_transpose4(x);
        UNROLLED
        for (int j = 0; j < 4; j++)
            out[j].v[g] = x[j];
    }
}
TEMPLATE void v_transpose16(vi8 x[16])
{
    vi8 t[16];
    UNROLLED
    for (int g = 0; g < 4; g++) {
        UNROLLED
        for (int h = 0; h < 4; h++) { /* rows 4g.., words 4h.. become rows 4h.., words 4g.. */
            int32x4_t part[4];
            UNROLLED
            for (int r = 0; r < 4; r++)
                part[r] = vreinterpretq_s32_u8(x[4 * g + r].v[h]);
            neon_transpose4(part);
            UNROLLED
            for (int r = 0; r < 4; r++)
                t[4 * h + r].v[g] = vreinterpretq_u8_s32(part[r]);
        }
    }
    UNROLLED
    for (int r = 0; r < 16; r++)
        x[r] = t[r];
}

/* --- floats --- */
TEMPLATE vf32 v_setf(float x)
{
    float32x4_t all = vdupq_n_f32(x);
    return QUAD_SAME(vf32, all);
}
TEMPLATE vf32 v_zerof(void) { return v_setf(0); }
TEMPLATE vf32 v_loadf(const float *p)
{
    return (vf32){ { vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12) } };
}
TEMPLATE void v_storef(float *p, vf32 x)
{
    vst1q_f32(p, x.v[0]);
    vst1q_f32(p + 4, x.v[1]);
    vst1q_f32(p + 8, x.v[2]);
    vst1q_f32(p + 12, x.v[3]);
}
TEMPLATE vf32 v_loadf_n(const float *p, int n)
{
    if (n == 16)
        return v_loadf(p);
    float part[16] = { 0 };
    memcpy(part, p, sizeof *p * (size_t)n);
    return v_loadf(part);
}
TEMPLATE void v_storef_n(float *p, vf32 x, int n)
{
    float all[16];
    v_storef(n == 16 ? p : all, x);
    if (n != 16)
        memcpy(p, all, sizeof *p * (size_t)n);
}
TEMPLATE vf32 v_addf(vf32 x, vf32 y) { return QUAD_2(vf32, vaddq_f32, x, y); }
TEMPLATE vf32 v_subf(vf32 x, vf32 y) { return QUAD_2(vf32, vsubq_f32, x, y); }
TEMPLATE vf32 v_mulf(vf32 x, vf32 y) { return QUAD_2(vf32, vmulq_f32, x, y); }
TEMPLATE vf32 v_divf(vf32 x, vf32 y) { return QUAD_2(vf32, vdivq_f32, x, y); }
TEMPLATE vf32 v_fma(vf32 x, vf32 y, vf32 z) { return QUAD_3(vf32, vfmaq_f32, z, x, y); }
TEMPLATE vf32 v_fnma(vf32 x, vf32 y, vf32 z) { return QUAD_3(vf32, vfmsq_f32, z, x, y); }
/* The hardware's maximum of a NaN, or of two zeros, is another one. */
TEMPLATE float32x4_t neon_max(float32x4_t x, float32x4_t y) { return vbslq_f32(vcgtq_f32(x, y), x, y); }
TEMPLATE float32x4_t neon_min(float32x4_t x, float32x4_t y) { return vbslq_f32(vcltq_f32(x, y), x, y); }
TEMPLATE vf32 v_maxf(vf32 x, vf32 y) { return QUAD_2(vf32, neon_max, x, y); }
TEMPLATE vf32 v_minf(vf32 x, vf32 y) { return QUAD_2(vf32, neon_min, x, y); }
typedef float32x4_t vpart;
enum { ISA_PART_LANES = 4 };
TEMPLATE vpart v_part_zero(void) { return vdupq_n_f32(0); }
TEMPLATE vpart v_part_load(const float *p) { return vld1q_f32(p); }
TEMPLATE vpart v_part_load_n(const float *p, int n)
{
    float part[4] = { 0 };
    if (n > 0)
        memcpy(part, p, sizeof(float) * (size_t)(n < 4 ? n : 4));
    return vld1q_f32(part);
}
TEMPLATE void v_part_store(float *p, vpart x) { vst1q_f32(p, x); }
TEMPLATE vpart v_part_fma(vpart x, vpart y, vpart z) { return vfmaq_f32(z, x, y); }
TEMPLATE vf32 v_part_whole(vpart x, const float *all)
{
    (void)x;
    return v_loadf(all);
}
TEMPLATE float v_sumf(vf32 x)
{
    float32x4_t w4 = vaddq_f32(vaddq_f32(x.v[0], x.v[2]), vaddq_f32(x.v[1], x.v[3]));
    float32x2_t w2 = vadd_f32(vget_low_f32(w4), vget_high_f32(w4));
    return vget_lane_f32(w2, 0) + vget_lane_f32(w2, 1);
}
TEMPLATE vf32 v_sumf16(const vf32 x[16])
{
    float sum[16];
    for (int r = 0; r < 16; r++)
        sum[r] = v_sumf(x[r]);
    return v_loadf(sum);
}
TEMPLATE vf32 v_sumf8(const vf32 x[8])
{
    float sum[16] = { 0 };
    for (int r = 0; r < 8; r++)
        sum[r] = v_sumf(x[r]);
    return v_loadf(sum);
}
TEMPLATE float v_max_lanesf(vf32 x)
{
    float32x4_t w4 = neon_max(neon_max(x.v[0], x.v[2]), neon_max(x.v[1], x.v[3]));
    float32x4_t w2 = neon_max(w4, vextq_f32(w4, w4, 2));
    return vgetq_lane_f32(neon_max(w2, vextq_f32(w2, w2, 1)), 0);
}
TEMPLATE vf32 v_max_each(const vf32 x[16])
{
    float r[16];
    UNROLLED
    for (int i = 0; i < 16; i++)
        r[i] = v_max_lanesf(x[i]);
    return v_loadf(r);
}
TEMPLATE vf32 v_cvtf(vi32 x) { return QUAD_1(vf32, vcvtq_f32_s32, x); }
TEMPLATE vi32 v_rne32(vf32 x) { return QUAD_1(vi32, vcvtnq_s32_f32, x); }
TEMPLATE vf32 v_asf(vi32 x) { return QUAD_1(vf32, vreinterpretq_f32_s32, x); }
TEMPLATE vi32 v_bitsf(vf32 x) { return QUAD_1(vi32, vreinterpretq_s32_f32, x); }
/* All ones in the lanes of register i that are among the n lowest of 16, for any n. */
TEMPLATE uint32x4_t neon_mask(int n, int i)
{
    static const int32_t lane[4] = { 0, 1, 2, 3 };
    return vcltq_s32(vld1q_s32(lane), vdupq_n_s32(n - 4 * i));
}
TEMPLATE vf32 v_times_power(vf32 x, vf32 n)
{
    vi32 power = v_rne32(n), half = v_sar32(power, 1), rest = v_sub32(power, half), one = v_set32(127);
    return v_mulf(v_mulf(x, v_asf(v_shl32(v_add32(half, one), 23))), v_asf(v_shl32(v_add32(rest, one), 23)));
}
TEMPLATE vf32 v_keep(vf32 x, vf32 other, int n)
{
#define KEEP(i) vbslq_f32(neon_mask(n, i), x.v[i], other.v[i])
    return QUAD(vf32, KEEP);
#undef KEEP
}
/* Bit i: lane i is all ones. */
TEMPLATE unsigned neon_lane_bits(uint32x4_t all_or_nothing)
{
    static const uint32_t bit[4] = { 1, 2, 4, 8 };
    return vaddvq_u32(vandq_u32(all_or_nothing, vld1q_u32(bit)));
}
#define LANE_BITS(compare, x, y)                                                                                    \
    (neon_lane_bits(compare((x).v[0], (y).v[0])) | neon_lane_bits(compare((x).v[1], (y).v[1])) << 4                 \
     | neon_lane_bits(compare((x).v[2], (y).v[2])) << 8 | neon_lane_bits(compare((x).v[3], (y).v[3])) << 12)
TEMPLATE unsigned v_eq_mask(vf32 x, vf32 y) { return LANE_BITS(vceqq_f32, x, y); }
TEMPLATE unsigned v_ge_mask(vf32 x, vf32 y) { return LANE_BITS(vcgeq_f32, x, y); }
TEMPLATE vf32 v_swap_pairs(vf32 x) { return QUAD_1(vf32, vrev64q_f32, x); }
TEMPLATE vf32 v_dup_pairs(const float *p, int n)
{
    float part[8] = { 0 };
    memcpy(part, p, sizeof *p * (size_t)n);
    float32x4_t a = vld1q_f32(part), b = vld1q_f32(part + 4);
    return (vf32){ { vzip1q_f32(a, a), vzip2q_f32(a, a), vzip1q_f32(b, b), vzip2q_f32(b, b) } };
}

TEMPLATE vf32 v_load_i8(const int8_t *p)
{
    int8x16_t x = vld1q_s8(p);
    int16x8_t low = vmovl_s8(vget_low_s8(x)), high = vmovl_s8(vget_high_s8(x));
    return (vf32){ { vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(low))),
                     vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(high))) } };
}

/* --- 16-bit floats --- */
TEMPLATE float32x4_t neon_f16(uint16x4_t x) { return vcvt_f32_f16(vreinterpret_f16_u16(x)); }
TEMPLATE float32x4_t neon_bf16(uint16x4_t x) { return vreinterpretq_f32_u32(vshlq_n_u32(vmovl_u16(x), 16)); }
TEMPLATE vf32 v_load_f16(const uint16_t *p)
{
#define LOAD(i) neon_f16(vld1_u16(p + 4 * (i)))
    return QUAD(vf32, LOAD);
#undef LOAD
}
TEMPLATE vf32 v_load_f16_n(const uint16_t *p, int n)
{
    uint16_t part[16] = { 0 };
    memcpy(part, p, sizeof *p * (size_t)n);
    return v_load_f16(part);
}
TEMPLATE void v_store_f16_n(uint16_t *p, vf32 x, int n)
{
    uint16_t all[16];
    UNROLLED
    for (int i = 0; i < 4; i++)
        vst1_u16(all + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(x.v[i])));
    memcpy(p, all, sizeof *p * (size_t)n);
}
TEMPLATE vf32 v_load_bf16(const uint16_t *p)
{
#define LOAD(i) neon_bf16(vld1_u16(p + 4 * (i)))
    return QUAD(vf32, LOAD);
#undef LOAD
}
TEMPLATE vf32 v_load_bf16_n(const uint16_t *p, int n)
{
    uint16_t part[16] = { 0 };
    memcpy(part, p, sizeof *p * (size_t)n);
    return v_load_bf16(part);
}
TEMPLATE vpart v_part_f16(const uint16_t *p) { return neon_f16(vld1_u16(p)); }
TEMPLATE vpart v_part_bf16(const uint16_t *p) { return neon_bf16(vld1_u16(p)); }
TEMPLATE float32x4_t neon_f16_low(int32x4_t x) { return neon_f16(vmovn_u32(vreinterpretq_u32_s32(x))); }
TEMPLATE float32x4_t neon_f16_high(int32x4_t x) { return neon_f16(vshrn_n_u32(vreinterpretq_u32_s32(x), 16)); }
TEMPLATE vf32 v_f16_low(vi32 x) { return QUAD_1(vf32, neon_f16_low, x); }
TEMPLATE vf32 v_f16_high(vi32 x) { return QUAD_1(vf32, neon_f16_high, x); }
