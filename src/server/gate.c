#include "server/gate.h"

#include <sys/socket.h>

bool gate_open(struct server *s, hearth_error *err)
{
    const struct server_options *o = &s->options;
    s->rules = (struct origin_rules){ .bound = o->host, .hosts = o->allow_hosts, .n_hosts = o->n_allow_hosts,
                                      .origins = o->allow_origins, .n_origins = o->n_allow_origins };
    return origin_rules_check(&s->rules, err)
        && proxies_read(&s->proxies, o->trusted_proxies, o->n_trusted_proxies, err);
}

void gate_address(const struct server *s, const struct sockaddr *from, struct address *out)
{
    struct ip ip;
    ip_read(&ip, from);
    address_of(out, &ip);
    if (proxies_have(&s->proxies, &ip)) /* it stands for many: they are counted one by one */
        out->counted = false;
}

void gate_arrived(struct server *s, struct peer *peer, const struct sockaddr *from)
{
    struct sockaddr_storage at;
    socklen_t n = sizeof at;
    ip_read(&peer->ip, from);
    peer->client = peer->ip;
    gate_address(s, from, &peer->from);
    if (getsockname(peer->fd, (struct sockaddr *)&at, &n) == 0)
        ip_read(&peer->local, (struct sockaddr *)&at);
}

static struct arrival arrival_of(const struct server *s, const struct peer *peer, const char *path)
{
    static const struct ip none;
    return (struct arrival){ .rules = &s->rules, .local = peer ? &peer->local : &none,
                             .any_host = route_is_probe(path) };
}

bool gate_is_admin(const struct server *s, const struct peer *peer, const struct head *head, const struct key *key)
{
    if (s->keys.n > 0)
        return key && key->is_admin;
    return peer && (peer->ip.kind == IP_NONE || ip_is_loopback(&peer->ip)) && !proxies_have(&s->proxies, &peer->ip)
           && !forwarded_says(head);
}

static bool guard_access(struct server *s, const struct peer *peer, const struct head *head, const struct route *route,
                         struct key **key, struct problem *p)
{
    *key = NULL;
    if (!access_needs_key(route->access))
        return true;
    if (!guard_key(&s->keys, head, key, p))
        return false;
    if (route->access != ACCESS_ADMIN || gate_is_admin(s, peer, head, *key))
        return true;
    return refuse(p, PROBLEM_admin_needed, NULL, "%s %.100s is for %s", route->method, route->path,
                  s->keys.n > 0 ? "keys that have `admin` behind them in the key file (--api-key-file)"
                                : "programs on this machine; for others give keys (--api-key-file), and one of them "
                                  "`admin`");
}

const struct route *gate_pass(struct server *s, struct peer *peer, struct head *head, const char **tail,
                              struct key **key, struct problem *p)
{
    struct str authority;
    struct problem lost = { 0 };
    origin_target(head, &authority);
    struct arrival a = arrival_of(s, peer, head->path);
    *key = NULL;
    if (peer && !forwarded_client(&s->proxies, head, &peer->ip, &peer->client, p))
        return NULL;
    if (peer)
        s->asking.client = peer->client;
    if (!origin_guard(&a, head, authority, p) || origin_is_preflight(head))
        return NULL;
    const struct route *route = route_find(head->method, head->path, tail, &lost);
    if (!route)
        *p = lost;
    return route && guard_access(s, peer, head, route, key, p) ? route : NULL;
}

bool gate_count(struct server *s, struct peer *peer, struct problem *p)
{
    if (!peer || !proxies_have(&s->proxies, &peer->ip))
        return true;
    lock_take(&s->peer_lock);
    address_of(&peer->asker, &peer->client);
    bool may = addresses_may(&s->addresses, &peer->asker);
    if (may)
        addresses_add(&s->addresses, &peer->asker);
    peer->asking = may;
    lock_release(&s->peer_lock);
    if (may)
        return true;
    char text[IP_TEXT_ROOM];
    ip_text(&peer->client, text);
    refuse(p, PROBLEM_address_limit, NULL, "%d requests of %s are under way, as many as one address may have "
           "(--connections-per-address)", s->addresses.most, text);
    p->retry_after_s = 1;
    return false;
}

void gate_uncount(struct server *s, struct peer *peer)
{
    if (!peer || !peer->asking)
        return;
    lock_take(&s->peer_lock);
    addresses_remove(&s->addresses, &peer->asker);
    peer->asking = false;
    lock_release(&s->peer_lock);
}

void gate_page_headers(const struct server *s, const struct peer *peer, const struct head *head,
                       void (*put)(void *arg, const char *name, const char *value), void *arg)
{
    struct arrival a = arrival_of(s, peer, "");
    origin_headers(&a, head, put, arg);
}
