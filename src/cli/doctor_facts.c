/* doctor_facts.c: what `hearth doctor` knows of the machine, read and measured in two seconds. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/bench_figures.h"
#include "cli/doctor.h"
#include "cli/json_out.h"
#include "hearth/hearth.h"
#include "kernel/kernel.h"
#include "kernel/roof.h"

enum { MOST_READINGS = 7 };
static const int64_t disk_ns = 250000000;          /* no new piece of the file after that long */
static const uint64_t disk_bytes = (uint64_t)1 << 30;
static const double readings_end_ms = 1500;        /* since the command began; each takes up to 60 ms */

static void read_isas(struct doctor_facts *f)
{
    hearth_error err = { 0 };
    f->isa = hearth_isa(&err);
    snprintf(f->isas_here, sizeof f->isas_here, "%s", hearth_isa_list());
    for (int i = 0; kernels_all[i]; i++) {
        size_t n = strlen(f->isas_built);
        snprintf(f->isas_built + n, sizeof f->isas_built - n, "%s%s", n ? " " : "", kernels_all[i]->isa);
        if (!f->best_isa && kernels_usable(kernels_all[i]))
            f->best_isa = kernels_all[i]->isa;
    }
    if (!f->best_isa)
        f->best_isa = "scalar";
}

static void read_disk(struct doctor_facts *f, const char *path)
{
    hearth_error err = { 0 };
    snprintf(f->disk_file, sizeof f->disk_file, "%s", path ? path : "the program's own file");
    if (!disk_rate_read("", path ? path : "/proc/self/exe", disk_ns, disk_bytes, &f->disk, &err))
        snprintf(f->disk_problem, sizeof f->disk_problem, "%s", err.message);
}

/* Both in turns: what a shared machine gives drifts. */
static void read_roofs(struct doctor_facts *f, int64_t start_ns)
{
    double read[MOST_READINGS], int8[MOST_READINGS];
    hearth_error err = { 0 };
    int n = 0;
    uint64_t needed = roofs_bytes_for(f->n_threads);
    if (needed > f->plan_bytes / 2) {
        snprintf(f->roof_problem, sizeof f->roof_problem,
                 "that takes %llu MiB of memory, and half of what a plan may take is %llu MiB",
                 (unsigned long long)(needed >> 20), (unsigned long long)(f->plan_bytes >> 21));
        return;
    }
    const struct kernels *k = kernels_named(f->isa ? f->isa : f->best_isa, &err);
    struct roofs *r = k ? roofs_create(k, f->n_threads, &err) : NULL;
    if (!r) {
        snprintf(f->roof_problem, sizeof f->roof_problem, "%s", err.message);
        return;
    }
    do {
        read[n] = roofs_read(r, ROOF_READ, f->n_threads);
        int8[n] = roofs_read(r, ROOF_INT8, f->n_threads);
        n++;
    } while (n < MOST_READINGS && clock_ms_since(start_ns) < readings_end_ms);
    f->read_gb_s = bench_median(read, n, NULL, NULL);
    f->int8_gmac_s = bench_median(int8, n, NULL, NULL);
    f->disturbed_percent = 100 * roofs_disturbed(r);
    roofs_destroy(r);
}

static void read_others(struct doctor_facts *f, const struct machine_use *before, int64_t own_ns, int64_t start_ns)
{
    struct machine_use now;
    machine_use_read(&now);
    double all = (double)(clock_ns() - start_ns) * now.n_processors;
    double by_host = (double)(now.stolen_ns - before->stolen_ns);
    double others = (double)(now.busy_ns - before->busy_ns) + by_host - (double)(clock_process_ns() - own_ns);
    f->took_ms = clock_ms_since(start_ns);
    f->stolen_percent = by_host > 0 ? 100 * by_host / all : 0;
    f->others_percent = others > by_host ? 100 * others / all : f->stolen_percent;
}

void doctor_facts_read(struct doctor_facts *f, const char *model_path)
{
    struct machine_use use;
    int64_t start_ns = clock_ns(), own_ns = clock_process_ns();
    *f = (struct doctor_facts){ 0 };
    machine_use_read(&use);
    machine_read(&f->machine);
    condition_read("", &f->before);
    f->n_threads = machine_default_threads(&f->machine);
    f->plan_bytes = machine_memory_budget(&f->machine);
    read_isas(f);
    read_disk(f, model_path);
    read_roofs(f, start_ns);
    condition_read("", &f->now);
    read_others(f, &use, own_ns, start_ns);
}

/* ---- JSON ---- */

static json_t *of_bytes(uint64_t n) { return json_integer((json_int_t)n); }
static json_t *of_limit(uint64_t n) { return n == UINT64_MAX ? json_null() : of_bytes(n); }
static json_t *of_rate(double v) { return v > 0 ? json_real(v) : json_null(); }

static json_t *of_words(const char *list)
{
    json_t *o = json_array();
    for (size_t n; o && *list; list += n + (list[n] == ' ')) {
        n = strcspn(list, " ");
        json_array_append_new(o, json_stringn(list, n));
    }
    return o;
}

static json_t *cores_json(const struct doctor_facts *f)
{
    const struct condition *c = &f->now;
    return json_pack("{s:o, s:i, s:i, s:i, s:i, s:o, s:I, s:I, s:f, s:o, s:f, s:f, s:b, s:o}", "cpu",
                     json_of_text(f->machine.cpu_name), "n_cores", f->machine.n_cores, "n_cores_online",
                     c->n_cores_online, "n_hardware_threads", f->machine.n_logical, "n_threads", f->n_threads,
                     "quota_processors", of_rate(f->machine.cpu_quota), "n_quota_periods", (json_int_t)c->n_periods,
                     "n_throttled_periods", (json_int_t)c->n_throttled, "throttled_ms", (double)c->throttled_ns / 1e6,
                     "governor", c->governor[0] ? json_of_text(c->governor) : json_null(), "frequency_mhz",
                     (double)c->frequency_khz / 1e3, "frequency_most_mhz", (double)c->frequency_most_khz / 1e3,
                     "boost_off", c->no_boost, "n_too_hot", c->has_heat ? of_bytes(c->n_too_hot) : json_null());
}

static json_t *memory_json(const struct doctor_facts *f)
{
    static const char *const huge[N_HUGE] = { "", "never", "madvise", "always" };
    const struct machine *m = &f->machine;
    const struct condition *c = &f->before;
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:i}", "physical_bytes",
                     of_bytes(m->memory_bytes), "available_bytes", of_bytes(m->memory_available_bytes), "plan_bytes",
                     of_bytes(f->plan_bytes), "limit_bytes",
                     m->cgroup_limit_bytes ? of_bytes(m->cgroup_limit_bytes) : json_null(), "limit_used_bytes",
                     m->cgroup_limit_bytes ? of_bytes(m->cgroup_used_bytes) : json_null(), "swap_bytes",
                     of_bytes(c->swap_bytes), "swap_used_bytes", of_bytes(c->swap_used_bytes), "pressure_10s_percent",
                     c->has_pressure ? json_real(c->pressure_10s_percent) : json_null(), "pressure_60s_percent",
                     c->has_pressure ? json_real(c->pressure_60s_percent) : json_null(), "huge_pages",
                     c->huge_pages == HUGE_UNKNOWN ? json_null() : json_string(huge[c->huge_pages]),
                     "lockable_bytes", of_limit(c->locked_most_bytes), "n_numa_nodes", m->n_numa_nodes);
}

static json_t *disk_json(const struct doctor_facts *f)
{
    static const char *const kinds[] = { [DISK_UNKNOWN] = "unknown", [DISK_SOLID] = "solid",
                                         [DISK_SPINNING] = "spinning", [DISK_NETWORK] = "network",
                                         [DISK_MEMORY] = "memory" };
    const struct disk_rate *d = &f->disk;
    bool known = !f->disk_problem[0] && !d->from_memory && d->ns > 0;
    return json_pack("{s:o, s:s, s:o, s:o, s:f}", "file", json_of_text(f->disk_file), "kind", kinds[d->kind],
                     "read_mb_s", of_rate(known ? (double)d->bytes * 1e3 / (double)d->ns : 0), "read_bytes",
                     of_bytes(d->bytes), "read_ms", (double)d->ns / 1e6);
}

json_t *doctor_facts_json(const struct doctor_facts *f)
{
    const struct machine *m = &f->machine;
    return json_pack("{s:s, s:o, s:o, s:s?, s:o, s:o, s:{s:I, s:I, s:I}, s:o, s:o, s:o, s:{s:o, s:o, s:f}, s:b, s:o,"
                     " s:f, s:f, s:f}",
                     "version", hearth_version(), "os", json_of_text(m->os), "cores", cores_json(f), "isa", f->isa,
                     "isas_here", of_words(f->isas_here), "isas_built", of_words(f->isas_built), "caches", "l1d_bytes",
                     (json_int_t)m->l1d_bytes, "l2_bytes", (json_int_t)m->l2_bytes, "l3_bytes",
                     (json_int_t)m->l3_bytes, "memory", memory_json(f), "disk", disk_json(f), "n_open_files_most",
                     of_limit(f->now.open_files_most), "roof", "read_gb_s", of_rate(f->read_gb_s), "int8_gmac_s",
                     of_rate(f->int8_gmac_s), "disturbed_percent", f->disturbed_percent, "virtual", f->now.is_virtual,
                     "vendor", f->now.vendor[0] ? json_of_text(f->now.vendor) : json_null(), "others_percent",
                     f->others_percent, "stolen_percent", f->stolen_percent, "took_ms", f->took_ms);
}
