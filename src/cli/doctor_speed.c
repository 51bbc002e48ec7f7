/* doctor_speed.c: checks of how fast bytes come and are computed with. */
#include <stdio.h>
#include <string.h>

#include "cli/doctor.h"
#include "cli/units.h"

/* The model that rates are made plain with. Its weights take as many GB as their bits are of 8. */
static const double example_parameters = 4e9, example_gb = 2.4; /* at 4.8 bits */

/* Rates of the two roofs are too low when others had the processors. */
static const double disturbed_enough = 20;

static bool measured(const struct doctor_facts *f, struct finding *out, double rate)
{
    if (rate > 0)
        return true;
    doctor_say(out, "not measured: %s", f->roof_problem[0] ? f->roof_problem : "there was no time");
    doctor_advise(out, DOCTOR_NOTE, "hearth bench measures it beside a model");
    return false;
}

static void say_disturbed(const struct doctor_facts *f, struct finding *out)
{
    if (f->disturbed_percent < disturbed_enough)
        return;
    doctor_say(out, ". Others were on the processors in %.0f %% of the readings, so it can be more",
               f->disturbed_percent);
    doctor_advise(out, DOCTOR_NOTE, "measure again when the machine is quiet");
}

void doctor_read_rate(const struct doctor_facts *f, struct finding *out)
{
    if (!measured(f, out, f->read_gb_s))
        return;
    doctor_say(out, "%.1f GB/s come from memory to %d thread%s: each token reads all weights, so with %.1f GB of them "
                    "(4 B parameters, 4.8 bits) that is %.3g tokens a second at most",
               f->read_gb_s, f->n_threads, f->n_threads == 1 ? "" : "s", example_gb, f->read_gb_s / example_gb);
    if (f->read_gb_s < 10 && f->disturbed_percent < disturbed_enough)
        doctor_advise(out, DOCTOR_NOTE, "memory in every channel of the processor, more cores, or fewer bytes: a "
                                        "smaller model, fewer bits a weight");
    say_disturbed(f, out);
}

void doctor_int8_rate(const struct doctor_facts *f, struct finding *out)
{
    if (!measured(f, out, f->int8_gmac_s))
        return;
    doctor_say(out, "%.0f billion multiply-adds of 8-bit integers a second with %d thread%s: a prompt token takes one "
                    "for each weight, so with 4 B parameters that is %.3g tokens of a prompt a second at most",
               f->int8_gmac_s, f->n_threads, f->n_threads == 1 ? "" : "s", f->int8_gmac_s * 1e9 / example_parameters);
    say_disturbed(f, out);
}

void doctor_caches(const struct doctor_facts *f, struct finding *out)
{
    const struct machine *m = &f->machine;
    char a[UNITS_BYTES], b[UNITS_BYTES], c[UNITS_BYTES];
    if (!m->l1d_bytes && !m->l2_bytes && !m->l3_bytes) {
        doctor_say(out, "the system does not show them");
        return;
    }
    doctor_say(out, "L1 %s and L2 %s of a core, L3 %s%s: weights are larger and come from memory for each token; what "
                    "is computed with them stays here", text_of_bytes(a, m->l1d_bytes), text_of_bytes(b, m->l2_bytes),
               m->l3_bytes ? text_of_bytes(c, m->l3_bytes) : "none", m->l3_bytes ? " of its group" : "");
}

void doctor_nodes(const struct doctor_facts *f, struct finding *out)
{
    int n = f->machine.n_numa_nodes;
    if (n <= 1) {
        doctor_say(out, "one node (NUMA): all memory is equally near to all cores");
        return;
    }
    doctor_say(out, "%d nodes (NUMA): what a thread reads from another node's memory comes slower, and hearth does not "
                    "place weights by node", n);
    doctor_advise(out, DOCTOR_NOTE, "numactl --interleave=all hearth ... spreads the weights; numactl --cpunodebind=0 "
                                    "--membind=0 hearth ... keeps a small model on one node");
}

/* Virtual disks call themselves spinning whatever is behind them. */
static const char *kind_in_words(enum disk_kind kind, bool is_virtual)
{
    static const char *const words[] = {
        [DISK_UNKNOWN] = "a disk", [DISK_SOLID] = "a disk without moving parts", [DISK_SPINNING] = "a spinning disk",
        [DISK_NETWORK] = "a network or user-space file system", [DISK_MEMORY] = "memory (tmpfs)",
    };
    return kind == DISK_SPINNING && is_virtual ? "a virtual disk" : words[kind];
}

void doctor_disk(const struct doctor_facts *f, struct finding *out)
{
    const struct disk_rate *d = &f->disk;
    char a[UNITS_BYTES], b[UNITS_BYTES];
    if (f->disk_problem[0]) {
        doctor_say(out, "not measured: %s", f->disk_problem);
        doctor_advise(out, DOCTOR_NOTE, "name a model file that can be read: hearth doctor MODEL.gguf");
        return;
    }
    if (d->kind == DISK_MEMORY || d->from_memory || !d->bytes || d->ns <= 0) {
        doctor_say(out, "%s, on %s, came out of memory, so this says nothing of how fast a model is read",
                   f->disk_file, kind_in_words(d->kind, f->now.is_virtual));
        doctor_advise(out, DOCTOR_FINE, "name a model file: hearth doctor MODEL.gguf");
        return;
    }
    double mb_s = (double)d->bytes * 1e3 / (double)d->ns;
    doctor_say(out, "%.0f MB/s from %s (%s of %s in %s, past the page cache, in pieces of 4 MiB%s): the first "
                    "answer of a model of 2.4 GB waits %.1f s for it, and one that does not fit in memory waits so at "
                    "each token",
               mb_s, kind_in_words(d->kind, f->now.is_virtual), text_of_bytes(a, d->bytes), f->disk_file,
               text_of_ms(b, (double)d->ns / 1e6), f->now.is_virtual ? "; a host may have it in its memory" : "",
               example_gb * 1e3 / mb_s);
    if (mb_s < 500)
        doctor_advise(out, mb_s < 150 ? DOCTOR_WARNING : DOCTOR_NOTE,
                      "%s", d->kind == DISK_NETWORK ? "keep models on a disk of this machine"
                                                    : "keep models on a faster disk: SSDs read 500 MB/s, NVMe ones "
                                                      "several thousand");
}
