/* turns.c: POST /hearth/models/NAME/load and /unload: wake a model before a request does, and let it sleep once nobody
 * has a slot of it. Both are soon, not at once; /hearth/status shows what came of it. */
#include "server/api/turns.h"

#include "server/api/endpoints.h"

void turns_put(struct json_out *o, const hearth_model_now *now)
{
    json_key(o, "state", json_string(now->asleep ? "asleep" : "ready"));
    json_key(o, "why_asleep", now->asleep ? json_string(hearth_sleep_name(now->why_asleep)) : json_null());
    json_key(o, "pinned", json_boolean(now->pinned));
    json_key(o, "keep_alive_s", now->keep_awake_ms > 0 ? json_real(now->keep_awake_ms / 1000) : json_null());
    json_key(o, "takes_turns", json_boolean(now->takes_turns));
    json_key(o, "n_wakes", json_integer((json_int_t)now->n_wakes));
    json_key(o, "n_sleeps", json_integer((json_int_t)now->n_sleeps));
}

static bool told(const struct view *v, const struct load_figures *now, const char *what, struct buf *out,
                 struct problem *p)
{
    const struct model_load *load = &now->of[v->all ? v - v->all : 0];
    struct json_out o = json_begin();
    json_key(&o, "model", json_string(v->model_id));
    json_key(&o, "told_to", json_string(what));
    json_key(&o, "n_running", json_integer(load->n_running));
    turns_put(&o, &load->engine);
    return json_put(out, json_end(&o)) || ask_no_memory(p);
}

static bool load(const struct view *v, const struct load_figures *now, const char *tail, struct buf *out,
                 struct problem *p)
{
    (void)tail;
    return told(v, now, "wake", out, p);
}

static bool unload(const struct view *v, const struct load_figures *now, const char *tail, struct buf *out,
                   struct problem *p)
{
    (void)tail;
    return told(v, now, "sleep", out, p);
}

const struct endpoint endpoint_load = { .get = load, .tells = TELLS_WAKE },
                      endpoint_unload = { .get = unload, .tells = TELLS_SLEEP };
