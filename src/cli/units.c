#include "cli/units.h"

#include <stdio.h>

const char *text_of_bytes(char out[UNITS_BYTES], uint64_t bytes)
{
    static const char *const unit[] = { "KiB", "MiB", "GiB", "TiB" };
    if (bytes < 1024) {
        snprintf(out, UNITS_BYTES, "%u B", (unsigned)bytes);
        return out;
    }
    double v = (double)bytes / 1024;
    int i = 0;
    for (; v >= 1024 && i < 3; i++)
        v /= 1024;
    snprintf(out, UNITS_BYTES, "%.*f %s", v < 10 ? 2 : v < 100 ? 1 : 0, v, unit[i]);
    return out;
}

const char *text_of_count(char out[UNITS_BYTES], uint64_t n)
{
    static const char *const unit[] = { "K", "M", "B", "T" };
    if (n < 1000) {
        snprintf(out, UNITS_BYTES, "%u", (unsigned)n);
        return out;
    }
    double v = (double)n / 1000;
    int i = 0;
    for (; v >= 1000 && i < 3; i++)
        v /= 1000;
    snprintf(out, UNITS_BYTES, "%.*f %s", v < 10 ? 2 : v < 100 ? 1 : 0, v, unit[i]);
    return out;
}
