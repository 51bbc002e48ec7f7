/* err.h: how functions fail.
 *
 * A function that can fail takes `hearth_error *err` last (it may be NULL) and returns
 * false (or NULL). It fails by returning fail(...), which records the status and a
 * sentence. Callers add where they were with err_context() and pass the failure on;
 * nobody prints but the program at the top. */
#pragma once
#include "base/base.h"
#include "hearth/hearth.h"

/* Record a failure. Always returns false. The message names the thing, the value that
 * was wrong, and what to do about it. */
bool fail(hearth_error *err, hearth_status status, const char *fmt, ...) PRINTF(3, 4);

/* fail() for "out of memory while doing what". Always returns false. */
bool fail_memory(hearth_error *err, const char *what);

/* Put "doing this: " in front of a recorded failure. Always returns false. */
bool err_context(hearth_error *err, const char *fmt, ...) PRINTF(2, 3);

/* Back to "no failure". */
void err_clear(hearth_error *err);
