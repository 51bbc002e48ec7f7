#include "cli/settings.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/env.h"
#include "base/file.h"
#include "base/words.h"
#include "cli/preset.h"
#include "cli/price.h"

/* ---- one value ---- */

static bool is_key_of(const struct opt *o, const char *key)
{
    char spelling[TOML_MAX_NAME_BYTES + 3];
    snprintf(spelling, sizeof spelling, "--%s", key);
    return opt_matches(o, spelling, strlen(spelling));
}

static bool is_of_type(const struct opt *o, enum toml_type type, const char **wanted)
{
    switch (o->type) {
    case OPT_FLAG:
        *wanted = "true or false";
        return type == TOML_BOOLEAN;
    case OPT_INT:
    case OPT_COUNT:
        *wanted = "a whole number, without quotes";
        return type == TOML_INTEGER;
    case OPT_FLOAT:
        *wanted = "a number, without quotes";
        return type == TOML_INTEGER || type == TOML_FLOAT;
    case OPT_CHOICE:
        *wanted = "a text in quotes";
        return type == TOML_STRING;
    case OPT_LIST:
        *wanted = "a text in quotes, or a list of them: [\"a\", \"b\"]";
        return type == TOML_STRING || type == TOML_STRINGS;
    case OPT_TEXT:
        break;
    }
    *wanted = "a text in quotes";
    return type == TOML_STRING || type == TOML_INTEGER; /* speculate = 4 */
}

static bool set_value(const struct settings *s, const struct toml_pair *p, const struct opt *o, struct opt_value *v,
                      hearth_error *err)
{
    char thing[SETTINGS_PATH_BYTES];
    const char *wanted;
    snprintf(thing, sizeof thing, "%.180s:%d: %.60s", s->path, p->line, p->key);
    if (!is_of_type(o, p->type, &wanted))
        return fail(err, HEARTH_ERR_USAGE, "%s must be %s", thing, wanted);
    if (p->n_items > OPT_LIST_MAX)
        return fail(err, HEARTH_ERR_USAGE, "%s has %d texts; give at most %d", thing, p->n_items, OPT_LIST_MAX);
    if (p->text && !opt_set_value(v, o, thing, p->text, err))
        return false;
    if (!p->text) {
        *v = (struct opt_value){ .text = p->n_items ? p->items[p->n_items - 1] : "", .n_list = p->n_items };
        memcpy(v->list, p->items, (size_t)p->n_items * sizeof *v->list);
    }
    v->line = p->line;
    return true;
}

bool settings_fill_from(const struct settings *s, const struct toml_section *section, const struct opt *table, int n,
                        struct opt_value *values, enum opt_origin origin, hearth_error *err)
{
    for (int k = section->first; k < section->first + section->n; k++) {
        const struct toml_pair *p = &s->toml.pairs[k];
        for (int i = 0; i < n; i++) {
            if (values[i].origin > origin || !is_key_of(&table[i], p->key))
                continue;
            if (!set_value(s, p, &table[i], &values[i], err))
                return false;
            values[i].origin = origin;
        }
    }
    return true;
}

/* ---- what a command takes ---- */

/* "dev synth" is [dev.synth]. */
static const struct toml_section *section_of(const struct toml *t, const struct command *c)
{
    for (int i = 1; i < t->n_sections; i++) {
        const struct toml_section *section = &t->sections[i];
        size_t n = strlen(section->name);
        if (strncmp(c->name, section->name, n) == 0
            && (*section->sub ? c->name[n] == ' ' && strcmp(c->name + n + 1, section->sub) == 0 : !c->name[n]))
            return section;
    }
    return NULL;
}

bool settings_fill(const struct settings *s, const struct command *c, struct args *a, hearth_error *err)
{
    const struct toml *t = &s->toml;
    if (t->n_sections == 0)
        return true;
    const struct toml_section *own = section_of(t, c);
    return settings_fill_from(s, &t->sections[0], c->opts, c->n_opts, a->value, OPT_FROM_FILE, err)
        && (!own || settings_fill_from(s, own, c->opts, c->n_opts, a->value, OPT_FROM_FILE, err));
}

/* ---- checking all of it, whatever the command ---- */

/* Keys are named without dashes: "ctx". */
static bool unknown_key(const struct settings *s, const struct toml_pair *p, const char *where, const char *near,
                        hearth_error *err)
{
    return fail(err, HEARTH_ERR_USAGE, "%.180s:%d: there is no option %.60s %s; %s%.60s%s", s->path, p->line, p->key,
                where, *near ? "did you mean " : "hearth help has them all", *near ? near + 2 : "", *near ? "?" : "");
}

/* The row that a key names must not be named by an earlier one, in another spelling. */
static bool named_once(const struct settings *s, const struct toml_section *section, const struct toml_pair *p,
                       const struct opt *o, hearth_error *err)
{
    for (const struct toml_pair *other = &s->toml.pairs[section->first]; other < p; other++)
        if (is_key_of(o, other->key))
            return fail(err, HEARTH_ERR_USAGE, "%.180s:%d: %.60s is the same option as %.60s in line %d; take one out",
                        s->path, p->line, p->key, other->key, other->line);
    return true;
}

/* Every key is one of the table's, with a value that it takes. where: "of hearth serve". */
static bool check_section(const struct settings *s, const struct toml_section *section, const struct opt *table, int n,
                          const char *where, hearth_error *err)
{
    for (int k = section->first; k < section->first + section->n; k++) {
        const struct toml_pair *p = &s->toml.pairs[k];
        char spelling[TOML_MAX_NAME_BYTES + 3], near[OPT_SPELLING_BYTES] = "";
        struct opt_value v;
        int i = 0;
        while (i < n && !is_key_of(&table[i], p->key))
            i++;
        if (i == n) {
            snprintf(spelling, sizeof spelling, "--%s", p->key);
            opt_nearest(table, n, spelling, INT_MAX, near);
            return unknown_key(s, p, where, near, err);
        }
        if (!named_once(s, section, p, &table[i], err) || !set_value(s, p, &table[i], &v, err))
            return false;
    }
    return true;
}

/* Of some command, with a value that at least one of them takes. */
static bool check_for_all(const struct settings *s, const struct toml_section *section, const struct toml_pair *p,
                          hearth_error *err)
{
    char spelling[TOML_MAX_NAME_BYTES + 3], near[OPT_SPELLING_BYTES] = "";
    bool known = false;
    int best = INT_MAX;
    snprintf(spelling, sizeof spelling, "--%s", p->key);
    for (int i = 0; commands[i]; i++) {
        const struct command *c = commands[i];
        for (int k = 0; !c->no_settings && k < c->n_opts; k++) {
            struct opt_value v;
            if (!is_key_of(&c->opts[k], p->key))
                continue;
            if (!known && !named_once(s, section, p, &c->opts[k], err))
                return false;
            known = true;
            if (set_value(s, p, &c->opts[k], &v, err))
                return true;
        }
        if (!c->no_settings)
            best = opt_nearest(c->opts, c->n_opts, spelling, best, near);
    }
    return known ? false : unknown_key(s, p, "of any command", near, err);
}

static bool unknown_section(const struct settings *s, const struct toml_section *section, hearth_error *err)
{
    const char *near = "model.NAME";
    int best = 4;
    for (int i = 0; commands[i]; i++) {
        int d = word_distance(section->name, commands[i]->name);
        if (!commands[i]->no_settings && d < best) {
            best = d;
            near = commands[i]->name;
        }
    }
    return fail(err, HEARTH_ERR_USAGE, "%.180s:%d: [%.60s%s%.60s] is no command that has settings, and no "
                "[model.NAME] or [price.NAME]; did you mean [%s]?", s->path, section->line, section->name,
                *section->sub ? "." : "", section->sub, near);
}

static bool check_one(const struct settings *s, const struct toml_section *section, hearth_error *err)
{
    char where[100];
    if (strcmp(section->name, "model") == 0) {
        if (!*section->sub)
            return fail(err, HEARTH_ERR_USAGE, "%.180s:%d: [model] names no model; write [model.\"NAME\"], the name of "
                        "its file without .gguf", s->path, section->line);
        return check_section(s, section, preset_opts, PRESET_N_OPTS, "of a model", err);
    }
    if (strcmp(section->name, "price") == 0) {
        if (!*section->sub)
            return fail(err, HEARTH_ERR_USAGE, "%.180s:%d: [price] names no model; write [price.\"NAME\"], as the "
                        "server calls it", s->path, section->line);
        return check_section(s, section, price_opts, PRICE_N_OPTS, "of a price", err)
            && price_check(s, section, err);
    }
    for (int i = 0; commands[i]; i++) {
        const struct command *c = commands[i];
        if (c->no_settings || section_of(&s->toml, c) != section)
            continue;
        snprintf(where, sizeof where, "of hearth %s", c->name);
        return check_section(s, section, c->opts, c->n_opts, where, err);
    }
    return unknown_section(s, section, err);
}

static bool check_all(const struct settings *s, hearth_error *err)
{
    const struct toml_section *first = s->toml.sections;
    for (int k = 0; k < first->n; k++)
        if (!check_for_all(s, first, &s->toml.pairs[k], err))
            return false;
    for (int i = 1; i < s->toml.n_sections; i++)
        if (!check_one(s, &s->toml.sections[i], err))
            return false;
    return true;
}

/* ---- the file ---- */

void settings_place(int i, char out[SETTINGS_PATH_BYTES])
{
    const char *xdg = env_system("XDG_CONFIG_HOME"), *home = env_system("HOME");
    int n = 0;
    if (i == 1)
        n = snprintf(out, SETTINGS_PATH_BYTES, "/etc/hearth/hearth.toml");
    else if (xdg && xdg[0] == '/') /* others are to be ignored: XDG Base Directory Specification */
        n = snprintf(out, SETTINGS_PATH_BYTES, "%s/hearth/hearth.toml", xdg);
    else if (home)
        n = snprintf(out, SETTINGS_PATH_BYTES, "%s/.config/hearth/hearth.toml", home);
    if (n <= 0 || n >= SETTINGS_PATH_BYTES)
        out[0] = 0;
}

static const char how_without[] = "settings (--config none reads no file)";

/* The first of the places where a file is. */
static bool find(struct settings *s, void (*note)(const char *sentence), hearth_error *err)
{
    static const char here[] = "hearth.toml";
    uint64_t device = 0, inode = 0, here_device, here_inode;
    for (int i = 0; i < SETTINGS_N_PLACES; i++) {
        settings_place(i, s->path);
        int found = s->path[0] ? file_identity(s->path, &device, &inode, err) : 0;
        if (found == 1)
            break;
        if (found < 0)
            return err_context(err, "%s", how_without);
        s->path[0] = 0;
    }
    if (file_identity(here, &here_device, &here_inode, NULL) == 1
        && !(s->path[0] && device == here_device && inode == here_inode))
        note("hearth.toml in this folder is not read by itself; --config hearth.toml reads it");
    return true;
}

bool settings_open(struct settings *s, const struct opt_value *config, void (*note)(const char *sentence),
                   hearth_error *err)
{
    *s = (struct settings){ 0 };
    arena_init(&s->arena, TOML_ARENA_BYTES);
    if (config->origin == OPT_UNSET && !find(s, note, err))
        return false;
    if (config->origin != OPT_UNSET && strcmp(config->text, "none") != 0
        && snprintf(s->path, sizeof s->path, "%s", config->text) >= (int)sizeof s->path)
        return fail(err, HEARTH_ERR_USAGE, "--config: the name of the file has more than %d bytes; give a shorter one",
                    SETTINGS_PATH_BYTES - 1);
    if (config->origin != OPT_UNSET && !*config->text)
        return fail(err, HEARTH_ERR_USAGE, "--config has no name of a file; give one, or none to read no file");
    if (!s->path[0])
        return true;
    char *text = NULL;
    size_t n;
    if (!file_read(s->path, TOML_MAX_BYTES, &text, &n, err))
        return err_context(err, "%s", how_without);
    bool ok = toml_read(&s->toml, &s->arena, (struct str){ text, n }, s->path, err);
    mem_free(text);
    return ok && check_all(s, err);
}

void settings_close(struct settings *s) { arena_free(&s->arena); }
