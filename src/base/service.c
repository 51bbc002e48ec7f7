#define _GNU_SOURCE
#include "base/service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/env.h"

enum { FIRST_SOCKET = 3, MESSAGE_BYTES = 512 };

/* A whole number of at least 0; -1: it is none. */
static int64_t number_of(const char *text)
{
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    return errno || end == text || *end || n < 0 ? -1 : n;
}

static bool connect_notify(struct service_manager *m, const char *path, hearth_error *err)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    size_t n = strlen(path);
    if ((path[0] != '/' && path[0] != '@') || n < 2 || n >= sizeof to.sun_path)
        return fail(err, HEARTH_ERR_USAGE, "NOTIFY_SOCKET is '%.80s', and must be a path of at most %zu bytes, or @ "
                    "and a name; unset it where there is no service manager", path, sizeof to.sun_path - 1);
    memcpy(to.sun_path, path, n);
    if (path[0] == '@')
        to.sun_path[0] = 0; /* the abstract namespace of Linux */
    m->notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (m->notify_fd >= 0
        && connect(m->notify_fd, (struct sockaddr *)&to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) == 0)
        return true;
    return fail(err, HEARTH_ERR_IO, "the service manager does not listen on NOTIFY_SOCKET (%.80s): %s; unset it where "
                "there is none", path, strerror(errno));
}

static bool read_watchdog(struct service_manager *m, hearth_error *err)
{
    const char *usec = env_system("WATCHDOG_USEC"), *pid = env_system("WATCHDOG_PID");
    if (!usec || (pid && number_of(pid) != (int64_t)getpid()))
        return true;
    int64_t n = number_of(usec);
    if (n <= 0 || n > INT64_MAX / 1000)
        return fail(err, HEARTH_ERR_USAGE, "WATCHDOG_USEC is '%.40s', and must be a number of microseconds", usec);
    m->watchdog_ns = n * 1000;
    return true;
}

static bool take_socket(struct service_manager *m, int fd, hearth_error *err)
{
    int listens = 0, type = 0, flags = fcntl(fd, F_GETFL);
    socklen_t n = sizeof listens, n_type = sizeof type;
    if (flags < 0 || getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) != 0 || !listens
        || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n_type) != 0 || type != SOCK_STREAM)
        return fail(err, HEARTH_ERR_USAGE, "descriptor %d of LISTEN_FDS is no stream socket that listens; use "
                    "ListenStream= and Accept=no", fd);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    m->sockets[m->n_sockets++] = fd;
    return true;
}

static bool read_sockets(struct service_manager *m, hearth_error *err)
{
    const char *count = env_system("LISTEN_FDS"), *pid = env_system("LISTEN_PID");
    if (!count || !pid || number_of(pid) != (int64_t)getpid())
        return true; /* meant for another process */
    int64_t n = number_of(count);
    if (n < 0 || n > SERVICE_MAX_SOCKETS)
        return fail(err, HEARTH_ERR_USAGE, "LISTEN_FDS is '%.20s'; a server takes at most %d sockets", count,
                    SERVICE_MAX_SOCKETS);
    for (int i = 0; i < (int)n; i++)
        if (!take_socket(m, FIRST_SOCKET + i, err))
            return false;
    return true;
}

bool service_read(struct service_manager *m, hearth_error *err)
{
    *m = (struct service_manager){ .notify_fd = -1 };
    const char *notify = env_system("NOTIFY_SOCKET");
    return read_sockets(m, err) && (!notify || connect_notify(m, notify, err)) && read_watchdog(m, err);
}

void service_say(const struct service_manager *m, const char *fmt, ...)
{
    char message[MESSAGE_BYTES];
    va_list args;
    if (m->notify_fd < 0)
        return;
    va_start(args, fmt);
    int n = vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    if (n > 0)
        (void)!send(m->notify_fd, message, min_size((size_t)n, sizeof message - 1), MSG_NOSIGNAL | MSG_DONTWAIT);
}
