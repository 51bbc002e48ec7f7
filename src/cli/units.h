/* units.h: numbers for people. */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { UNITS_BYTES = 32 };

/* "512 B", "4.6 MiB", "12.3 GiB" into out; returns out. */
const char *text_of_bytes(char out[UNITS_BYTES], uint64_t bytes);
/* "834 ms", "12.3 s", "4 min 5 s"; "" for none (NaN). */
const char *text_of_ms(char out[UNITS_BYTES], double ms);
/* "4.5 M", "8.03 B", "260 K". */
const char *text_of_count(char out[UNITS_BYTES], uint64_t n);
