/* disk_rate.h: how fast a file comes from where it lies, past the copies of it that are in memory. */
#pragma once
#include "base/base.h"
#include "base/err.h"

enum disk_kind {
    DISK_UNKNOWN,
    DISK_SOLID,    /* no moving parts, or a virtual disk that says so */
    DISK_SPINNING,
    DISK_NETWORK,  /* another machine's, or behind a program (FUSE) */
    DISK_MEMORY,   /* tmpfs: it is in memory already */
};

struct disk_rate {
    enum disk_kind kind;
    uint64_t bytes;   /* read in ns; 0: the file is empty */
    int64_t ns;
    bool from_memory; /* most of it came out of a cache all the same, so the two say nothing of the disk */
};

enum { DISK_RATE_PIECE_BYTES = 4 << 20 }; /* of one read, one after the other */

/* Reads the file from its beginning, for about most_ns and at most most_bytes. root: put before /sys, for what kind of
 * disk it is; "" for the machine itself. HEARTH_ERR_IO: it cannot be read; HEARTH_ERR_MEMORY. */
bool disk_rate_read(const char *root, const char *path, int64_t most_ns, uint64_t most_bytes, struct disk_rate *out,
                    hearth_error *err);
