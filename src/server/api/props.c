/* props.c: GET /props, as llama.cpp has it; nothing can be changed through it. Of several models it is about the one
 * that ?model= names, else the first; `models` has all. */
#include <string.h>

#include "record/receipt_json.h"
#include "server/api/endpoints.h"

static json_t *of_text(const char *text) { return json_of_bytes(text ? text : "", text ? strlen(text) : 0); }

static json_t *of_defaults(const struct view *v)
{
    struct json_out o = json_begin();
    for (int i = 0; i < HEARTH_N_SAMPLING; i++) {
        const hearth_sampling_info *info = &hearth_sampling_table[i];
        double value = hearth_sampling_get(&v->sampling, i);
        json_key(&o, info->name, strcmp(info->type, "int") == 0 ? json_integer((json_int_t)value)
                                                                : json_of_float((float)value));
    }
    return json_end(&o);
}

static bool get(const struct view *v, const struct load_figures *now, const char *tail, struct buf *out,
                struct problem *p)
{
    (void)now;
    (void)tail;
    struct json_out o = json_begin();
    json_key(&o, "default_generation_settings", json_pack("{s:i, s:o}", "n_ctx", v->plan.n_ctx_tokens, "params",
                                                          of_defaults(v)));
    json_key(&o, "total_slots", json_integer(v->n_parallel));
    json_key(&o, "model_alias", json_string(v->model_id));
    json_key(&o, "model_path", json_string(v->file_id));
    json_key(&o, "model_ftype", of_text(v->info.types));
    json_key(&o, "modalities", json_pack("{s:b, s:b, s:b}", "vision", 0, "audio", 0, "video", 0));
    json_key(&o, "chat_template", of_text(v->info.template_text));
    json_key(&o, "build_info", json_pack("s", hearth_version()));
    json_key(&o, "is_sleeping", json_false());
    if (v->n_all > 1) {
        json_t *ids = json_array();
        for (int i = 0; i < v->n_all; i++)
            if (json_array_append_new(ids, json_string(v->all[i].model_id)) != 0)
                o.failed = true;
        json_key(&o, "models", ids);
    }
    return json_put(out, json_end(&o)) || ask_no_memory(p);
}

const struct endpoint endpoint_props = { .get = get, .of_model = true };
