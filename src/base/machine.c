#define _GNU_SOURCE
#include "base/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <hwloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cgroup.h"
#include "base/system_text.h"

/* Topology does not change while we run: read once. */
static struct machine fixed;
static pthread_once_t fixed_once = PTHREAD_ONCE_INIT;

static size_t cache_bytes(hwloc_topology_t t, hwloc_obj_type_t type)
{
    hwloc_obj_t o = hwloc_get_obj_by_type(t, type, 0);
    return o && o->attr ? (size_t)o->attr->cache.size : 0;
}

/* hwloc (2.9) ends the process where it is refused memory. It is asked only after as much as it takes was there to be
 * had: measured 260 KB in all its calls together on 2 processors, most of it not for each of them. */
enum { HWLOC_BYTES = 1 << 20, HWLOC_BYTES_PER_CPU = 16 << 10 };

static bool hwloc_has_memory(int n_logical)
{
    void *p = mem_alloc(HWLOC_BYTES + (size_t)n_logical * HWLOC_BYTES_PER_CPU);
    mem_free(p);
    return p != NULL;
}

/* Whether a list like "0,64" or "0-1" names one of the set that is below cpu. */
static bool has_lower(const char *list, int cpu, const bool *usable)
{
    for (const char *at = list; *at >= '0' && *at <= '9';) {
        char *end;
        long first = strtol(at, &end, 10), last = first;
        if (*end == '-')
            last = strtol(end + 1, &end, 10);
        for (long i = first; i <= last && i < cpu; i++)
            if (usable[i])
                return true;
        at = *end == ',' ? end + 1 : "";
    }
    return false;
}

/* Each core has one processor that is its lowest usable one. */
int machine_count_cores(const char *root, const bool *usable, int n)
{
    int cores = 0;
    for (int cpu = 0; cpu < n; cpu++) {
        char path[512];
        struct small_text siblings;
        if (!usable[cpu])
            continue;
        snprintf(path, sizeof path, "%s/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", root, cpu);
        cores += read_small(path, &siblings) && !has_lower(siblings.bytes, cpu, usable);
    }
    return cores;
}

static void read_topology(struct machine *m)
{
    hwloc_topology_t t;
    if (hwloc_topology_init(&t) != 0)
        return;
    if (hwloc_topology_load(t) == 0) {
        int cores = hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_CORE);
        m->n_cores = cores > 0 ? cores : 1;
        int nodes = hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_NUMANODE);
        m->n_numa_nodes = nodes > 0 ? nodes : 1;
        m->l1d_bytes = cache_bytes(t, HWLOC_OBJ_L1CACHE);
        m->l2_bytes = cache_bytes(t, HWLOC_OBJ_L2CACHE);
        m->l3_bytes = cache_bytes(t, HWLOC_OBJ_L3CACHE);
        hwloc_obj_t package = hwloc_get_obj_by_type(t, HWLOC_OBJ_PACKAGE, 0);
        const char *name = package ? hwloc_obj_get_info_by_name(package, "CPUModel") : NULL;
        snprintf(m->cpu_name, sizeof m->cpu_name, "%s", name ? name : "unknown");
    }
    hwloc_topology_destroy(t);
}

/* Processors that this process may run on: affinity, which a cpuset narrows too. Returns how many; 0: unknown. */
static int read_affinity(bool usable[CPU_SETSIZE])
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 0;
    for (int i = 0; i < CPU_SETSIZE; i++)
        usable[i] = CPU_ISSET(i, &set);
    return CPU_COUNT(&set);
}

static void read_fixed(void)
{
    struct machine *m = &fixed;
    m->n_cores = 1;
    m->n_numa_nodes = 1;
    snprintf(m->cpu_name, sizeof m->cpu_name, "unknown");
    long logical = sysconf(_SC_NPROCESSORS_ONLN);
    m->n_logical = logical > 0 ? (int)logical : 1;
    static bool usable[CPU_SETSIZE];
    int n_usable = read_affinity(usable);
    if (hwloc_has_memory(m->n_logical))
        read_topology(m);
    /* hwloc does not know to which of a core's processors we are held, so its word is the second best. */
    int n_cores = machine_count_cores("", usable, CPU_SETSIZE);
    if (n_cores > 0)
        m->n_cores = n_cores;
    else if (n_usable > 0 && n_usable < m->n_cores)
        m->n_cores = n_usable;
    struct utsname u;
    if (uname(&u) == 0)
        snprintf(m->os, sizeof m->os, "%.20s %.24s %.14s", u.sysname, u.release, u.machine);
}

/* Where /proc is not mounted. What could be made free by dropping caches is not in it. */
static void read_memory_without_proc(struct machine *m)
{
    struct sysinfo now;
    if (sysinfo(&now) != 0)
        return;
    m->memory_bytes = (uint64_t)now.totalram * now.mem_unit;
    m->memory_available_bytes = ((uint64_t)now.freeram + now.bufferram) * now.mem_unit;
}

void machine_read(struct machine *m)
{
    pthread_once(&fixed_once, read_fixed);
    *m = fixed;
    m->memory_bytes = number_in("/proc/meminfo", "MemTotal:") * 1024;
    m->memory_available_bytes = number_in("/proc/meminfo", "MemAvailable:") * 1024;
    if (m->memory_bytes == 0)
        read_memory_without_proc(m);
    struct cgroup_limits limits;
    cgroup_read("", &limits);
    m->cpu_quota = limits.cpu_quota;
    m->cgroup_limit_bytes = limits.memory_limit_bytes;
    m->cgroup_used_bytes = limits.memory_used_bytes;
}

int machine_default_threads(const struct machine *m)
{
    int n = m->n_cores;
    if (m->cpu_quota > 0 && m->cpu_quota < n)
        n = m->cpu_quota < 1 ? 1 : (int)m->cpu_quota;
    return n < 1 ? 1 : n;
}

uint64_t machine_memory_budget(const struct machine *m)
{
    uint64_t budget = m->memory_available_bytes;
    if (m->cgroup_limit_bytes) {
        uint64_t left = m->cgroup_limit_bytes > m->cgroup_used_bytes ? m->cgroup_limit_bytes - m->cgroup_used_bytes : 0;
        if (left < budget)
            budget = left;
    }
    return budget;
}

void machine_use_read(struct machine_use *out)
{
    struct small_text text;
    unsigned long long user = 0, nice = 0, system = 0, idle, waiting, irq = 0, soft_irq = 0, steal = 0;
    long tick_ns = 1000000000 / sysconf(_SC_CLK_TCK), n = sysconf(_SC_NPROCESSORS_ONLN);
    read_small("/proc/stat", &text);
    (void)!sscanf(text.bytes, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &waiting,
                  &irq, &soft_irq, &steal);
    *out = (struct machine_use){ .busy_ns = (int64_t)(user + nice + system + irq + soft_irq) * tick_ns,
                                 .stolen_ns = (int64_t)steal * tick_ns,
                                 .n_processors = n > 0 ? (int)n : 1 };
}

static atomic_int status_fd; /* 0: it is opened each time */

void process_status_keep(void)
{
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    if (fd > 0)
        atomic_store(&status_fd, fd);
}

static uint64_t status_bytes(const char *key)
{
    struct small_text text = { 0 };
    int fd = atomic_load(&status_fd);
    if (fd <= 0)
        return number_in("/proc/self/status", key) * 1024;
    read_again(fd, &text);
    return number_after(&text, key) * 1024;
}

uint64_t process_resident_bytes(void) { return status_bytes("VmRSS:"); }
uint64_t process_anonymous_bytes(void) { return status_bytes("RssAnon:"); }
uint64_t process_locked_bytes(void) { return status_bytes("VmLck:"); }
uint64_t process_peak_resident_bytes(void) { return status_bytes("VmHWM:"); }

/* One line of smaps after the other: "start-end ..." begins a map, "Name: n kB" is about it. */
static void take_smaps_line(const char *line, uintptr_t first, uintptr_t last, bool *inside, struct process_pages *out)
{
    static const char *const huge[] = { "AnonHugePages:", "FilePmdMapped:", "ShmemPmdMapped:" };
    unsigned long long start, end, kib;
    if (sscanf(line, "%llx-%llx ", &start, &end) == 2)
        *inside = start <= last && end > first;
    if (!*inside)
        return;
    if (sscanf(line, "Rss: %llu", &kib) == 1)
        out->resident_bytes += kib * 1024;
    for (size_t i = 0; i < ARRAY_LEN(huge); i++)
        if (strncmp(line, huge[i], strlen(huge[i])) == 0)
            out->huge_bytes += strtoull(line + strlen(huge[i]), NULL, 10) * 1024;
}

bool process_pages_read(const char *path, const void *start, size_t bytes, struct process_pages *out)
{
    char text[4096], line[256];
    size_t n_line = 0;
    bool inside = false;
    *out = (struct process_pages){ 0 };
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    for (ssize_t n; bytes && ((n = read(fd, text, sizeof text)) > 0 || (n < 0 && errno == EINTR));)
        for (ssize_t i = 0; i < n; i++)
            if (text[i] == '\n') {
                line[n_line] = 0;
                take_smaps_line(line, (uintptr_t)start, (uintptr_t)start + bytes - 1, &inside, out);
                n_line = 0;
            } else if (n_line < sizeof line - 1) {
                line[n_line++] = text[i];
            }
    close(fd);
    if (out->resident_bytes > bytes)
        out->resident_bytes = bytes;
    if (out->huge_bytes > out->resident_bytes)
        out->huge_bytes = out->resident_bytes;
    return true;
}

void process_leaves_no_core(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_CORE, &limit) == 0) {
        limit.rlim_cur = 0;
        setrlimit(RLIMIT_CORE, &limit);
    }
}

void process_fault_counts(struct process_faults *out)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    out->minor = (uint64_t)u.ru_minflt;
    out->major = (uint64_t)u.ru_majflt;
    out->read_bytes = (uint64_t)u.ru_inblock * 512;
}
