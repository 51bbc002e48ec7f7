/* route.h: paths to endpoints. Pure. */
#pragma once
#include "server/api/endpoint.h"

struct route {
    const char *method, *path;
    const struct endpoint *endpoint;
    bool is_public;
};
extern const struct route routes[]; /* ends with path NULL */

/* The route, and what follows its path in *tail. Refused: no such path (404), one that has another method (405 with
 * Allow; HEAD is as good as GET). */
const struct route *route_find(const char *method, const char *path, const char **tail, struct problem *p);
