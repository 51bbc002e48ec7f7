#include "kernel/cpu.h"

bool cpu_runs_scalar(void) { return true; }

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

bool cpu_runs_avx2(void)
{
    struct leaf one = cpuid(1, 0);
    bool saved = (saved_state() & 0x6) == 0x6; /* XMM, YMM */
    return saved && has(one.c, 12) && has(one.c, 28) && has(one.c, 29) && has(cpuid(7, 0).b, 5);
}

bool cpu_runs_avxvnni(void)
{
    return cpu_runs_avx2() && cpuid(7, 0).a >= 1 && has(cpuid(7, 1).a, 4);
}

bool cpu_runs_avx512vnni(void)
{
    struct leaf seven = cpuid(7, 0);
    bool saved = (saved_state() & 0xe6) == 0xe6; /* and opmask, upper ZMM */
    return cpu_runs_avx2() && saved && has(seven.b, 16) && has(seven.b, 17) && has(seven.b, 30) && has(seven.b, 31)
        && has(seven.c, 11);
}
#endif
