/* test_machine.c: what the machine and its control groups leave us, from trees of files as systems show them. */
#define _GNU_SOURCE
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "base/condition.h"
#include "base/disk_rate.h"
#include "base/energy.h"
#include "base/machine.h"
#include "base/memory_pressure.h"
#include "base/pressure.h"
#include "base/system_text.h"

#include <cmocka.h>

static char root[200];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int make_root(void **state)
{
    (void)state;
    const char *dir = getenv("TMPDIR");
    snprintf(root, sizeof root, "%s/hearth-machine-XXXXXX", dir ? dir : "/tmp");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* name: from the root, with its folders. */
static void put(const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s%s", root, name);
    for (char *slash = strchr(path + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        (void)!mkdir(path, 0700);
        *slash = '/';
    }
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static struct cgroup_limits limits(void)
{
    struct cgroup_limits l;
    cgroup_read(root, &l);
    return l;
}

static void siblings(int cpu, const char *list)
{
    char name[128];
    snprintf(name, sizeof name, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
    put(name, list);
}

static int cores(const char *usable)
{
    bool set[16] = { false };
    for (int i = 0; usable[i]; i++)
        set[i] = usable[i] == '1';
    return machine_count_cores(root, set, (int)strlen(usable));
}

static void without_groups_there_is_no_limit(void **state)
{
    (void)state;
    struct cgroup_limits l = limits();
    assert_true(l.cpu_quota == 0 && l.memory_limit_bytes == 0 && l.memory_used_bytes == 0);
    put("/proc/self/cgroup", "0::/\n");
    put("/sys/fs/cgroup/cpu.max", "max 100000\n");
    put("/sys/fs/cgroup/memory.max", "max\n");
    l = limits();
    assert_true(l.cpu_quota == 0 && l.memory_limit_bytes == 0);
}

/* A container with a namespace of its own sees its limits at the root. */
static void limits_at_the_root_count(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/\n");
    put("/sys/fs/cgroup/cpu.max", "150000 100000\n");
    put("/sys/fs/cgroup/memory.max", "1000000\n");
    put("/sys/fs/cgroup/memory.current", "700000\n");
    struct cgroup_limits l = limits();
    assert_true(l.cpu_quota == 1.5);
    assert_int_equal(l.memory_limit_bytes, 1000000);
    assert_int_equal(l.memory_used_bytes, 700000);
}

/* A service of systemd: its own group has one limit, the slice around it a tighter one. */
static void the_tightest_of_the_groups_around_us_counts(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/a.slice/b.service\n");
    put("/sys/fs/cgroup/a.slice/cpu.max", "200000 100000\n");
    put("/sys/fs/cgroup/a.slice/b.service/cpu.max", "40000 10000\n");
    put("/sys/fs/cgroup/a.slice/memory.max", "2000\n");
    put("/sys/fs/cgroup/a.slice/memory.current", "1900\n");
    put("/sys/fs/cgroup/a.slice/b.service/memory.max", "1000\n");
    put("/sys/fs/cgroup/a.slice/b.service/memory.current", "500\n");
    struct cgroup_limits l = limits();
    assert_true(l.cpu_quota == 2);
    assert_int_equal(l.memory_limit_bytes - l.memory_used_bytes, 100);
    put("/sys/fs/cgroup/a.slice/cpu.max", "max 100000\n");
    assert_true(limits().cpu_quota == 4);
}

/* The weights of the last run are in the cache, and charged to us: no reason to call memory full. */
static void cached_files_are_not_used_memory(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/x\n");
    put("/sys/fs/cgroup/x/memory.max", "1000\n");
    put("/sys/fs/cgroup/x/memory.current", "900\n");
    put("/sys/fs/cgroup/x/memory.stat", "anon 100\nfile 800\ninactive_file 300\nactive_file 400\n");
    assert_int_equal(limits().memory_used_bytes, 200);
    put("/sys/fs/cgroup/x/memory.stat", "inactive_file 3000\n"); /* read at another moment than the sum */
    assert_int_equal(limits().memory_used_bytes, 0);
}

static void version_1_has_a_hierarchy_for_each_controller(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "9:name=systemd:/\n5:cpuset:/other\n4:memory:/m/one\n1:cpu,cpuacct:/c\n0::/\n");
    put("/sys/fs/cgroup/cpu/c/cpu.cfs_quota_us", "300000\n");
    put("/sys/fs/cgroup/cpu/c/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/memory/m/one/memory.limit_in_bytes", "9223372036854771712\n");
    put("/sys/fs/cgroup/memory/m/memory.limit_in_bytes", "5000\n");
    put("/sys/fs/cgroup/memory/m/memory.usage_in_bytes", "3000\n");
    put("/sys/fs/cgroup/memory/m/memory.stat", "inactive_file 7\ntotal_inactive_file 1000\n");
    struct cgroup_limits l = limits();
    assert_true(l.cpu_quota == 3);
    assert_int_equal(l.memory_limit_bytes, 5000);
    assert_int_equal(l.memory_used_bytes, 2000);
}

/* Version 1 in a container: /proc names the host's group, the files are mounted as the root. */
static void a_group_that_cannot_be_seen_leaves_the_root(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "4:cpu:/docker/0123\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    assert_true(limits().cpu_quota == 0.5);
}

static void lines_that_make_no_sense_are_no_limit(void **state)
{
    (void)state;
    static const char *const bad[] = { "", "0", "0:", "0:\n:/x\n", "::::\n", "0::", "x:cpu:y:z\n", "\n\n", "1:cpu" };
    put("/sys/fs/cgroup/cpu.max", "-5 0\n");
    put("/sys/fs/cgroup/memory.max", "0\n");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        put("/proc/self/cgroup", bad[i]);
        struct cgroup_limits l = limits();
        assert_true(l.cpu_quota == 0 && l.memory_limit_bytes == 0);
    }
}

static void two_threads_of_a_core_are_one_core(void **state)
{
    (void)state;
    assert_int_equal(cores("11"), 0); /* the system does not say */
    for (int i = 0; i < 4; i++) {
        siblings(i, i % 2 ? "1,3\n" : "0,2\n");
        siblings(4 + i, i < 2 ? "4-5\n" : "6-7\n");
    }
    assert_int_equal(cores("11111111"), 4);
    assert_int_equal(cores("1111"), 2);
    assert_int_equal(cores("10100000"), 1); /* held to both threads of one core */
    assert_int_equal(cores("01100000"), 2);
    assert_int_equal(cores("00001100"), 1);
    assert_int_equal(cores("00000101"), 2);
}

static void huge_pages_are_given_unless_they_are_off(void **state)
{
    (void)state;
#define HUGE "/sys/kernel/mm/transparent_hugepage/"
    assert_true(system_gives_huge_pages(root)); /* nothing says otherwise */
    put(HUGE "enabled", "always madvise [never]\n");
    assert_false(system_gives_huge_pages(root));
    put(HUGE "enabled", "always [madvise] never\n");
    assert_true(system_gives_huge_pages(root));
    put(HUGE "hugepages-2048kB/enabled", "always inherit madvise [never]\n");
    assert_false(system_gives_huge_pages(root));
    put(HUGE "hugepages-2048kB/enabled", "always [inherit] madvise never\n");
    assert_true(system_gives_huge_pages(root));
    put(HUGE "enabled", "always madvise [never]\n");
    assert_false(system_gives_huge_pages(root));
    put(HUGE "hugepages-2048kB/enabled", "[always] inherit madvise never\n");
    assert_true(system_gives_huge_pages(root));
}

static void pages_are_counted_for_the_maps_asked_for(void **state)
{
    (void)state;
    char path[300];
    struct process_pages use;
    put("/smaps", "10000-20000 r--p 00000000 fe:00 1  /a/file with: words\nSize: 64 kB\nRss:          40 kB\n"
                  "AnonHugePages:         0 kB\nFilePmdMapped:        8 kB\n"
                  "20000-28000 rw-p 00000000 00:00 0 \nRss:           32 kB\nAnonHugePages:        32 kB\n"
                  "VmFlags: rd wr\n"
                  "7f0000000000-7f0000001000 rw-p 00000000 00:00 0 \nRss:            4 kB");
    snprintf(path, sizeof path, "%s/smaps", root);
    assert_true(process_pages_read(path, (void *)0x10000, 0x10000, &use));
    assert_int_equal(use.resident_bytes, 40 << 10);
    assert_int_equal(use.huge_bytes, 8 << 10);
    assert_true(process_pages_read(path, (void *)0x1f000, 0x9000, &use)); /* both, and no more than was asked for */
    assert_int_equal(use.resident_bytes, 0x9000);
    assert_int_equal(use.huge_bytes, 0x9000);
    assert_true(process_pages_read(path, (void *)0x28000, 0x1000, &use));
    assert_int_equal(use.resident_bytes, 0);
    assert_true(process_pages_read(path, (void *)0x10000, 0, &use));
    assert_int_equal(use.resident_bytes, 0);
    assert_false(process_pages_read("/nowhere/smaps", (void *)0x10000, 1, &use));
    assert_true(process_pages_read("/proc/self/smaps", root, 1, &use));
    assert_int_equal(use.resident_bytes, 1);
}

static void threads_are_held_to_the_quota(void **state)
{
    (void)state;
    struct machine m = { .n_cores = 8 };
    assert_int_equal(machine_default_threads(&m), 8);
    m.cpu_quota = 3.9;
    assert_int_equal(machine_default_threads(&m), 3);
    m.cpu_quota = 0.5;
    assert_int_equal(machine_default_threads(&m), 1);
    m.cpu_quota = 64;
    assert_int_equal(machine_default_threads(&m), 8);
}

/* Groups that are throttled are watched from the innermost out, the one that cannot be is not; and what is opened is
 * looked at again without a name. */
static void what_groups_withhold_is_counted_in_both_versions(void **state)
{
    (void)state;
    struct pressure p;
    struct pressure_counts counts;
    put("/proc/self/cgroup", "2:cpu,cpuacct:/a\n0::/u.slice\n");
    put("/sys/fs/cgroup/cpu.stat", "usage_usec 7\n");
    put("/sys/fs/cgroup/u.slice/cpu.stat", "usage_usec 7\nnr_throttled 3\nthrottled_usec 1500\n");
    put("/sys/fs/cgroup/cpu/a/cpu.stat", "nr_periods 9\nnr_throttled 3\nthrottled_time 2500000\n");
    pressure_open(&p, root);
    assert_int_equal(p.n_groups, 2);
    pressure_look(&p, &counts);
    assert_int_equal(counts.throttled_ns, 1500000 + 2500000);
    assert_int_equal(counts.waited_ns, 0);
    put("/sys/fs/cgroup/cpu/a/cpu.stat", "nr_periods 9\nnr_throttled 3\nthrottled_time 3500000\n");
    pressure_look(&p, &counts);
    assert_int_equal(counts.throttled_ns, 1500000 + 3500000);
    pressure_close(&p);
    put("/proc/self/cgroup", "0::/\n");
    pressure_open(&p, root);
    assert_int_equal(p.n_groups, 0);
    pressure_watch_me(&p);
    pressure_look(&p, &counts);
    assert_int_equal(counts.throttled_ns, 0);
    pressure_close(&p);
}

/* The group that has the smallest part of its limit left, in both versions; cached files are nothing that is used. */
static void whoever_has_the_least_left_says_whether_memory_is_short(void **state)
{
    struct memory_pressure p;
    struct memory_look look;
    (void)state;
    put("/proc/self/cgroup", "4:memory:/a/b\n0::/\n");
    put("/proc/meminfo", "MemTotal:  4096 kB\nMemFree: 1 kB\nMemAvailable:   3072 kB\n");
    put("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1000000\n");
    put("/sys/fs/cgroup/memory/a/memory.usage_in_bytes", "980000\n");
    put("/sys/fs/cgroup/memory/a/memory.stat", "cache 5\ntotal_inactive_file 100000\ntotal_active_file 0\n");
    put("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n");
    put("/sys/fs/cgroup/memory/a/b/memory.usage_in_bytes", "980000\n");
    memory_pressure_open(&p, root);
    memory_pressure_look(&p, &look);
    assert_int_equal(look.limit_bytes, 1000000);
    assert_int_equal(look.used_bytes, 880000);
    assert_true(look.of_group && !look.has_stalls);
    assert_int_equal(memory_short_bytes(&look, 0), 0);
    put("/sys/fs/cgroup/memory/a/memory.stat", "total_inactive_file 1000\ntotal_active_file 4000\n");
    memory_pressure_look(&p, &look); /* 25000 are left; 62500 should be */
    assert_int_equal(memory_short_bytes(&look, 0), 62500 - 25000);
    put("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9000000\n"); /* it was raised */
    put("/proc/meminfo", "MemTotal:  4096 kB\nMemFree: 1 kB\nMemAvailable:   64 kB\n");
    memory_pressure_look(&p, &look);
    assert_int_equal(look.limit_bytes, 4096 << 10);
    assert_true(!look.of_group);
    assert_int_equal(memory_short_bytes(&look, 0), (256 - 64) << 10);
    memory_pressure_close(&p);

    put("/proc/self/cgroup", "0::/u.slice\n");
    put("/sys/fs/cgroup/u.slice/memory.max", "max\n");
    put("/sys/fs/cgroup/u.slice/memory.current", "4000\n");
    put("/sys/fs/cgroup/u.slice/memory.stat", "inactive_file 100\nactive_file 50\n");
    put("/proc/meminfo", "MemTotal:  4096 kB\nMemAvailable:   4096 kB\n");
    memory_pressure_open(&p, root);
    memory_pressure_look(&p, &look);
    assert_false(look.of_group);
    assert_int_equal(look.used_bytes, 0);
    put("/sys/fs/cgroup/u.slice/memory.max", "4000\n");
    memory_pressure_look(&p, &look);
    assert_int_equal(look.limit_bytes, 4000);
    assert_int_equal(look.used_bytes, 3850);
    memory_pressure_close(&p);
}

/* Whoever waits for memory says so, of the group or the machine; how much is wanted nobody knows. */
static void stalls_say_that_memory_is_short(void **state)
{
    struct memory_pressure p;
    struct memory_look look;
    (void)state;
    put("/proc/self/cgroup", "0::/u.slice\n");
    put("/proc/pressure/memory", "some avg10=50.00 avg60=1.00 avg300=0.00 total=9\n"
                                 "full avg10=9.50 avg60=0.00 avg300=0.00 total=9\n");
    put("/sys/fs/cgroup/u.slice/memory.max", "max\n");
    put("/sys/fs/cgroup/u.slice/memory.pressure", "some avg10=0.00 avg60=0.00\nfull avg10=0.00 avg60=0.00\n");
    memory_pressure_open(&p, root);
    memory_pressure_look(&p, &look);
    assert_true(look.has_stalls && look.stalled_percent == 9.5);
    assert_int_equal(look.limit_bytes, 0);
    assert_int_equal(memory_short_bytes(&look, 1 << 20), 0);
    put("/sys/fs/cgroup/u.slice/memory.pressure", "some avg10=90.00 avg60=0.00\nfull avg10=20.00 avg60=0.00\n");
    memory_pressure_look(&p, &look);
    assert_true(look.stalled_percent == 20);
    assert_int_equal(memory_short_bytes(&look, 1 << 20), 1 << 16);
    assert_int_equal(memory_short_bytes(&look, 0), 1); /* nothing to give, but it is short */
    put("/sys/fs/cgroup/u.slice/memory.pressure", "");
    put("/proc/pressure/memory", "nonsense\n");
    memory_pressure_look(&p, &look);
    assert_false(look.has_stalls);
    assert_int_equal(memory_short_bytes(&look, 1 << 20), 0);
    memory_pressure_close(&p);
    put("/proc/self/cgroup", "0::/nowhere\n");
    memory_pressure_open(&p, "/nowhere");
    memory_pressure_look(&p, &look);
    assert_int_equal(memory_short_bytes(&look, 1 << 20), 0);
    memory_pressure_close(&p);
}

static void energy_is_that_of_whole_processors(void **state)
{
    struct energy before, after;
    (void)state;
    assert_false(energy_read(root, &before));
    put("/sys/class/powercap/intel-rapl:0/name", "package-0\n");
    put("/sys/class/powercap/intel-rapl:0/energy_uj", "1500000\n");
    assert_false(energy_read(root, &before)); /* it does not say where it begins again */
    put("/sys/class/powercap/intel-rapl:0/max_energy_range_uj", "10000000\n");
    put("/sys/class/powercap/intel-rapl:1/name", "psys\n");
    put("/sys/class/powercap/intel-rapl:1/energy_uj", "9\n");
    put("/sys/class/powercap/intel-rapl:2/name", "package-1\n");
    put("/sys/class/powercap/intel-rapl:2/energy_uj", "9000000\n");
    put("/sys/class/powercap/intel-rapl:2/max_energy_range_uj", "10000000\n");
    assert_true(energy_read(root, &before));
    assert_int_equal(before.n, 2);
    put("/sys/class/powercap/intel-rapl:0/energy_uj", "3500000\n");
    put("/sys/class/powercap/intel-rapl:2/energy_uj", "500000\n");
    assert_true(energy_read(root, &after));
    assert_true(energy_j_between(&before, &after) == 3.5); /* 2, and 1.5 over the end of the counter */
}

static struct condition condition(void)
{
    struct condition c;
    condition_read(root, &c);
    return c;
}

static void what_the_system_does_not_show_is_nothing(void **state)
{
    (void)state;
    struct condition c = condition(), none = { 0 };
    assert_memory_equal(&c, &none, sizeof c);
    static const char *const files[] = {
        "/proc/cpuinfo", "/proc/swaps", "/proc/pressure/memory", "/proc/self/limits", "/proc/self/cgroup",
        "/sys/class/dmi/id/sys_vendor", "/sys/kernel/mm/transparent_hugepage/enabled",
        "/sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq",
    };
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        put(files[i], i % 2 ? "\n" : "???\n\n: x y z\nsome full");
    c = condition();
    assert_true(c.swap_bytes == 0 && !c.has_pressure && c.open_files == 0 && c.huge_pages == HUGE_UNKNOWN);
    assert_false(c.is_virtual || c.has_periods || c.has_heat);
}

static void swap_is_added_up(void **state)
{
    (void)state;
    put("/proc/swaps", "Filename Type Size Used Priority\n/dev/sda2 partition 1000 10 -2\n"
                       "/dev/zram0 partition 500 5 5\n");
    struct condition c = condition();
    assert_int_equal(c.swap_bytes, 1500 * 1024);
    assert_int_equal(c.swap_used_bytes, 15 * 1024);
    assert_false(c.swap_in_memory);
    put("/proc/swaps", "Filename Type Size Used Priority\n/dev/zram0 partition 500 5 5\n");
    assert_true(condition().swap_in_memory);
}

static void pressure_and_limits_are_read(void **state)
{
    (void)state;
    put("/proc/pressure/memory", "some avg10=1.50 avg60=0.25 avg300=0.00 total=7\nfull avg10=9.00 avg60=9.00\n");
    put("/proc/self/limits", "Limit                     Soft Limit           Hard Limit           Units\n"
                             "Max open files            1024                 524288               files\n"
                             "Max locked memory         8388608              unlimited            bytes\n");
    struct condition c = condition();
    assert_true(c.has_pressure && c.pressure_10s_percent == 1.5 && c.pressure_60s_percent == 0.25);
    assert_true(c.open_files == 1024 && c.open_files_most == 524288);
    assert_true(c.locked_bytes == 8388608 && c.locked_most_bytes == UINT64_MAX);
}

static void periods_of_a_quota_are_counted_in_both_versions(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "2:cpu,cpuacct:/a\n0::/u.slice\n");
    put("/sys/fs/cgroup/u.slice/cpu.stat", "usage_usec 7\nnr_periods 10\nnr_throttled 3\nthrottled_usec 1500\n");
    put("/sys/fs/cgroup/cpu/a/cpu.stat", "nr_periods 5\nnr_throttled 1\nthrottled_time 2500000\n");
    struct condition c = condition();
    assert_true(c.has_periods);
    assert_int_equal(c.n_periods, 15);
    assert_int_equal(c.n_throttled, 4);
    assert_int_equal(c.throttled_ns, 4000000);
}

static void clocks_heat_and_hypervisors_are_found(void **state)
{
    (void)state;
#define CPU "/sys/devices/system/cpu/"
    put(CPU "cpu1/cpufreq/scaling_governor", "powersave\n");
    put(CPU "cpu1/cpufreq/scaling_driver", "acpi-cpufreq\n");
    put(CPU "cpu1/cpufreq/scaling_max_freq", "2000000\n");
    put(CPU "cpu1/cpufreq/cpuinfo_max_freq", "3500000\n");
    put(CPU "cpufreq/boost", "0\n");
    put(CPU "cpu0/thermal_throttle/core_throttle_count", "2\n");
    put(CPU "cpu1/thermal_throttle/core_throttle_count", "0\n");
    put(CPU "cpu1/thermal_throttle/package_throttle_count", "5\n");
    siblings(0, "0\n");
    siblings(1, "1\n");
    put("/proc/cpuinfo", "processor : 0\nflags : fpu hypervisor avx\n");
    put("/sys/class/dmi/id/sys_vendor", "QE\033MU\n");
    struct condition c = condition();
    assert_string_equal(c.governor, "powersave");
    assert_string_equal(c.frequency_driver, "acpi-cpufreq");
    assert_true(c.frequency_khz == 2000000 && c.frequency_most_khz == 3500000 && c.no_boost);
    assert_true(c.has_heat && c.n_too_hot == 7);
    assert_int_equal(c.n_cores_online, 2);
    assert_true(c.is_virtual);
    assert_string_equal(c.vendor, "QE?MU"); /* nothing for a terminal to obey */
    put(CPU "intel_pstate/no_turbo", "0\n"); /* this driver's word counts */
    assert_false(condition().no_boost);
}

static void a_file_is_read_to_its_end_and_what_is_none_is_refused(void **state)
{
    (void)state;
    struct disk_rate rate;
    hearth_error err = { 0 };
    char path[300], text[10001];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    put("/model", text);
    snprintf(path, sizeof path, "%s/model", root);
    assert_true(disk_rate_read(root, path, 1000000000, 1 << 20, &rate, &err));
    assert_int_equal(rate.bytes, sizeof text - 1);
    assert_true(rate.ns > 0);
    put("/model", "");
    assert_true(disk_rate_read(root, path, 1000000000, 1 << 20, &rate, &err));
    assert_int_equal(rate.bytes, 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    static const char *const bad[] = { "", "/no-such-file", "/model" }; /* a folder, nothing, a FIFO */
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        snprintf(path, sizeof path, "%s%s", root, bad[i]);
        assert_false(disk_rate_read(root, path, 1000000000, 1 << 20, &rate, &err));
        assert_int_equal(err.status, HEARTH_ERR_IO);
        assert_non_null(strstr(err.message, path));
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_root, remove_root)
    const struct CMUnitTest tests[] = {
        TEST(what_groups_withhold_is_counted_in_both_versions),
        TEST(whoever_has_the_least_left_says_whether_memory_is_short),
        TEST(stalls_say_that_memory_is_short),
        TEST(without_groups_there_is_no_limit),
        TEST(limits_at_the_root_count),
        TEST(the_tightest_of_the_groups_around_us_counts),
        TEST(cached_files_are_not_used_memory),
        TEST(version_1_has_a_hierarchy_for_each_controller),
        TEST(a_group_that_cannot_be_seen_leaves_the_root),
        TEST(lines_that_make_no_sense_are_no_limit),
        TEST(two_threads_of_a_core_are_one_core),
        TEST(huge_pages_are_given_unless_they_are_off),
        TEST(pages_are_counted_for_the_maps_asked_for),
        TEST(threads_are_held_to_the_quota),
        TEST(energy_is_that_of_whole_processors),
        TEST(what_the_system_does_not_show_is_nothing),
        TEST(swap_is_added_up),
        TEST(pressure_and_limits_are_read),
        TEST(periods_of_a_quota_are_counted_in_both_versions),
        TEST(clocks_heat_and_hypervisors_are_found),
        TEST(a_file_is_read_to_its_end_and_what_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
