/* model_choice.h: which model a command works on. */
#pragma once
#include "cli/command.h"

struct model_choice {
    hearth_source source;
    bool from_line; /* the command line named it */
    char text[300]; /* "built-in tolstoy-4m-q8_0", "file.gguf (HEARTH_MODEL)" */
};

/* word: the positional or NULL. flag: the value of --model, which stands for HEARTH_MODEL too.
 * Order: the line, HEARTH_MODEL, the built-in model. False, after saying so with the usage of c,
 * when the line names two models. */
bool model_choose(struct model_choice *out, const struct command *c, const char *word, const struct opt_value *flag);

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
