/* progress.h: how far a long command is, on standard error: share, rate and time left. */
#pragma once
#include "base/base.h"

struct progress {
    int64_t start_ns, shown_ns;
    bool terminal, shown;
    const char *unit; /* "tokens" */
};

void progress_begin(struct progress *p, const char *unit);
/* A line that rewrites itself on a terminal, five times a second; elsewhere one every five seconds. more: said at its
 * end, "" for nothing. */
void progress_show(struct progress *p, uint64_t done, uint64_t total, const char *more);
/* The next line on standard error begins at the left. */
void progress_end(struct progress *p);
double progress_seconds(const struct progress *p);
