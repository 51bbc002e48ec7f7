/* status.c: GET /hearth/status: what is served, under which limits, and what is going on. */
#include <string.h>

#include "record/receipt_json.h"
#include "server/api/endpoints.h"
#include "server/api/turns.h"

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
    turns_put(&model, &load->engine);
    json_key(&model, "awake_bytes", of_u64(load->engine.awake_bytes));
    json_key(&model, "weights", json_pack("{s:b, s:I, s:I}", "reading", load->weights.reading, "read_bytes",
                                          (json_int_t)load->weights.read_bytes, "file_bytes",
                                          (json_int_t)load->weights.file_bytes));
    json_key(&model, "n_ctx_tokens", json_integer(v->plan.n_ctx_tokens));
    json_key(&model, "chat", json_boolean(v->has_template));
    json_key(&model, "preset", preset_keys(v));
    json_key(&model, "plan", plan_why_to_json(&v->plan, &v->plan_asked, &v->plan_choices));
    json_key(&model, "n_parallel", json_integer(v->n_parallel));
    json_key(&model, "n_running", json_integer(load->n_running));
    json_key(&model, "n_waiting", json_integer(load->n_waiting));
    json_key(&model, "n_completed", of_u64(load->n_completed));
    return json_end(&model);
}

/* What of it was planned, of all models together. */
static json_t *of_parts(const struct view *v)
{
    hearth_plan sum = { 0 };
    for (int i = 0; i < v->n_all; i++) {
        const hearth_plan *p = &v->all[i].plan;
        sum.weights_bytes += p->weights_bytes;
        sum.kv_bytes += p->kv_bytes;
        sum.workspace_bytes += p->workspace_bytes;
        sum.vocabulary_bytes += p->vocabulary_bytes;
    }
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "weights_bytes", of_u64(sum.weights_bytes), "kv_bytes",
                     of_u64(sum.kv_bytes), "workspace_bytes", of_u64(sum.workspace_bytes), "vocabulary_bytes",
                     of_u64(sum.vocabulary_bytes), "program_bytes", of_u64(v->plan.program_bytes), "request_bytes",
                     of_u64(v->plan.request_bytes));
}

/* Each kind with how often, and how much. */
static json_t *of_given(const hearth_given given[HEARTH_N_GIVES])
{
    json_t *list = json_array();
    for (int i = 0; i < HEARTH_N_GIVES; i++)
        if (json_array_append_new(list, json_pack("{s:s, s:o, s:o, s:o}", "what", hearth_gives_name((hearth_gives)i),
                                                  "n_times", of_u64(given[i].n_times), "n_pages",
                                                  of_u64(given[i].n_pages), "bytes", of_u64(given[i].bytes))) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *of_shortage(const struct memory_figures *m)
{
    struct json_out o = json_begin();
    json_key(&o, "is_short", json_boolean(m->is_short));
    json_key(&o, "n_shortages", of_u64(m->n_shortages));
    json_key(&o, "limit_bytes", of_u64(m->limit_bytes));
    json_key(&o, "used_bytes", of_u64(m->used_bytes));
    json_key(&o, "stalled_percent", m->stalled_percent < 0 ? json_null() : json_real(m->stalled_percent));
    json_key(&o, "given_back", of_given(m->given));
    return json_end(&o);
}

/* The plan, and beside it what there is now. */
static json_t *of_memory(const struct view *v, const struct load_figures *now)
{
    const struct memory_figures *m = &now->memory;
    struct json_out o = json_begin();
    uint64_t planned = v->plan.request_bytes + v->plan.program_bytes, kv = 0; /* once for all */
    uint64_t budget = v->plan.machine_budget_bytes;
    bool turns = false;
    for (int i = 0; i < v->n_all; i++) {
        const hearth_plan *p = &v->all[i].plan;
        planned += p->total_bytes - p->request_bytes - p->program_bytes;
        const hearth_model_now *is = &now->of[i].engine;
        kv += is->n_touched_pages * is->page_bytes + is->state_touched_bytes;
        turns = turns || now->of[i].engine.takes_turns;
    }
    json_key(&o, "budget_bytes", of_u64(budget));
    json_key(&o, "planned_bytes", of_u64(turns ? min_size(planned, budget) : planned)); /* not all are awake at once */
    json_key(&o, "take_turns", json_boolean(turns));
    json_key(&o, "planned", of_parts(v));
    json_key(&o, "resident_bytes", of_u64(m->resident_bytes));
    json_key(&o, "peak_resident_bytes", of_u64(m->peak_resident_bytes));
    json_key(&o, "anonymous_bytes", of_u64(m->anonymous_bytes));
    json_key(&o, "weights_resident_bytes", of_u64(m->weights_resident_bytes));
    json_key(&o, "kv_touched_bytes", of_u64(kv));
    json_key(&o, "shortage", of_shortage(m));
    return json_end(&o);
}

static bool get(const struct view *v, const struct load_figures *now, const char *tail, struct buf *out,
                struct problem *p)
{
    (void)tail;
    struct json_out o = json_begin();
    json_t *models = json_array();
    for (int i = 0; i < v->n_all; i++)
        if (json_array_append_new(models, of_model(&v->all[i], &now->of[i])) != 0)
            o.failed = true;
    json_key(&o, "version", json_string(hearth_version()));
    json_key(&o, "settings", v->settings ? json_of_bytes(v->settings, strlen(v->settings)) : json_null());
    json_key(&o, "models", models);
    json_key(&o, "memory", of_memory(v, now));
    json_key(&o, "limits", of_limits(v));
    json_key(&o, "disk_cache", of_disk_cache(now));
    json_key(&o, "recorder", of_recorder(&now->recorder));
    json_key(&o, "now", of_now(now));
    if (v->sandbox)
        json_key(&o, "sandbox", of_sandbox(v->sandbox));
    return json_put(out, json_end(&o)) || ask_no_memory(p);
}

const struct endpoint endpoint_status = { .get = get, .memory = MEMORY_OF_WEIGHTS };
