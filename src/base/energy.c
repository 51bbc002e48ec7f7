#include "base/energy.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/system_text.h"

enum { PATH_BYTES = 300 };

/* "intel-rapl:0" is a processor, and so it is called on AMD; others of the name are the whole board, which has it. */
static bool read_zone(const char *root, int i, const char *file, struct small_text *text)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%.200s/sys/class/powercap/intel-rapl:%d/%s", root, i, file);
    return read_small(path, text);
}

bool energy_read(const char *root, struct energy *out)
{
    *out = (struct energy){ 0 };
    for (int i = 0; i < ENERGY_MOST_PACKAGES; i++) {
        struct small_text name, now, range;
        if (!read_zone(root, i, "name", &name) || strncmp(name.bytes, "package", 7) != 0)
            continue;
        if (!read_zone(root, i, "energy_uj", &now) || !read_zone(root, i, "max_energy_range_uj", &range))
            return false; /* a part of them would be a wrong sum */
        out->uj[out->n] = strtoull(now.bytes, NULL, 10);
        out->range_uj[out->n++] = strtoull(range.bytes, NULL, 10);
    }
    return out->n > 0;
}

double energy_j_between(const struct energy *before, const struct energy *after)
{
    double j = 0;
    for (int i = 0; i < before->n && i < after->n; i++) {
        uint64_t a = before->uj[i], b = after->uj[i];
        j += b >= a ? (double)(b - a) : (double)b + (double)before->range_uj[i] - (double)a;
    }
    return j / 1e6;
}
