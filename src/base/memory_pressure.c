#define _GNU_SOURCE
#include "base/memory_pressure.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/system_text.h"

static int open_at(const char *root, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s%s", root, name);
    return open(path, O_RDONLY | O_CLOEXEC);
}

void memory_pressure_open(struct memory_pressure *p, const char *root)
{
    *p = (struct memory_pressure){ .meminfo = open_at(root, "/proc/meminfo") };
    p->n_groups = cgroup_open_memory(root, p->group, MEMORY_PRESSURE_GROUPS);
    for (int i = 0; i < p->n_groups; i++)
        if (p->group[i].pressure >= 0)
            p->stall[p->n_stalls++] = p->group[i].pressure;
    int fd = open_at(root, "/proc/pressure/memory");
    if (fd >= 0)
        p->stall[p->n_stalls++] = fd;
}

/* Whichever has the smaller part left. */
static void take(struct memory_look *out, uint64_t limit, uint64_t used, bool of_group)
{
    double part = limit ? (double)used / (double)limit : 0;
    if (!limit || (out->limit_bytes && part <= (double)out->used_bytes / (double)out->limit_bytes))
        return;
    out->limit_bytes = limit;
    out->used_bytes = used;
    out->of_group = of_group;
}

/* "full avg10=0.00 avg60=..."; a kernel may open the file and refuse to read it (psi=0). */
static void take_stall(struct memory_look *out, int fd)
{
    struct small_text text;
    const char *full = read_again(fd, &text) ? strstr(text.bytes, "full avg10=") : NULL;
    if (!full)
        return;
    double percent = strtod(full + strlen("full avg10="), NULL);
    out->has_stalls = true;
    if (percent > out->stalled_percent)
        out->stalled_percent = percent;
}

void memory_pressure_look(const struct memory_pressure *p, struct memory_look *out)
{
    struct small_text text;
    *out = (struct memory_look){ 0 };
    for (int i = 0; i < p->n_groups; i++) {
        uint64_t limit, used;
        cgroup_look_memory(&p->group[i], &limit, &used);
        take(out, limit, used, true);
    }
    if (read_again(p->meminfo, &text)) {
        uint64_t all = number_after(&text, "MemTotal:") * 1024, left = number_after(&text, "MemAvailable:") * 1024;
        take(out, all, all - min_size(left, all), false);
    }
    for (int i = 0; i < p->n_stalls; i++)
        take_stall(out, p->stall[i]);
}

static void close_open(int fd)
{
    if (fd >= 0)
        close(fd);
}

void memory_pressure_close(struct memory_pressure *p)
{
    for (int i = 0; i < p->n_groups; i++) {
        close_open(p->group[i].usage);
        close_open(p->group[i].limit);
        close_open(p->group[i].stat);
    }
    for (int i = 0; i < p->n_stalls; i++)
        close_open(p->stall[i]);
    close_open(p->meminfo);
    *p = (struct memory_pressure){ .meminfo = -1 };
}

uint64_t memory_short_bytes(const struct memory_look *l, uint64_t kept_bytes)
{
    enum { LEAST_LEFT = 32, ENOUGH_LEFT = 16, STALLED_PERCENT = 10 };
    uint64_t left = l->limit_bytes - min_size(l->used_bytes, l->limit_bytes);
    if (l->limit_bytes && left < l->limit_bytes / LEAST_LEFT)
        return l->limit_bytes / ENOUGH_LEFT - left;
    return l->stalled_percent > STALLED_PERCENT ? max_size(kept_bytes / ENOUGH_LEFT, 1) : 0;
}
