/* gate.h: what is asked of a request before its route: by which name it comes, from which page, for whom. Of the http
 * thread. */
#pragma once
#include "server/core.h"
#include "server/origin.h"

/* The rules out of the server's options. HEARTH_ERR_USAGE. */
bool gate_open(struct server *s, hearth_error *err);

/* A connection came: whose, and at which address. Any thread for the address in *out. */
void gate_arrived(struct server *s, struct peer *peer, const struct sockaddr *from);
void gate_address(const struct server *s, const struct sockaddr *from, struct address *out);

/* The route of a request that may come in, what follows its path in *tail and its key. head->path loses a host in front
 * of it. NULL: refused, or, where p has no code, a preflight that is answered with 204. peer NULL: memory was out when
 * it came. */
const struct route *gate_pass(struct server *s, struct peer *peer, struct head *head, const char **tail,
                              struct key **key, struct problem *p);
/* Whether it may do what ADMIN routes do. */
bool gate_is_admin(const struct server *s, const struct peer *peer, const struct head *head, const struct key *key);

/* A request for a client behind a trusted proxy counts among those of its address until it ends. */
bool gate_count(struct server *s, struct peer *peer, struct problem *p);
void gate_uncount(struct server *s, struct peer *peer);

/* The headers by which a page may read the answer. */
void gate_page_headers(const struct server *s, const struct peer *peer, const struct head *head,
                       void (*put)(void *arg, const char *name, const char *value), void *arg);
