#define _GNU_SOURCE
#include "server/port.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/network.h"
#include "server/server.h"

enum { BACKLOG = 1024, LINE_BYTES = 512 };

/* ---- who has the port ---- */

/* The inode of the socket that listens on it (/proc/net/tcp: local_address is column 2, st 4, inode 10). */
static unsigned long listener_inode(const char *table, int port)
{
    FILE *f = fopen(table, "re");
    char line[LINE_BYTES];
    unsigned long found = 0;
    while (f && !found && fgets(line, sizeof line, f)) {
        unsigned local_port = 0, state = 0;
        unsigned long inode = 0;
        int n = sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*s %*s %lu", &local_port, &state,
                       &inode);
        if (n == 3 && state == 0x0a && (int)local_port == port)
            found = inode;
    }
    if (f)
        fclose(f);
    return found;
}

static bool has_socket(const char *pid, unsigned long inode)
{
    char folder[300], want[64], path[600], target[128];
    snprintf(folder, sizeof folder, "/proc/%s/fd", pid);
    snprintf(want, sizeof want, "socket:[%lu]", inode);
    DIR *d = opendir(folder);
    bool found = false;
    for (struct dirent *e; d && !found && (e = readdir(d));) {
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        ssize_t n = readlink(path, target, sizeof target - 1);
        if (n > 0) {
            target[n] = 0;
            found = strcmp(target, want) == 0;
        }
    }
    if (d)
        closedir(d);
    return found;
}

static void read_program(const char *pid, char *out, size_t room)
{
    char path[300], name[64] = "";
    snprintf(path, sizeof path, "/proc/%s/comm", pid);
    FILE *f = fopen(path, "re");
    if (f && fgets(name, sizeof name, f))
        name[strcspn(name, "\n")] = 0;
    if (f)
        fclose(f);
    snprintf(out, room, "%s (process %.20s)", name[0] ? name : "a program", pid);
}

/* "nginx (process 123)"; "another program" where the system does not tell. */
static void find_holder(int port, char *out, size_t room)
{
    snprintf(out, room, "another program");
    unsigned long inode = listener_inode("/proc/net/tcp", port);
    if (!inode)
        inode = listener_inode("/proc/net/tcp6", port);
    DIR *d = inode ? opendir("/proc") : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && has_socket(e->d_name, inode)) {
            read_program(e->d_name, out, room);
            break;
        }
    }
    if (d)
        closedir(d);
}

/* ---- listening ---- */

static int listen_on(const struct addrinfo *a, int *why)
{
    int one = 1, fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        *why = errno;
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    *why = errno;
    close(fd);
    return -1;
}

static int port_of(int fd)
{
    struct sockaddr_storage at;
    socklen_t n = sizeof at;
    if (getsockname(fd, (struct sockaddr *)&at, &n) != 0)
        return 0;
    return ntohs(at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port
                                          : ((struct sockaddr_in *)&at)->sin_port);
}

void port_describe(int fd, char host[PORT_HOST_BYTES], int *port)
{
    union {
        struct sockaddr any;
        struct sockaddr_storage room;
        struct sockaddr_un local;
    } at = { 0 };
    socklen_t n = sizeof at;
    *port = 0;
    snprintf(host, PORT_HOST_BYTES, "unix:");
    if (getsockname(fd, &at.any, &n) != 0)
        return;
    if (at.any.sa_family == AF_UNIX) {
        bool abstract = n > offsetof(struct sockaddr_un, sun_path) && !at.local.sun_path[0];
        snprintf(host, PORT_HOST_BYTES, "unix:%s%.100s", abstract ? "@" : "", at.local.sun_path + abstract);
    } else if (getnameinfo(&at.any, n, host, PORT_HOST_BYTES, NULL, 0, NI_NUMERICHOST) == 0) {
        *port = port_of(fd);
    }
}

static int refuse_port(const char *host, int port, int why, hearth_error *err)
{
    char holder[128];
    if (why == EADDRINUSE) {
        find_holder(port, holder, sizeof holder);
        fail(err, HEARTH_ERR_IO, "port %d is in use by %s; end that, or choose another with --port (0: any free one)",
             port, holder);
    } else if (why == EACCES) {
        fail(err, HEARTH_ERR_IO, "port %d needs rights that this process does not have; choose one from 1024 on with "
             "--port", port);
    } else if (why == EADDRNOTAVAIL) {
        fail(err, HEARTH_ERR_USAGE, "--host %.80s is no address of this machine; use 127.0.0.1, or 0.0.0.0 for all",
             host);
    } else {
        fail(err, HEARTH_ERR_IO, "cannot listen on %.80s port %d: %s", host, port, strerror(why));
    }
    return -1;
}

/* ---- Unix sockets ---- */

const char *port_unix_path(const char *host)
{
    static const char prefix[] = "unix:";
    return strncmp(host, prefix, sizeof prefix - 1) == 0 ? host + sizeof prefix - 1 : NULL;
}

uint64_t port_file(const char *host)
{
    const char *path = port_unix_path(host);
    struct stat st;
    return path && lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) ? (uint64_t)st.st_ino : 0;
}

void port_remove_file(const char *host, uint64_t file)
{
    if (file != 0 && port_file(host) == file)
        unlink(port_unix_path(host));
}

/* A socket without a listener: what a server left that was killed. */
static bool is_left_over(const struct sockaddr_un *at)
{
    struct stat st;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool left = fd >= 0 && lstat(at->sun_path, &st) == 0 && S_ISSOCK(st.st_mode)
        && connect(fd, (const struct sockaddr *)at, sizeof *at) != 0 && errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return left;
}

static bool bind_unix(int fd, const struct sockaddr_un *at)
{
    enum { MODE = 0660 };
    /* The file has the mode of the socket, less the umask: never more than it should, not even for a moment. */
    fchmod(fd, MODE);
    return bind(fd, (const struct sockaddr *)at, sizeof *at) == 0 && chmod(at->sun_path, MODE) == 0;
}

static int listen_unix(const char *path, hearth_error *err)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    if (!*path || strlen(path) >= sizeof at.sun_path) {
        fail(err, HEARTH_ERR_USAGE, "--host unix:%.120s has a path of %zu bytes; a Unix socket's has 1 to %zu", path,
             strlen(path), sizeof at.sun_path - 1);
        return -1;
    }
    memcpy(at.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool bound = fd >= 0 && bind_unix(fd, &at);
    if (!bound && errno == EADDRINUSE && is_left_over(&at))
        bound = unlink(path) == 0 && bind_unix(fd, &at);
    if (bound && listen(fd, BACKLOG) == 0)
        return fd;
    int why = errno;
    if (fd >= 0)
        close(fd);
    if (why == EADDRINUSE)
        fail(err, HEARTH_ERR_IO, "%.107s is in use by another program, or a file; end that, or choose another path",
             path);
    else
        fail(err, HEARTH_ERR_IO, "cannot listen on %.107s: %s", path, strerror(why));
    return -1;
}

/* ---- either ---- */

static struct addrinfo *resolve(const char *host, int port, hearth_error *err)
{
    struct addrinfo want = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *list = NULL;
    char service[16];
    snprintf(service, sizeof service, "%d", port);
    int failed = getaddrinfo(host, service, &want, &list);
    if (!failed)
        return list;
    fail(err, HEARTH_ERR_USAGE, "--host %.80s is no address: %s", host, gai_strerror(failed));
    return NULL;
}

bool server_host_is_local(const char *host, bool *local, hearth_error *err)
{
    *local = true;
    if (port_unix_path(host))
        return true;
    struct addrinfo *list = resolve(host, 0, err);
    for (const struct addrinfo *a = list; a; a = a->ai_next) {
        struct ip ip;
        ip_read(&ip, a->ai_addr);
        *local = *local && ip_is_loopback(&ip);
    }
    if (list)
        freeaddrinfo(list);
    return list != NULL;
}

void port_wait_for_bytes(int listening)
{
    int seconds = 1;
    setsockopt(listening, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof seconds);
}

int port_listen(const char *host, int *port, hearth_error *err)
{
    if (port_unix_path(host)) {
        *port = 0;
        return listen_unix(port_unix_path(host), err);
    }
    struct addrinfo *list = resolve(host, *port, err);
    int fd = -1, why = 0;
    if (!list)
        return -1;
    /* Of a name that has both kinds the older: who tries ::1 for localhost goes on to 127.0.0.1, not the other way. */
    for (int older = 1; older >= 0; older--)
        for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next)
            if ((a->ai_family == AF_INET) == older)
                fd = listen_on(a, &why);
    freeaddrinfo(list);
    if (fd < 0)
        return refuse_port(host, *port, why, err);
    *port = port_of(fd);
    return fd;
}

int port_accept(int listening, struct sockaddr_storage *from, socklen_t *from_bytes)
{
    return accept4(listening, (struct sockaddr *)from, from_bytes, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

/* TLS begins with a byte 22; who speaks HTTP to it is told so. What has come is read first: else the answer would be
 * lost with it. */
void port_refuse_plain(int fd)
{
    static const char body[] = "{\"error\":{\"message\":\"this port speaks TLS; use https://\",\"type\":"
                               "\"invalid_request_error\",\"param\":null,\"code\":\"bad_framing\"}}";
    char bytes[4096], answer[sizeof body + 160];
    enum { TLS_HANDSHAKE = 22, PIECES = 16 };
    if (recv(fd, bytes, 1, MSG_PEEK | MSG_DONTWAIT) != 1 || bytes[0] == TLS_HANDSHAKE)
        return;
    for (int i = 0; i < PIECES && recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) == (ssize_t)sizeof bytes; i++)
        ;
    int n = snprintf(answer, sizeof answer, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: "
                     "application/json\r\nContent-Length: %zu\r\n\r\n%s", sizeof body - 1, body);
    send(fd, answer, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
    shutdown(fd, SHUT_RDWR);
}
