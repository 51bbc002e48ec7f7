#include "kernel/cpu.h"

/* X(isa): best first; one line per instruction set, and a runs_<isa>() below. */
#if defined(__x86_64__)
#define ISA_LIST(X) \
    X(avx512vnni)   \
    X(avxvnni)      \
    X(avx2)         \
    X(scalar)
#elif defined(__aarch64__)
#define ISA_LIST(X) \
    X(neoni8mm)     \
    X(neondot)      \
    X(neonbase)     \
    X(scalar)
#else
#define ISA_LIST(X) X(scalar)
#endif

static bool runs_scalar(void) { return true; }

#if defined(__x86_64__)
#include <cpuid.h>

struct leaf {
    unsigned a, b, c, d;
};

static struct leaf cpuid(unsigned leaf, unsigned sub)
{
    struct leaf r = { 0, 0, 0, 0 };
    if (!__get_cpuid_count(leaf, sub, &r.a, &r.b, &r.c, &r.d))
        return (struct leaf){ 0, 0, 0, 0 };
    return r;
}

static bool has(unsigned reg, int bit) { return reg >> bit & 1; }

/* What the system saves on a task switch: without that, using the registers is a fault or worse. */
static unsigned saved_state(void)
{
    if (!has(cpuid(1, 0).c, 27)) /* OSXSAVE */
        return 0;
    unsigned low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static bool runs_avx2(void) /* AVX2, FMA, F16C */
{
    struct leaf one = cpuid(1, 0);
    bool saved = (saved_state() & 0x6) == 0x6; /* XMM, YMM */
    return saved && has(one.c, 12) && has(one.c, 28) && has(one.c, 29) && has(cpuid(7, 0).b, 5);
}

static bool runs_avxvnni(void) /* and AVX-VNNI */
{
    return runs_avx2() && cpuid(7, 0).a >= 1 && has(cpuid(7, 1).a, 4);
}

static bool runs_avx512vnni(void) /* and AVX-512 F, DQ, BW, VL, VNNI */
{
    struct leaf seven = cpuid(7, 0);
    bool saved = (saved_state() & 0xe6) == 0xe6; /* and opmask, upper ZMM */
    return runs_avx2() && saved && has(seven.b, 16) && has(seven.b, 17) && has(seven.b, 30) && has(seven.b, 31)
        && has(seven.c, 11);
}
#elif defined(__aarch64__)
#include "base/hwcap.h"

/* Linux's numbers of these bits: HWCAP_ASIMD, HWCAP_ASIMDDP, HWCAP2_I8MM. */
enum { ASIMD = 1, ASIMD_DOT = 20, I8MM_2 = 13 };

static bool has(uint64_t word, int bit) { return word >> bit & 1; }

static bool runs_neonbase(void) { return has(hwcap_word(0), ASIMD); }
static bool runs_neondot(void) { return runs_neonbase() && has(hwcap_word(0), ASIMD_DOT); }
static bool runs_neoni8mm(void) { return runs_neondot() && has(hwcap_word(1), I8MM_2); }
#endif

#define X(isa) extern const struct kernels kernels_##isa;
ISA_LIST(X)
#undef X

const struct kernels *const kernels_all[] = {
#define X(isa) &kernels_##isa,
    ISA_LIST(X)
#undef X
    NULL,
};

bool (*const cpu_runs[CPU_MAX_ISAS])(void) = {
#define X(isa) runs_##isa,
    ISA_LIST(X)
#undef X
};
