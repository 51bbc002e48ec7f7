#include "server/route.h"

#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "server/api/endpoints.h"

const struct route routes[] = {
#define ROUTE(method, path, name, access) { #method, path, &endpoint_##name, ACCESS_##access },
#include "server/routes.def"
    { NULL, NULL, NULL, ACCESS_KEYED },
};

/* What of the path is the tail, in *tail, if it fits. */
static bool fits(const struct route *r, const char *path, const char **tail)
{
    size_t n = strlen(r->path), before = strcspn(r->path, "*");
    *tail = path + min_size(before, strlen(path));
    if (r->path[before]) {
        size_t part = strncmp(path, r->path, before) == 0 ? strcspn(*tail, "/") : 0;
        return part > 0 && strcmp(*tail + part, r->path + before + 1) == 0;
    }
    return r->path[n - 1] == '/' && n > 1 ? strncmp(path, r->path, n) == 0 && path[n] : strcmp(path, r->path) == 0;
}

const struct route *route_find(const char *method, const char *path, const char **tail, struct problem *p)
{
    const struct route *other = NULL;
    char allow[sizeof p->allow] = "";
    bool head = strcmp(method, "HEAD") == 0;
    bool exact = false; /* a '*' fitted: what has anything behind it is not meant */
    for (const struct route *r = routes; r->path && !exact; r++) {
        if (!fits(r, path, tail))
            continue;
        exact = strchr(r->path, '*') != NULL;
        if (strcmp(r->method, head ? "GET" : method) == 0)
            return r;
        other = r;
        snprintf(allow + strlen(allow), sizeof allow - strlen(allow), "%s%s", *allow ? ", " : "",
                 strcmp(r->method, "GET") == 0 ? "GET, HEAD" : r->method);
    }
    if (!other) {
        refuse(p, strstr(path, "%00") ? PROBLEM_bad_framing : PROBLEM_not_found, NULL, "there is nothing under %.100s; "
               "GET / lists what there is", path);
        return NULL;
    }
    refuse(p, PROBLEM_method_not_allowed, NULL, "%.100s wants %s, not %.20s", path, allow, method);
    memcpy(p->allow, allow, sizeof allow);
    return NULL;
}

bool route_is_probe(const char *path)
{
    const char *tail;
    for (const struct route *r = routes; r->path; r++)
        if (r->access == ACCESS_PROBE && fits(r, path, &tail))
            return true;
    return false;
}
