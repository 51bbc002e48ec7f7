/* served.c: the models that are served: what is known of each, whose a request is, and how many it may have waiting. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "server/api/named.h"
#include "server/core.h"

static const char *token_text(void *file, int32_t id, size_t *n_bytes)
{
    return hearth_file_token_text(file, id, n_bytes);
}

static bool digest(void *file, char out[65]) { return hearth_file_digest(file, out, NULL); }

static void fill_view(struct server *s, int i)
{
    const struct server_options *o = &s->options;
    const struct server_model *model = &o->models[i];
    struct served *served = &s->served[i];
    struct view *v = &s->views[i];
    hearth_template_info template;
    served->model = model->model;
    served->file = hearth_model_file(model->model);
    v->all = s->views;
    v->n_all = o->n_models;
    v->model_id = model->model_id;
    v->file_id = model->file_id;
    v->model_identity = hearth_model_identity(model->model);
    v->started_s = s->started_s;
    verified_read(v->model_identity, digest, served->file, &v->verified);
    hearth_file_describe(served->file, &v->info);
    hearth_model_plan(model->model, &v->plan);
    hearth_file_plan_choices(served->file, &v->plan, &v->plan_choices);
    v->plan_asked = model->asked;
    bool has_template = hearth_file_template(served->file, &template);
    if (has_template && template.problem[0]) /* for want of memory: then not when it is asked once more */
        hearth_file_template(served->file, &template);
    v->has_template = has_template && !template.problem[0];
    v->has_thinking_switch = v->has_template && template.thinking_switch[0];
    v->thinking_switch = v->has_thinking_switch ? template.thinking_switch : "";
    v->preset = model->preset;
    v->settings = o->settings_name;
    hearth_sampling_defaults(model->model, &v->sampling, v->sampling_origin);
    preset_sampling(v);
    v->n_parallel = o->n_parallel;
    v->n_queue = o->n_queue;
    v->ping_ms = o->ping_ms;
    v->request_ms = o->request_ms;
    v->body_max_bytes = o->body_max_bytes;
    v->memory_bytes = o->memory_bytes;
    v->strict = o->strict;
    v->sandbox = o->sandbox;
    v->has_keys = s->keys.n > 0;
    v->token_text = token_text;
    v->token_arg = v->file = served->file;
    snprintf(served->fingerprint, sizeof served->fingerprint, "%.16s-r%d", v->model_identity,
             hearth_arithmetic_revision());
    v->fingerprint = served->fingerprint;
}

/* The engine has one queue for all of them: by the longest window, unless it was said. */
static void bound_queue(struct server *s)
{
    const struct server_options *o = &s->options;
    uint64_t n = o->n_queue_tokens, window = 0;
    for (int i = 0; i < o->n_models; i++)
        window = max_size(window, (uint64_t)s->views[i].plan.n_ctx_tokens);
    n = n ? n : window * (uint64_t)o->n_parallel;
    for (int i = 0; i < o->n_models; i++)
        s->views[i].n_queue_tokens = n;
    hearth_engine_bound_queue(o->engine, n);
}

bool served_fill(struct server *s, hearth_error *err)
{
    size_t n = (size_t)s->options.n_models;
    s->views = mem_alloc(n * sizeof *s->views);
    s->served = mem_alloc(n * sizeof *s->served);
    if (!s->views || !s->served)
        return fail_memory(err, "the server's models");
    for (int i = 0; i < s->options.n_models; i++)
        fill_view(s, i);
    bound_queue(s);
    return true;
}

void served_free(struct server *s)
{
    mem_free(s->views);
    mem_free(s->served);
}

const struct view *served_view(const struct exchange *x) { return &x->server->views[x->model]; }

/* ---- a request's model, and room there ---- */

static int n_over(const struct server *s)
{
    int n = 0;
    for (int i = 0; i < s->options.n_models; i++)
        n += max_int(atomic_load(&s->served[i].n_active) - s->options.n_parallel, 0);
    return n;
}

/* Whoever has a free slot comes in, however many wait for other models. */
static bool take_place(struct exchange *x, struct problem *p)
{
    struct server *s = x->server;
    struct served *m = &s->served[x->model];
    const struct server_options *o = &s->options;
    if (o->n_models > 1 && atomic_load(&m->n_active) >= o->n_parallel && n_over(s) >= o->n_queue)
        return refuse(p, PROBLEM_queue_full, NULL, "%d requests of '%.100s' are running, and %d wait, the most that "
                      "this server lets wait for all its models; try again later", o->n_parallel,
                      s->views[x->model].model_id, o->n_queue);
    atomic_fetch_add(&m->n_active, 1);
    x->placed = true;
    return true;
}

bool served_choose(struct exchange *x, const json_t *body, struct problem *p)
{
    const json_t *name = json_object_get(body, "model");
    const struct view *views = x->server->views;
    struct str text = { json_string_value(name), json_string_length(name) };
    const struct view *v = named_by_request(views, text, p);
    if (!v)
        return false;
    return served_take(x, (int)(v - views), p);
}

bool served_take(struct exchange *x, int model, struct problem *p)
{
    x->model = model;
    return !x->generates || take_place(x, p);
}

void served_leave(struct exchange *x)
{
    struct served *m = &x->server->served[x->model];
    if (x->placed)
        atomic_fetch_sub(&m->n_active, 1);
    if (x->placed && x->ended && x->problem.code == PROBLEM_none)
        atomic_fetch_add(&m->n_completed, 1);
    x->placed = false;
    x->model = 0;
}

void served_count(struct exchange *x, const hearth_receipt *r)
{
    struct served *m = &x->server->served[x->model];
    atomic_fetch_add(&m->prompt_tokens, (unsigned long long)r->n_prompt_tokens);
    atomic_fetch_add(&m->cached_tokens, (unsigned long long)r->n_cached_tokens);
    atomic_fetch_add(&m->output_tokens, (unsigned long long)r->n_output_tokens);
    atomic_fetch_add(&m->prompt_us, (unsigned long long)(r->prefill_ms * 1000));
    atomic_fetch_add(&m->output_us, (unsigned long long)(r->decode_ms * 1000));
    m->n_preemptions += (uint64_t)r->n_preemptions;
    m->n_draft_tokens += (uint64_t)r->n_draft_tokens;
    m->n_accepted_tokens += (uint64_t)r->n_accepted_tokens;
    times_add(&m->queue, r->queue_ms);
    if (r->n_output_tokens > 0)
        times_add(&m->first_token, r->first_token_ms);
}

/* Where one model is served, whose body is still being read is its own, too. */
void served_load(struct server *s, int n_active, struct load_figures *out)
{
    out->n_models = s->options.n_models;
    for (int i = 0; i < s->options.n_models; i++) {
        struct served *m = &s->served[i];
        struct model_load *load = &out->of[i];
        int active = s->options.n_models == 1 ? n_active : atomic_load(&m->n_active);
        *load = (struct model_load){
            .n_running = min_int(active, s->options.n_parallel),
            .n_waiting = max_int(active - s->options.n_parallel, 0),
            .n_completed = atomic_load(&m->n_completed),
            .prompt_tokens = atomic_load(&m->prompt_tokens),
            .cached_tokens = atomic_load(&m->cached_tokens),
            .output_tokens = atomic_load(&m->output_tokens),
            .prompt_ms = (double)atomic_load(&m->prompt_us) / 1000,
            .output_ms = (double)atomic_load(&m->output_us) / 1000,
            .n_preemptions = m->n_preemptions,
            .n_draft_tokens = m->n_draft_tokens,
            .n_accepted_tokens = m->n_accepted_tokens,
            .queue = m->queue,
            .first_token = m->first_token,
        };
        hearth_model_look(m->model, &load->engine);
        hearth_model_readahead(m->model, &load->weights);
        out->n_running += load->n_running;
        out->output_tokens += load->output_tokens;
    }
    out->n_waiting = max_int(n_active - out->n_running, 0);
}
