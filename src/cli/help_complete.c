/* help_complete.c: completion for bash, zsh and fish: commands, options, choices and names of files. */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/help.h"

/* ---- what a value or a word can be ---- */

static bool is_file(const struct opt *o) { return o->type != OPT_FLAG && strcmp(o->value, "FILE") == 0; }

/* The words of an option's value with this between them. */
static void print_choices(const struct opt *o, const char *between)
{
    for (const char *p = o->value; *p; p++)
        if (*p == '|')
            fputs(between, stdout);
        else
            putchar(*p);
}

static bool takes_commands(const struct command *c) { return strstr(c->positionals, "COMMAND") != NULL; }
static bool takes_files(const struct command *c)
{
    return strstr(c->positionals, "MODEL") || strstr(c->positionals, "IN") || strstr(c->positionals, "OUT");
}

/* The first word of each command, once: "dev synth" is completed as dev, then synth. */
static bool is_first(int i, char word[32])
{
    snprintf(word, 32, "%.*s", (int)strcspn(commands[i]->name, " "), commands[i]->name);
    for (int k = 0; k < i; k++)
        if (strncmp(commands[k]->name, word, strlen(word)) == 0 && strchr(" ", commands[k]->name[strlen(word)]))
            return false;
    return true;
}

/* The second words of all commands that begin as this one: "add list revoke". */
static void print_second_words(int i)
{
    size_t n = strcspn(commands[i]->name, " ");
    const char *between = "";
    for (int k = 0; commands[k]; k++) {
        if (strncmp(commands[k]->name, commands[i]->name, n + 1) != 0)
            continue;
        printf("%s%s", between, commands[k]->name + n + 1);
        between = " ";
    }
}

/* Rows of a command, and of every command. */
static const struct opt *option_of(const struct command *c, int i)
{
    return i < c->n_opts ? &c->opts[i] : &common_opts[i - c->n_opts];
}
static int n_options_of(const struct command *c) { return c->n_opts + N_COMMON; }

/* ---- bash ---- */

static void print_spellings(const struct opt *o, const char *between)
{
    char s[OPT_SPELLING_BYTES];
    const char *separator = "";
    for (int cursor = 0; opt_next_spelling(o, &cursor, s); separator = between)
        printf("%s%s", separator, s);
}

static void bash_command(const struct command *c)
{
    printf("    '%s')\n        options='", c->name);
    for (int i = 0; i < n_options_of(c); i++) {
        print_spellings(option_of(c, i), " ");
        putchar(' ');
    }
    printf("--help'\n        words=%s\n        case $previous in\n",
           takes_commands(c) ? "commands" : takes_files(c) ? "files" : "none");
    for (int i = 0; i < n_options_of(c); i++) {
        const struct opt *o = option_of(c, i);
        if (o->type == OPT_FLAG)
            continue;
        printf("        ");
        print_spellings(o, "|");
        printf(") words=%s", o->type == OPT_CHOICE ? "choices; choices='" : is_file(o) ? "files" : "none");
        if (o->type == OPT_CHOICE) {
            print_choices(o, " ");
            putchar('\'');
        }
        printf("; value=1 ;;\n");
    }
    printf("        esac ;;\n");
}

void help_bash(void)
{
    char word[32];
    printf("# Completion of hearth for bash; made by: hearth help --completion bash\n"
           "_hearth()\n{\n"
           "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
           "    local command=${COMP_WORDS[1]} commands='");
    for (int i = 0; commands[i]; i++)
        if (is_first(i, word))
            printf("%s%s", i ? " " : "", word);
    printf("'\n"
           "    local options= words=none choices= value=\n"
           "    COMPREPLY=()\n"
           "    # bash takes --ctx=4096 apart: --ctx, =, 4096\n"
           "    if [[ $current == = ]]; then\n"
           "        current=\n"
           "    elif [[ $previous == = && COMP_CWORD -gt 2 ]]; then\n"
           "        previous=${COMP_WORDS[COMP_CWORD-2]}\n"
           "    fi\n"
           "    [[ $previous == --* ]] && previous=${previous//_/-}\n"
           "    if ((COMP_CWORD == 1)); then\n"
           "        COMPREPLY=($(compgen -W \"$commands\" -- \"$current\"))\n"
           "        return\n"
           "    fi\n");
    for (int i = 0; commands[i]; i++) {
        if (!strchr(commands[i]->name, ' ') || !is_first(i, word))
            continue;
        printf("    if [[ $command == %s ]]; then\n"
               "        ((COMP_CWORD == 2)) && COMPREPLY=($(compgen -W '", word);
        print_second_words(i);
        printf("' -- \"$current\")) && return\n"
               "        command=\"$command ${COMP_WORDS[2]}\"\n"
               "    fi\n");
    }
    printf("    case $command in\n");
    for (int i = 0; commands[i]; i++)
        bash_command(commands[i]);
    printf("    esac\n"
           "    if [[ $current == -* && -z $value ]]; then\n"
           "        COMPREPLY=($(compgen -W \"$options\" -- \"$current\"))\n"
           "        return\n"
           "    fi\n"
           "    case $words in\n"
           "    commands) COMPREPLY=($(compgen -W \"$commands\" -- \"$current\")) ;;\n"
           "    choices) COMPREPLY=($(compgen -W \"$choices\" -- \"$current\")) ;;\n"
           "    files)\n"
           "        local IFS=$'\\n'\n"
           "        compopt -o filenames 2>/dev/null\n"
           "        COMPREPLY=($(compgen -f -- \"$current\")) ;;\n"
           "    esac\n"
           "}\n"
           "complete -F _hearth hearth\n");
}

/* ---- zsh ---- */

/* Inside '...' and an _arguments specification: quotes, brackets and colons. */
static void zsh_text(const char *text)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", stdout);
        else if (strchr("[]:\\", *text))
            printf("\\%c", *text);
        else
            putchar(*text);
    }
}

/* '--ctx=[help]:N: ' for each spelling. */
static void zsh_option(const struct opt *o)
{
    char s[OPT_SPELLING_BYTES];
    for (int cursor = 0; opt_next_spelling(o, &cursor, s);) {
        bool takes = o->type != OPT_FLAG;
        printf(" \\\n            '%s%s%s[", o->type == OPT_LIST ? "*" : "", s,
               !takes ? "" : strncmp(s, "--", 2) == 0 ? "=" : "+");
        zsh_text(o->help);
        putchar(']');
        if (takes) {
            putchar(':');
            zsh_text(o->type == OPT_CHOICE ? o->name : o->value);
            fputs(is_file(o) ? ":_files" : o->type == OPT_CHOICE ? ":(" : ": ", stdout);
            if (o->type == OPT_CHOICE) {
                print_choices(o, " ");
                putchar(')');
            }
        }
        putchar('\'');
    }
}

static void zsh_command(const struct command *c)
{
    printf("    '%s')\n        _arguments -S", c->name);
    for (int i = 0; i < n_options_of(c); i++)
        zsh_option(option_of(c, i));
    printf(" \\\n            '--help[the page of this command]'");
    if (takes_commands(c))
        printf(" \\\n            '*:command:($names)'");
    else if (takes_files(c))
        printf(" \\\n            '*:file:_files'");
    printf(" ;;\n");
}

void help_zsh(void)
{
    char word[32];
    printf("#compdef hearth\n# Completion of hearth for zsh; made by: hearth help --completion zsh\n"
           "_hearth()\n{\n    local -a commands names\n    local command\n    commands=(\n");
    for (int i = 0; commands[i]; i++) {
        if (!is_first(i, word))
            continue;
        printf("        '%s:", word);
        zsh_text(commands[i]->summary);
        printf("'\n");
    }
    printf("    )\n    names=(${commands%%%%:*})\n"
           "    if ((CURRENT == 2)); then\n        _describe command commands\n        return\n    fi\n"
           "    command=$words[2]\n    shift words\n    ((CURRENT--))\n");
    for (int i = 0; commands[i]; i++) {
        if (!strchr(commands[i]->name, ' ') || !is_first(i, word))
            continue;
        printf("    if [[ $command == %s ]]; then\n"
               "        if ((CURRENT == 2)); then\n            compadd ", word);
        print_second_words(i);
        printf("\n            return\n        fi\n"
               "        command=\"$command $words[2]\"\n        shift words\n        ((CURRENT--))\n    fi\n");
    }
    printf("    case $command in\n");
    for (int i = 0; commands[i]; i++)
        zsh_command(commands[i]);
    printf("    esac\n}\n_hearth \"$@\"\n");
}

/* ---- fish ---- */

static void fish_text(const char *text)
{
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\')
            putchar('\\');
        putchar(*text);
    }
}

static void fish_option(const struct opt *o, const char *condition)
{
    char s[OPT_SPELLING_BYTES];
    printf("complete -c hearth -n '%s'", condition);
    for (int cursor = 0; opt_next_spelling(o, &cursor, s);) /* -np: of one dash, with more than a letter */
        printf(" %s %s", strncmp(s, "--", 2) == 0 ? "-l" : s[2] ? "-o" : "-s", s + (strncmp(s, "--", 2) == 0 ? 2 : 1));
    if (o->type != OPT_FLAG)
        fputs(is_file(o) ? " -r -F" : " -x", stdout);
    if (o->type == OPT_CHOICE) {
        fputs(" -a '", stdout);
        print_choices(o, " ");
        putchar('\'');
    }
    fputs(" -d '", stdout);
    fish_text(o->help);
    puts("'");
}

void help_fish(void)
{
    char word[32], condition[160];
    printf("# Completion of hearth for fish; made by: hearth help --completion fish\ncomplete -c hearth -f\n");
    for (int i = 0; commands[i]; i++) {
        const struct command *c = commands[i];
        const char *space = strchr(c->name, ' ');
        if (is_first(i, word)) {
            printf("complete -c hearth -n __fish_use_subcommand -a %s -d '", word);
            fish_text(c->summary);
            puts("'");
        }
        if (space) {
            snprintf(word, sizeof word, "%.*s", (int)(space - c->name), c->name);
            printf("complete -c hearth -n '__fish_seen_subcommand_from %s; and not __fish_seen_subcommand_from ", word);
            print_second_words(i);
            printf("' -a %s\n", space + 1);
        }
        snprintf(condition, sizeof condition, "__fish_seen_subcommand_from %s%s%s", space ? word : c->name,
                 space ? "; and __fish_seen_subcommand_from " : "", space ? space + 1 : "");
        for (int k = 0; k < n_options_of(c); k++)
            fish_option(option_of(c, k), condition);
        if (takes_files(c))
            printf("complete -c hearth -n '%s' -F\n", condition);
        for (int k = 0; takes_commands(c) && commands[k]; k++)
            if (is_first(k, word))
                printf("complete -c hearth -n '%s' -a %s\n", condition, word);
    }
}
