/* progress.h: how far a long command is, on standard error: share, rate and time left. */
#pragma once
#include <stdio.h>

#include "base/base.h"

struct progress {
    int64_t start_ns, shown_ns, doing_ns; /* of the command; of the last line; of what it does now */
    bool terminal, shown;
    const char *unit;  /* "tokens"; NULL: bytes */
    const char *doing; /* said first; NULL: nothing */
    FILE *to;
};

void progress_begin(struct progress *p, const char *unit);
/* A line that rewrites itself on a terminal, five times a second; elsewhere one every five seconds, without control
 * characters. more: said at its end, "" for nothing. */
void progress_show(struct progress *p, uint64_t done, uint64_t total, const char *more);
/* The same at a time of clock_ns(), for tests. */
void progress_show_at(struct progress *p, int64_t now_ns, uint64_t done, uint64_t total, const char *more);
/* From here on the figures are those of another part of the work. doing: static; the same one again changes nothing. */
void progress_doing(struct progress *p, const char *doing);
/* The next line on standard error begins at the left. */
void progress_end(struct progress *p);
double progress_seconds(const struct progress *p);
