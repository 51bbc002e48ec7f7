/* The kernels for AVX2 with AVX-VNNI. */
#include "kernel/kernel.h"

#include "kernel/isa/avxvnni.h"

#include "kernel/tmpl/table_tmpl.h"
