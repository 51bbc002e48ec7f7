/* main.c: which command was meant, and what all of them have in common. */
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/env.h"
#include "base/words.h"
#include "cli/command.h"
#include "cli/settings.h"
#include "cli/store_choice.h"
#include "server/api/json_in.h"

const struct command *const commands[] = {
#define COMMAND(name) &cmd_##name,
#include "cli/commands.def"
    NULL,
};

static void note(const char *sentence) { say("%s", sentence); }

static bool is_variable_of(const struct opt *o, const char *name)
{
    char spelling[OPT_SPELLING_BYTES], variable[OPT_SPELLING_BYTES + 8];
    for (int cursor = 0; opt_next_spelling(o, &cursor, spelling);) {
        opt_env_name(spelling, variable);
        if (variable[0] && strcmp(variable + sizeof "HEARTH_" - 1, name) == 0)
            return true;
    }
    return false;
}

/* Is HEARTH_<name> the variable of some option of some command? */
static bool is_option_variable(const char *name)
{
    for (int i = 0; i < N_COMMON; i++)
        if (is_variable_of(&common_opts[i], name))
            return true;
    for (int i = 0; commands[i]; i++)
        for (int j = 0; j < commands[i]->n_opts; j++)
            if (is_variable_of(&commands[i]->opts[j], name))
                return true;
    return false;
}

static void report_variable(const char *name) { say("HEARTH_%s is set, but nothing reads it (hearth env)", name); }

static int unknown_command(const char *word)
{
    if (strcmp(word, "dev") == 0)
        return usage_error(NULL, "dev needs a second word: hearth dev synth or hearth dev fieldtest");
    if (strcmp(word, "key") == 0)
        return usage_error(NULL, "key needs a second word: hearth key add, hearth key list or hearth key revoke");
    int best = 3;
    const char *near = NULL;
    for (int i = 0; commands[i]; i++) {
        int d = word_distance(word, commands[i]->name);
        if (d < best) {
            best = d;
            near = commands[i]->name;
        }
    }
    if (strstr(word, ".gguf"))
        return usage_error(NULL, "'%.200s' is not a command; did you mean hearth run %.200s?", word, word);
    if (near)
        return usage_error(NULL, "'%.80s' is not a command; did you mean hearth %s?", word, near);
    return usage_error(NULL, "'%.80s' is not a command", word);
}

/* store-dir at the top of the settings is for every command that takes a MODEL. */
static bool keep_store(const struct settings *s, const struct command *c, const struct args *a, hearth_error *err)
{
    static const struct opt row[] = { OPT_STORE_DIR_ROW };
    struct opt_value v = { 0 };
    if (s->toml.n_sections > 0 && !settings_fill_from(s, &s->toml.sections[0], row, 1, &v, OPT_FROM_FILE, err))
        return false;
    bool offline = false;
    for (int i = 0; i < c->n_opts; i++)
        offline |= strcmp(c->opts[i].name, "offline") == 0 && a->value[i].on;
    store_choice_keep(v.text, s->path, !offline);
    return true;
}

static int run_with_settings(const struct command *c, struct args *a)
{
    struct settings settings;
    hearth_error err = { 0 };
    if (c->no_settings)
        return c->run(a);
    a->settings = &settings;
    bool ok = settings_open(&settings, &a->common[COMMON_CONFIG], note, &err) && settings_fill(&settings, c, a, &err);
    ok = ok && keep_store(&settings, c, a, &err);
    if (ok && settings.path[0])
        fprintf(stderr, "settings: %s\n", settings.path);
    int code = ok ? c->run(a) : report(&err);
    settings_close(&settings);
    return code;
}

static int run_command(const struct command *c, int argc, char *const *argv)
{
    struct args a;
    hearth_error err = { 0 };
    if (!opts_parse(&a, c->opts, c->n_opts, c->max_words, argc, argv, note, &err))
        return usage_error(c, "%s", err.message);
    if (a.help) {
        a = (struct args){ .word = { c->name }, .n_words = 1 };
        return cmd_help.run(&a);
    }
    env_unknown(is_option_variable, report_variable);
    return run_with_settings(c, &a);
}

/* A caller may have closed 0, 1 or 2: a file opened later must not become one of them. */
static void keep_standard_files(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)!open("/dev/null", O_RDWR);
}

int main(int argc, char **argv)
{
    keep_standard_files();
    /* So that we know when it had no memory: docs/decisions/0007. */
    json_set_alloc_funcs(json_memory_alloc, json_memory_free);
    signal(SIGPIPE, SIG_IGN); /* a reader that goes away makes writes fail: finish_output() */
    signal(SIGXFSZ, SIG_IGN); /* so does a limit on the size of files (ulimit -f), and the unfinished one goes */
    struct args none = { 0 };
    if (argc < 2 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)
        return finish_output(cmd_help.run(&none));
    if (strcmp(argv[1], "--version") == 0)
        return finish_output(cmd_version.run(&none));
    int n_words = 0;
    const struct command *c = command_find(argc - 1, argv + 1, &n_words);
    if (!c)
        return unknown_command(argc > 2 && strcmp(argv[1], "dev") == 0 ? argv[2] : argv[1]);
    return finish_output(run_command(c, argc - 1 - n_words, argv + 1 + n_words));
}
