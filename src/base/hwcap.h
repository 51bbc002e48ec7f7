/* hwcap.h: what the system says about this CPU. */
#pragma once
#include "base/base.h"

/* Word i (0 or 1) of the bits that the system gives every program about its CPU: AT_HWCAP, AT_HWCAP2. What a bit
 * means depends on the architecture. 0 where the system gives none. */
uint64_t hwcap_word(int i);
