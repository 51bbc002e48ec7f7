/* usage.c: GET /hearth/usage: what the key that asks has used; for one that may see it (observer, admin), what each
 * has. For those, and where there are no keys, also what was asked for in all. */
#include "server/api/endpoints.h"

static json_t *of_u64(uint64_t n) { return json_integer((json_int_t)n); }

static void put_usage(struct json_out *o, const struct usage *u)
{
    json_key(o, "n_requests", of_u64(u->n_requests));
    json_key(o, "n_completed", of_u64(u->n_completed));
    json_key(o, "n_refused", of_u64(u->n_refused));
    json_key(o, "n_failed", of_u64(u->n_failed));
    json_key(o, "n_cancelled", of_u64(u->n_cancelled));
    json_key(o, "prompt_tokens", of_u64(u->prompt_tokens));
    json_key(o, "cached_tokens", of_u64(u->cached_tokens));
    json_key(o, "output_tokens", of_u64(u->output_tokens));
    json_key(o, "seconds", json_real(u->seconds));
}

static json_t *of_row(const struct usage_row *row)
{
    struct json_out o = json_begin();
    json_key(&o, "name", json_string(row->name));
    json_key(&o, "n_running", json_integer(row->n_running));
    json_key(&o, "requests_limit", row->n_at_once ? json_integer(row->n_at_once) : json_null());
    json_key(&o, "tokens_per_minute_limit", row->n_per_minute ? json_integer(row->n_per_minute) : json_null());
    put_usage(&o, &row->usage);
    return json_end(&o);
}

static bool get(const struct view *v, const struct load_figures *now, const char *tail, struct buf *out,
                struct problem *p)
{
    (void)tail;
    struct json_out o = json_begin(), all = json_begin();
    json_t *keys = json_array();
    for (int i = 0; i < now->n_rows; i++)
        if (json_array_append_new(keys, of_row(&now->rows[i])) != 0)
            o.failed = true;
    json_key(&o, "since_s", json_real(now->uptime_s));
    json_key(&o, "keys", keys);
    put_usage(&all, &now->usage);
    if (now->sees_all || !v->has_keys)
        json_key(&o, "all", json_end(&all));
    else
        json_decref(all.json);
    return json_put(out, json_end(&o)) || ask_no_memory(p);
}

const struct endpoint endpoint_usage = { .get = get };
