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
/* The same for a conversation: only a second SIGTERM ends the program, so that an impatient Ctrl-C does not cost
 * what was said so far. */
void interrupt_hold_conversation(void);
/* The same for a service, whose end takes its time: only a third signal ends the program. */
void interrupt_hold_service(void);
/* One of them came since interrupt_clear(). */
bool interrupt_pending(void);
/* SIGTERM came: nothing takes that back. */
bool interrupt_terminated(void);
/* How many came, ever. */
int interrupt_count(void);
/* The program ends with this code when ms milliseconds (below 1,000) are over, whatever it waits for then: for an end
 * that was promised. */
void interrupt_end_within(int ms, int code);
/* Held again for what comes next. A SIGTERM stays pending. */
void interrupt_clear(void);

/* From here on SIGHUP and SIGUSR1 end nothing: they wake the main thread. SIGHUP ends a service as SIGTERM does when
 * the terminal that it was started on is gone. */
void interrupt_listen(void);
bool interrupt_reload(void); /* SIGHUP came since the last call */
bool interrupt_dump(void);   /* SIGUSR1 came since the last call */

/* Wake interrupt_wait(). Any thread, any signal handler; arg is ignored. */
void interrupt_wake(void *arg);
/* Sleep until woken or interrupted since the last call. */
void interrupt_wait(void);
/* The same, or until ms milliseconds are over; below 0: without end. */
void interrupt_wait_ms(int ms);
/* The next event of a stream that wakes by interrupt_wake(), waiting for it; an interrupt cancels the stream, which
 * still ends with END. False: *e is that. */
bool interrupt_next(hearth_stream *s, hearth_event *e);
/* As interrupt_wait(), or until fd has something to read (its end included): true then. */
bool interrupt_wait_input(int fd);
