/* settings.h: the settings file (docs/settings.md): where it is, what it says, and what a command takes of it.
 *
 * Its keys are the long names of options: what stands above all sections is for every command that has the option,
 * [serve] for that command, [model.NAME] for that model (preset.h), [price.NAME] what one costs elsewhere (price.h). A
 * command's line and environment win. */
#pragma once
#include "base/toml.h"
#include "cli/command.h"

enum { SETTINGS_PATH_BYTES = 1024 };

struct settings {
    char path[SETTINGS_PATH_BYTES]; /* "": no file is read */
    struct arena arena;
    struct toml toml; /* all of it is checked: keys and sections exist, values are of their types and in their ranges */
};

/* config: the value of --config. Reads that file, or the first that exists of the two places that common_opts names,
 * or none. HEARTH_ERR_IO; HEARTH_ERR_FORMAT; HEARTH_ERR_USAGE for a key, a section or a value that does not exist, with
 * the nearest that does. note: a sentence about a file that is there and not read. Release with settings_close(), also
 * after a failure. */
bool settings_open(struct settings *s, const struct opt_value *config, void (*note)(const char *sentence),
                   hearth_error *err);
void settings_close(struct settings *s);

/* Where the two places are: ".../.config/hearth/hearth.toml"; "": there is none. */
enum { SETTINGS_N_PLACES = 2 };
void settings_place(int i, char out[SETTINGS_PATH_BYTES]);

/* Options that neither line nor environment say, out of the file. a is the command's. HEARTH_ERR_USAGE. */
bool settings_fill(const struct settings *s, const struct command *c, struct args *a, hearth_error *err);

/* The same for the keys of one section and any table; what comes from elsewhere than `origin` and stronger stays.
 * Keys that the table does not have are passed over. */
bool settings_fill_from(const struct settings *s, const struct toml_section *section, const struct opt *table, int n,
                        struct opt_value *values, enum opt_origin origin, hearth_error *err);
