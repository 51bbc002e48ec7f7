#include "kernel/kernel.h"

#include <stdatomic.h>
#include <string.h>

#include "base/env.h"
#include "kernel/cpu.h"

size_t kernel_scratch_bytes(int n_cols)
{
    (void)n_cols;
    return KERNEL_SCRATCH_BYTES;
}

bool kernels_usable(const struct kernels *k)
{
    for (int i = 0; kernels_all[i]; i++)
        if (kernels_all[i] == k)
            return cpu_runs[i]();
    return false;
}

const char *kernels_usable_names(void)
{
    static char names[128];
    static atomic_int state; /* 0: empty, 1: being written, 2: ready */
    int expected = 0;
    if (atomic_compare_exchange_strong(&state, &expected, 1)) {
        size_t used = 0;
        for (int i = 0; kernels_all[i]; i++) {
            const char *name = kernels_all[i]->isa;
            size_t n = strlen(name);
            if (!cpu_runs[i]() || used + n + 2 > sizeof names)
                continue;
            if (used)
                names[used++] = ' ';
            memcpy(names + used, name, n + 1);
            used += n;
        }
        atomic_store(&state, 2);
    }
    while (atomic_load(&state) != 2)
        continue;
    return names;
}

/* wanted NULL: the best. */
static const struct kernels *find(const char *wanted)
{
    for (int i = 0; kernels_all[i]; i++) {
        bool named = !wanted || strcmp(wanted, kernels_all[i]->isa) == 0;
        if (named && cpu_runs[i]())
            return kernels_all[i];
    }
    return NULL;
}

static const struct kernels *choose(hearth_error *err)
{
    const char *wanted = env_get("ISA");
    const struct kernels *k = find(wanted);
    if (!k)
        fail(err, HEARTH_ERR_USAGE, "HEARTH_ISA is \"%.40s\", which this build or this CPU cannot run; use one of: %s",
             wanted ? wanted : "", kernels_usable_names());
    return k;
}

const struct kernels *kernels_named(const char *isa, hearth_error *err)
{
    const struct kernels *k = find(isa);
    if (!k)
        fail(err, HEARTH_ERR_USAGE,
             "the instruction set \"%.40s\" is none that this build and this CPU run; use one of: %s", isa,
             kernels_usable_names());
    return k;
}

const struct kernels *kernels_get(hearth_error *err)
{
    static _Atomic(const struct kernels *) chosen;
    const struct kernels *k = atomic_load(&chosen);
    if (!k) {
        k = choose(err);
        if (k)
            atomic_store(&chosen, k);
    }
    return k;
}
