/* cgroup.h: what control groups leave this process of the machine. */
#pragma once
#include "base/base.h"

struct cgroup_limits {
    double cpu_quota;               /* in processors; 0: none */
    uint64_t memory_limit_bytes;    /* 0: none */
    uint64_t memory_used_bytes;     /* of that limit, by what cannot be given back; 0 without a limit */
};

/* Limits of the process's own group and of those around it: whichever is tightest. Version 2, or version 1 where the
 * controller is there (cpu.cfs_quota_us, memory.limit_in_bytes). Without allocating; never fails.
 * root: put before /proc/self/cgroup and /sys/fs/cgroup; "" for the machine itself (tests have trees of their own). */
void cgroup_read(const char *root, struct cgroup_limits *out);

/* How memory is in a group: descriptors of its files, -1 for one that is not there. */
struct cgroup_memory {
    int usage, limit, stat;
    int pressure; /* PSI of the group; version 2 */
    bool v2;
};
/* The same groups, the innermost first: at most `most` of them. The caller closes. Returns how many. */
int cgroup_open_memory(const char *root, struct cgroup_memory *groups, int most);
/* Read again what such a group has: its limit (0: none), and of it what cannot be given back. */
void cgroup_look_memory(const struct cgroup_memory *group, uint64_t *limit_bytes, uint64_t *used_bytes);

/* The files cpu.stat of the same groups that can be throttled, the innermost first: at most `most` descriptors, which
 * the caller closes. Returns how many. */
int cgroup_open_cpu_stats(const char *root, int *fds, int most);
