#include "cli/model_choice.h"

#include <stdio.h>
#include <string.h>

#include "builtin.h"

bool model_choose(struct model_choice *out, const struct command *c, const char *word, const struct opt_value *flag)
{
    *out = (struct model_choice){ 0 };
    if (word && flag->origin == OPT_FROM_LINE) {
        usage_error(c, "two models are named, %s and --model %s; name one", word, flag->text);
        return false;
    }
    const char *path = word ? word : flag->text;
    out->from_line = word || flag->origin == OPT_FROM_LINE;
    if (path) {
        out->source.path = path;
        snprintf(out->text, sizeof out->text, "%s%s", path, out->from_line ? "" : " (HEARTH_MODEL)");
    } else {
        out->source.bytes = hearth_builtin_model;
        out->source.n_bytes = (size_t)(hearth_builtin_model_end - hearth_builtin_model);
        out->source.name = HEARTH_BUILTIN_NAME;
        snprintf(out->text, sizeof out->text, "built-in %s (none was named)", HEARTH_BUILTIN_NAME);
    }
    return true;
}

void model_say(const struct model_choice *choice) { fprintf(stderr, "model: %s\n", choice->text); }

void plan_say(const hearth_plan *plan) { fprintf(stderr, "context %d tokens: %s\n", plan->n_ctx_tokens, plan->reason); }

int model_report(const struct model_choice *choice, const hearth_error *err)
{
    int code = report(err);
    const char *path = choice->source.path;
    if (err->status == HEARTH_ERR_IO && choice->from_line && strchr(path, ' ') && !strstr(path, ".gguf"))
        say("a single word is taken for the MODEL; for a prompt alone use -p");
    else if (!choice->from_line && path)
        say("that file was named by HEARTH_MODEL");
    return code;
}
