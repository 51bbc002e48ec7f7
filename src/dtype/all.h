/* all.h: every number format. Included once plainly, and once more by each instance of the
 * kernel templates (ISA defined), which adds the vector unpacks. No include guard on purpose. */
#include "dtype/bf16.h"
#include "dtype/f16.h"
#include "dtype/f32.h"
#include "dtype/q4_0.h"
#include "dtype/q4_K.h"
#include "dtype/q6_K.h"
#include "dtype/q8_0.h"
