/* The kernels in plain C, for any machine. */
#include "kernel/kernel.h"

#include "kernel/isa/scalar.h"

#include "kernel/tmpl/table_tmpl.h"
