/* roof.h: the loops that an instruction set's ceilings are measured with (kernel/roof.h).
 *
 * The arithmetic is in assembly: compilers multiply once where the operands do not change, and move sums that stay in
 * registers to and fro (gcc 12: a tenth slower). Every loop has 12 independent sums, more than the latency of an
 * instruction hides (4 cycles at 2 a cycle: 8). The operands are ordinary numbers, because zeros need less power. */
#include "kernel/roof.h"

enum { ROOF_SUMS = 12, ROOF_UNROLL = 4 };

static uint64_t roof_read(const void *p, size_t bytes)
{
    const uint8_t *at = p, *end = at + bytes;
    vi8 sum[ROOF_UNROLL];
    UNROLLED
    for (int i = 0; i < ROOF_UNROLL; i++)
        sum[i] = v_set8(0);
    for (; at < end; at += 64 * ROOF_UNROLL) {
        UNROLLED
        for (int i = 0; i < ROOF_UNROLL; i++)
            sum[i] = v_or8(sum[i], v_load8(at + 64 * i));
    }
    uint64_t bits = 0, words[8];
    for (int i = 0; i < ROOF_UNROLL; i++) {
        v_store8(words, sum[i]);
        for (int j = 0; j < 8; j++)
            bits |= words[j];
    }
    return bits;
}

/* Code words of 7 and 8 bits, and floats whose products are small. */
#define ROOF_WORDS { 0x35a1c27, 0x7d12683b, 0x1f6e4709, 0x5a3c2b71 }
#define ROOF_TINY  { 0x3a83126f, 0x3a51b717, 0x3a03126f, 0x3a9d4952 }

#if defined(__AVX512VNNI__) || defined(__AVX2__)
#define ROOF_EACH(what) "1:\n\t.irp r,0,1,2,3,4,5,6,7,8,9,10,11\n\t" what "\n\t.endr\n\tdec %0\n\tjnz 1b"
#if defined(__AVX512VNNI__)
#define ROOF_TO(reg)  "%%zmm" reg
#define ROOF_WIDE     64
#define ROOF_INT8_ONE "vpdpbusd %%zmm14, %%zmm15, %%zmm\\r"
#elif defined(__AVXVNNI__)
#define ROOF_TO(reg)  "%%ymm" reg
#define ROOF_WIDE     32
#define ROOF_INT8_ONE "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm\\r"
#else
#define ROOF_TO(reg)  "%%ymm" reg
#define ROOF_WIDE     32
#define ROOF_INT8_ONE                                                                                               \
    "vpmaddubsw %%ymm14, %%ymm15, %%ymm12\n\tvpmaddwd %%ymm13, %%ymm12, %%ymm12\n\t"                                \
    "vpaddd %%ymm12, %%ymm\\r, %%ymm\\r"
#endif
/* Sums begin at 0; operands in 14 and 15; the words 1 in 13. */
#define ROOF_LOOP(what, words)                                                                                      \
    static const uint32_t operand[4] = words;                                                                       \
    static const uint32_t ones = 0x10001;                                                                           \
    uint64_t left = (uint64_t)n;                                                                                    \
    __asm__ volatile(".irp r,0,1,2,3,4,5,6,7,8,9,10,11\n\tvpxor %%xmm\\r, %%xmm\\r, %%xmm\\r\n\t.endr\n\t"          \
                     "vbroadcastss %2, " ROOF_TO("13") "\n\tvbroadcastss %1, " ROOF_TO("14") "\n\t"                 \
                     "vbroadcastss 8+%1, " ROOF_TO("15") "\n\t" ROOF_EACH(what)                                     \
                     : "+r"(left)                                                                                   \
                     : "o"(operand), "m"(ones)                                                                      \
                     : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",     \
                       "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "cc");                                          \
    return left
#define ROOF_F32_ONE "vfmadd231ps " ROOF_TO("14") ", " ROOF_TO("15") ", " ROOF_TO("\\r")

#elif defined(__aarch64__) && defined(QUAD_SAME) /* neon.h was included: not the scalar table */
#define ROOF_WIDE 16
#if defined(__ARM_FEATURE_MATMUL_INT8) /* two rows by two columns an instruction */
#define ROOF_INT8_ONE "smmla v\\r\\().4s, v14.16b, v15.16b"
#define ROOF_TWICE    2
#elif defined(__ARM_FEATURE_DOTPROD)
#define ROOF_INT8_ONE "sdot v\\r\\().4s, v14.16b, v15.16b"
#else
#define ROOF_INT8_ONE                                                                                               \
    "smull v13.8h, v14.8b, v15.8b\n\tsmlal2 v13.8h, v14.16b, v15.16b\n\tsadalp v\\r\\().4s, v13.8h"
#endif
#define ROOF_LOOP(what, words)                                                                                      \
    static const uint32_t operand[4] = words;                                                                       \
    uint64_t left = (uint64_t)n;                                                                                    \
    __asm__ volatile(".irp r,0,1,2,3,4,5,6,7,8,9,10,11\n\tmovi v\\r\\().4s, #0\n\t.endr\n\t"                        \
                     "ldr q14, [%1]\n\text v15.16b, v14.16b, v14.16b, #8\n"                                         \
                     "1:\n\t.irp r,0,1,2,3,4,5,6,7,8,9,10,11\n\t" what "\n\t.endr\n\t"                              \
                     "subs %0, %0, #1\n\tb.ne 1b"                                                                   \
                     : "+r"(left)                                                                                   \
                     : "r"(operand), "m"(operand)                                                                   \
                     : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13",      \
                       "v14", "v15", "cc");                                                                         \
    return left
#define ROOF_F32_ONE "fmla v\\r\\().4s, v14.4s, v15.4s"
#endif

#ifdef ROOF_LOOP
#ifndef ROOF_TWICE
#define ROOF_TWICE 1
#endif
/* n is not 0. */
static uint64_t roof_int8(int n)
{
    ROOF_LOOP(ROOF_INT8_ONE, ROOF_WORDS);
}
static uint64_t roof_f32(int n)
{
    ROOF_LOOP(ROOF_F32_ONE, ROOF_TINY);
}
#else
/* Elsewhere what the vocabulary gives; the compiler must not know that the operands stay what they are. */
#define ROOF_WIDE  64
#define ROOF_TWICE 1
static uint64_t roof_int8(int n)
{
    static const uint32_t words[4] = ROOF_WORDS;
    const uint32_t *p = words;
    vi32 sum = v_zero32();
    for (int i = 0; i < n * ROOF_SUMS; i++) {
        __asm__ volatile("" : "+r"(p));
        sum = v_dot_u7(sum, v_bcast4(p), v_bcast4(p + 2));
    }
    return (uint64_t)(uint32_t)v_sum_lanes32(sum);
}
static uint64_t roof_f32(int n)
{
    static const uint32_t words[4] = ROOF_TINY;
    const uint32_t *p = words;
    float lane[16];
    vf32 sum = v_zerof();
    for (int i = 0; i < n * ROOF_SUMS; i++) {
        __asm__ volatile("" : "+r"(p));
        sum = v_fma(v_asf(v_bcast32(p)), v_asf(v_bcast32(p + 2)), sum);
    }
    v_storef(lane, sum);
    return (uint64_t)lane[0];
}
#endif

static const struct roof_loops roof_loops = {
    .read = roof_read,
    .int8 = roof_int8,
    .f32 = roof_f32,
    .int8_macs = ROOF_SUMS * ROOF_WIDE * ROOF_TWICE,
    .f32_macs = ROOF_SUMS * ROOF_WIDE / 4,
};
