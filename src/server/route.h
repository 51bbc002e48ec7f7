/* route.h: paths to endpoints. Pure. */
#pragma once
#include "server/api/endpoint.h"

/* Whose a path is. */
enum access {
    ACCESS_KEYED,  /* keys, where keys are configured */
    ACCESS_PUBLIC, /* everybody */
    ACCESS_PROBE,  /* everybody, by whatever name they call this server */
    ACCESS_ADMIN,  /* keys that may; without keys, this machine */
};
struct route {
    const char *method, *path;
    const struct endpoint *endpoint;
    enum access access;
};
static inline bool access_needs_key(enum access a) { return a == ACCESS_KEYED || a == ACCESS_ADMIN; }
extern const struct route routes[]; /* ends with path NULL */

/* The route, and in *tail what follows its path, or what stands for its '*' and all behind it. Refused: no such path
 * (404), one that has another method (405 with Allow; HEAD is as good as GET). */
const struct route *route_find(const char *method, const char *path, const char **tail, struct problem *p);
bool route_is_probe(const char *path); /* under any method */
