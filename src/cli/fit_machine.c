/* fit_machine.c: what a forecast is made of besides the model, measured in the same run. */
#include "base/disk_rate.h"
#include "base/machine.h"
#include "cli/fit.h"
#include "kernel/roof.h"

static double middle(const double v[3])
{
    double low = v[0] < v[1] ? v[0] : v[1], high = v[0] < v[1] ? v[1] : v[0];
    return v[2] < low ? low : v[2] > high ? high : v[2];
}

bool fit_machine_measure(struct fit_machine *m, hearth_error *err)
{
    enum { READINGS = 3 }; /* of each roof, taking turns: 0.6 s in all */
    const struct kernels *k = kernels_get(err);
    struct machine about;
    if (!k)
        return false;
    machine_read(&about);
    m->isa = k->isa;
    if (m->n_threads == 0)
        m->n_threads = machine_default_threads(&about);
    m->cache_bytes = about.l3_bytes;
    if (m->budget_bytes == 0)
        m->budget_bytes = machine_memory_budget(&about);
    m->cpu_share = about.cpu_quota > 0 && about.cpu_quota < m->n_threads ? about.cpu_quota / m->n_threads : 1;
    if (m->given)
        return true;
    struct roofs *roofs = roofs_create(k, m->n_threads, err);
    if (!roofs)
        return false;
    double v[N_ROOFS][READINGS];
    for (int i = 0; i < READINGS * N_ROOFS; i++)
        v[i % N_ROOFS][i / N_ROOFS] = roofs_read(roofs, (enum roof_kind)(i % N_ROOFS), m->n_threads);
    m->read = middle(v[ROOF_READ]);
    m->int8 = middle(v[ROOF_INT8]);
    m->f32 = middle(v[ROOF_F32]);
    m->disturbed = roofs_disturbed(roofs);
    roofs_destroy(roofs);
    return true;
}

void fit_machine_read_disk(struct fit_machine *m, const char *path)
{
    static const int64_t most_ns = 250000000;
    enum { MOST_BYTES = 512 << 20 };
    struct disk_rate rate;
    if (!disk_rate_read("", path, most_ns, MOST_BYTES, &rate, NULL) || rate.from_memory || rate.kind == DISK_MEMORY
        || rate.bytes == 0 || rate.ns <= 0)
        return;
    m->disk = (double)rate.bytes * 1e3 / (double)rate.ns;
    m->disk_measured = true;
}
