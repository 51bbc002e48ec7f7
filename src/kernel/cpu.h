/* cpu.h: which instruction sets this build has kernels for, and whether this CPU runs them. */
#pragma once
#include <stdbool.h>

/* X(isa, runs): best first; one line per instruction set. */
#if defined(__x86_64__) && 0 /* until their vocabularies are in */
#define ISA_LIST(X)                    \
    X(avx512vnni, cpu_runs_avx512vnni) \
    X(avxvnni, cpu_runs_avxvnni)       \
    X(avx2, cpu_runs_avx2)             \
    X(scalar, cpu_runs_scalar)

bool cpu_runs_avx512vnni(void); /* AVX-512 F, BW, DQ, VL, VNNI */
bool cpu_runs_avxvnni(void);    /* AVX2, FMA, F16C, AVX-VNNI */
bool cpu_runs_avx2(void);       /* AVX2, FMA, F16C */
#else
#define ISA_LIST(X) X(scalar, cpu_runs_scalar)
#endif

bool cpu_runs_scalar(void);
