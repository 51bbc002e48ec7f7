/* The kernels for AVX2. */
#include "kernel/kernel.h"

#include "kernel/isa/avx2.h"

#include "kernel/tmpl/table_tmpl.h"
