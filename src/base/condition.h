/* condition.h: the state that the machine is in, beside what machine.h says it is: what slows programs on it now or did
 * so since it started, and the limits around this process.
 *
 * All of it comes from small files of /proc and /sys; what the system does not show is 0, "" or false. */
#pragma once
#include "base/base.h"

enum huge_pages { HUGE_UNKNOWN, HUGE_NEVER, HUGE_MADVISE, HUGE_ALWAYS, N_HUGE };

struct condition {
    int n_cores_online; /* physical, whether this process may use them or not; 0: unknown */
    bool is_virtual;    /* a hypervisor shows itself to the system */
    char vendor[64];    /* of the machine or the hypervisor: "QEMU" */

    enum huge_pages huge_pages; /* of 2 MB, transparent */
    uint64_t swap_bytes, swap_used_bytes;
    bool swap_in_memory; /* all of it compressed memory (zram) */

    bool has_pressure;                             /* the kernel measures it (PSI) */
    double pressure_10s_percent, pressure_60s_percent; /* of that time somebody waited for memory */

    bool has_periods; /* a control group around us has a quota and counts; sums over those groups, since they began */
    uint64_t n_periods, n_throttled, throttled_ns;

    char governor[32], frequency_driver[32]; /* of the first processor that has them */
    uint64_t frequency_khz, frequency_most_khz; /* the highest that is allowed, and that it could */
    bool no_boost;                           /* the higher frequencies of few busy cores are turned off */

    bool has_heat;       /* it counts how often */
    uint64_t n_too_hot;  /* a core or a package was slowed because it was hot, since the start; all together */

    uint64_t open_files, open_files_most;   /* limits of this process: now, and as far as it may raise them itself; */
    uint64_t locked_bytes, locked_most_bytes; /* UINT64_MAX: no limit; 0: unknown, or none may be locked */
};

/* root: put before /proc and /sys, "" for the machine itself. */
void condition_read(const char *root, struct condition *out);
