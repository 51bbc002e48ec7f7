/* preset.h: what the settings of a server say of one model: what requests have that do not say it themselves. Pure. */
#pragma once
#include <jansson.h>

#include "base/buf.h"
#include "hearth/hearth.h"

/* Texts live as long as the server. */
struct preset {
    const char *name;                 /* "[model.\"qwen3\"]": clients see it, so no path of a file */
    const char *const *of_model;      /* [n_of_model]: keys that hold whatever a request says: "ctx", "chat-template" */
    int n_of_model, n_unseen;         /* the last of them that no request goes by: "pin" */
    const char *system;               /* the system message of conversations that do not begin with one; NULL: none */
    const char *template_kwargs;      /* JSON text of an object; a request's own values win; NULL: none */
    hearth_thinking thinking;
    bool has_sampling[HEARTH_N_SAMPLING];
    hearth_sampling sampling;
    const hearth_sampling_order *order; /* NULL: not said */
    const char *const *breakers;      /* [n_breakers]; NULL: not said */
    size_t n_breakers;
};

struct ask;
struct fields;
struct view;
struct problem;

/* The parameters of a preset over those that the view has. */
void preset_sampling(struct view *v);

/* What a request leaves unsaid, after all of it was read. False: memory is out (p is set). */
void preset_request(struct ask *a, const struct view *v);
bool preset_chat(struct ask *a, const struct fields *f, const struct view *v, struct problem *p);

/* {"name": ..., "used": [keys that this request went by]}; "keys" of /hearth/status: all that it says. A new reference;
 * null without a preset; NULL when memory is out. */
json_t *preset_used(const struct ask *a, const struct view *v);
json_t *preset_keys(const struct view *v);

/* The same for people: "[model.\"x\"]: ctx, system". */
void preset_put(const struct view *v, struct buf *out);
