/* service.h: what a service manager (systemd, or one that speaks like it) and its service tell each other.
 *
 * sd_notify(3): datagrams of lines VARIABLE=value to the Unix socket in NOTIFY_SOCKET. sd_watchdog_enabled(3):
 * WATCHDOG_USEC, within which it wants to hear WATCHDOG=1, and WATCHDOG_PID, whom it means. sd_listen_fds(3):
 * LISTEN_FDS sockets from descriptor 3 on that it listens on already, for the process LISTEN_PID. */
#pragma once
#include "base/err.h"

enum { SERVICE_MAX_SOCKETS = 8 };

struct service_manager {
    int notify_fd;       /* connected; -1: there is none, or it does not listen */
    int64_t watchdog_ns; /* 0: it does not watch */
    int sockets[SERVICE_MAX_SOCKETS]; /* listening, not blocking, not inherited any further; the caller's to close */
    int n_sockets;
};

/* Once, before anything else is opened. HEARTH_ERR_USAGE, HEARTH_ERR_IO: it says something that cannot be. */
bool service_read(struct service_manager *m, hearth_error *err);

/* "READY=1\nSTATUS=..."; a message that does not get through is lost. No manager: a no-op. */
void service_say(const struct service_manager *m, const char *fmt, ...) PRINTF(2, 3);
