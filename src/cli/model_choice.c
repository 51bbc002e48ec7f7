#include "cli/model_choice.h"

#include <stdio.h>
#include <string.h>

#include "builtin.h"
#include "cli/store_choice.h"

/* Of the store, where the text names none by itself. Several models of one line each keep theirs. */
static bool resolve(const char **path, const struct command *c)
{
    static char kept[2 * WORDS_MAX][STORE_FILE_BYTES];
    static int n_kept;
    char found[STORE_FILE_BYTES];
    hearth_error err = { 0 };
    int is = store_path_of(*path, found, &err);
    if (is < 0) {
        usage_error(c, "%s", err.message);
        return false;
    }
    if (is == 0)
        return true;
    int i = n_kept < (int)ARRAY_LEN(kept) - 1 ? n_kept++ : n_kept;
    memcpy(kept[i], found, sizeof found);
    *path = kept[i];
    return true;
}

bool model_choose(struct model_choice *out, const struct command *c, const char *word, const struct opt_value *flag)
{
    *out = (struct model_choice){ .named_by = "" };
    if (word && flag->origin == OPT_FROM_LINE) {
        usage_error(c, "two models are named, %s and --model %s; name one", word, flag->text);
        return false;
    }
    const char *path = word ? word : flag->text;
    out->from_line = word || flag->origin == OPT_FROM_LINE;
    if (path) {
        const char *said = path;
        if (!resolve(&path, c))
            return false;
        out->source.path = path;
        if (!out->from_line)
            out->named_by = flag->origin == OPT_FROM_ENV ? "HEARTH_MODEL" : "the settings file";
        snprintf(out->text, sizeof out->text, out->from_line ? "%s" : "%s (%s)", said, out->named_by);
    } else {
        out->source.bytes = hearth_builtin_model;
        out->source.n_bytes = (size_t)(hearth_builtin_model_end - hearth_builtin_model);
        out->source.name = HEARTH_BUILTIN_NAME;
        snprintf(out->text, sizeof out->text, "built-in %s (none was named)", HEARTH_BUILTIN_NAME);
    }
    return true;
}

void model_file_id(const struct model_choice *choice, char out[MODEL_FILE_ID_BYTES])
{
    const char *path = choice->source.path ? choice->source.path : choice->source.name;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t n = strlen(name);
    if (n > 5 && strcmp(name + n - 5, ".gguf") == 0)
        n -= 5;
    snprintf(out, MODEL_FILE_ID_BYTES, "%.*s", (int)n, name);
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
        say("that file was named by %s", choice->named_by);
    return code;
}
