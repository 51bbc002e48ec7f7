#include "cli/preset.h"

#include <stdio.h>
#include <string.h>

#include "cli/generate_opts.h"
#include "cli/template_choice.h"

enum { SAMPLING = PRESET_SAMPLING }; /* for sampling_rows.def */

const struct opt preset_opts[PRESET_N_OPTS] = {
    [PRESET_SYSTEM] = { .name = "system", .type = OPT_TEXT, .value = "TEXT",
                        .help = "what the model is told before a conversation that has no system message" },
    [PRESET_TEMPLATE] = OPT_TEMPLATE_ROW,
    [PRESET_KWARGS] = OPT_KWARGS_ROW,
    [PRESET_THINKING] = OPT_THINKING_ROW,
    [PRESET_NO_THINKING] = OPT_NO_THINKING_ROW,
    [PRESET_CTX] = OPT_CTX_ROW,
    [PRESET_KV_TYPE] = OPT_KV_TYPE_ROW,
    [PRESET_SAMPLERS] = OPT_SAMPLERS_ROW,
    [PRESET_BREAKER] = OPT_BREAKER_ROW,
#include "cli/sampling_rows.def"
};

const struct toml_section *preset_find(const struct settings *s, const char *name, const char *other)
{
    const struct toml_section *found = s ? toml_section_find(&s->toml, "model", name) : NULL;
    return found || !s || !other ? found : toml_section_find(&s->toml, "model", other);
}

void preset_name(const struct settings *s, const struct toml_section *preset, char out[PRESET_NAME_BYTES])
{
    snprintf(out, PRESET_NAME_BYTES, "[model.\"%s\"] of %s", preset->sub, s->path);
}

bool preset_apply(struct args *a, const struct command *c, const struct model_choice *model, hearth_error *err)
{
    char file[MODEL_FILE_ID_BYTES], name[PRESET_NAME_BYTES];
    model_file_id(model, file);
    const struct toml_section *preset = preset_find(a->settings, file, NULL);
    if (!preset)
        return true;
    if (!settings_fill_from(a->settings, preset, c->opts, c->n_opts, a->value, OPT_FROM_PRESET, err))
        return false;
    preset_name(a->settings, preset, name);
    fprintf(stderr, "preset: %s", name);
    const char *separator = ": ";
    for (int i = 0; i < c->n_opts; i++) {
        if (a->value[i].origin != OPT_FROM_PRESET)
            continue;
        fprintf(stderr, "%s%s", separator, c->opts[i].name);
        separator = ", ";
    }
    fputc('\n', stderr);
    return true;
}
