/* common.h: what every vocabulary starts with. */
#pragma once
#include <math.h>
#include <string.h>

#include "dtype/half.h"

#define TEMPLATE static inline __attribute__((always_inline))

/* Loops over the rows and columns of a tile must vanish, or the tile lives in memory. */
#ifdef __clang__
#define UNROLLED  _Pragma("clang loop unroll(full)")
#define UNROLL_NO _Pragma("clang loop unroll(disable)")
#else
#define UNROLLED  _Pragma("GCC unroll 16")
#define UNROLL_NO _Pragma("GCC unroll 1")
#endif
