/* preset.h: what the settings file says of one model: [model.NAME], NAME being its alias or its file's name.
 *
 * serve, run and chat apply it: over what the file says for commands, under the environment and the line; a request's
 * own fields win over it. */
#pragma once
#include "cli/model_choice.h"
#include "cli/settings.h"

/* What such a section may have, as a table of options: those of commands, by the same names. */
enum {
    PRESET_SYSTEM, PRESET_TEMPLATE, PRESET_KWARGS, PRESET_THINKING, PRESET_NO_THINKING, PRESET_CTX, PRESET_KV_TYPE,
    PRESET_PIN, PRESET_KEEP_ALIVE, PRESET_SAMPLERS, PRESET_BREAKER,
    PRESET_SAMPLING, /* one for each line of sampling.def from here on */
    PRESET_N_OPTS = PRESET_SAMPLING + HEARTH_N_SAMPLING
};
extern const struct opt preset_opts[PRESET_N_OPTS];

/* The section for a model of this name, else of the other (NULL: there is none). NULL: the settings have none. */
const struct toml_section *preset_find(const struct settings *s, const char *name, const char *other);

/* What a section says into the values of a command's table, where nothing stronger does. An option that means something
 * else there, by its type, stays: --pin of serve names models, and a model's own says that it is one of them. */
bool preset_fill(const struct settings *s, const struct toml_section *preset, const struct command *c,
                 struct opt_value *values, hearth_error *err);

/* "[model.qwen3] of /etc/hearth/hearth.toml" */
enum { PRESET_NAME_BYTES = SETTINGS_PATH_BYTES + TOML_MAX_NAME_BYTES + 20 };
void preset_name(const struct settings *s, const struct toml_section *preset, char out[PRESET_NAME_BYTES]);

/* For a command that works on one model: what its preset says into the values of the command's table, where line and
 * environment say nothing; a line about it on standard error. True also when there is no preset. */
bool preset_apply(struct args *a, const struct command *c, const struct model_choice *model, hearth_error *err);
