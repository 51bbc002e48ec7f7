/* origin.h: by which name a request may come, and from which pages: Host, Origin and Sec-Fetch-Site, before anybody
 * looks at what is wanted.
 *
 * A page of any site can have its browser send requests to this machine, and one whose name its owner points at this
 * machine (DNS rebinding) can read the answers, too. The name stands in Host, the page in Origin; programs that are no
 * browsers send the first alone. RFC 9110 (Host), RFC 6454 (Origin), Fetch (CORS, Sec-Fetch-Site). Pure. */
#pragma once
#include "base/err.h"
#include "server/guard.h"
#include "server/network.h"

/* Of the options; texts live as long as this does.
 *   a host     a name or an address, without a port; "*.NAME": every name that ends so; "*": every one
 *   an origin  "https://chat.example", "http://10.0.0.1:3000", "http://lan:*": on any port; "*" in the place of the
 *              host: all of the scheme; "null": pages that have none; "*": every one */
struct origin_rules {
    const char *bound; /* --host */
    const char *const *hosts;
    const char *const *origins;
    int n_hosts, n_origins;
};

/* HEARTH_ERR_USAGE names what is no host, or no origin. */
bool origin_rules_check(const struct origin_rules *r, hearth_error *err);

/* How a request came. */
struct arrival {
    const struct origin_rules *rules;
    const struct ip *local; /* the address at which its connection came in; kind IP_NONE: a Unix socket */
    bool any_host;          /* probes: they ask by an address that nobody can name before */
};

/* An authority in the request line ("GET http://host/path"), which only proxies are sent: *authority is it, and h->path
 * what follows. .ptr NULL: there is none. */
void origin_target(struct head *h, struct str *authority);

/* Host is a name of this server: the one that it was bound to, the address at which the connection came in, localhost
 * and its addresses, one of --allow-host. So is an authority in the request line. Origin is the same host and port as
 * Host, or a page on localhost, of a scheme that desktop programs and editors have, or one of --allow-origin;
 * Sec-Fetch-Site is not cross-site unless Origin is one of the latter. Else 421, 403; 400 where one of them is given
 * twice or Host is no host. */
bool origin_guard(const struct arrival *a, const struct head *h, struct str authority, struct problem *p);

/* A preflight: a browser asks whether a page may send something (CORS). */
bool origin_is_preflight(const struct head *h);

/* The headers by which a browser lets the page read an answer, one after the other. Nothing where there is no Origin,
 * or none that may ask. */
void origin_headers(const struct arrival *a, const struct head *h,
                    void (*put)(void *arg, const char *name, const char *value), void *arg);
