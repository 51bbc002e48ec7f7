/* forwarded.h: which client a proxy asks for: Forwarded (RFC 7239) and X-Forwarded-For. Anybody can send these, so they
 * count only where a proxy that is trusted has added to them. Pure. */
#pragma once
#include "base/err.h"
#include "server/guard.h"
#include "server/network.h"

enum { PROXIES_MAX = 16 };

struct proxies {
    struct network network[PROXIES_MAX];
    int n;
    bool unix_socket; /* who comes through the Unix socket is one */
};

/* texts: "10.0.0.0/8", "::1", "unix". HEARTH_ERR_USAGE names the one that is none. */
bool proxies_read(struct proxies *t, const char *const *texts, int n, hearth_error *err);
bool proxies_have(const struct proxies *t, const struct ip *peer); /* IP_NONE: the Unix socket */

/* The client behind a peer: from the end of the list, where the peer itself has written, the first address that is no
 * trusted proxy's. Where an element is no address, the proxy that wrote it. At most the last 16 elements are looked at.
 * Without a trusted peer, or without a list, *client is the peer. Refused with 400: both headers are there and name
 * different clients, so one of them is not the proxy's. */
bool forwarded_client(const struct proxies *t, const struct head *h, const struct ip *peer, struct ip *client,
                      struct problem *p);

/* Somebody between says so, true or not: the client is not this machine. */
bool forwarded_says(const struct head *h);
