#define _GNU_SOURCE
#include "base/condition.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "base/machine.h"
#include "base/system_text.h"

enum { MOST_CPUS = 1024, MOST_GROUPS = 6, PATH_BYTES = 512 };

static bool read_below(const char *root, const char *name, struct small_text *out)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s%s", root, name);
    return read_small(path, out);
}

/* A file of one processor: "cpufreq/scaling_governor". */
static bool read_cpu(const char *root, int cpu, const char *name, struct small_text *out)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/sys/devices/system/cpu/cpu%d/%s", root, cpu, name);
    return read_small(path, out);
}

/* The first line, without what would disturb a terminal. */
static void take_line(char *out, size_t room, const struct small_text *text)
{
    size_t n = strcspn(text->bytes, "\n");
    snprintf(out, room, "%.*s", (int)min_size(n, room - 1), text->bytes);
    for (char *p = out; *p; p++)
        if (!isprint((unsigned char)*p))
            *p = '?';
}

static uint64_t number_of_cpu(const char *root, int cpu, const char *name)
{
    struct small_text text;
    return read_cpu(root, cpu, name, &text) ? number_after(&text, "") : 0;
}

static void read_hypervisor(const char *root, struct condition *out)
{
    struct small_text text;
    out->is_virtual = read_below(root, "/proc/cpuinfo", &text) && strstr(text.bytes, " hypervisor");
    if (read_below(root, "/sys/class/dmi/id/sys_vendor", &text))
        take_line(out->vendor, sizeof out->vendor, &text);
    if (read_below(root, "/sys/hypervisor/type", &text)) {
        out->is_virtual = true;
        if (!out->vendor[0])
            take_line(out->vendor, sizeof out->vendor, &text);
    }
}

static void read_huge_pages(const char *root, struct condition *out)
{
    struct small_text text;
    static const char *const words[N_HUGE] = { "", "[never]", "[madvise]", "[always]" };
    read_below(root, "/sys/kernel/mm/transparent_hugepage/enabled", &text);
    for (int i = 1; i < N_HUGE; i++)
        if (strstr(text.bytes, words[i]))
            out->huge_pages = (enum huge_pages)i;
    /* Kernels since 6.8 also have a switch for each size, which may say otherwise. */
    if (out->huge_pages != HUGE_UNKNOWN && !system_gives_huge_pages(root))
        out->huge_pages = HUGE_NEVER;
    else if (out->huge_pages == HUGE_NEVER)
        out->huge_pages = HUGE_MADVISE;
}

/* "Filename Type Size Used Priority" and a line for each, in KiB. */
static void read_swap(const char *root, struct condition *out)
{
    struct small_text text;
    int n = 0, n_in_memory = 0;
    read_below(root, "/proc/swaps", &text);
    for (const char *line = strchr(text.bytes, '\n'); line; line = strchr(line + 1, '\n')) {
        unsigned long long size, used;
        if (sscanf(line + 1, "%*s %*s %llu %llu", &size, &used) != 2)
            continue;
        out->swap_bytes += size * 1024;
        out->swap_used_bytes += used * 1024;
        n_in_memory += strncmp(line + 1, "/dev/zram", 9) == 0;
        n++;
    }
    out->swap_in_memory = n > 0 && n_in_memory == n;
}

static void read_pressure(const char *root, struct condition *out)
{
    struct small_text text;
    out->has_pressure = read_below(root, "/proc/pressure/memory", &text)
                     && sscanf(text.bytes, "some avg10=%lf avg60=%lf", &out->pressure_10s_percent,
                               &out->pressure_60s_percent) == 2;
}

static void read_periods(const char *root, struct condition *out)
{
    struct small_text text;
    int fds[MOST_GROUPS], n = cgroup_open_cpu_stats(root, fds, MOST_GROUPS);
    for (int i = 0; i < n; i++) {
        ssize_t got = pread(fds[i], text.bytes, sizeof text.bytes - 1, 0);
        close(fds[i]);
        text.bytes[got > 0 ? got : 0] = 0;
        out->n_periods += number_after(&text, "nr_periods ");
        out->n_throttled += number_after(&text, "nr_throttled ");
        /* version 2 says it in us, version 1 in ns */
        out->throttled_ns += 1000 * number_after(&text, "throttled_usec ") + number_after(&text, "throttled_time ");
    }
    out->has_periods = out->n_periods > 0;
}

static void read_frequency(const char *root, struct condition *out)
{
    struct small_text text;
    int cpu = 0;
    while (cpu < MOST_CPUS && !read_cpu(root, cpu, "cpufreq/scaling_governor", &text))
        cpu++;
    if (cpu < MOST_CPUS) {
        take_line(out->governor, sizeof out->governor, &text);
        if (read_cpu(root, cpu, "cpufreq/scaling_driver", &text))
            take_line(out->frequency_driver, sizeof out->frequency_driver, &text);
        out->frequency_khz = number_of_cpu(root, cpu, "cpufreq/scaling_max_freq");
        out->frequency_most_khz = number_of_cpu(root, cpu, "cpufreq/cpuinfo_max_freq");
    }
    if (read_below(root, "/sys/devices/system/cpu/intel_pstate/no_turbo", &text))
        out->no_boost = text.bytes[0] == '1';
    else if (read_below(root, "/sys/devices/system/cpu/cpufreq/boost", &text))
        out->no_boost = text.bytes[0] == '0';
}

/* Every processor of a core and of a package shows the same counter: some are added twice, none is left out. */
static void read_heat(const char *root, struct condition *out)
{
    struct small_text text;
    for (int cpu = 0; cpu < MOST_CPUS; cpu++) {
        if (!read_cpu(root, cpu, "thermal_throttle/core_throttle_count", &text))
            continue;
        out->has_heat = true;
        out->n_too_hot += number_after(&text, "")
                        + number_of_cpu(root, cpu, "thermal_throttle/package_throttle_count");
    }
}

/* "Max open files            1024                 524288               files": soft and hard, or "unlimited". */
static void take_limit(const struct small_text *text, const char *name, uint64_t *soft, uint64_t *hard)
{
    char words[2][32] = { "", "" };
    const char *line = strstr(text->bytes, name);
    if (!line || sscanf(line + strlen(name), "%31s %31s", words[0], words[1]) != 2)
        return;
    *soft = strcmp(words[0], "unlimited") == 0 ? UINT64_MAX : strtoull(words[0], NULL, 10);
    *hard = strcmp(words[1], "unlimited") == 0 ? UINT64_MAX : strtoull(words[1], NULL, 10);
}

static void read_limits(const char *root, struct condition *out)
{
    struct small_text text;
    read_below(root, "/proc/self/limits", &text);
    take_limit(&text, "Max open files", &out->open_files, &out->open_files_most);
    take_limit(&text, "Max locked memory", &out->locked_bytes, &out->locked_most_bytes);
}

void condition_read(const char *root, struct condition *out)
{
    bool all[MOST_CPUS];
    *out = (struct condition){ 0 };
    memset(all, true, sizeof all);
    out->n_cores_online = machine_count_cores(root, all, MOST_CPUS);
    read_hypervisor(root, out);
    read_huge_pages(root, out);
    read_swap(root, out);
    read_pressure(root, out);
    read_periods(root, out);
    read_frequency(root, out);
    read_heat(root, out);
    read_limits(root, out);
}
