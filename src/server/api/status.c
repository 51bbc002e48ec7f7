/* status.c: GET /hearth/status: what is served, under which limits, and what is going on. */
#include <string.h>

#include "record/receipt_json.h"
#include "server/api/endpoints.h"

static json_t *of_u64(uint64_t n) { return json_integer((json_int_t)n); }

static json_t *of_limits(const struct view *v)
{
    struct json_out o = json_begin();
    json_key(&o, "n_parallel", json_integer(v->n_parallel));
    json_key(&o, "n_queue", json_integer(v->n_queue));
    json_key(&o, "n_queue_tokens", of_u64(v->n_queue_tokens));
    json_key(&o, "ping_ms", json_integer(v->ping_ms));
    json_key(&o, "request_ms", json_integer(v->request_ms));
    json_key(&o, "body_max_bytes", of_u64(v->body_max_bytes));
    json_key(&o, "memory_bytes", of_u64(v->memory_bytes));
    json_key(&o, "messages", json_integer(ASK_MAX_MESSAGES));
    json_key(&o, "stop_texts", json_integer(ASK_MAX_STOPS));
    json_key(&o, "logit_biases", json_integer(ASK_MAX_LOGIT_BIAS));
    json_key(&o, "strict", json_boolean(v->strict));
    json_key(&o, "keys", json_boolean(v->has_keys));
    return json_end(&o);
}

static json_t *of_paths(const char paths[][SANDBOX_PATH_BYTES], int n)
{
    json_t *list = json_array();
    for (int i = 0; i < n; i++)
        if (json_array_append_new(list, json_of_bytes(paths[i], strlen(paths[i]))) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

/* What the kernel offers, and what of it is active. */
static json_t *of_sandbox(const struct sandbox *s)
{
    struct json_out kernel = json_begin(), active = json_begin(), o = json_begin();
    json_key(&kernel, "seccomp", json_boolean(s->has_seccomp));
    json_key(&kernel, "landlock_abi", json_integer(s->landlock_abi));
    json_key(&active, "seccomp", json_boolean(s->seccomp));
    json_key(&active, "landlock", json_boolean(s->landlock));
    json_key(&active, "offline", json_boolean(s->offline));
    json_key(&o, "kernel", json_end(&kernel));
    json_key(&o, "active", json_end(&active));
    json_key(&o, "may_read", of_paths(s->read, s->n_read));
    json_key(&o, "may_write", of_paths(s->write, s->n_write));
    json_key(&o, "may_remove_in", s->remove[0] ? json_string(s->remove) : json_null());
    return json_end(&o);
}

/* null: there is none. */
static json_t *of_disk_cache(const struct load_figures *now)
{
    const hearth_disk_cache *c = &now->disk_cache;
    if (!now->has_disk_cache)
        return json_null();
    struct json_out o = json_begin();
    json_key(&o, "n_pages", of_u64(c->n_pages));
    json_key(&o, "bytes", of_u64(c->bytes));
    json_key(&o, "most_bytes", of_u64(c->most_bytes));
    json_key(&o, "n_waiting", of_u64(c->n_waiting));
    json_key(&o, "n_read", of_u64(c->n_read));
    json_key(&o, "n_written", of_u64(c->n_written));
    json_key(&o, "n_dropped", of_u64(c->n_dropped));
    json_key(&o, "n_removed", of_u64(c->n_removed));
    json_key(&o, "n_foreign", of_u64(c->n_foreign));
    json_key(&o, "n_unusable", of_u64(c->n_unusable));
    json_key(&o, "n_read_failed", of_u64(c->n_read_failed));
    json_key(&o, "n_write_failed", of_u64(c->n_write_failed));
    return json_end(&o);
}

/* null: nothing is recorded. */
static json_t *of_recorder(const struct recorder_figures *r)
{
    if (!r->on)
        return json_null();
    struct json_out o = json_begin();
    json_key(&o, "mode", json_string(r->full ? "full" : "receipts"));
    json_key(&o, "path", json_of_bytes(r->path, strlen(r->path)));
    json_key(&o, "bytes", of_u64(r->bytes));
    json_key(&o, "n_written", of_u64(r->n_written));
    json_key(&o, "n_waiting", of_u64(r->n_waiting));
    json_key(&o, "n_dropped", of_u64(r->n_dropped));
    json_key(&o, "n_removed", of_u64(r->n_removed));
    json_key(&o, "n_failed", of_u64(r->n_failed));
    json_key(&o, "problem", r->problem[0] ? json_of_bytes(r->problem, strlen(r->problem)) : json_null());
    return json_end(&o);
}

static json_t *of_now(const struct load_figures *now)
{
    struct json_out o = json_begin();
    json_key(&o, "uptime_s", json_real(now->uptime_s));
    json_key(&o, "draining", json_boolean(now->draining));
    json_key(&o, "stalled", json_boolean(now->stalled));
    json_key(&o, "n_running", json_integer(now->n_running));
    json_key(&o, "n_waiting", json_integer(now->n_waiting));
    json_key(&o, "n_waiting_tokens", of_u64(now->waiting_tokens));
    json_key(&o, "n_connections", json_integer(now->n_connections));
    json_key(&o, "memory_used_bytes", of_u64(now->memory_used_bytes));
    json_key(&o, "n_requests", of_u64(now->n_requests));
    json_key(&o, "n_completed", of_u64(now->n_completed));
    json_key(&o, "n_cancelled", of_u64(now->n_cancelled));
    json_key(&o, "n_failed", of_u64(now->n_failed));
    json_key(&o, "n_refused", of_u64(now->n_refused));
    json_key(&o, "n_turned_away", of_u64(now->n_turned_away));
    return json_end(&o);
}

static json_t *of_model(const struct view *v, const struct model_load *load)
{
    struct json_out model = json_begin();
    json_key(&model, "id", json_string(v->model_id));
    json_key(&model, "file", json_string(v->file_id));
    json_key(&model, "identity", json_string(v->model_identity));
    json_key(&model, "state", json_string("ready"));
    json_key(&model, "n_ctx_tokens", json_integer(v->plan.n_ctx_tokens));
    json_key(&model, "chat", json_boolean(v->has_template));
    json_key(&model, "preset", preset_keys(v));
    json_key(&model, "plan", plan_to_json(&v->plan));
    json_key(&model, "n_parallel", json_integer(v->n_parallel));
    json_key(&model, "n_running", json_integer(load->n_running));
    json_key(&model, "n_waiting", json_integer(load->n_waiting));
    json_key(&model, "n_completed", of_u64(load->n_completed));
    return json_end(&model);
}

static bool get(const struct view *v, const struct load_figures *now, const char *tail, struct buf *out,
                struct problem *p)
{
    (void)tail;
    struct json_out o = json_begin();
    json_t *models = json_array();
    uint64_t planned = v->plan.request_bytes; /* once for all */
    for (int i = 0; i < v->n_all; i++)
        if (json_array_append_new(models, of_model(&v->all[i], &now->of[i])) != 0)
            o.failed = true;
        else
            planned += v->all[i].plan.total_bytes - v->all[i].plan.request_bytes;
    json_key(&o, "version", json_string(hearth_version()));
    json_key(&o, "settings", v->settings ? json_of_bytes(v->settings, strlen(v->settings)) : json_null());
    json_key(&o, "models", models);
    json_key(&o, "memory", json_pack("{s:I, s:I}", "budget_bytes", (json_int_t)v->plan.machine_budget_bytes,
                                     "planned_bytes", (json_int_t)planned));
    json_key(&o, "limits", of_limits(v));
    json_key(&o, "disk_cache", of_disk_cache(now));
    json_key(&o, "recorder", of_recorder(&now->recorder));
    json_key(&o, "now", of_now(now));
    if (v->sandbox)
        json_key(&o, "sandbox", of_sandbox(v->sandbox));
    return json_put(out, json_end(&o)) || ask_no_memory(p);
}

const struct endpoint endpoint_status = { .get = get };
