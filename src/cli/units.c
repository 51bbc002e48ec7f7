#include "cli/units.h"

#include <math.h>
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

const char *text_of_ms(char out[UNITS_BYTES], double ms)
{
    if (!isfinite(ms))
        out[0] = 0;
    else if (ms < 999.5)
        snprintf(out, UNITS_BYTES, "%.*f ms", ms < 10 ? 1 : 0, ms);
    else if (ms < 119500)
        snprintf(out, UNITS_BYTES, "%.*f s", ms < 9950 ? 2 : 1, ms / 1000);
    else
        snprintf(out, UNITS_BYTES, "%.0f min %.0f s", floor(ms / 60000), floor(fmod(ms, 60000) / 1000));
    return out;
}
