/* pressure.h: what kept this process from computing: time that its control group withheld processors because a quota
 * was used up, and time that a thread was ready and had none because others ran.
 *
 * The files are opened once, for a process that locks itself cannot open them later; looking is a read of each. */
#pragma once
#include "base/base.h"

enum { PRESSURE_GROUPS = 6 };

struct pressure {
    int n_groups;
    int group[PRESSURE_GROUPS]; /* cpu.stat of this process's group and of those around it that have quotas */
    int thread;                 /* schedstat of the watched thread; -1: none */
};

struct pressure_counts {
    uint64_t throttled_ns; /* of all threads and groups together: two that wait for 1 ms are 2 ms */
    uint64_t waited_ns;    /* by the watched thread */
};

/* root: as for cgroup_read(). Never fails: what the system does not tell stays 0. */
void pressure_open(struct pressure *p, const char *root);
/* From here on the calling thread is the watched one. */
void pressure_watch_me(struct pressure *p);
void pressure_look(const struct pressure *p, struct pressure_counts *out);
void pressure_close(struct pressure *p);
