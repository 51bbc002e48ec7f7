/* The kernels for aarch64 with dot products and 8-bit matrix products. */
#include "kernel/kernel.h"

#include "kernel/isa/neoni8mm.h"

#include "kernel/tmpl/table_tmpl.h"
