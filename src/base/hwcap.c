#include "base/hwcap.h"

#include <assert.h>
#include <sys/auxv.h>

#if defined(__aarch64__) && defined(HWCAP2_I8MM)
static_assert(HWCAP_ASIMD == 1 << 1 && HWCAP_ASIMDDP == 1 << 20 && HWCAP2_I8MM == 1 << 13,
              "kernel/cpu.c has these numbers");
#endif

uint64_t hwcap_word(int i) { return i == 0 ? getauxval(AT_HWCAP) : i == 1 ? getauxval(AT_HWCAP2) : 0; }
