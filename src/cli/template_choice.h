/* template_choice.h: which chat template a command uses, and what it tells the template. */
#pragma once
#include "cli/model_choice.h"

struct template_choice {
    char *text; /* of --chat-template, mem_alloc'ed; the source points to it. NULL: none was given */
    hearth_thinking thinking;
    const char *kwargs; /* JSON text of --chat-template-kwargs, known to be an object; NULL: none */
};

/* Finds out what --chat-template, --chat-template-kwargs, --thinking and --no-thinking say. The template goes
 * into source, which has its model already: that of FILE (at most 1 MB), else, with use_builtin and the
 * built-in model, the plain one that comes with it. HEARTH_ERR_USAGE names the option, in JSON the place too;
 * HEARTH_ERR_IO the file. Release with template_choice_free() when the source is not used any more, also
 * after a failure. */
bool template_choose(struct template_choice *out, hearth_source *source, bool use_builtin, const struct opt_value *file,
                     const struct opt_value *kwargs, const struct opt_value *thinking,
                     const struct opt_value *no_thinking, hearth_error *err);
void template_choice_free(struct template_choice *t);

/* Rows of these options, the same in every command that renders. */
#define OPT_TEMPLATE_ROW                                                                                      \
    {                                                                                                         \
        .name = "chat-template", .aliases = "--chat-template-file", .type = OPT_TEXT, .value = "FILE",        \
        .help = "the chat template (Jinja) to use instead of the file's own"                                  \
    }
#define OPT_KWARGS_ROW                                                                                        \
    {                                                                                                         \
        .name = "chat-template-kwargs", .type = OPT_TEXT, .value = "JSON",                                    \
        .help = "further values for the chat template, as a JSON object"                                      \
    }
#define OPT_THINKING_ROW                                                                                      \
    {                                                                                                         \
        .name = "thinking", .type = OPT_FLAG, .help = "let the model think first, where the template has a switch" \
    }
#define OPT_SHOW_THINKING_ROW                                                                                 \
    {                                                                                                         \
        .name = "show-thinking", .type = OPT_FLAG,                                                            \
        .help = "print what the model thinks also where standard error is no terminal"                        \
    }
#define OPT_NO_THINKING_ROW                                                                                   \
    {                                                                                                         \
        .name = "no-thinking", .type = OPT_FLAG,                                                              \
        .help = "let the model answer at once, where the template has a switch"                               \
    }
