#include "server/api/preset.h"

#include <string.h>

#include "server/api/endpoints.h"

/* ---- what a request goes by ---- */

void preset_sampling(struct view *v)
{
    for (int i = 0; v->preset && i < HEARTH_N_SAMPLING; i++) {
        if (!v->preset->has_sampling[i])
            continue;
        hearth_sampling_set(&v->sampling, i, hearth_sampling_get(&v->preset->sampling, i));
        v->sampling_origin[i] = HEARTH_FROM_PRESET;
    }
}

void preset_request(struct ask *a, const struct view *v)
{
    hearth_request *r = &a->request;
    if (v->preset && v->preset->order && !r->sampling_order) {
        r->sampling_order = v->preset->order;
        r->sampling_order_origin = HEARTH_FROM_PRESET;
    }
    if (v->preset && v->preset->breakers && !r->dry_sequence_breakers) {
        r->dry_sequence_breakers = v->preset->breakers;
        r->n_dry_sequence_breakers = v->preset->n_breakers;
        r->dry_sequence_breakers_origin = HEARTH_FROM_PRESET;
    }
}

static bool begins_with_system(const hearth_chat *chat)
{
    const char *role = chat->n_messages > 0 ? chat->messages[0].role : "";
    return strcmp(role, "system") == 0 || strcmp(role, "developer") == 0;
}

/* One message more, in front. */
static bool add_system(struct ask *a, const char *text)
{
    hearth_chat *chat = &a->chat.chat;
    hearth_message *messages = arena_array(&a->arena, hearth_message, chat->n_messages + 1);
    hearth_text *part = arena_new(&a->arena, hearth_text);
    if (!messages || !part)
        return false;
    *part = (hearth_text){ text, strlen(text) };
    messages[0] = (hearth_message){ .role = "system", .parts = part, .n_parts = 1 };
    memcpy(messages + 1, chat->messages, chat->n_messages * sizeof *messages);
    chat->messages = messages;
    chat->n_messages++;
    a->text_bytes += part->n_bytes;
    a->preset_system = true;
    return true;
}

static int put_piece(const char *bytes, size_t n, void *out)
{
    struct buf *b = out;
    buf_put(b, bytes, n);
    return b->failed ? -1 : 0;
}

/* Values that the request's own do not have, or all where it has none. own: NULL, or an object. */
static bool add_kwargs(struct ask *a, const char *text, const json_t *own)
{
    struct buf merged = { 0 };
    if (!own) {
        a->chat.chat.template_kwargs = text;
        a->preset_kwargs = true;
        return true;
    }
    json_t *all = json_loads(text, MESSAGES_JSON_FLAGS, NULL);
    bool ok = all && json_object_update(all, (json_t *)(uintptr_t)own) == 0;
    ok = ok && json_dump_callback(all, put_piece, &merged, JSON_COMPACT) == 0 && !merged.failed;
    struct str copy = ok ? arena_strdup(&a->arena, buf_str(&merged)) : (struct str){ 0 };
    a->chat.chat.template_kwargs = copy.ptr;
    a->preset_kwargs = json_object_size(all) > json_object_size(own);
    json_decref(all);
    buf_free(&merged);
    return copy.ptr != NULL;
}

bool preset_chat(struct ask *a, const struct fields *f, const struct view *v, struct problem *p)
{
    const struct preset *preset = v->preset;
    if (!preset)
        return true;
    const char *text = a->chat.chat.template_kwargs;
    json_t *own = text ? json_loads(text, MESSAGES_JSON_FLAGS, NULL) : NULL;
    bool ok = !text || own;
    if (preset->thinking != HEARTH_THINKING_DEFAULT && a->chat.chat.thinking == HEARTH_THINKING_DEFAULT
        && !f->value[F_reasoning_effort] && !json_object_get(own, v->thinking_switch)) {
        a->chat.chat.thinking = preset->thinking;
        a->preset_thinking = true;
    }
    if (preset->system && !begins_with_system(&a->chat.chat))
        ok = ok && add_system(a, preset->system);
    if (preset->template_kwargs)
        ok = ok && add_kwargs(a, preset->template_kwargs, own);
    json_decref(own);
    return ok || ask_no_memory(p);
}

/* ---- saying so ---- */

static void put_key(json_t *list, const char *key, bool is_one, bool *failed)
{
    *failed |= is_one && json_array_append_new(list, json_string(key)) != 0;
}

/* a NULL: all that the preset says. */
static json_t *keys_of(const struct ask *a, const struct preset *p)
{
    json_t *list = json_array();
    const hearth_request *r = a ? &a->request : NULL;
    bool failed = !list;
    for (int i = 0; i < p->n_of_model - (a ? p->n_unseen : 0); i++)
        put_key(list, p->of_model[i], true, &failed);
    put_key(list, "system", a ? a->preset_system : p->system != NULL, &failed);
    put_key(list, "chat-template-kwargs", a ? a->preset_kwargs : p->template_kwargs != NULL, &failed);
    put_key(list, p->thinking == HEARTH_THINKING_ON ? "thinking" : "no-thinking",
            a ? a->preset_thinking : p->thinking != HEARTH_THINKING_DEFAULT, &failed);
    put_key(list, "samplers", r ? r->sampling_order_origin == HEARTH_FROM_PRESET : p->order != NULL, &failed);
    put_key(list, "dry-sequence-breaker",
            r ? r->dry_sequence_breakers_origin == HEARTH_FROM_PRESET : p->breakers != NULL, &failed);
    for (int i = 0; i < HEARTH_N_SAMPLING; i++)
        put_key(list, hearth_sampling_table[i].name,
                r ? r->sampling_origin[i] == HEARTH_FROM_PRESET : p->has_sampling[i], &failed);
    if (!failed)
        return list;
    json_decref(list);
    return NULL;
}

json_t *preset_used(const struct ask *a, const struct view *v)
{
    const struct preset *p = v->preset;
    return !p ? json_null() : json_pack("{s:s, s:o}", "name", p->name, "used", keys_of(a, p));
}

json_t *preset_keys(const struct view *v)
{
    const struct preset *p = v->preset;
    return !p ? json_null() : json_pack("{s:s, s:o}", "name", p->name, "keys", keys_of(NULL, p));
}

void preset_put(const struct view *v, struct buf *out)
{
    json_t *keys = keys_of(NULL, v->preset), *key;
    size_t i;
    out->failed |= !keys;
    buf_puts(out, v->preset->name);
    json_array_foreach(keys, i, key)
        buf_printf(out, "%s%s", i ? ", " : ": ", json_string_value(key));
    json_decref(keys);
}
