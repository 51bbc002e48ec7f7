/* model_choice.h: which model a command works on. */
#pragma once
#include "cli/command.h"

struct model_choice {
    hearth_source source;
    bool from_line; /* the command line named it */
    const char *named_by; /* "HEARTH_MODEL", "hearth.toml"; "": the line, or nobody */
    char text[300]; /* as it was named: "built-in tolstoy-4m-q8_0", "file.gguf (HEARTH_MODEL)" */
};

/* word: the positional or NULL. flag: the value of --model, which stands for HEARTH_MODEL and the settings file too.
 * A path, or else what the store has under that name (store_choice.h). Order: the line, HEARTH_MODEL, the settings, the
 * built-in model. False, after saying so with the usage of c, when the line names two models, or one that is to be
 * pulled first. */
bool model_choose(struct model_choice *out, const struct command *c, const char *word, const struct opt_value *flag);

/* The file's name without folders and without .gguf, which the API and [model.NAME] know it by. */
enum { MODEL_FILE_ID_BYTES = 128 };
void model_file_id(const struct model_choice *choice, char out[MODEL_FILE_ID_BYTES]);

/* "model: ..." on standard error. */
void model_say(const struct model_choice *choice);

/* The context and why it is that, on standard error. */
void plan_say(const hearth_plan *plan);

/* report() with advice when the word taken for a model looks like a prompt. */
int model_report(const struct model_choice *choice, const hearth_error *err);

/* The row of --model, the same in every command. */
#define OPT_MODEL_ROW                                                                                         \
    {                                                                                                         \
        .name = "model", .aliases = "-m", .type = OPT_TEXT, .value = "FILE",                                  \
        .help = "the model, as an option instead of a word (in the environment: for when none is named)"      \
    }
