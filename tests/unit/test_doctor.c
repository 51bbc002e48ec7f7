/* test_doctor.c: what is said of a machine, from facts that were made up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "cli/doctor.h"

#include <cmocka.h>

static const uint64_t gib = (uint64_t)1 << 30;

/* A machine that nothing is wrong with. */
static struct doctor_facts sound(void)
{
    struct condition c = { .n_cores_online = 8, .huge_pages = HUGE_MADVISE, .has_pressure = true,
                           .governor = "performance", .frequency_khz = 4000000, .frequency_most_khz = 4000000,
                           .has_heat = true, .open_files = 1024, .open_files_most = 524288,
                           .locked_bytes = 8 << 20, .locked_most_bytes = 8 << 20 };
    return (struct doctor_facts){
        .machine = { .cpu_name = "A CPU", .n_cores = 8, .n_logical = 16, .l1d_bytes = 32 << 10, .l2_bytes = 1 << 20,
                     .l3_bytes = 32 << 20, .n_numa_nodes = 1, .memory_bytes = 32 * gib,
                     .memory_available_bytes = 30 * gib },
        .before = c, .now = c, .n_threads = 8, .plan_bytes = 30 * gib, .isa = "avx512vnni", .best_isa = "avx512vnni",
        .isas_here = "avx512vnni avx2 scalar", .isas_built = "avx512vnni avxvnni avx2 scalar",
        .disk_file = "model.gguf", .disk = { .kind = DISK_SOLID, .bytes = 100 << 20, .ns = 50000000 },
        .read_gb_s = 60, .int8_gmac_s = 1000, .took_ms = 1000,
    };
}

static struct finding found(doctor_check *check, const struct doctor_facts *f)
{
    struct finding out = { 0 };
    check(f, &out);
    return out;
}

/* The level, and words that text and remedy have. */
static void is(doctor_check *check, const struct doctor_facts *f, enum doctor_level level, const char *text,
               const char *remedy)
{
    struct finding out = found(check, f);
    if (out.level != level || !strstr(out.text, text) || !strstr(out.remedy, remedy))
        fail_msg("%s: %s | %s; wanted %s: %s | %s", doctor_level_name(out.level), out.text, out.remedy,
                 doctor_level_name(level), text, remedy);
}

static void nothing_is_wrong_with_a_sound_machine(void **state)
{
    (void)state;
    struct doctor_facts f = sound();
    for (const struct doctor_row *row = doctor_rows; row->name; row++) {
        struct finding out = found(row->check, &f);
        assert_string_equal(doctor_level_name(out.level), "fine");
        assert_true(strlen(out.text) > 20);
    }
}

/* Facts of a system that shows nothing, too, become whole sentences; a warning always says what would help. */
static void whatever_the_facts_every_line_has_words(void **state)
{
    (void)state;
    struct doctor_facts f[] = { { .isas_here = "scalar", .isas_built = "avx2 scalar", .best_isa = "scalar" }, sound() };
    struct doctor_facts *worst = &f[1];
    memset(worst->machine.cpu_name, 'c', sizeof worst->machine.cpu_name - 1);
    memset(worst->disk_file, 'd', sizeof worst->disk_file - 1);
    worst->machine.cpu_quota = 0.5;
    worst->now.n_periods = worst->now.n_throttled = 1u << 31;
    worst->disk.ns = INT64_MAX;
    for (size_t i = 0; i < ARRAY_LEN(f); i++)
        for (const struct doctor_row *row = doctor_rows; row->name; row++) {
            struct finding out = found(row->check, &f[i]);
            assert_true(strlen(out.text) > 10 && strlen(out.text) < sizeof out.text - 1);
            assert_true(out.level == DOCTOR_FINE || out.remedy[0]);
            assert_true(strlen(out.remedy) < sizeof out.remedy - 1);
            assert_null(strstr(out.text, "nan"));
        }
}

static void cores_that_may_not_be_used_are_said(void **state)
{
    (void)state;
    struct doctor_facts f = sound();
    is(doctor_cores, &f, DOCTOR_FINE, "8 physical cores with 16 hardware threads", "");
    f.machine.n_cores = f.n_threads = 1;
    is(doctor_cores, &f, DOCTOR_NOTE, "1 physical core of the machine's 8 may be used", "cpuset");
}

static void a_quota_is_worst_when_it_is_used_up_now(void **state)
{
    (void)state;
    struct doctor_facts f = sound();
    f.machine.cpu_quota = 8;
    f.now.has_periods = f.before.has_periods = true;
    f.now.n_periods = 200;
    is(doctor_quota, &f, DOCTOR_FINE, "never used up", "");
    f.machine.cpu_quota = 2.5;
    f.now.n_throttled = f.before.n_throttled = 50;
    is(doctor_quota, &f, DOCTOR_NOTE, "2.50 processors; it was used up in 25.0 % of all periods so far", "--cpus");
    f.now.n_throttled = 53;
    f.now.throttled_ns = 120000000;
    is(doctor_quota, &f, DOCTOR_WARNING, "used up 3 times, and all threads stood still for 120 ms", "CPUQuota=");
    f.now.n_throttled = 50;
    f.machine.cpu_quota = 0.5;
    is(doctor_quota, &f, DOCTOR_WARNING, "0.50 processors", "below 1");
}

static void others_and_the_host_are_told_apart(void **state)
{
    (void)state;
    struct doctor_facts f = sound();
    f.others_percent = 30;
    is(doctor_others, &f, DOCTOR_NOTE, "other programs had 30 % of the processors and a host 0 %", "quiet");
    f.stolen_percent = 20;
    is(doctor_others, &f, DOCTOR_WARNING, "other programs had 10 % of the processors and a host 20 %", "dedicated");
}

static void clocks_that_are_held_down_are_said(void **state)
{
    (void)state;
    struct doctor_facts f = sound();
    f.now.frequency_khz = 2000000;
    is(doctor_frequency, &f, DOCTOR_NOTE, "2.0 GHz where the cores could do 4.0", "--max 4.0GHz");
    f = sound();
    f.now.no_boost = true;
    is(doctor_frequency, &f, DOCTOR_NOTE, "boost is off", "no_turbo");
    strcpy(f.now.governor, "powersave");
    strcpy(f.now.frequency_driver, "intel_pstate");
    is(doctor_frequency, &f, DOCTOR_NOTE, "powersave", "no_turbo"); /* that driver's powersave follows the load */
    strcpy(f.now.frequency_driver, "acpi-cpufreq");
    is(doctor_frequency, &f, DOCTOR_WARNING, "lowest clock", "--governor performance");
}

static void heat_now_is_worse_than_heat_before(void **state)
{
    (void)state;
    struct doctor_facts f = sound();
    f.now.n_too_hot = f.before.n_too_hot = 7;
    is(doctor_heat, &f, DOCTOR_NOTE, "7 times since the start", "fans");
    f.now.n_too_hot = 9;
    is(doctor_heat, &f, DOCTOR_WARNING, "2 times while", "fans");
}

static void an_instruction_set_below_the_best_has_its_remedy(void **state)
{
    (void)state;
    struct doctor_facts f = sound();
    f.isa = "avx2";
    is(doctor_isa, &f, DOCTOR_WARNING, "hearth uses avx2", "HEARTH_ISA asks for avx2: unset");
    f.isa = NULL;
    is(doctor_isa, &f, DOCTOR_WARNING, "", "unset");
    f.isa = f.best_isa = "avx2";
    is(doctor_isa, &f, DOCTOR_NOTE, "no products of 8-bit integers", "newer processor");
    f.now.is_virtual = true;
    is(doctor_isa, &f, DOCTOR_NOTE, "", "-cpu host");
    f.isa = f.best_isa = "scalar";
    is(doctor_isa, &f, DOCTOR_WARNING, "many times slower", "-cpu host");
    f.isa = f.best_isa = "neondot";
    is(doctor_isa, &f, DOCTOR_FINE, "neondot", "");
}

static void rates_are_said_with_what_they_mean(void **state)
{
    (void)state;
    struct doctor_facts f = sound();
    is(doctor_read_rate, &f, DOCTOR_FINE, "60.0 GB/s come from memory to 8 threads", "");
    is(doctor_read_rate, &f, DOCTOR_FINE, "that is 25 tokens a second at most", "");
    is(doctor_int8_rate, &f, DOCTOR_FINE, "250 tokens of a prompt", "");
    f.read_gb_s = 6;
    is(doctor_read_rate, &f, DOCTOR_NOTE, "2.5 tokens", "channel");
    f.disturbed_percent = 40;
    is(doctor_read_rate, &f, DOCTOR_NOTE, "40 % of the readings", "quiet");
    is(doctor_int8_rate, &f, DOCTOR_NOTE, "40 % of the readings", "quiet");
    f.read_gb_s = f.int8_gmac_s = 0;
    strcpy(f.roof_problem, "no memory");
    is(doctor_read_rate, &f, DOCTOR_NOTE, "not measured: no memory", "hearth bench");
}

static void a_disk_is_as_good_as_it_reads(void **state)
{
    (void)state;
    struct doctor_facts f = sound();
    is(doctor_disk, &f, DOCTOR_FINE, "2097 MB/s from a disk without moving parts", "");
    f.disk.ns = 350000000;
    is(doctor_disk, &f, DOCTOR_NOTE, "300 MB/s", "faster disk");
    f.disk.ns = 1000000000;
    f.disk.kind = DISK_SPINNING;
    is(doctor_disk, &f, DOCTOR_WARNING, "105 MB/s from a spinning disk", "faster disk");
    is(doctor_disk, &f, DOCTOR_WARNING, "waits 22.9 s", "");
    f.now.is_virtual = true;
    is(doctor_disk, &f, DOCTOR_WARNING, "from a virtual disk", "");
    f.disk.kind = DISK_NETWORK;
    is(doctor_disk, &f, DOCTOR_WARNING, "network", "of this machine");
    f.disk.from_memory = true;
    is(doctor_disk, &f, DOCTOR_FINE, "says nothing", "MODEL.gguf");
    strcpy(f.disk_problem, "cannot read x");
    is(doctor_disk, &f, DOCTOR_NOTE, "cannot read x", "MODEL.gguf");
}

static void memory_is_what_a_plan_may_take(void **state)
{
    (void)state;
    struct doctor_facts f = sound();
    is(doctor_memory, &f, DOCTOR_FINE, "a plan may take 30.0 GiB, which is a model of about 42.9 B parameters", "");
    f.machine.memory_available_bytes = 10 * gib;
    f.plan_bytes = 10 * gib;
    is(doctor_memory, &f, DOCTOR_NOTE, "10.0 GiB are available", "more than half");
    f.plan_bytes = gib / 2;
    is(doctor_memory, &f, DOCTOR_WARNING, "512 MiB", "free memory");
    f = sound();
    f.machine.cgroup_limit_bytes = 4 * gib;
    f.machine.cgroup_used_bytes = gib;
    is(doctor_memory_limit, &f, DOCTOR_NOTE, "allows 4.00 GiB, of which 1.00 GiB are used", "MemoryMax=");
    is(doctor_memory_limit, &f, DOCTOR_NOTE, "held to the 3.00 GiB", "");
    f.machine.cgroup_limit_bytes = 64 * gib;
    is(doctor_memory_limit, &f, DOCTOR_FINE, "does not matter now", "");
}

static void what_takes_memory_away_is_said(void **state)
{
    (void)state;
    struct doctor_facts f = sound();
    f.before.pressure_60s_percent = 2;
    is(doctor_pressure, &f, DOCTOR_NOTE, "2.0 % of the last minute", "smaller model");
    f.before.pressure_10s_percent = 30;
    is(doctor_pressure, &f, DOCTOR_WARNING, "30.0 % of the last 10 s", "smaller model");
    f.before.has_pressure = false;
    is(doctor_pressure, &f, DOCTOR_FINE, "does not measure", "");
    f.before.swap_bytes = 10 * gib;
    is(doctor_swap, &f, DOCTOR_FINE, "10.0 GiB, of which 0 B are used", "");
    f.before.swap_used_bytes = 5 * gib;
    f.before.swap_in_memory = true;
    is(doctor_swap, &f, DOCTOR_NOTE, "10.0 GiB in compressed memory", "swappiness");
    f.now.huge_pages = HUGE_NEVER;
    is(doctor_huge_pages, &f, DOCTOR_NOTE, "4 KB", "echo madvise");
    f.machine.n_numa_nodes = 2;
    is(doctor_nodes, &f, DOCTOR_NOTE, "2 nodes", "numactl --interleave=all");
    f.now.locked_most_bytes = UINT64_MAX;
    is(doctor_locked_memory, &f, DOCTOR_FINE, "any model that fits", "");
    f.now.open_files_most = 256;
    is(doctor_open_files, &f, DOCTOR_NOTE, "256", "LimitNOFILE=");
}

static void advice_of_the_worst_level_stays(void **state)
{
    (void)state;
    struct finding f = { 0 };
    doctor_advise(&f, DOCTOR_FINE, "a");
    doctor_advise(&f, DOCTOR_WARNING, "b %d", 1);
    doctor_advise(&f, DOCTOR_NOTE, "c");
    assert_string_equal(f.remedy, "b 1");
    assert_int_equal(f.level, DOCTOR_WARNING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_wrong_with_a_sound_machine),
        cmocka_unit_test(whatever_the_facts_every_line_has_words),
        cmocka_unit_test(cores_that_may_not_be_used_are_said),
        cmocka_unit_test(a_quota_is_worst_when_it_is_used_up_now),
        cmocka_unit_test(others_and_the_host_are_told_apart),
        cmocka_unit_test(clocks_that_are_held_down_are_said),
        cmocka_unit_test(heat_now_is_worse_than_heat_before),
        cmocka_unit_test(an_instruction_set_below_the_best_has_its_remedy),
        cmocka_unit_test(rates_are_said_with_what_they_mean),
        cmocka_unit_test(a_disk_is_as_good_as_it_reads),
        cmocka_unit_test(memory_is_what_a_plan_may_take),
        cmocka_unit_test(what_takes_memory_away_is_said),
        cmocka_unit_test(advice_of_the_worst_level_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
