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
    [PRESET_PIN] = { .name = "pin", .type = OPT_FLAG, .help = "of hearth serve: the model never sleeps" },
    [PRESET_KEEP_ALIVE] = OPT_KEEP_ALIVE_ROW,
    [PRESET_SAMPLERS] = OPT_SAMPLERS_ROW,
    [PRESET_BREAKER] = OPT_BREAKER_ROW,
#include "cli/sampling_rows.def"
};

const struct toml_section *preset_find(const struct settings *s, const char *name, const char *other)
{
    const struct toml_section *found = s ? toml_section_find(&s->toml, "model", name) : NULL;
    return found || !s || !other ? found : toml_section_find(&s->toml, "model", other);
}

bool preset_fill(const struct settings *s, const struct toml_section *preset, const struct command *c,
                 struct opt_value *values, hearth_error *err)
{
    struct opt_value said[PRESET_N_OPTS] = { 0 };
    if (!settings_fill_from(s, preset, preset_opts, PRESET_N_OPTS, said, OPT_FROM_PRESET, err))
        return false;
    for (int i = 0; i < c->n_opts; i++)
        for (int k = 0; k < PRESET_N_OPTS; k++)
            if (said[k].origin != OPT_UNSET && values[i].origin <= OPT_FROM_PRESET
                && preset_opts[k].type == c->opts[i].type && strcmp(preset_opts[k].name, c->opts[i].name) == 0)
                values[i] = said[k];
    return true;
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
    if (!preset_fill(a->settings, preset, c, a->value, err))
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
