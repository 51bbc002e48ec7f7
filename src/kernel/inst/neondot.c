/* The kernels for aarch64 with dot products. */
#include "kernel/kernel.h"

#include "kernel/isa/neondot.h"

#include "kernel/tmpl/table_tmpl.h"
