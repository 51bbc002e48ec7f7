#define _GNU_SOURCE
#include "base/pressure.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "base/system_text.h"

void pressure_open(struct pressure *p, const char *root)
{
    *p = (struct pressure){ .thread = -1 };
    p->n_groups = cgroup_open_cpu_stats(root, p->group, PRESSURE_GROUPS);
}

void pressure_watch_me(struct pressure *p)
{
    if (p->thread < 0)
        p->thread = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
}

void pressure_look(const struct pressure *p, struct pressure_counts *out)
{
    struct small_text text;
    *out = (struct pressure_counts){ 0 };
    for (int i = 0; i < p->n_groups; i++)
        if (read_again(p->group[i], &text)) /* version 2 says it in us, version 1 in ns */
            out->throttled_ns += 1000 * number_after(&text, "throttled_usec ") + number_after(&text, "throttled_time ");
    if (read_again(p->thread, &text)) { /* "ran waited slices", in ns */
        const char *second = strchr(text.bytes, ' ');
        out->waited_ns = second ? strtoull(second, NULL, 10) : 0;
    }
}

void pressure_close(struct pressure *p)
{
    for (int i = 0; i < p->n_groups; i++)
        close(p->group[i]);
    if (p->thread >= 0)
        close(p->thread);
    *p = (struct pressure){ .thread = -1 };
}
