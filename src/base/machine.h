/* machine.h: what the machine under us is and allows. */
#pragma once
#include "base/base.h"

struct machine {
    char cpu_name[96];
    int n_cores;                          /* physical cores this process may use: affinity, no hyperthreads */
    int n_logical;                        /* processors the system shows */
    double cpu_quota;                     /* cgroup CPU quota in processors, the tightest around us; 0: none */
    size_t l1d_bytes, l2_bytes, l3_bytes; /* of the first core; 0: unknown */
    int n_numa_nodes;
    uint64_t memory_bytes;           /* physical */
    uint64_t memory_available_bytes; /* now, without swapping */
    uint64_t cgroup_limit_bytes;     /* 0: none */
    uint64_t cgroup_used_bytes;      /* of it, without cached files */
    char os[64]; /* "Linux 6.1 x86_64" */
};

/* Fill it; never fails, unknown parts are 0 or "unknown". Takes some milliseconds the first
 * time (topology), nothing after that except memory figures, which are read anew. */
void machine_read(struct machine *m);

/* Physical cores among n processors of which usable[i] may be used: two threads of one core count once. 0: the system
 * does not say. root: put before /sys, "" for the machine itself. */
int machine_count_cores(const char *root, const bool *usable, int n);

/* Threads to use when nobody says: physical cores, held to the cgroup quota. */
int machine_default_threads(const struct machine *m);
/* Memory a program may plan with: the smaller of what is available and what the cgroup leaves. */
uint64_t machine_memory_budget(const struct machine *m);

/* What all processors together did so far; zeros where the system does not tell. It counts in ticks of some 10 ms,
 * so take differences over a second or so. */
struct machine_use {
    int64_t busy_ns;   /* programs and the system itself */
    int64_t stolen_ns; /* the host under a virtual machine ran something else */
    int n_processors;
};
void machine_use_read(struct machine_use *out);

/* Of this process. */
uint64_t process_resident_bytes(void);
uint64_t process_anonymous_bytes(void); /* of it, what is in no file: its own, and never dropped for others */
uint64_t process_peak_resident_bytes(void);
/* From here on these are read from a file that stays open, so that no file need be opened for them. Once. */
void process_status_keep(void);
uint64_t process_locked_bytes(void); /* mlock() */
/* Pages of the maps that [start, start + bytes) overlaps, and of them those in 2 MB mappings; each at most bytes.
 * Reads all of /proc/self/smaps: milliseconds for a large model. path: that file. False: there is none. */
struct process_pages {
    uint64_t resident_bytes, huge_bytes;
};
bool process_pages_read(const char *path, const void *start, size_t bytes, struct process_pages *out);
struct process_faults {
    uint64_t minor, major;
    uint64_t read_bytes; /* from disk, also ahead of a fault, and by whatever read it */
};
void process_fault_counts(struct process_faults *out);
/* Should it crash, no file of its memory is left: other people's words are in it. */
void process_leaves_no_core(void);
