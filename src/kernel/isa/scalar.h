/* scalar.h: the vector vocabulary in plain loops. It is the definition of the others: every
 * function here states what its namesakes must compute, bit for bit.
 *
 * A vector is 64 bytes whatever the hardware: 64 codes (vi8), 16 int32 (vi32) or 16 float
 * (vf32). A "half" is 32 of the 64 bytes: one block of 32 codes. */
#include "kernel/isa/common.h"

#define ISA scalar
#ifdef HEARTH_SANITIZED /* src/kernel/meson.build says why */
#undef TEMPLATE
#define TEMPLATE static inline
#endif
#undef UNROLLED /* the tile lives in memory anyway */
#define UNROLLED UNROLL_NO

enum { ISA_TILE_COLS = 4, ISA_PREFETCH_BYTES = 0 };
/* Of float weights: columns that go together; rows of a tile (FEWER where they do not come out even), columns. */
enum { ISA_FLOAT_GROUP = 4, ISA_FLOAT_ROWS = 4, ISA_FLOAT_FEWER = 4, ISA_FLOAT_COLS = 1 };
/* Queries and vectors of a tile of attention; vectors whose e^x go step by step together: 1, or an even number to 8. */
enum { ISA_ATTEND_COLS = 4, ISA_ATTEND_VECS = 1, ISA_EXP_VECS = 1 };
#define ISA_TILES(X, ...) X(1, __VA_ARGS__) X(2, __VA_ARGS__) X(3, __VA_ARGS__) X(4, __VA_ARGS__)
#define ISA_ATTEND_TILES(X, ...) X(1, __VA_ARGS__) X(2, __VA_ARGS__) X(3, __VA_ARGS__) X(4, __VA_ARGS__)
#define ISA_FLOAT_TILES(X, ...) X(4, 1, __VA_ARGS__)
#define ISA_A32_FEW(X, ...) X(1, __VA_ARGS__)
#define ISA_A256_FEW(X, ...) X(1, __VA_ARGS__)

typedef struct { uint8_t v[64]; } vi8;
typedef struct { int32_t v[16]; } vi32;
typedef struct { float v[16]; } vf32;

#define LANES(i) for (int i = 0; i < 16; i++)
#define BYTES(i) for (int i = 0; i < 64; i++)

TEMPLATE void v_prefetch(const void *p) { (void)p; }

/* --- bytes --- */
TEMPLATE vi8 v_load8(const void *p)
{
    vi8 r;
    memcpy(r.v, p, 64);
    return r;
}
/* The same, for what several instructions use: from memory once. */
TEMPLATE vi8 v_load8_once(const void *p) { return v_load8(p); }
TEMPLATE void v_store8(void *p, vi8 a) { memcpy(p, a.v, 64); }
TEMPLATE vi8 v_load_halves(const void *p, const void *q) /* 32 bytes each */
{
    vi8 r;
    memcpy(r.v, p, 32);
    memcpy(r.v + 32, q, 32);
    return r;
}
TEMPLATE vi8 v_bcast4(const void *p) /* 4 bytes in every lane */
{
    vi8 r;
    LANES(i) memcpy(r.v + 4 * i, p, 4);
    return r;
}
TEMPLATE vi8 v_set8(int x)
{
    vi8 r;
    BYTES(i) r.v[i] = (uint8_t)x;
    return r;
}
TEMPLATE vi8 v_or8(vi8 a, vi8 b)
{
    BYTES(i) a.v[i] |= b.v[i];
    return a;
}
TEMPLATE vi8 v_nib_lo(vi8 a)
{
    BYTES(i) a.v[i] &= 15;
    return a;
}
TEMPLATE vi8 v_nib_hi(vi8 a)
{
    BYTES(i) a.v[i] = (uint8_t)(a.v[i] >> 4);
    return a;
}
/* Nibbles of 16 bytes at p, then at q: low ones first, then high ones. */
TEMPLATE vi8 v_nibbles(const uint8_t *p, const uint8_t *q)
{
    vi8 r;
    for (int i = 0; i < 16; i++) {
        r.v[i] = p[i] & 15;
        r.v[i + 16] = (uint8_t)(p[i] >> 4);
        r.v[i + 32] = q[i] & 15;
        r.v[i + 48] = (uint8_t)(q[i] >> 4);
    }
    return r;
}
/* Bits of each byte moved, then those of `mask` kept: only such as were in the same byte before. left0, left1: the
 * way for the bytes of the first and the second half; negative is to the right. */
TEMPLATE vi8 v_bits(vi8 a, int left0, int left1, int mask)
{
    BYTES(i)
    {
        int left = i < 32 ? left0 : left1;
        a.v[i] = (uint8_t)((left < 0 ? a.v[i] >> -left : a.v[i] << left) & mask);
    }
    return a;
}
/* 32 bits at p, then at q, the lowest of each byte first: `value` where a bit is set, else 0. */
TEMPLATE vi8 v_bit_bytes(const uint8_t *p, const uint8_t *q, int value)
{
    vi8 r;
    BYTES(i) r.v[i] = (uint8_t)((i < 32 ? p : q)[i % 32 / 8] >> i % 8 & 1 ? value : 0);
    return r;
}
TEMPLATE vi8 v_lookup16(const int8_t table[16], vi8 a) /* bytes of a are within 0..15 */
{
    BYTES(i) a.v[i] = (uint8_t)table[a.v[i]];
    return a;
}

/* --- 32-bit integers --- */
TEMPLATE vi32 v_as32(vi8 a)
{
    vi32 r;
    memcpy(r.v, a.v, 64);
    return r;
}
TEMPLATE vi8 v_as8(vi32 a)
{
    vi8 r;
    memcpy(r.v, a.v, 64);
    return r;
}
TEMPLATE vi32 v_load32(const int32_t *p)
{
    vi32 r;
    memcpy(r.v, p, 64);
    return r;
}
TEMPLATE void v_store32(int32_t *p, vi32 a) { memcpy(p, a.v, 64); }
TEMPLATE vi32 v_set32(int32_t x)
{
    vi32 r;
    LANES(i) r.v[i] = x;
    return r;
}
TEMPLATE vi32 v_zero32(void) { return v_set32(0); }
TEMPLATE vi32 v_bcast32(const void *p) /* two int16 or one int32 in every lane */
{
    int32_t x;
    memcpy(&x, p, 4);
    return v_set32(x);
}
TEMPLATE vi32 v_add32(vi32 a, vi32 b)
{
    LANES(i) a.v[i] = (int32_t)((uint32_t)a.v[i] + (uint32_t)b.v[i]);
    return a;
}
TEMPLATE vi32 v_sub32(vi32 a, vi32 b)
{
    LANES(i) a.v[i] = (int32_t)((uint32_t)a.v[i] - (uint32_t)b.v[i]);
    return a;
}
TEMPLATE vi32 v_mul32(vi32 a, vi32 b)
{
    LANES(i) a.v[i] = (int32_t)((uint32_t)a.v[i] * (uint32_t)b.v[i]);
    return a;
}
TEMPLATE vi32 v_and32(vi32 a, vi32 b)
{
    LANES(i) a.v[i] &= b.v[i];
    return a;
}
TEMPLATE vi32 v_or32(vi32 a, vi32 b)
{
    LANES(i) a.v[i] |= b.v[i];
    return a;
}
TEMPLATE vi32 v_shl32(vi32 a, int n)
{
    LANES(i) a.v[i] = (int32_t)((uint32_t)a.v[i] << n);
    return a;
}
TEMPLATE vi32 v_shr32(vi32 a, int n) /* zeros come in */
{
    LANES(i) a.v[i] = (int32_t)((uint32_t)a.v[i] >> n);
    return a;
}
TEMPLATE vi32 v_sar32(vi32 a, int n) /* the sign comes in */
{
    LANES(i) a.v[i] = a.v[i] >> n;
    return a;
}
TEMPLATE vi32 v_max32(vi32 a, vi32 b)
{
    LANES(i) a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
    return a;
}
TEMPLATE int32_t v_max_lanes32(vi32 a)
{
    int32_t r = a.v[0];
    LANES(i) r = a.v[i] > r ? a.v[i] : r;
    return r;
}
TEMPLATE int32_t v_sum_lanes32(vi32 a)
{
    int32_t r = 0;
    LANES(i) r += a.v[i];
    return r;
}
TEMPLATE void v_narrow8(int8_t *p, vi32 a) /* lanes are within -128..127 */
{
    LANES(i) p[i] = (int8_t)a.v[i];
}

/* --- dot products ---
 * Lane i gains the products of bytes 4i..4i+3. Activations are signed, within +-127.
 * v_dot takes weights in a form that the ISA chooses: v_code_i8() makes it of signed bytes, v_code_u8() of
 * bytes that are `offset` too high. It must start from v_start() or v_start_sum(), which take back what the
 * form adds. v_dot_u7 takes weights 0..127 as they are. */
TEMPLATE vi8 v_code_i8(vi8 a) { return a; }
TEMPLATE vi8 v_code_u8(vi8 a, int offset)
{
    BYTES(i) a.v[i] = (uint8_t)(a.v[i] - offset);
    return a;
}
TEMPLATE vi32 v_dot(vi32 acc, vi8 w, vi8 a)
{
    BYTES(i) acc.v[i / 4] += (int8_t)w.v[i] * (int8_t)a.v[i];
    return acc;
}
TEMPLATE vi32 v_dot_u7(vi32 acc, vi8 w, vi8 a)
{
    BYTES(i) acc.v[i / 4] += w.v[i] * (int8_t)a.v[i];
    return acc;
}
TEMPLATE vi32 v_start(vi8 a) /* for weights that meet the activations a */
{
    (void)a;
    return v_zero32();
}
TEMPLATE vi32 v_start_sum(const int32_t *start32) /* for a whole block: act_view's start32 */
{
    (void)start32;
    return v_zero32();
}
TEMPLATE vi32 v_start_sums(const int32_t *start32) /* of 16 blocks */
{
    (void)start32;
    return v_zero32();
}
/* acc + a * s, where a fits 16 bits and s is a 16-bit scale with zeros above it. */
TEMPLATE vi32 v_mac16(vi32 acc, vi32 a, vi32 s)
{
    LANES(i) acc.v[i] += (int16_t)a.v[i] * (int16_t)s.v[i];
    return acc;
}
/* acc + a.low16 * b.low16 + a.high16 * b.high16, signed. */
TEMPLATE vi32 v_dot16(vi32 acc, vi32 a, vi32 b)
{
    LANES(i) acc.v[i] += (int16_t)a.v[i] * (int16_t)b.v[i] + (a.v[i] >> 16) * (b.v[i] >> 16);
    return acc;
}
/* Scales for v_mac16: byte a of the 4 at p in lanes 0..7, byte b in lanes 8..15. */
TEMPLATE vi32 v_spread2(const void *p, int a, int b)
{
    vi32 r;
    LANES(i) r.v[i] = ((const uint8_t *)p)[i < 8 ? a : b];
    return r;
}
/* Scales for v_mac16: the i-th of 4 int16 at p in lanes 4i..4i+3. */
TEMPLATE vi32 v_spread4(const int16_t *p)
{
    vi32 r;
    LANES(i) r.v[i] = (uint16_t)p[i / 4];
    return r;
}
TEMPLATE vi32 v_bytes_signed(vi32 a, int j) /* byte j of each lane, signed */
{
    LANES(i) a.v[i] = (int8_t)((uint32_t)a.v[i] >> 8 * j);
    return a;
}
TEMPLATE void v_widen16(int16_t *out, const int8_t *p) /* 16 int8 to int16 */
{
    LANES(i) out[i] = p[i];
}

/* --- turning rows into lanes --- */
/* Lane r of low: sum of lanes 0..7 of x[r]; of high: of lanes 8..15. */
TEMPLATE void v_reduce16_halves(const vi32 x[16], vi32 *low, vi32 *high)
{
    LANES(r)
    {
        low->v[r] = high->v[r] = 0;
        for (int i = 0; i < 8; i++) {
            low->v[r] += x[r].v[i];
            high->v[r] += x[r].v[i + 8];
        }
    }
}
TEMPLATE vi32 v_reduce16(const vi32 x[16]) /* lane r: sum of the lanes of x[r] */
{
    vi32 r;
    LANES(i) r.v[i] = v_sum_lanes32(x[i]);
    return r;
}
/* 16 bytes from each of 16 rows: lane r of out[j] is word j of row r. */
TEMPLATE void v_load_heads(const uint8_t *const rows[16], size_t offset, vi32 out[4])
{
    LANES(r) for (int j = 0; j < 4; j++) memcpy(&out[j].v[r], rows[r] + offset + 4 * j, 4);
}
TEMPLATE void v_transpose16(vi8 x[16]) /* as a 16 x 16 matrix of 32-bit words */
{
    vi8 t[16];
    LANES(r) LANES(i) memcpy(t[i].v + 4 * r, x[r].v + 4 * i, 4);
    LANES(r) x[r] = t[r];
}

/* --- floats --- */
TEMPLATE vf32 v_setf(float x)
{
    vf32 r;
    LANES(i) r.v[i] = x;
    return r;
}
TEMPLATE vf32 v_zerof(void) { return v_setf(0); }
TEMPLATE vf32 v_loadf(const float *p)
{
    vf32 r;
    memcpy(r.v, p, 64);
    return r;
}
TEMPLATE void v_storef(float *p, vf32 a) { memcpy(p, a.v, 64); }
TEMPLATE vf32 v_loadf_n(const float *p, int n) /* n lanes, 1..16; the others are 0 */
{
    vf32 r;
    LANES(i) r.v[i] = i < n ? p[i] : 0;
    return r;
}
TEMPLATE void v_storef_n(float *p, vf32 a, int n)
{
    for (int i = 0; i < n; i++)
        p[i] = a.v[i];
}
TEMPLATE vf32 v_addf(vf32 a, vf32 b)
{
    LANES(i) a.v[i] = a.v[i] + b.v[i];
    return a;
}
TEMPLATE vf32 v_subf(vf32 a, vf32 b)
{
    LANES(i) a.v[i] = a.v[i] - b.v[i];
    return a;
}
TEMPLATE vf32 v_mulf(vf32 a, vf32 b)
{
    LANES(i) a.v[i] = a.v[i] * b.v[i];
    return a;
}
TEMPLATE vf32 v_divf(vf32 a, vf32 b)
{
    LANES(i) a.v[i] = a.v[i] / b.v[i];
    return a;
}
TEMPLATE vf32 v_fma(vf32 a, vf32 b, vf32 c) /* a * b + c, rounded once */
{
    LANES(i) c.v[i] = fmaf(a.v[i], b.v[i], c.v[i]);
    return c;
}
TEMPLATE vf32 v_fnma(vf32 a, vf32 b, vf32 c) /* c - a * b, rounded once */
{
    LANES(i) c.v[i] = fmaf(-a.v[i], b.v[i], c.v[i]);
    return c;
}
TEMPLATE vf32 v_maxf(vf32 a, vf32 b) /* b where either is NaN */
{
    LANES(i) a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
    return a;
}
TEMPLATE vf32 v_minf(vf32 a, vf32 b) /* b where either is NaN */
{
    LANES(i) a.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i];
    return a;
}
/* A part of a vector: as many floats as the hardware's registers hold, for tiles that need many of them. */
typedef vf32 vpart;
enum { ISA_PART_LANES = 16 };
TEMPLATE vpart v_part_zero(void) { return v_zerof(); }
TEMPLATE vpart v_part_load(const float *p) { return v_loadf(p); }
TEMPLATE vpart v_part_load_n(const float *p, int n) { return v_loadf_n(p, n); } /* n lanes, for any n; others are 0 */
TEMPLATE void v_part_store(float *p, vpart a) { v_storef(p, a); }
TEMPLATE vpart v_part_fma(vpart a, vpart b, vpart c) { return v_fma(a, b, c); }
/* All 16 floats: a where that is all, else those at `all`, where every part was stored. */
TEMPLATE vf32 v_part_whole(vpart a, const float *all)
{
    (void)all;
    return a;
}
/* The tree: lanes i and i + 8, then i + 4, i + 2, i + 1. */
TEMPLATE float v_sumf(vf32 a)
{
    for (int w = 8; w > 0; w /= 2)
        for (int i = 0; i < w; i++)
            a.v[i] = a.v[i] + a.v[i + w];
    return a.v[0];
}
TEMPLATE vf32 v_sumf16(const vf32 x[16]) /* lane r: v_sumf(x[r]) */
{
    vf32 r;
    LANES(i) r.v[i] = v_sumf(x[i]);
    return r;
}
TEMPLATE vf32 v_sumf8(const vf32 x[8]) /* the same for lanes 0..7; the others are any */
{
    vf32 r;
    LANES(i) r.v[i] = v_sumf(x[i % 8]);
    return r;
}
TEMPLATE float v_max_lanesf(vf32 a) /* the same tree of v_maxf */
{
    for (int w = 8; w > 0; w /= 2)
        for (int i = 0; i < w; i++)
            a.v[i] = a.v[i] > a.v[i + w] ? a.v[i] : a.v[i + w];
    return a.v[0];
}
/* Lane i: the largest lane of x[i], as v_max_lanesf finds it. */
TEMPLATE vf32 v_max_each(const vf32 x[16])
{
    vf32 r;
    LANES(i) r.v[i] = v_max_lanesf(x[i]);
    return r;
}
TEMPLATE vf32 v_cvtf(vi32 a) /* nearest even */
{
    vf32 r;
    LANES(i) r.v[i] = (float)a.v[i];
    return r;
}
TEMPLATE vi32 v_rne32(vf32 a) /* nearest even; |a| < 2^21 */
{
    vi32 r;
    LANES(i) r.v[i] = (int32_t)bits_of_f32(a.v[i] + 12582912.0f) - 0x4b400000;
    return r;
}
TEMPLATE vf32 v_asf(vi32 a)
{
    vf32 r;
    memcpy(r.v, a.v, 64);
    return r;
}
TEMPLATE vi32 v_bitsf(vf32 a)
{
    vi32 r;
    memcpy(r.v, a.v, 64);
    return r;
}
/* a * 2^n, rounded once; 1/2 <= |a| <= 2, n a whole number within +-252. NaN where a and n are. */
TEMPLATE vf32 v_times_power(vf32 a, vf32 n)
{
    vi32 power = v_rne32(n), half = v_sar32(power, 1), rest = v_sub32(power, half); /* two exact powers */
    vi32 one = v_set32(127);
    return v_mulf(v_mulf(a, v_asf(v_shl32(v_add32(half, one), 23))), v_asf(v_shl32(v_add32(rest, one), 23)));
}
TEMPLATE vf32 v_keep(vf32 a, vf32 other, int n) /* lanes below n of a, the others of other */
{
    LANES(i) a.v[i] = i < n ? a.v[i] : other.v[i];
    return a;
}
TEMPLATE unsigned v_eq_mask(vf32 a, vf32 b) /* bit i: lanes i compare equal */
{
    unsigned m = 0;
    LANES(i) m |= (unsigned)(a.v[i] == b.v[i]) << i;
    return m;
}
TEMPLATE unsigned v_ge_mask(vf32 a, vf32 b) /* bit i: lane i of a is not below that of b; never with a NaN */
{
    unsigned m = 0;
    LANES(i) m |= (unsigned)(a.v[i] >= b.v[i]) << i;
    return m;
}
TEMPLATE vf32 v_swap_pairs(vf32 a) /* lanes 1 0 3 2 ... */
{
    vf32 r;
    LANES(i) r.v[i] = a.v[i ^ 1];
    return r;
}
TEMPLATE vf32 v_dup_pairs(const float *p, int n) /* p[i] in lanes 2i and 2i + 1, for i < n <= 8 */
{
    vf32 r;
    LANES(i) r.v[i] = i / 2 < n ? p[i / 2] : 0;
    return r;
}

TEMPLATE vf32 v_load_i8(const int8_t *p) /* 16 whole numbers */
{
    vf32 r;
    LANES(i) r.v[i] = p[i];
    return r;
}

/* --- 16-bit floats --- */
TEMPLATE vf32 v_load_f16_n(const uint16_t *p, int n)
{
    vf32 r;
    LANES(i) r.v[i] = i < n ? f16_to_f32(p[i]) : 0;
    return r;
}
TEMPLATE vf32 v_load_f16(const uint16_t *p) { return v_load_f16_n(p, 16); }
TEMPLATE void v_store_f16_n(uint16_t *p, vf32 a, int n)
{
    for (int i = 0; i < n; i++)
        p[i] = f16_from_f32(a.v[i]);
}
TEMPLATE vf32 v_load_bf16_n(const uint16_t *p, int n)
{
    vf32 r;
    LANES(i) r.v[i] = i < n ? bf16_to_f32(p[i]) : 0;
    return r;
}
TEMPLATE vf32 v_load_bf16(const uint16_t *p) { return v_load_bf16_n(p, 16); }
TEMPLATE vpart v_part_f16(const uint16_t *p) { return v_load_f16(p); }
TEMPLATE vpart v_part_bf16(const uint16_t *p) { return v_load_bf16(p); }
TEMPLATE vf32 v_f16_low(vi32 a) /* of the low 16 bits of each lane */
{
    vf32 r;
    LANES(i) r.v[i] = f16_to_f32((uint16_t)a.v[i]);
    return r;
}
TEMPLATE vf32 v_f16_high(vi32 a)
{
    vf32 r;
    LANES(i) r.v[i] = f16_to_f32((uint16_t)((uint32_t)a.v[i] >> 16));
    return r;
}
