/* sampling_order.c: the order of the sampler's stages, as text and out of a model file. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "engine/registry.h"

static const char *const names[HEARTH_N_STAGES + 1] = {
#define STAGE(name, spellings, help) #name,
#include "hearth/sampling_stages.def"
    NULL
};
static const char *const other_spellings[HEARTH_N_STAGES] = {
#define STAGE(name, spellings, help) spellings,
#include "hearth/sampling_stages.def"
};

const char *const *hearth_sampling_stages(void) { return names; }

void hearth_sampling_order_write(const hearth_sampling_order *order, char text[HEARTH_ORDER_BYTES])
{
    size_t used = 0;
    text[0] = 0;
    for (int i = 0; i < order->n && i < HEARTH_N_STAGES; i++)
        if (order->stage[i] < HEARTH_N_STAGES && used < HEARTH_ORDER_BYTES - 16)
            used += (size_t)snprintf(text + used, HEARTH_ORDER_BYTES - used, "%s%s", used ? ";" : "",
                                     names[order->stage[i]]);
}

static bool equal(struct str a, const char *b, size_t n) { return a.len == n && strncasecmp(a.ptr, b, n) == 0; }

/* HEARTH_N_STAGES: there is none of that name. */
static int find_stage(struct str name)
{
    for (int s = 0; s < HEARTH_N_STAGES; s++) {
        if (equal(name, names[s], strlen(names[s])))
            return s;
        for (const char *p = other_spellings[s]; *p; p += *p == ' ') {
            size_t n = strcspn(p, " ");
            if (equal(name, p, n))
                return s;
            p += n;
        }
    }
    return HEARTH_N_STAGES;
}

static struct str trimmed(struct str s)
{
    while (s.len && s.ptr[0] == ' ')
        s = (struct str){ s.ptr + 1, s.len - 1 };
    while (s.len && s.ptr[s.len - 1] == ' ')
        s.len--;
    return s;
}

static bool read_order(hearth_sampling_order *order, struct str text, hearth_error *err)
{
    *order = (hearth_sampling_order){ 0 };
    if (!trimmed(text).len)
        return true;
    for (size_t at = 0; at <= text.len;) {
        size_t end = at;
        while (end < text.len && text.ptr[end] != ';')
            end++;
        struct str name = trimmed((struct str){ text.ptr + at, end - at });
        int stage = find_stage(name), n_shown = (int)min_size(name.len, 40);
        if (stage == HEARTH_N_STAGES) {
            char all[HEARTH_ORDER_BYTES];
            hearth_sampling_order_write(sampling_order_standard(), all);
            return fail(err, HEARTH_ERR_USAGE, "there is no sampler '%.*s'; there are %s", n_shown, name.ptr, all);
        }
        if (sampling_order_has(order, stage))
            return fail(err, HEARTH_ERR_USAGE, "the sampler '%.*s' stands twice in the order; name it once", n_shown,
                        name.ptr);
        order->stage[order->n++] = (unsigned char)stage;
        at = end + 1;
    }
    return true;
}

bool hearth_sampling_order_read(hearth_sampling_order *order, const char *text, hearth_error *err)
{
    return read_order(order, str_z(text), err);
}

/* ---- the model's ---- */

static const char key[] = "general.sampling.sequence";

static bool file_order(const hearth_model *m, hearth_sampling_order *order, hearth_error *err)
{
    struct str text;
    return gguf_need_str(&m->file->gguf, key, &text, err) && read_order(order, text, err);
}

hearth_origin hearth_sampling_order_default(const hearth_model *model, hearth_sampling_order *order)
{
    hearth_error ignored = { 0 };
    if (model && gguf_find(&model->file->gguf, key) && file_order(model, order, &ignored))
        return HEARTH_FROM_MODEL;
    *order = *sampling_order_standard();
    return HEARTH_FROM_DEFAULT;
}

void sampling_sequence_problem(const hearth_model *m, char *text, size_t room)
{
    hearth_sampling_order order;
    hearth_error err = { 0 };
    text[0] = 0;
    if (gguf_find(&m->file->gguf, key) && !file_order(m, &order, &err))
        snprintf(text, room, "%s", err.message);
}
