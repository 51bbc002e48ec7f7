#define _DEFAULT_SOURCE /* ualarm() */
#include "cli/interrupt.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"

/* Atomic and not just sig_atomic_t: the system gives a signal to whichever thread it likes. */
static_assert(ATOMIC_INT_LOCK_FREE == 2, "handlers write them");
static atomic_int holding, conversation, pending, terminated, service, n_signals;
static int wake_read = -1, wake_write = -1;

void interrupt_wake(void *arg)
{
    (void)arg;
    int saved = errno; /* a handler may run between a call and the look at its errno */
    while (write(wake_write, "", 1) < 0 && errno == EINTR)
        ; /* a full pipe wakes just as well */
    errno = saved;
}

static void on_signal(int signal_number)
{
    n_signals++;
    bool again = service ? n_signals > 2 : conversation ? signal_number == SIGTERM && terminated : pending;
    if (!holding || again)
        _exit(EXIT_INTERRUPTED);
    pending = 1;
    if (signal_number == SIGTERM)
        terminated = 1;
    interrupt_wake(NULL);
}

bool interrupt_init(hearth_error *err)
{
    int ends[2];
    if (pipe(ends) != 0)
        return fail(err, HEARTH_ERR_IO, "cannot make a pipe: %s; raise the limit on open files (ulimit -n)",
                    strerror(errno));
    for (int i = 0; i < 2; i++) {
        fcntl(ends[i], F_SETFL, O_NONBLOCK);
        fcntl(ends[i], F_SETFD, FD_CLOEXEC);
    }
    wake_read = ends[0];
    wake_write = ends[1];

    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    return true;
}

static atomic_int reload, dump;
static bool on_terminal;

static void on_wish(int signal_number)
{
    if (signal_number == SIGHUP)
        reload = 1;
    else
        dump = 1;
    interrupt_wake(NULL);
}

void interrupt_listen(void)
{
    struct sigaction action = { .sa_handler = on_wish, .sa_flags = SA_RESTART };
    on_terminal = isatty(STDERR_FILENO);
    sigemptyset(&action.sa_mask);
    sigaction(SIGHUP, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
}

static bool terminal_gone(void)
{
    struct pollfd p = { .fd = STDERR_FILENO };
    return on_terminal && poll(&p, 1, 0) > 0;
}

bool interrupt_reload(void)
{
    if (!atomic_exchange(&reload, 0))
        return false;
    if (!terminal_gone())
        return true;
    pending = terminated = 1;
    return false;
}

bool interrupt_dump(void)
{
    return atomic_exchange(&dump, 0) != 0;
}

void interrupt_hold(void) { holding = 1; }

void interrupt_hold_conversation(void)
{
    conversation = 1;
    holding = 1;
}

void interrupt_hold_service(void)
{
    service = 1;
    holding = 1;
}

bool interrupt_pending(void) { return pending || terminated; }
bool interrupt_terminated(void) { return terminated; }
int interrupt_count(void) { return n_signals; }
void interrupt_clear(void) { pending = 0; }

static atomic_int end_code;

static void on_end(int signal_number)
{
    (void)signal_number;
    _exit(end_code);
}

void interrupt_end_within(int ms, int code)
{
    struct sigaction action = { .sa_handler = on_end };
    sigemptyset(&action.sa_mask);
    end_code = code;
    sigaction(SIGALRM, &action, NULL);
    ualarm((useconds_t)ms * 1000, 0);
}

static bool wait_input(int fd, int ms)
{
    struct pollfd p[2] = { { .fd = wake_read, .events = POLLIN }, { .fd = fd, .events = POLLIN } };
    while (poll(p, 2, ms) < 0 && errno == EINTR)
        ;
    char drained[256];
    while (read(wake_read, drained, sizeof drained) > 0)
        ;
    return p[1].revents != 0;
}

bool interrupt_next(hearth_stream *s, hearth_event *e)
{
    for (;;) {
        if (interrupt_pending())
            hearth_stream_cancel(s);
        if (hearth_stream_poll(s, e))
            return e->type != HEARTH_EVENT_END;
        interrupt_wait();
    }
}

bool interrupt_wait_input(int fd) { return wait_input(fd, -1); }
void interrupt_wait_ms(int ms) { wait_input(-1, ms); }
void interrupt_wait(void) { wait_input(-1, -1); }
