/* watch.c: what libmicrohttpd does not look at: clients that vanish while their connection sleeps, streams that have
 * been silent for long, and headers and bodies that come too slowly (its timeout knows inactivity only). */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "server/core.h"

enum { EVENTS = 64, BODY_GRACE_MS = 10000, BODY_BYTES_PER_S = 1024 };
static const int64_t ms_ns = 1000000;

/* ---- vanished clients ---- */

static uint64_t mark_of(const struct exchange *x)
{
    return (uint64_t)(x - x->server->exchanges) << 32 | atomic_load(&x->serial);
}

void watch_client(struct exchange *x)
{
    struct epoll_event e = { .events = EPOLLRDHUP | EPOLLONESHOT, .data.u64 = mark_of(x) };
    if (epoll_ctl(x->server->watch_epoll, EPOLL_CTL_ADD, x->fd, &e) != 0)
        epoll_ctl(x->server->watch_epoll, EPOLL_CTL_MOD, x->fd, &e);
}

void watch_forget(struct exchange *x)
{
    struct epoll_event e = { 0 };
    epoll_ctl(x->server->watch_epoll, EPOLL_CTL_DEL, x->fd, &e);
    lock_take(&x->server->peer_lock);
    atomic_fetch_add(&x->serial, 1);
    lock_release(&x->server->peer_lock);
}

/* A client that has closed its side does not read an answer: it has gone. While its body is read, libmicrohttpd has to
 * find that out; it misses an end that comes together with the last bytes (edges of epoll), and a shutdown is another
 * edge. The descriptor is still this exchange's while its serial number is. */
static void on_hang_up(struct server *s, uint64_t mark)
{
    struct exchange *x = &s->exchanges[mark >> 32];
    lock_take(&s->peer_lock);
    bool same = atomic_load(&x->serial) == (uint32_t)mark;
    if (same)
        atomic_store(&x->gone, true);
    if (same && atomic_load(&x->phase) == X_READING)
        shutdown(x->fd, SHUT_RDWR);
    lock_release(&s->peer_lock);
    if (same)
        exchange_wake(x);
}

void watch_look(struct server *s)
{
    uint64_t one = 1;
    while (write(s->watch_event, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

/* ---- pings and deadlines of requests ----
 *
 * Both return when to look again; INT64_MAX: never. */

static int64_t ping_silent(struct exchange *x, int64_t now)
{
    int64_t every = atomic_load(&x->ping_ns);
    if (every <= 0)
        return INT64_MAX;
    int64_t due = atomic_load(&x->last_write_ns) + every;
    if (due > now)
        return due;
    atomic_store(&x->last_write_ns, now);
    atomic_store(&x->ping_due, true);
    exchange_wake(x);
    return now + every;
}

static int64_t end_late(struct exchange *x, int64_t now)
{
    int64_t deadline = atomic_load(&x->deadline_ns);
    if (deadline <= 0 || atomic_load(&x->late))
        return INT64_MAX;
    if (deadline > now)
        return deadline;
    atomic_store(&x->late, true);
    exchange_wake(x);
    return INT64_MAX;
}

static int64_t look_at_running(struct server *s, int64_t now)
{
    int64_t next = now + WATCH_MS * ms_ns / 2;
    for (int i = 0; i < s->n_exchanges; i++) {
        struct exchange *x = &s->exchanges[i];
        if (atomic_load(&x->phase) != X_RUNNING)
            continue;
        int64_t late = end_late(x, now), ping = ping_silent(x, now);
        next = late < next ? late : next;
        next = ping < next ? ping : next;
    }
    return next;
}

/* ---- connections ---- */

int watch_expected(struct server *s)
{
    enum { FIRST_MS = 1000 }; /* a client that connects and says nothing for so long is not waited for */
    int n = 0;
    int64_t now = clock_ns();
    lock_take(&s->peer_lock);
    for (const struct peer *p = s->peers; p; p = p->next)
        n += p->state == PEER_NEW ? now - p->since_ns < FIRST_MS * ms_ns : p->state != PEER_IDLE;
    lock_release(&s->peer_lock);
    return n;
}

/* Their deadlines. */

struct peer *peer_open(struct server *s, int fd)
{
    struct peer *p = mem_alloc(sizeof *p);
    if (!p)
        return NULL;
    *p = (struct peer){ .fd = fd, .state = PEER_NEW, .since_ns = clock_ns() };
    lock_take(&s->peer_lock);
    p->next = s->peers;
    if (s->peers)
        s->peers->previous = p;
    s->peers = p;
    lock_release(&s->peer_lock);
    return p;
}

void peer_close(struct server *s, struct peer *p)
{
    if (!p)
        return;
    lock_take(&s->peer_lock);
    if (p->previous)
        p->previous->next = p->next;
    else
        s->peers = p->next;
    if (p->next)
        p->next->previous = p->previous;
    lock_release(&s->peer_lock);
    mem_free(p);
}

void peer_set(struct server *s, struct peer *p, enum peer_state state)
{
    if (!p)
        return;
    lock_take(&s->peer_lock);
    p->state = state;
    p->since_ns = clock_ns();
    p->looked_for = false;
    p->n_bytes = 0;
    lock_release(&s->peer_lock);
}

static bool is_late(const struct server *s, const struct peer *p, int64_t now)
{
    int64_t ms = (now - p->since_ns) / ms_ns;
    switch (p->state) {
    case PEER_NEW:
    case PEER_HEAD: return ms > s->options.head_ms;
    case PEER_BODY: return ms > BODY_GRACE_MS
                        && p->n_bytes < (uint64_t)(ms - BODY_GRACE_MS) * BODY_BYTES_PER_S / 1000 + 1;
    case PEER_IDLE: /* libmicrohttpd's timeout */
    case PEER_BUSY: break;
    }
    return false;
}

/* An end that came together with the last bytes libmicrohttpd misses (as above): the connection would stay until its
 * time is over. One that comes later it sees, so once is enough. */
static bool has_left(struct peer *p, int64_t now)
{
    char byte;
    if (p->state == PEER_BUSY || p->looked_for || now - p->since_ns < WATCH_MS * ms_ns)
        return false;
    p->looked_for = true;
    return recv(p->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* Closed for reading and writing; libmicrohttpd sees that and takes it away. Nobody writes there meanwhile: no answer
 * has begun. The descriptor is still this connection's, because peer_close() comes before its end. */
static void close_late_and_left(struct server *s, int64_t now)
{
    static const char body[] = "{\"error\":{\"message\":\"the request came too slowly; send it again\",\"type\":"
                               "\"invalid_request_error\",\"param\":null,\"code\":\"body_timeout\"}}";
    char answer[sizeof body + 160];
    int n = snprintf(answer, sizeof answer, "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Type: "
                     "application/json\r\nContent-Length: %zu\r\n\r\n%s", sizeof body - 1, body);
    lock_take(&s->peer_lock);
    for (struct peer *p = s->peers; p; p = p->next) {
        bool left = has_left(p, now);
        if (!left && !is_late(s, p, now))
            continue;
        if (!left && p->state != PEER_NEW && !s->options.tls_cert)
            send(p->fd, answer, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
        shutdown(p->fd, SHUT_RDWR);
        p->state = PEER_BUSY;
    }
    lock_release(&s->peer_lock);
}

/* ---- connections that nobody takes ----
 *
 * When the system had no descriptor for a new connection, libmicrohttpd takes none until one of those that are there
 * ends, also when there are descriptors again, and also when the one that is there is of a client that has gone and
 * sends no event any more. So the one that waits is taken here. Where there is no descriptor yet, or no place
 * (--connections), the connection that has been idle for longest makes room. */

static void end_longest_idle(struct server *s)
{
    lock_take(&s->peer_lock);
    struct peer *idle = NULL;
    for (struct peer *p = s->peers; p; p = p->next)
        if (p->state == PEER_IDLE && (!idle || p->since_ns < idle->since_ns))
            idle = p;
    if (idle) {
        shutdown(idle->fd, SHUT_RDWR);
        idle->state = PEER_BUSY;
    }
    lock_release(&s->peer_lock);
}

/* Those that are, and those that are about to be. */
static int count_connections(struct server *s) { return atomic_load(&s->n_connections) + rouse_n_sockets(s); }

static void make_room(struct server *s, bool *waited)
{
    enum { AT_ONCE = 16 };
    struct pollfd listening = { .fd = atomic_load(&s->listen), .events = POLLIN };
    bool waits = listening.fd > 0 && poll(&listening, 1, 0) == 1 && (listening.revents & POLLIN);
    bool stalled = waits && *waited; /* at two looks, one after the other */
    int n_taken = 0, most = s->n_connections_most - count_connections(s);
    *waited = waits;
    while (stalled && n_taken < min_int(most, AT_ONCE) && server_take_waiting(s, 0))
        n_taken++;
    if (stalled && n_taken == 0)
        end_longest_idle(s);
}

/* ---- sockets beside the first ---- */

static uint64_t mark_of_socket(int socket) { return UINT64_MAX - (uint64_t)socket; }

/* What cannot be taken now is looked at again later. */
static void listen_to(struct server *s, int socket, bool now)
{
    struct epoll_event e = { .events = now ? EPOLLIN : 0, .data.u64 = mark_of_socket(socket) };
    if (epoll_ctl(s->watch_epoll, EPOLL_CTL_MOD, s->options.sockets[socket], &e) != 0)
        epoll_ctl(s->watch_epoll, EPOLL_CTL_ADD, s->options.sockets[socket], &e);
}

static void listen_again(struct server *s)
{
    int n = atomic_load(&s->n_more);
    for (int i = 1; i <= n; i++)
        listen_to(s, i, count_connections(s) < s->n_connections_most);
}

static void take_from(struct server *s, int socket)
{
    errno = 0;
    if (count_connections(s) >= s->n_connections_most
        || (!server_take_waiting(s, socket) && errno != EAGAIN))
        listen_to(s, socket, false);
}

/* ---- the thread ---- */

static void watch_main(void *arg)
{
    struct server *s = arg;
    struct epoll_event events[EVENTS];
    int64_t looked = 0, next = 0;
    bool waited = false;
    while (!atomic_load(&s->stop)) {
        int64_t now = clock_ns();
        int wait_ms = next > now ? (int)((next - now) / ms_ns) + 1 : 1;
        int n = epoll_wait(s->watch_epoll, events, EVENTS, wait_ms);
        for (int i = 0; i < n; i++) {
            uint64_t drained;
            uint64_t mark = events[i].data.u64;
            if (mark != UINT64_MAX && mark >= mark_of_socket(s->options.n_sockets))
                take_from(s, (int)(UINT64_MAX - mark));
            else if (mark != UINT64_MAX)
                on_hang_up(s, events[i].data.u64);
            else if (read(s->watch_event, &drained, sizeof drained) > 0)
                next = 0;
        }
        now = clock_ns();
        next = look_at_running(s, now);
        if (now - looked >= WATCH_MS * ms_ns / 2) {
            vigil_look(s, now);
            relief_look(s);
            journal_turns(s);
            close_late_and_left(s, now);
            make_room(s, &waited);
            listen_again(s);
            looked = now;
        }
    }
}

bool watch_start(struct server *s, hearth_error *err)
{
    vigil_look(s, clock_ns());
    s->watch_epoll = epoll_create1(EPOLL_CLOEXEC);
    s->watch_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event e = { .events = EPOLLIN, .data.u64 = UINT64_MAX };
    if (s->watch_epoll < 0 || s->watch_event < 0
        || epoll_ctl(s->watch_epoll, EPOLL_CTL_ADD, s->watch_event, &e) != 0)
        return fail(err, HEARTH_ERR_IO, "cannot watch connections: %s; raise the limit on open files (ulimit -n)",
                    strerror(errno));
    return thread_start(&s->watch, "hearth-watch", watch_main, s, err);
}

void watch_stop(struct server *s)
{
    atomic_store(&s->stop, true);
    if (s->watch_event >= 0)
        watch_look(s);
    thread_join(&s->watch);
    journal_turns(s);
    if (s->watch_epoll >= 0)
        close(s->watch_epoll);
    if (s->watch_event >= 0)
        close(s->watch_event);
}
