/* health.c: GET /health: the server answers, and its engine gets on; GET /ready: it takes requests. */
#include "server/api/endpoints.h"

static bool health(const struct view *v, const struct load_figures *now, const char *tail, struct buf *out,
                   struct problem *p)
{
    (void)v;
    (void)tail;
    if (now->stalled)
        return refuse(p, PROBLEM_engine_stalled, NULL, "the engine has not got on for %.1f s, and %.1f s is the most "
                      "that it should take; restart the server", now->still_ms / 1000, now->patience_ms / 1000);
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
