/* cmd_config.c: every option's value as a command would have it now, and who says so. */
#include <stdio.h>
#include <string.h>

#include "base/env.h"
#include "base/file.h"
#include "cli/json_out.h"
#include "cli/preset.h"
#include "cli/price.h"
#include "cli/settings.h"

enum { JSON, N_OPTS };

static const struct opt options[N_OPTS] = {
    [JSON] = { .name = "json", .type = OPT_FLAG, .help = "print one JSON object" },
};

/* Values of a table, and where each comes from. */
struct listing {
    const struct settings *settings;
    const struct opt *table;
    int n;
    const struct opt_value *values;
    bool all; /* what is not set, too */
};

/* "hearth.toml:12", "HEARTH_CTX", "default"; where it is. */
static void where_of(const struct listing *l, int i, char *out, size_t room)
{
    const struct opt_value *v = &l->values[i];
    char spelling[OPT_SPELLING_BYTES], name[OPT_SPELLING_BYTES + 8];
    snprintf(out, room, "default");
    if (v->origin == OPT_FROM_FILE || v->origin == OPT_FROM_PRESET)
        snprintf(out, room, "%s:%d", l->settings->path, v->line);
    for (int cursor = 0; v->origin == OPT_FROM_ENV && opt_next_spelling(&l->table[i], &cursor, spelling);) {
        opt_env_name(spelling, name);
        if (name[0] && env_get_flag(spelling + 2)) {
            snprintf(out, room, "%s", name);
            break;
        }
    }
}

static const char *origin_word(enum opt_origin origin)
{
    static const char *const words[] = {
        [OPT_UNSET] = "default",
        [OPT_FROM_FILE] = "file",
        [OPT_FROM_PRESET] = "preset",
        [OPT_FROM_ENV] = "environment",
        [OPT_FROM_LINE] = "line",
    };
    return words[origin];
}

/* ---- for people ---- */

/* Text in one line: what would break it is written as in the file. */
static void print_text(const char *text, int *column)
{
    for (const char *p = text; *p; p++) {
        unsigned char c = (unsigned char)*p;
        *column += (c & 0xc0) != 0x80;
        if (c == '\n')
            *column += printf("\\n") - 1;
        else if (c < 0x20 || c == 0x7f)
            *column += printf("\\u%04x", c) - 1;
        else
            putchar(c);
    }
}

static void print_value(const struct opt *o, const struct opt_value *v, int *column)
{
    if (v->origin == OPT_UNSET)
        print_text(o->type == OPT_FLAG ? "false" : o->dflt ? o->dflt : "-", column);
    else if (o->type == OPT_FLAG)
        print_text(v->on ? "true" : "false", column);
    else if (o->type == OPT_LIST)
        for (int i = 0; i < v->n_list; i++) {
            print_text(i ? ", " : "", column);
            print_text(v->list[i], column);
        }
    else
        print_text(v->text, column);
}

static void print_listing(const struct listing *l)
{
    enum { NAME = 26, VALUE = 44 };
    for (int i = 0; i < l->n; i++) {
        char where[SETTINGS_PATH_BYTES + 20];
        int column = 0;
        if (!l->all && l->values[i].origin == OPT_UNSET)
            continue;
        where_of(l, i, where, sizeof where);
        printf("  %-*s ", NAME, l->table[i].name);
        print_value(&l->table[i], &l->values[i], &column);
        printf("%*s  %s%s\n", column < VALUE ? VALUE - column : 0, "", where,
               l->values[i].origin == OPT_FROM_PRESET ? " (preset)" : "");
    }
}

static void print_places(const struct settings *s)
{
    if (s->path[0]) {
        printf("settings: %s\n", s->path);
        return;
    }
    printf("settings: no file is read; looked for");
    for (int i = 0; i < SETTINGS_N_PLACES; i++) {
        char place[SETTINGS_PATH_BYTES];
        settings_place(i, place);
        if (place[0])
            printf(" %s", place);
    }
    putchar('\n');
}

/* ---- for programs ---- */

static json_t *value_to_json(const struct opt *o, const struct opt_value *given)
{
    struct opt_value v = *given;
    if (v.origin == OPT_UNSET && o->type == OPT_FLAG)
        return json_false();
    if (v.origin == OPT_UNSET && (!o->dflt || o->type == OPT_LIST || !opt_set_value(&v, o, "", o->dflt, NULL)))
        return json_null(); /* it depends: the words are under "default" */
    switch (o->type) {
    case OPT_FLAG:
        return json_boolean(v.on);
    case OPT_INT:
    case OPT_COUNT:
        return json_integer(v.i);
    case OPT_FLOAT:
        return json_real(v.f);
    case OPT_LIST: {
        json_t *list = json_array();
        for (int i = 0; list && i < v.n_list; i++) {
            if (json_array_append_new(list, json_of_text(v.list[i])) != 0) {
                json_decref(list);
                list = NULL;
            }
        }
        return list;
    }
    case OPT_TEXT:
    case OPT_CHOICE:
        break;
    }
    return given->origin == OPT_UNSET && o->type == OPT_TEXT ? json_null() : json_of_text(v.text);
}

static json_t *listing_to_json(const struct listing *l)
{
    json_t *list = json_array();
    bool ok = list != NULL;
    for (int i = 0; ok && i < l->n; i++) {
        char where[SETTINGS_PATH_BYTES + 20];
        const struct opt *o = &l->table[i];
        if (!l->all && l->values[i].origin == OPT_UNSET)
            continue;
        where_of(l, i, where, sizeof where);
        json_t *entry = json_pack("{s:s, s:o, s:s, s:o, s:s?}", "name", o->name, "value",
                                  value_to_json(o, &l->values[i]), "from", origin_word(l->values[i].origin), "where",
                                  l->values[i].origin == OPT_UNSET ? json_null() : json_of_text(where), "default",
                                  o->dflt);
        ok = entry && json_array_append_new(list, entry) == 0;
    }
    if (ok)
        return list;
    json_decref(list);
    return NULL;
}

/* ---- gathering ---- */

struct report_to {
    json_t *commands; /* NULL: for people */
    bool failed;      /* memory was out for the JSON */
};

static void put(struct report_to *to, const char *title, const struct listing *l)
{
    if (to->commands) {
        json_t *o = json_pack("{s:s, s:o}", "name", title, "options", listing_to_json(l));
        to->failed |= !o || json_array_append_new(to->commands, o) != 0;
    } else {
        printf("\n%s\n", title);
        print_listing(l);
    }
}

/* only: of this model alone; NULL: of all. */
static bool list_presets(struct report_to *to, const struct settings *s, const char *only, hearth_error *err)
{
    for (int i = 1; i < s->toml.n_sections; i++) {
        const struct toml_section *section = &s->toml.sections[i];
        struct opt_value values[PRESET_N_OPTS] = { 0 };
        char title[TOML_MAX_NAME_BYTES + 20];
        if (strcmp(section->name, "model") != 0 || (only && strcmp(section->sub, only) != 0))
            continue;
        if (!settings_fill_from(s, section, preset_opts, PRESET_N_OPTS, values, OPT_FROM_PRESET, err))
            return false;
        const struct listing l = { s, preset_opts, PRESET_N_OPTS, values, false };
        snprintf(title, sizeof title, "[model.\"%s\"]", section->sub);
        put(to, title, &l);
    }
    return true;
}

static bool list_prices(struct report_to *to, const struct settings *s, hearth_error *err)
{
    for (int i = 1; i < s->toml.n_sections; i++) {
        const struct toml_section *section = &s->toml.sections[i];
        struct opt_value values[PRICE_N_OPTS] = { 0 };
        char title[TOML_MAX_NAME_BYTES + 20];
        if (strcmp(section->name, "price") != 0)
            continue;
        if (!settings_fill_from(s, section, price_opts, PRICE_N_OPTS, values, OPT_FROM_FILE, err))
            return false;
        const struct listing l = { s, price_opts, PRICE_N_OPTS, values, false };
        snprintf(title, sizeof title, "[price.\"%s\"]", section->sub);
        put(to, title, &l);
    }
    return true;
}

/* A command's values. model: its preset is taken, too; NULL: none. */
static bool list_command(struct report_to *to, const struct settings *s, const struct command *c, const char *model,
                         bool all, hearth_error *err)
{
    struct args a;
    char title[100], name[MODEL_FILE_ID_BYTES];
    if (!opts_parse(&a, c->opts, c->n_opts, 0, 0, NULL, NULL, err) || !settings_fill(s, c, &a, err))
        return false;
    if (model) {
        struct model_choice choice = { .source.path = model };
        model_file_id(&choice, name);
        const struct toml_section *preset = preset_find(s, name, NULL);
        if (preset && !preset_fill(s, preset, c, a.value, err))
            return false;
        if (!preset)
            say("the settings have no preset [model.\"%s\"]", name);
    }
    const struct listing l = { s, c->opts, c->n_opts, a.value, all };
    bool any = all;
    for (int i = 0; i < c->n_opts; i++)
        any |= a.value[i].origin != OPT_UNSET;
    snprintf(title, sizeof title, "hearth %s", c->name);
    if (any)
        put(to, title, &l);
    return !model || list_presets(to, s, name, err); /* requests to serve have more of it than its options */
}

static bool list_all(struct report_to *to, const struct settings *s, hearth_error *err)
{
    for (int i = 0; commands[i]; i++)
        if (!commands[i]->no_settings && !list_command(to, s, commands[i], NULL, false, err))
            return false;
    return list_presets(to, s, NULL, err) && list_prices(to, s, err);
}

static int list(const struct args *a, const struct settings *s, hearth_error *err)
{
    struct report_to to = { 0 };
    int n_words = 0;
    char *words[] = { (char *)a->word[0], (char *)a->word[1] };
    const struct command *c = command_find(min_int(a->n_words, 2), words, &n_words);
    if (a->n_words > 0 && (!c || c->no_settings))
        return usage_error(&cmd_config, "'%.80s' is not a command that has settings", a->word[0]);
    if (a->n_words > n_words + 1)
        return usage_error(&cmd_config, "'%.80s' is one word too many", a->word[a->n_words - 1]);
    const char *model = a->n_words > n_words ? a->word[n_words] : NULL;
    if (a->value[JSON].on && !(to.commands = json_array()))
        return fail_memory(err, "the JSON of the settings"), report(err);
    if (!to.commands)
        print_places(s);
    if (c ? !list_command(&to, s, c, model, true, err) : !list_all(&to, s, err)) {
        json_decref(to.commands);
        return report(err);
    }
    if (!to.commands)
        return EXIT_DONE;
    json_t *all = json_pack("{s:o, s:o}", "file", s->path[0] ? json_of_text(s->path) : json_null(), "values",
                            to.commands);
    if (to.failed) {
        json_decref(all);
        all = NULL;
    }
    return json_print(all, JSON_INDENT(2), "the JSON of the settings", err) ? EXIT_DONE : report(err);
}

static void note(const char *sentence) { say("%s", sentence); }

static int run(const struct args *a)
{
    struct settings s;
    hearth_error err = { 0 };
    bool ok = settings_open(&s, &a->common[COMMON_CONFIG], note, &err);
    int code = ok ? list(a, &s, &err) : report(&err);
    settings_close(&s);
    return code;
}

const struct command cmd_config = {
    .name = "config",
    .positionals = "[COMMAND] [MODEL]",
    .max_words = 3,
    .summary = "every option's value as a command would have it now, and who says so",
    .about = "Without COMMAND: what the settings file and the environment set, of all commands, the presets of models\n"
             "and the prices. With it: all of its options; with a MODEL (a file, or its name) with that model's\n"
             "preset. Where a value comes from stands behind it: FILE:LINE of the settings file, a variable of the\n"
             "environment, or default.\n"
             "\n"
             "The settings file (docs/settings.md) is --config FILE, else ~/.config/hearth/hearth.toml\n"
             "($XDG_CONFIG_HOME in the place of ~/.config), else /etc/hearth/hearth.toml; one of them, the first that\n"
             "is there. A hearth.toml in the working folder is not read unless --config names it. Options by their\n"
             "long names: those above all sections are for every command that has them, [serve] is for that command,\n"
             "[model.\"NAME\"] for a model. The environment wins over the file, the command line over both.\n",
    .opts = options,
    .n_opts = N_OPTS,
    .no_settings = true,
    .run = run,
};
