/* doctor_cores.c: checks of what computes: cores, and what keeps them from it. */
#include <stdio.h>
#include <string.h>

#include "cli/doctor.h"

static const char *s_of(int n) { return n == 1 ? "" : "s"; }

void doctor_cores(const struct doctor_facts *f, struct finding *out)
{
    const struct machine *m = &f->machine;
    int n_online = f->before.n_cores_online;
    doctor_say(out, "%s: %d physical core%s", m->cpu_name, m->n_cores, s_of(m->n_cores));
    if (m->n_logical > m->n_cores && n_online <= m->n_cores)
        doctor_say(out, " with %d hardware threads, of which those of one core share its arithmetic and count once",
                   m->n_logical);
    else if (n_online > m->n_cores)
        doctor_say(out, " of the machine's %d may be used by this process", n_online);
    doctor_say(out, "; hearth computes with %d thread%s", f->n_threads, s_of(f->n_threads));
    if (n_online > m->n_cores)
        doctor_advise(out, DOCTOR_NOTE,
                      "allow it more: the affinity comes from taskset, a container's --cpuset-cpus or a service's "
                      "CPUAffinity= or AllowedCPUs=");
}

void doctor_quota(const struct doctor_facts *f, struct finding *out)
{
    const struct condition *c = &f->now;
    double quota = f->machine.cpu_quota;
    static const char raise[] = "raise it: a container's --cpus, a service's CPUQuota=, cpu.max of the group";
    if (quota <= 0) {
        doctor_say(out, "no control group limits processor time");
        return;
    }
    doctor_say(out, "processor time is limited to that of %.2f processor%s", quota, quota == 1 ? "" : "s");
    if (quota < f->machine.n_cores)
        doctor_advise(out, DOCTOR_NOTE, "%s", raise);
    if (quota < 1)
        doctor_advise(out, DOCTOR_WARNING, "%s; below 1, every token waits for the next period", raise);
    if (c->n_throttled > f->before.n_throttled) {
        doctor_say(out, "; while this was measured it was used up %llu times, and all threads stood still for %.0f ms",
                   (unsigned long long)(c->n_throttled - f->before.n_throttled),
                   (double)(c->throttled_ns - f->before.throttled_ns) / 1e6);
        doctor_advise(out, DOCTOR_WARNING, "%s", raise);
    } else if (c->n_throttled > 0) {
        doctor_say(out, "; it was used up in %.1f %% of all periods so far, not while this was measured",
                   100 * (double)c->n_throttled / (double)c->n_periods);
    } else if (c->has_periods) {
        doctor_say(out, "; it was never used up so far");
    }
}

void doctor_others(const struct doctor_facts *f, struct finding *out)
{
    double own = f->others_percent - f->stolen_percent;
    doctor_say(out, "in the %.1f s that this took, other programs had %.0f %% of the processors and a host %.0f %%",
               f->took_ms / 1e3, own > 0 ? own : 0, f->stolen_percent);
    if (f->others_percent > 10) {
        doctor_say(out, ": what is measured here is less than the machine could do");
        doctor_advise(out, DOCTOR_NOTE, "end what else runs, or measure again when it is quiet");
    } else {
        doctor_say(out, ": it was quiet");
    }
    if (f->stolen_percent > 5)
        doctor_advise(out, DOCTOR_WARNING,
                      "the host runs other guests on these processors: an instance with dedicated ones, or another "
                      "host, would be faster and steadier");
}

/* These drivers choose the frequency by load whatever their governor is called. */
static bool chooses_itself(const char *driver)
{
    return strncmp(driver, "intel_pstate", 12) == 0 || strncmp(driver, "amd-pstate", 10) == 0;
}

void doctor_frequency(const struct doctor_facts *f, struct finding *out)
{
    const struct condition *c = &f->now;
    double ghz = (double)c->frequency_khz / 1e6, most = (double)c->frequency_most_khz / 1e6;
    if (!c->governor[0])
        doctor_say(out, "the system does not show who sets the clock of the cores%s",
                   c->is_virtual ? ": in a virtual machine its host does" : "");
    else
        doctor_say(out, "the governor is %s", c->governor);
    if (ghz > 0)
        doctor_say(out, ", which may go up to %.1f GHz", ghz);
    if (ghz > 0 && ghz < 0.99 * most) {
        doctor_say(out, " where the cores could do %.1f", most);
        doctor_advise(out, DOCTOR_NOTE, "allow it, as root: cpupower frequency-set --max %.1fGHz", most);
    }
    if (c->no_boost) {
        doctor_say(out, "; boost is off");
        doctor_advise(out, DOCTOR_NOTE,
                      "turn it on, as root: 0 in /sys/devices/system/cpu/intel_pstate/no_turbo, or 1 in "
                      "/sys/devices/system/cpu/cpufreq/boost; in the firmware's settings where neither is there");
    }
    if (strcmp(c->governor, "powersave") == 0 && !chooses_itself(c->frequency_driver)) {
        doctor_say(out, "; it holds the cores at their lowest clock");
        doctor_advise(out, DOCTOR_WARNING, "as root: cpupower frequency-set --governor performance");
    }
}

void doctor_heat(const struct doctor_facts *f, struct finding *out)
{
    uint64_t now = f->now.n_too_hot, since = now - f->before.n_too_hot;
    static const char cool[] = "clean its fans, give it air, or use fewer --threads";
    if (!f->now.has_heat) {
        doctor_say(out, "the system does not count how often cores are slowed because they are hot");
    } else if (since > 0) {
        doctor_say(out, "cores were slowed because they were hot, %llu times while this was measured",
                   (unsigned long long)since);
        doctor_advise(out, DOCTOR_WARNING, "%s", cool);
    } else if (now > 0) {
        doctor_say(out, "cores were slowed because they were hot, %llu times since the start, not while this was "
                        "measured: long answers may get slower", (unsigned long long)now);
        doctor_advise(out, DOCTOR_NOTE, "%s", cool);
    } else {
        doctor_say(out, "no core was slowed because it was hot since the machine started");
    }
}

static bool has_int8_products(const char *isa)
{
    return strstr(isa, "vnni") || strstr(isa, "dot") || strstr(isa, "i8mm");
}

void doctor_isa(const struct doctor_facts *f, struct finding *out)
{
    const char *in_use = f->isa ? f->isa : f->best_isa;
    doctor_say(out, "hearth uses %s; of what this build has (%s) this processor runs %s", in_use, f->isas_built,
               f->isas_here);
    if (strcmp(f->best_isa, "scalar") == 0) {
        doctor_say(out, ". Without vector instructions everything is many times slower");
        doctor_advise(out, DOCTOR_WARNING,
                      "%s", f->now.is_virtual ? "give the virtual machine its host's instructions (-cpu host, "
                                                "host-passthrough)"
                                              : "another machine: AVX2 came in 2013, NEON is in every 64-bit ARM");
    } else if (!has_int8_products(f->best_isa)) {
        doctor_say(out, ". It has no products of 8-bit integers (VNNI, dotprod), so prompts take more instructions");
        doctor_advise(out, DOCTOR_NOTE, "%s",
                      f->now.is_virtual ? "if the host has them, show them to the virtual machine (-cpu host, "
                                          "host-passthrough)"
                                        : "a newer processor; tokens one by one depend on memory more than on this");
    }
    if (!f->isa || strcmp(f->isa, f->best_isa) != 0)
        doctor_advise(out, DOCTOR_WARNING, "HEARTH_ISA asks for %s: unset it",
                      f->isa ? f->isa : "one that is not there");
}

void doctor_hypervisor(const struct doctor_facts *f, struct finding *out)
{
    const struct condition *c = &f->now;
    const char *by = c->vendor[0] ? " by " : "";
    if (c->is_virtual)
        doctor_say(out, "this is a virtual machine%s%s: how fast it is may depend on its neighbours, which the lines "
                        "others, read-rate and int8-rate show", by, c->vendor);
    else
        doctor_say(out, "no hypervisor shows: the machine%s%s is its own", by, c->vendor);
}
