#include "cli/template_choice.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "builtin.h"
#include "server/api/messages.h"

enum { TEMPLATE_MAX_BYTES = 1 << 20 }; /* of a model file's own as well */

static bool read_template(struct template_choice *out, const char *path, hearth_error *err)
{
    size_t n = 0;
    if (!file_read(path, TEMPLATE_MAX_BYTES, &out->text, &n, err)) {
        if (strstr(path, "{%") || strstr(path, "{{"))
            return fail(err, HEARTH_ERR_USAGE, "--chat-template takes the name of a file; put the template into one");
        return err_context(err, "--chat-template");
    }
    if (n == 0)
        return fail(err, HEARTH_ERR_USAGE, "--chat-template %.200s: the file is empty; give a Jinja template", path);
    if (strlen(out->text) != n)
        return fail(err, HEARTH_ERR_USAGE, "--chat-template %.200s: byte %zu is NUL; give a Jinja template", path,
                    strlen(out->text));
    return true;
}

static bool check_kwargs(const char *text, hearth_error *err)
{
    json_error_t why;
    json_t *j = json_loads(text, MESSAGES_JSON_FLAGS | JSON_DECODE_ANY, &why);
    bool is_object = json_is_object(j);
    json_decref(j);
    if (!j)
        return fail(err, HEARTH_ERR_USAGE, "--chat-template-kwargs is not JSON: line %d, column %d: %s", why.line,
                    why.column, why.text);
    return is_object || fail(err, HEARTH_ERR_USAGE, "--chat-template-kwargs '%.80s' is not a JSON object; write it as "
                             "'{\"name\": value}'", text);
}

/* The command line wins over the environment, and so on. */
static bool choose_thinking(hearth_thinking *out, const struct opt_value *on, const struct opt_value *off,
                            hearth_error *err)
{
    bool yes = on->on, no = off->on;
    if (yes && no && on->origin == off->origin)
        return fail(err, HEARTH_ERR_USAGE, "both --thinking and --no-thinking are given; give one");
    if (yes && no)
        yes = on->origin > off->origin;
    *out = yes ? HEARTH_THINKING_ON : no ? HEARTH_THINKING_OFF : HEARTH_THINKING_DEFAULT;
    return true;
}

bool template_choose(struct template_choice *out, hearth_source *source, bool use_builtin, const struct opt_value *file,
                     const struct opt_value *kwargs, const struct opt_value *thinking,
                     const struct opt_value *no_thinking, hearth_error *err)
{
    *out = (struct template_choice){ .kwargs = kwargs->text };
    if (!choose_thinking(&out->thinking, thinking, no_thinking, err)
        || (kwargs->text && !check_kwargs(kwargs->text, err)))
        return false;
    if (file->text) {
        const char *slash = strrchr(file->text, '/');
        if (!read_template(out, file->text, err))
            return false;
        source->chat_template = out->text;
        source->chat_template_name = slash ? slash + 1 : file->text;
    } else if (use_builtin && source->bytes == hearth_builtin_model) {
        source->chat_template = hearth_builtin_template;
        source->chat_template_name = "built-in";
    }
    return true;
}

void template_choice_free(struct template_choice *t)
{
    mem_free(t->text);
    *t = (struct template_choice){ 0 };
}
