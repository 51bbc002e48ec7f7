#define _GNU_SOURCE
#include "base/cgroup.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/system_text.h"

enum { PATH_BYTES = 4500, GROUP_BYTES = 4096 };

/* A hierarchy: where its files are, and the group of this process in it. */
struct group {
    const char *root, *mount; /* "/sys/fs/cgroup/cpu" */
    char path[GROUP_BYTES];   /* "/system.slice/x.service"; "" for the root */
};

/* Whether a list like "cpu,cpuacct" has the word; "" has only "". */
static bool has_word(const char *list, size_t n, const char *word)
{
    size_t length = strlen(word);
    for (size_t at = 0; at <= n;) {
        size_t end = at;
        while (end < n && list[end] != ',')
            end++;
        if (end - at == length && strncmp(list + at, word, length) == 0)
            return true;
        at = end + 1;
    }
    return false;
}

/* The line "N:controllers:path" of the controller; "" is version 2. False: there is none. */
static bool find_group(const struct small_text *text, const char *controller, struct group *g)
{
    for (const char *line = text->bytes; line && *line;) {
        const char *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL, *end = strchr(line, '\n');
        if (path && (!end || path < end) && has_word(list + 1, (size_t)(path - list - 1), controller)) {
            size_t n = end ? (size_t)(end - path - 1) : strlen(path + 1);
            if (n == 1 && path[1] == '/')
                n = 0;
            memcpy(g->path, path + 1, n);
            g->path[n] = 0;
            return true;
        }
        line = end ? end + 1 : NULL;
    }
    return false;
}

/* A file of the group or of one around it. */
static bool read_file(const struct group *g, const char *name, struct small_text *out)
{
    char path[PATH_BYTES];
    int n = snprintf(path, sizeof path, "%s%s%s/%s", g->root, g->mount, g->path, name);
    out->bytes[0] = 0;
    return n > 0 && (size_t)n < sizeof path && read_small(path, out);
}

/* To the group around it; false: it was the root. Inside a container the path may be the host's, of which nothing is
 * to be seen: then the files are those of the root. */
static bool go_up(struct group *g)
{
    char *slash = strrchr(g->path, '/');
    if (!slash)
        return false;
    *slash = 0;
    return true;
}

static void take_quota(struct cgroup_limits *out, double quota, double period)
{
    double cores = quota > 0 && period > 0 ? quota / period : 0;
    if (cores > 0 && (out->cpu_quota == 0 || cores < out->cpu_quota))
        out->cpu_quota = cores;
}

static void read_quota(const struct group *g, bool v2, void *limits)
{
    struct cgroup_limits *out = limits;
    struct small_text text;
    double quota = 0, period = 0;
    if (v2) { /* "max 100000" or "200000 100000" */
        if (read_file(g, "cpu.max", &text) && sscanf(text.bytes, "%lf %lf", &quota, &period) == 2)
            take_quota(out, quota, period);
    } else if (read_file(g, "cpu.cfs_quota_us", &text)) { /* -1: none */
        quota = strtod(text.bytes, NULL);
        if (read_file(g, "cpu.cfs_period_us", &text))
            take_quota(out, quota, strtod(text.bytes, NULL));
    }
}

static const uint64_t no_limit = (uint64_t)1 << 60; /* version 1 says it with a number near 2^63 */

/* Cached files count as used until somebody needs the memory, so they are taken off, as MemAvailable does. */
static uint64_t cached_bytes(const struct small_text *stat, bool v2)
{
    return number_after(stat, v2 ? "inactive_file " : "total_inactive_file ")
         + number_after(stat, v2 ? "active_file " : "total_active_file ");
}

static void read_memory(const struct group *g, bool v2, void *limits)
{
    struct cgroup_limits *out = limits;
    struct small_text text;
    uint64_t limit = 0, used = 0, cached = 0;
    if (read_file(g, v2 ? "memory.max" : "memory.limit_in_bytes", &text))
        limit = number_after(&text, "");
    if (limit == 0 || limit >= no_limit)
        return;
    if (read_file(g, v2 ? "memory.current" : "memory.usage_in_bytes", &text))
        used = number_after(&text, "");
    if (read_file(g, "memory.stat", &text))
        cached = cached_bytes(&text, v2);
    used -= cached < used ? cached : used;
    uint64_t left = limit > used ? limit - used : 0;
    uint64_t left_before = out->memory_limit_bytes > out->memory_used_bytes
                             ? out->memory_limit_bytes - out->memory_used_bytes
                             : 0;
    if (out->memory_limit_bytes == 0 || left < left_before) {
        out->memory_limit_bytes = limit;
        out->memory_used_bytes = used;
    }
}

typedef void reader(const struct group *g, bool v2, void *out);

/* Both versions can be there at once, a controller in one of them. */
static void read_groups(const char *root, const char *controller, const char *mount, const char *mount_v2,
                        reader *read, void *out)
{
    char path[PATH_BYTES];
    struct small_text mine;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    read_small(path, &mine);
    for (int v2 = 0; v2 < 2; v2++) {
        struct group g = { .root = root, .mount = v2 ? mount_v2 : mount };
        if (!find_group(&mine, v2 ? "" : controller, &g))
            continue;
        do
            read(&g, v2, out);
        while (go_up(&g));
    }
}

void cgroup_read(const char *root, struct cgroup_limits *out)
{
    *out = (struct cgroup_limits){ 0 };
    read_groups(root, "cpu", "/sys/fs/cgroup/cpu", "/sys/fs/cgroup", read_quota, out);
    read_groups(root, "memory", "/sys/fs/cgroup/memory", "/sys/fs/cgroup", read_memory, out);
}

struct opened {
    int *fds, n, most;
};

/* A group without a quota of its own is not throttled; the outermost one does not even say so. */
static void open_cpu_stat(const struct group *g, bool v2, void *opened)
{
    struct opened *o = opened;
    struct small_text text;
    char path[PATH_BYTES];
    (void)v2;
    int n = snprintf(path, sizeof path, "%s%s%s/cpu.stat", g->root, g->mount, g->path);
    if (o->n == o->most || n <= 0 || (size_t)n >= sizeof path || !read_small(path, &text)
        || !strstr(text.bytes, "throttled_"))
        return;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        o->fds[o->n++] = fd;
}

int cgroup_open_cpu_stats(const char *root, int *fds, int most)
{
    struct opened o = { fds, 0, most };
    read_groups(root, "cpu", "/sys/fs/cgroup/cpu", "/sys/fs/cgroup", open_cpu_stat, &o);
    return o.n;
}

/* ---- memory, to be looked at again and again ---- */

struct opened_memory {
    struct cgroup_memory *groups;
    int n, most;
};

static int open_file(const struct group *g, const char *name)
{
    char path[PATH_BYTES];
    int n = snprintf(path, sizeof path, "%s%s%s/%s", g->root, g->mount, g->path, name);
    return n > 0 && (size_t)n < sizeof path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
}

/* The outermost group of version 2 has no limit, and no file for one. */
static void open_memory(const struct group *g, bool v2, void *opened)
{
    struct opened_memory *o = opened;
    if (o->n == o->most)
        return;
    struct cgroup_memory m = { .limit = open_file(g, v2 ? "memory.max" : "memory.limit_in_bytes"), .v2 = v2 };
    if (m.limit < 0)
        return;
    m.usage = open_file(g, v2 ? "memory.current" : "memory.usage_in_bytes");
    m.stat = open_file(g, "memory.stat");
    m.pressure = v2 ? open_file(g, "memory.pressure") : -1;
    o->groups[o->n++] = m;
}

int cgroup_open_memory(const char *root, struct cgroup_memory *groups, int most)
{
    struct opened_memory o = { groups, 0, most };
    read_groups(root, "memory", "/sys/fs/cgroup/memory", "/sys/fs/cgroup", open_memory, &o);
    return o.n;
}

void cgroup_look_memory(const struct cgroup_memory *m, uint64_t *limit_bytes, uint64_t *used_bytes)
{
    struct small_text text;
    *limit_bytes = read_again(m->limit, &text) ? number_after(&text, "") : 0;
    *used_bytes = 0;
    if (*limit_bytes >= no_limit)
        *limit_bytes = 0;
    if (!*limit_bytes || !read_again(m->usage, &text))
        return;
    uint64_t used = number_after(&text, ""), cached = 0;
    if (used > *limit_bytes / 2 && read_again(m->stat, &text)) /* else nobody need know so exactly */
        cached = cached_bytes(&text, m->v2);
    *used_bytes = used - min_size(cached, used);
}
