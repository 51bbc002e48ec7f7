/* cpu.h: the instruction sets this build has kernels for, and whether this CPU runs them. */
#pragma once
#include <stdbool.h>

#include "kernel/kernel.h"

enum { CPU_MAX_ISAS = 8 };

/* runs[i]: can this CPU, under this system, run kernels_all[i]? */
extern bool (*const cpu_runs[CPU_MAX_ISAS])(void);
