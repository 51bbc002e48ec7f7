/* rouse.c: what wakes the http thread beside its connections. */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "server/core.h"

bool rouse_open(struct server *s, hearth_error *err)
{
    struct rouse *r = &s->rouse;
    r->epoll = epoll_create1(EPOLL_CLOEXEC);
    r->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event e = { .events = EPOLLIN | EPOLLET }; /* so nobody has to read it */
    if (r->epoll >= 0 && r->event >= 0 && epoll_ctl(r->epoll, EPOLL_CTL_ADD, r->event, &e) == 0)
        return true;
    return fail(err, HEARTH_ERR_IO, "cannot wait for connections; raise the limit on open files (ulimit -n)");
}

bool rouse_by(struct server *s, int fd, hearth_error *err)
{
    struct epoll_event e = { .events = EPOLLIN };
    return epoll_ctl(s->rouse.epoll, EPOLL_CTL_ADD, fd, &e) == 0
        || fail(err, HEARTH_ERR_IO, "cannot wait for connections; raise the limit on watches of epoll");
}

void rouse_close(struct server *s)
{
    struct rouse *r = &s->rouse;
    for (int i = 0; i < r->n_sockets; i++)
        close(r->sockets[i].fd);
    if (r->epoll >= 0)
        close(r->epoll);
    if (r->event >= 0)
        close(r->event);
}

void rouse(void *server)
{
    struct server *s = server;
    uint64_t one = 1;
    while (write(s->rouse.event, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

void rouse_wait(struct server *s, int ms)
{
    struct epoll_event events[2];
    epoll_wait(s->rouse.epoll, events, (int)ARRAY_LEN(events), ms);
}

/* ---- connections that were woken ---- */

void rouse_add(struct exchange *x)
{
    struct rouse *r = &x->server->rouse;
    x->next_woken = NULL;
    lock_take(&r->lock);
    if (r->first)
        r->last->next_woken = x;
    else
        r->first = x;
    r->last = x;
    lock_release(&r->lock);
}

struct exchange *rouse_take(struct server *s)
{
    lock_take(&s->rouse.lock);
    struct exchange *x = s->rouse.first;
    s->rouse.first = s->rouse.last = NULL;
    lock_release(&s->rouse.lock);
    return x;
}

/* ---- connections that came in beside libmicrohttpd ---- */

int rouse_n_sockets(struct server *s)
{
    lock_take(&s->rouse.lock);
    int n = s->rouse.n_sockets;
    lock_release(&s->rouse.lock);
    return n;
}

void rouse_add_socket(struct server *s, const struct came_in *socket)
{
    lock_take(&s->rouse.lock);
    s->rouse.sockets[s->rouse.n_sockets++] = *socket;
    lock_release(&s->rouse.lock);
    rouse(s);
}

bool rouse_take_socket(struct server *s, struct came_in *out)
{
    struct rouse *r = &s->rouse;
    lock_take(&r->lock);
    bool any = r->n_sockets > 0;
    if (any) {
        *out = r->sockets[0];
        r->n_sockets--;
        for (int i = 0; i < r->n_sockets; i++)
            r->sockets[i] = r->sockets[i + 1];
    }
    lock_release(&r->lock);
    return any;
}
