/* interrupt.h: Ctrl-C, and one way for the main thread to sleep until something happens.
 *
 * Handlers and the engine thread may only signal, so both write to one pipe; the main thread
 * sleeps on its other end. */
#pragma once
#include "base/err.h"

/* Once, at the start of a long command.
 * Until interrupt_hold() an interrupt ends the program at once with EXIT_INTERRUPTED. */
bool interrupt_init(hearth_error *err);

/* From here on the first SIGINT or SIGTERM only sets a flag; a second ends the program at once. */
void interrupt_hold(void);
bool interrupt_pending(void);

/* Wake interrupt_wait(). Any thread, any signal handler; arg is ignored. */
void interrupt_wake(void *arg);
/* Sleep until woken or interrupted since the last call. */
void interrupt_wait(void);
