#include "fuzz.h"

volatile uint64_t fuzz_sink;
