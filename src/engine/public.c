/* public.c: the parts of hearth.h that need no engine. */
#include <stdio.h>
#include <string.h>

#include "engine/registry.h"

const char *hearth_version(void) { return HEARTH_VERSION; }
int hearth_arithmetic_revision(void) { return ARITHMETIC_REVISION; }

const char *hearth_isa(hearth_error *err)
{
    err_clear(err);
    const struct kernels *k = kernels_get(err);
    return k ? k->isa : NULL;
}

const char *hearth_isa_list(void) { return kernels_usable_names(); }

const char *hearth_kv_type_name(hearth_kv_type type)
{
    static const char *const names[HEARTH_N_KV_TYPES] = {
#define KV_TYPE(name, value_bytes, group, help) #name,
#include "hearth/kv_types.def"
    };
    return (size_t)type < HEARTH_N_KV_TYPES ? names[type] : NULL;
}

bool hearth_request_id_valid(const char *text, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++) {
        char c = text[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (!c || !strchr("-_.:=+@", c)))
            return false;
    }
    return n_bytes >= 1 && n_bytes <= HEARTH_REQUEST_ID_BYTES;
}

const char *hearth_fim_name(hearth_fim which)
{
    static const char *const names[HEARTH_N_FIM] = {
        [HEARTH_FIM_PREFIX] = "fim_prefix", [HEARTH_FIM_SUFFIX] = "fim_suffix", [HEARTH_FIM_MIDDLE] = "fim_middle",
        [HEARTH_FIM_PAD] = "fim_pad",       [HEARTH_FIM_REPOSITORY] = "fim_rep", [HEARTH_FIM_FILE] = "fim_sep",
    };
    return (size_t)which < HEARTH_N_FIM ? names[which] : NULL;
}

size_t hearth_architectures(const char **names, size_t cap)
{
    size_t n = 0;
    for (; arch_all[n]; n++)
        if (n < cap)
            names[n] = arch_all[n]->name;
    return n;
}

/* ---- sampling parameters, from the one list ---- */

const hearth_sampling_info hearth_sampling_table[HEARTH_N_SAMPLING] = {
#define SAMPLER(name, type, dflt, least, most, help) { #name, #type, help, dflt, least, most },
#include "hearth/sampling.def"
};

void hearth_sampling_set(hearth_sampling *s, int index, double value)
{
    switch (index) {
#define SAMPLER(name, type, dflt, least, most, help) \
    case HEARTH_SAMPLING_##name:                     \
        s->name = (type)value;                       \
        break;
#include "hearth/sampling.def"
    default:
        break;
    }
}

double hearth_sampling_get(const hearth_sampling *s, int index)
{
    switch (index) {
#define SAMPLER(name, type, dflt, least, most, help) \
    case HEARTH_SAMPLING_##name:                     \
        return (double)s->name;
#include "hearth/sampling.def"
    default:
        return 0;
    }
}

bool sampling_value_ok(int index, double value)
{
    const hearth_sampling_info *info = &hearth_sampling_table[index];
    return value >= info->least && value <= info->most && !(index == HEARTH_SAMPLING_mirostat && value == 1);
}

/* general.sampling.<name>: hearth's name, and the one that converters write where that is another. */
static const char *file_name(int index, bool other)
{
    switch (other ? index : -1) {
    case HEARTH_SAMPLING_temperature:
        return "temp";
    case HEARTH_SAMPLING_repeat_penalty:
        return "penalty_repeat";
    case HEARTH_SAMPLING_repeat_last_n:
        return "penalty_last_n";
    default:
        return hearth_sampling_table[index].name;
    }
}

/* A whole number is as good as a real one. */
static bool file_value(const struct gguf *g, int index, const char *name, double *value)
{
    const hearth_sampling_info *info = &hearth_sampling_table[index];
    char key[96];
    hearth_error ignored = { 0 };
    uint64_t whole = 0;
    double real = 0;
    snprintf(key, sizeof key, "general.sampling.%s", name);
    if (!gguf_find(g, key))
        return false;
    if (!gguf_float_or(g, key, info->least, info->most, real, &real, &ignored)) {
        if (!gguf_uint_or(g, key, 0, (uint64_t)info->most, 0, &whole, &ignored))
            return false;
        real = (double)whole;
    }
    if (!sampling_value_ok(index, real))
        return false;
    *value = real;
    return true;
}

/* Request > the file's general.sampling.* > hearth; the request's part is the caller's. A value
 * of the file that is out of range is left out, as if it were not there. */
void hearth_sampling_defaults(const hearth_model *model, hearth_sampling *s, hearth_origin *origin)
{
    for (int i = 0; i < HEARTH_N_SAMPLING; i++) {
        const hearth_sampling_info *info = &hearth_sampling_table[i];
        double value = info->dflt;
        hearth_origin from = HEARTH_FROM_DEFAULT;
        const struct gguf *g = model ? &model->file->gguf : NULL;
        if (g && (file_value(g, i, file_name(i, false), &value) || file_value(g, i, file_name(i, true), &value)))
            from = HEARTH_FROM_MODEL;
        hearth_sampling_set(s, i, value);
        if (origin)
            origin[i] = from;
    }
}
