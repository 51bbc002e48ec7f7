/* memory_pressure.h: whether memory is short around this process: what its control groups and the machine have left,
 * and how long whoever runs there waits for memory (PSI).
 *
 * The files are opened once, for a process that locks itself cannot open them later; looking is a read of each. */
#pragma once
#include "base/cgroup.h"

enum { MEMORY_PRESSURE_GROUPS = 6, MEMORY_PRESSURE_STALLS = MEMORY_PRESSURE_GROUPS + 1 };

struct memory_pressure {
    int n_groups, n_stalls;
    struct cgroup_memory group[MEMORY_PRESSURE_GROUPS]; /* of this process, and those around it */
    int stall[MEMORY_PRESSURE_STALLS];                  /* PSI: of the groups that have it, and of the machine */
    int meminfo;                                        /* -1: there is none */
};

struct memory_look {
    uint64_t limit_bytes, used_bytes; /* of the group, or the machine, that has the smallest part of its limit left;
                                         what the system can take back at once (cached files) is not used. 0: nobody
                                         says */
    bool of_group;                    /* it is a group */
    bool has_stalls;                  /* the system measures that */
    double stalled_percent;           /* of the last 10 s all that had something to do there waited for memory */
};

/* root: as for cgroup_read(), before /proc/pressure and /proc/meminfo, too. Never fails. */
void memory_pressure_open(struct memory_pressure *p, const char *root);
void memory_pressure_look(const struct memory_pressure *p, struct memory_look *out);
void memory_pressure_close(struct memory_pressure *p);

/* How many bytes should be given back now; 0: memory is not short. It is when less than a 32nd of the limit is left,
 * and then a 16th is to be; or when everybody waits for it for more than a tenth of the time: then a 16th of
 * kept_bytes, for nobody says how much is wanted. */
uint64_t memory_short_bytes(const struct memory_look *look, uint64_t kept_bytes);
