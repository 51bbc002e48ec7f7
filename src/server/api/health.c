/* health.c: GET /health: the server answers; GET /ready: it takes requests. */
#include "server/api/endpoints.h"

static bool health(const struct view *v, const struct load_figures *now, const char *tail, struct buf *out,
                   struct problem *p)
{
    (void)v;
    (void)now;
    (void)tail;
    return json_put(out, json_pack("{s:s}", "status", "ok")) || ask_no_memory(p);
}

static bool ready(const struct view *v, const struct load_figures *now, const char *tail, struct buf *out,
                  struct problem *p)
{
    if (now->draining)
        return refuse(p, PROBLEM_shutting_down, NULL, "the server is about to end; send requests elsewhere");
    return health(v, now, tail, out, p);
}

const struct endpoint endpoint_health = { .get = health }, endpoint_ready = { .get = ready };
