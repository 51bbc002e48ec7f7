/* models.c: GET /v1/models and /v1/models/ID: what is served, and how large its window is. */
#include <string.h>

#include "server/api/endpoints.h"
#include "server/api/named.h"
#include "server/api/turns.h"

static json_t *of_model(const struct view *v, const struct load_figures *now)
{
    struct json_out o = json_begin(), meta = json_begin();
    json_key(&meta, "n_ctx", json_integer(v->plan.n_ctx_tokens));
    json_key(&meta, "n_ctx_train", json_integer(v->info.n_ctx_train));
    json_key(&meta, "n_vocab", json_integer(v->info.n_vocab));
    json_key(&meta, "n_embd", json_integer(v->info.n_embd));
    json_key(&meta, "pooling", v->info.pooling[0] ? json_string(v->info.pooling) : json_null());
    json_key(&meta, "n_params", json_integer((json_int_t)v->info.n_parameters));
    json_key(&meta, "size", json_integer((json_int_t)v->info.file_bytes));
    json_key(&meta, "ftype", json_of_bytes(v->info.types, strlen(v->info.types)));
    json_key(&meta, "architecture", json_of_bytes(v->info.architecture, strlen(v->info.architecture)));
    json_key(&meta, "verified", verified_json(&v->verified));
    json_key(&o, "id", json_string(v->model_id));
    json_key(&o, "object", json_string("model"));
    json_key(&o, "created", json_integer(v->started_s));
    json_key(&o, "owned_by", json_string("hearth"));
    json_key(&o, "context_length", json_integer(v->plan.n_ctx_tokens));
    json_key(&o, "max_model_len", json_integer(v->plan.n_ctx_tokens));
    json_key(&o, "aliases", strcmp(v->model_id, v->file_id) ? json_pack("[s]", v->file_id) : json_array());
    turns_put(&o, &now->of[v->all ? v - v->all : 0].engine);
    json_key(&o, "meta", json_end(&meta));
    return json_end(&o);
}

static bool list(const struct view *v, const struct load_figures *now, const char *tail, struct buf *out,
                 struct problem *p)
{
    (void)tail;
    json_t *data = json_array();
    bool failed = !data;
    for (int i = 0; i < v->n_all; i++)
        failed |= json_array_append_new(data, of_model(&v->all[i], now)) != 0;
    json_t *all = json_pack("{s:s, s:o}", "object", "list", "data", data);
    if (!failed)
        return json_put(out, all) || ask_no_memory(p);
    json_decref(all);
    return ask_no_memory(p);
}

static bool one(const struct view *v, const struct load_figures *now, const char *tail, struct buf *out,
                struct problem *p)
{
    const struct view *found = named_in_url(v, str_z(tail));
    if (!found)
        return named_refuse(v, str_z(tail), p);
    return json_put(out, of_model(found, now)) || ask_no_memory(p);
}

const struct endpoint endpoint_models = { .get = list }, endpoint_model = { .get = one };
