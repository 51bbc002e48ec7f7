/* The kernels for every aarch64 CPU. */
#include "kernel/kernel.h"

#include "kernel/isa/neonbase.h"

#include "kernel/tmpl/table_tmpl.h"
