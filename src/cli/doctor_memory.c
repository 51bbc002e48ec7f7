/* doctor_memory.c: checks of memory: how much a plan may take, and what could take it away. */
#include <stdio.h>
#include <string.h>

#include "cli/doctor.h"
#include "cli/units.h"

static const uint64_t gib = (uint64_t)1 << 30;

/* Of a Q4_K_M file: all of it, by its parameters. */
static const double usual_bits = 4.8;
/* Of what a plan may take; the rest is for keys, values and workspace. */
static const double weights_share = 0.8;

void doctor_memory(const struct doctor_facts *f, struct finding *out)
{
    const struct machine *m = &f->machine;
    char a[UNITS_BYTES], b[UNITS_BYTES], c[UNITS_BYTES], d[UNITS_BYTES];
    double n_parameters = (double)f->plan_bytes * weights_share * 8 / usual_bits;
    doctor_say(out, "%s, of which %s are available now; a plan may take %s, which is a model of about %s parameters at "
                    "%.1f bits each and %.0f %% for its context", text_of_bytes(a, m->memory_bytes),
               text_of_bytes(b, m->memory_available_bytes), text_of_bytes(c, f->plan_bytes),
               text_of_count(d, (uint64_t)n_parameters), usual_bits, 100 * (1 - weights_share));
    if (m->memory_available_bytes < m->memory_bytes / 2)
        doctor_advise(out, DOCTOR_NOTE, "other programs hold more than half of it: end those that are not needed");
    if (f->plan_bytes < gib)
        doctor_advise(out, DOCTOR_WARNING, "free memory, or use models below %s parameters",
                      text_of_count(d, (uint64_t)n_parameters));
}

void doctor_memory_limit(const struct doctor_facts *f, struct finding *out)
{
    const struct machine *m = &f->machine;
    char a[UNITS_BYTES], b[UNITS_BYTES], c[UNITS_BYTES];
    if (!m->cgroup_limit_bytes) {
        doctor_say(out, "no control group limits memory: plans are held to what the machine has available");
        return;
    }
    uint64_t left = m->cgroup_limit_bytes > m->cgroup_used_bytes ? m->cgroup_limit_bytes - m->cgroup_used_bytes : 0;
    bool tighter = left < m->memory_available_bytes;
    doctor_say(out, "a control group allows %s, of which %s are used, cached files not counted: %s",
               text_of_bytes(a, m->cgroup_limit_bytes), text_of_bytes(b, m->cgroup_used_bytes),
               tighter ? "" : "more than is available, so it does not matter now");
    if (!tighter)
        return;
    doctor_say(out, "plans are held to the %s that are left, and beyond it the kernel would end the program",
               text_of_bytes(c, left));
    doctor_advise(out, DOCTOR_NOTE, "raise it: a container's --memory, a service's MemoryMax=");
}

void doctor_pressure(const struct doctor_facts *f, struct finding *out)
{
    const struct condition *c = &f->before;
    if (!c->has_pressure) {
        doctor_say(out, "this kernel does not measure how long programs wait for memory (psi=1 on its command line)");
        return;
    }
    doctor_say(out, "somebody waited for memory in %.1f %% of the last 10 s and %.1f %% of the last minute",
               c->pressure_10s_percent, c->pressure_60s_percent);
    if (c->pressure_10s_percent < 1 && c->pressure_60s_percent < 1)
        return;
    doctor_say(out, ": pages of weights are pushed out and read again");
    doctor_advise(out, c->pressure_10s_percent >= 10 || c->pressure_60s_percent >= 10 ? DOCTOR_WARNING : DOCTOR_NOTE,
                  "end programs that hold memory, use a smaller model or context, or add memory");
}

void doctor_swap(const struct doctor_facts *f, struct finding *out)
{
    const struct condition *c = &f->before;
    char a[UNITS_BYTES], b[UNITS_BYTES];
    if (!c->swap_bytes) {
        doctor_say(out, "none: keys and values always stay in memory, and weights are pages of their file, which are "
                        "read again and never swapped");
        return;
    }
    doctor_say(out, "%s%s, of which %s are used", text_of_bytes(a, c->swap_bytes),
               c->swap_in_memory ? " in compressed memory" : "", text_of_bytes(b, c->swap_used_bytes));
    if (c->swap_used_bytes > c->swap_bytes / 10) {
        doctor_say(out, ": keys and values that were swapped out make a token wait");
        doctor_advise(out, DOCTOR_NOTE, "end programs that hold memory; vm.swappiness=1 makes the kernel take pages of "
                                        "files first");
    } else {
        doctor_say(out, "; weights are pages of their file, which are read again and never swapped");
    }
}

void doctor_huge_pages(const struct doctor_facts *f, struct finding *out)
{
    static const char weights[] = "weights, as pages of a file, only where the file system keeps large pieces together "
                                  "(hearth bench shows how much)";
    switch (f->now.huge_pages) {
    case HUGE_MADVISE:
    case HUGE_ALWAYS:
        doctor_say(out, "%s: keys, values and workspace get pages of 2 MB while some are free; %s",
                   f->now.huge_pages == HUGE_ALWAYS ? "always" : "madvise", weights);
        break;
    case HUGE_NEVER:
        doctor_say(out, "never: keys, values, workspace and weights lie in pages of 4 KB, and finding them takes the "
                        "processor longer");
        doctor_advise(out, DOCTOR_NOTE,
                      "as root: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled (only who asks gets them)");
        break;
    default:
        doctor_say(out, "this system does not say whether it gives pages of 2 MB; hearth asks for them");
    }
}

void doctor_locked_memory(const struct doctor_facts *f, struct finding *out)
{
    const struct condition *c = &f->now;
    char a[UNITS_BYTES];
    if (c->locked_most_bytes == UINT64_MAX) {
        doctor_say(out, "a program may keep as much in memory as it likes: --lock works for any model that fits");
        return;
    }
    doctor_say(out, "a program may keep %s in memory for good, so --lock is refused for larger models; without it the "
                    "system may push weights out and read them again", text_of_bytes(a, c->locked_most_bytes));
    doctor_advise(out, DOCTOR_FINE, "only for --lock: LimitMEMLOCK=infinity of a service, --ulimit memlock=-1 of a "
                                    "container, /etc/security/limits.conf, or CAP_IPC_LOCK");
}

void doctor_open_files(const struct doctor_facts *f, struct finding *out)
{
    const struct condition *c = &f->now;
    if (c->open_files_most == UINT64_MAX || !c->open_files_most) {
        doctor_say(out, "no limit is known; hearth serve takes one for each connection");
        return;
    }
    doctor_say(out, "%llu, and hearth serve raises that to %llu: one for each connection",
               (unsigned long long)c->open_files, (unsigned long long)c->open_files_most);
    if (c->open_files_most < 1024)
        doctor_advise(out, DOCTOR_NOTE, "for many clients: LimitNOFILE= of a service, --ulimit nofile= of a container, "
                                        "or /etc/security/limits.conf");
}
