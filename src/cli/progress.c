#include "cli/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/units.h"

enum { TERMINAL_NS = 200000000 };
static const int64_t elsewhere_ns = 5000000000;

void progress_begin(struct progress *p, const char *unit)
{
    int64_t now = clock_ns();
    *p = (struct progress){ .start_ns = now, .shown_ns = now, .terminal = isatty(STDERR_FILENO), .unit = unit };
}

void progress_show(struct progress *p, uint64_t done, uint64_t total, const char *more)
{
    int64_t now = clock_ns();
    if (done == 0 || now - p->shown_ns < (p->terminal ? TERMINAL_NS : elsewhere_ns))
        return;
    char all[UNITS_BYTES], rate[UNITS_BYTES];
    double s = (double)(now - p->start_ns) / 1e9;
    fprintf(stderr, "%s%3.0f %% of %s %s, %s/s, %.0f s left%s%s%s", p->terminal ? "\r" : "",
            100.0 * (double)done / (double)total, text_of_count(all, total), p->unit,
            text_of_count(rate, (uint64_t)((double)done / s)), s * (double)(total - done) / (double)done,
            more[0] ? ", " : "", more, p->terminal ? "   " : "\n");
    p->shown_ns = now;
    p->shown = true;
}

void progress_end(struct progress *p)
{
    if (p->terminal && p->shown)
        fputc('\n', stderr);
}

double progress_seconds(const struct progress *p) { return (double)(clock_ns() - p->start_ns) / 1e9; }
