/* The kernels for AVX-512 with VNNI. */
#include "kernel/kernel.h"

#include "kernel/isa/avx512vnni.h"

#include "kernel/tmpl/table_tmpl.h"
