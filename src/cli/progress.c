#include "cli/progress.h"

#include <unistd.h>

#include "base/clock.h"
#include "cli/units.h"

enum { TERMINAL_NS = 200000000 };
static const int64_t elsewhere_ns = 5000000000;

void progress_begin(struct progress *p, const char *unit)
{
    int64_t now = clock_ns();
    *p = (struct progress){ .start_ns = now, .shown_ns = now, .doing_ns = now, .terminal = isatty(STDERR_FILENO),
                            .unit = unit, .to = stderr };
}

void progress_doing(struct progress *p, const char *doing)
{
    if (p->doing == doing)
        return;
    p->doing = doing;
    p->doing_ns = clock_ns();
}

void progress_show_at(struct progress *p, int64_t now_ns, uint64_t done, uint64_t total, const char *more)
{
    if (done == 0 || now_ns - p->shown_ns < (p->terminal ? TERMINAL_NS : elsewhere_ns))
        return;
    char all[UNITS_BYTES], rate[UNITS_BYTES];
    double s = (double)(now_ns > p->doing_ns ? now_ns - p->doing_ns : 1) / 1e9;
    uint64_t each_second = (uint64_t)((double)done / s);
    fprintf(p->to, "%s%s%s%3.0f %% of %s%s%s, %s/s, %.0f s left%s%s%s", p->terminal ? "\r" : "",
            p->doing ? p->doing : "", p->doing ? ": " : "", 100.0 * (double)done / (double)total,
            p->unit ? text_of_count(all, total) : text_of_bytes(all, total), p->unit ? " " : "",
            p->unit ? p->unit : "", p->unit ? text_of_count(rate, each_second) : text_of_bytes(rate, each_second),
            s * (double)(total - done) / (double)done, more[0] ? ", " : "", more, p->terminal ? "   " : "\n");
    p->shown_ns = now_ns;
    p->shown = true;
}

void progress_show(struct progress *p, uint64_t done, uint64_t total, const char *more)
{
    progress_show_at(p, clock_ns(), done, total, more);
}

void progress_end(struct progress *p)
{
    if (p->terminal && p->shown)
        fputc('\n', p->to);
}

double progress_seconds(const struct progress *p) { return (double)(clock_ns() - p->start_ns) / 1e9; }
