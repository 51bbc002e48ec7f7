/* cmd_version.c: what this build is, and what the environment tells it. */
#include <stdio.h>
#include <string.h>

#include "base/env.h"
#include "cli/command.h"

static int run_version(const struct args *a)
{
    (void)a;
    hearth_error err = { 0 };
    printf("hearth %s\n", hearth_version());
    printf("arithmetic revision  %d\n", hearth_arithmetic_revision());
    const char *isa = hearth_isa(&err);
    if (!isa)
        return report(&err);
    printf("instruction set      %s (runs here: %s)\n", isa, hearth_isa_list());
    const char *names[64];
    size_t n = hearth_architectures(names, ARRAY_LEN(names));
    printf("architectures       ");
    for (size_t i = 0; i < min_size(n, ARRAY_LEN(names)); i++)
        printf(" %s", names[i]);
    printf("\n");
    return EXIT_DONE;
}

static void print_variable(const char *name, const char *help)
{
    const char *value = env_get(name);
    printf("HEARTH_%-18s %-20s %s\n", name, value ? value : "-", help);
}

static bool is_fixed(const char *name)
{
    for (const struct env_var *v = env_vars; v->name; v++)
        if (strcmp(v->name, name) == 0)
            return true;
    return false;
}

/* Is it an option of an earlier command too? */
static bool seen_before(int command, const char *name)
{
    for (int i = 0; i < command; i++)
        for (int j = 0; j < commands[i]->n_opts; j++)
            if (strcmp(commands[i]->opts[j].name, name) == 0)
                return true;
    return false;
}

static int run_env(const struct args *a)
{
    (void)a;
    for (const struct env_var *v = env_vars; v->name; v++)
        print_variable(v->name, v->help);
    for (int i = 0; i < N_COMMON; i++) {
        char spelling[OPT_SPELLING_BYTES], variable[OPT_SPELLING_BYTES + 8], where[120];
        int cursor = 0;
        opt_next_spelling(&common_opts[i], &cursor, spelling);
        opt_env_name(spelling, variable);
        snprintf(where, sizeof where, "%s of every command", spelling);
        print_variable(variable + sizeof "HEARTH_" - 1, where);
    }
    for (int i = 0; commands[i]; i++) {
        for (int j = 0; j < commands[i]->n_opts; j++) {
            const struct opt *o = &commands[i]->opts[j];
            char spelling[OPT_SPELLING_BYTES], variable[OPT_SPELLING_BYTES + 8], where[120];
            int cursor = 0;
            opt_next_spelling(o, &cursor, spelling);
            opt_env_name(spelling, variable);
            const char *name = variable + sizeof "HEARTH_" - 1;
            if (is_fixed(name) || seen_before(i, o->name))
                continue;
            snprintf(where, sizeof where, "%s of hearth %s", spelling, commands[i]->name);
            print_variable(name, where);
        }
    }
    for (const struct env_var *v = env_system_vars; v->name; v++)
        printf("%-25s %-20s %s\n", v->name, env_system(v->name) ? env_system(v->name) : "-", v->help);
    return EXIT_DONE;
}

const struct command cmd_version = {
    .name = "version",
    .positionals = "",
    .summary = "version, arithmetic revision, instruction sets and architectures",
    .no_settings = true,
    .run = run_version,
};

const struct command cmd_env = {
    .name = "env",
    .positionals = "",
    .summary = "every environment variable that is read, and its value now",
    .about = "One line each: the variable, its value (- when unset), what it does. Other spellings of an option work\n"
             "too (HEARTH_CTX_SIZE as HEARTH_CTX). A HEARTH_ variable that nothing reads is reported by every\n"
             "command.\n",
    .no_settings = true,
    .run = run_env,
};
