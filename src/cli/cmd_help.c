/* cmd_help.c: the help pages and the manual, all out of the command and option tables. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "cli/command.h"
#include "cli/help.h"
#include "server/api_tables.h"

const char help_overview[] =
    "hearth runs language models (GGUF files) on the machine in front of you.\n"
    "\n"
    "  hearth run -p \"It was a cold evening, and\"   complete a text with the built-in model\n"
    "  hearth run FILE.gguf --raw \"Once upon a time\" with a file of yours\n"
    "  hearth chat FILE.gguf                        a conversation in the terminal\n"
    "  hearth inspect FILE.gguf                     what is in it, will it run here, and why not\n";

const char help_general[] =
    "The answer is on standard output and nothing else is; all the rest is on standard error.\n"
    "Every option can stand in the environment as HEARTH_ and its name in capitals (HEARTH_CTX for --ctx);\n"
    "the command line wins. In long names - and _ are the same. MODEL is a GGUF file, or one that was pulled\n"
    "(hf:OWNER/REPO, or a name of hearth list); when none is named it is HEARTH_MODEL, else the built-in model.\n"
    "Every option can also stand in a settings file, hearth.toml: the environment wins over it. `hearth config`\n"
    "shows each value and where it comes from (docs/settings.md).\n";

const struct help_exit help_exits[] = {
    { EXIT_DONE, "done" },
    { EXIT_FAILED, "the request ended in an error; inspect: the file cannot run here; verify: there is a problem" },
    { EXIT_USAGE, "the command line asks for something that cannot be" },
    { EXIT_FILE, "a file cannot be read or written, is damaged, or is of a kind that hearth does not know" },
    { EXIT_MEMORY, "it does not fit into memory" },
    { EXIT_CUT, "serve: told to end, it did so before all that ran was answered: time was over, or it was told twice" },
    { EXIT_INTERRUPTED, "interrupted (Ctrl-C): what was finished is printed; a second Ctrl-C ends at once" },
    { 0, NULL },
};

enum { COLUMN = 34 };

void help_spellings(const struct opt *o, char *out, size_t room)
{
    char s[OPT_SPELLING_BYTES];
    size_t used = 0;
    out[0] = 0;
    for (int cursor = 0; opt_next_spelling(o, &cursor, s) && used < room;)
        used += (size_t)snprintf(out + used, room - used, "%s%s", used ? ", " : "", s);
}

void help_limits(const struct opt *o, char *out, size_t room)
{
    char range[64] = "";
    if (o->type == OPT_INT || o->type == OPT_FLOAT)
        snprintf(range, sizeof range, "%.10g to %.10g", o->least, o->most);
    if (o->type == OPT_COUNT)
        snprintf(range, sizeof range, "0 to 2^63-1");
    out[0] = 0;
    if (range[0] || o->dflt)
        snprintf(out, room, " (%s%s%s%s)", range, range[0] && o->dflt ? "; " : "", o->dflt ? "default: " : "",
                 o->dflt ? o->dflt : "");
}

/* Words of text from column on, broken before width. */
static void print_wrapped(const char *text, int column, int width)
{
    int at = column;
    while (*text) {
        size_t n = strcspn(text, " ");
        if (at > column && at + 1 + (int)n > width) {
            printf("\n%*s", column, "");
            at = column;
        } else if (at > column) {
            putchar(' ');
            at++;
        }
        printf("%.*s", (int)n, text);
        at += (int)n;
        text += n + (text[n] == ' ');
    }
    putchar('\n');
}

static void print_option(const struct opt *o)
{
    char names[160], left[240], extra[120], right[400];
    help_spellings(o, names, sizeof names);
    help_limits(o, extra, sizeof extra);
    snprintf(left, sizeof left, "  %s%s%s", names, o->type == OPT_FLAG ? "" : " ", o->type == OPT_FLAG ? "" : o->value);
    snprintf(right, sizeof right, "%s%s", o->help, extra);
    if (strlen(left) >= COLUMN)
        printf("%s\n%*s", left, COLUMN, "");
    else
        printf("%-*s", COLUMN, left);
    print_wrapped(right, COLUMN, 110);
}

static void print_command(const struct command *c)
{
    printf("hearth %s%s%s%s\n", c->name, *c->positionals ? " " : "", c->positionals, c->n_opts > 0 ? " [options]" : "");
    printf("  %s", c->summary);
    if (c->alias)
        printf(" (also: hearth %s)", c->alias);
    putchar('\n');
    if (c->about)
        printf("\n%s", c->about);
    if (c->n_opts > 0)
        printf("\noptions (each can stand in the environment: HEARTH_ and the long name in capitals)\n");
    for (int i = 0; i < c->n_opts; i++)
        print_option(&c->opts[i]);
    if (!c->no_settings)
        printf("\noptions of every command\n");
    for (int i = 0; !c->no_settings && i < N_COMMON; i++)
        print_option(&common_opts[i]);
}

static void print_overview(void)
{
    printf("%s\ncommands (hearth help COMMAND)\n", help_overview);
    for (int i = 0; commands[i]; i++)
        printf("  %-16s%s\n", commands[i]->name, commands[i]->summary);
    printf("\n%s\nexit codes\n", help_general);
    for (const struct help_exit *e = help_exits; e->meaning; e++)
        printf("  %-4d%s\n", e->code, e->meaning);
    printf("\noptions of every command\n");
    for (int i = 0; i < N_COMMON; i++)
        print_option(&common_opts[i]);
}

/* ---- the manual ---- */

/* Text inside a Markdown table: '|' would end the cell. */
static void print_cell(const char *text)
{
    for (; *text; text++) {
        if (*text == '|')
            putchar('\\');
        putchar(*text);
    }
}

static void markdown_options(const struct opt *table, int n)
{
    printf("\n| option | value | environment | meaning |\n|---|---|---|---|\n");
    for (int i = 0; i < n; i++) {
        const struct opt *o = &table[i];
        char s[OPT_SPELLING_BYTES], extra[120], variable[OPT_SPELLING_BYTES + 8];
        printf("|");
        for (int cursor = 0; opt_next_spelling(o, &cursor, s);)
            printf(" `%s`", s);
        printf(" | ");
        print_cell(o->type == OPT_FLAG ? "" : o->value);
        int first = 0;
        opt_next_spelling(o, &first, s);
        opt_env_name(s, variable);
        help_limits(o, extra, sizeof extra);
        printf(" | `%s` | ", variable);
        print_cell(o->help);
        print_cell(extra);
        printf(" |\n");
    }
}

static void markdown_manual(void)
{
    printf("# The program\n\nMade by `hearth help --markdown` out of the tables in `src/cli/`; a test keeps it so.\n");
    printf("\n");
    printf("```\n%s```\n\n%s", help_overview, help_general);
    printf("\n## Options of every command\n");
    markdown_options(common_opts, N_COMMON);
    for (int i = 0; commands[i]; i++) {
        const struct command *c = commands[i];
        printf("\n## hearth %s\n\n`hearth %s%s%s%s`: %s", c->name, c->name, *c->positionals ? " " : "", c->positionals,
               c->n_opts > 0 ? " [options]" : "", c->summary);
        if (c->alias)
            printf(" (also `hearth %s`)", c->alias);
        printf(".\n");
        if (c->about)
            printf("\n%s", c->about);
        if (c->n_opts > 0)
            markdown_options(c->opts, c->n_opts);
    }
    printf("\n## Exit codes\n\n| code | meaning |\n|---|---|\n");
    for (const struct help_exit *e = help_exits; e->meaning; e++)
        printf("| %d | %s |\n", e->code, e->meaning);
}

static int print_api(void)
{
    struct buf tables = { 0 };
    hearth_error err = { 0 };
    api_markdown(&tables);
    bool failed = tables.failed;
    if (!failed)
        fwrite(tables.ptr, 1, tables.len, stdout);
    buf_free(&tables);
    return failed ? (fail_memory(&err, "the tables"), report(&err)) : EXIT_DONE;
}

enum { MARKDOWN, API, MAN, MAN_SETTINGS, COMPLETION, N_OPTS };

static const struct opt options[N_OPTS] = {
    [MARKDOWN] = { .name = "markdown", .type = OPT_FLAG, .help = "the whole manual as Markdown (it is docs/cli.md)" },
    [API] = { .name = "api", .type = OPT_FLAG,
              .help = "the tables of the server's API as Markdown (they are in docs/api.md)" },
    [MAN] = { .name = "man", .type = OPT_FLAG, .help = "the manual as a page for man(1): hearth.1" },
    [MAN_SETTINGS] = { .name = "man-settings", .type = OPT_FLAG,
                       .help = "that of the settings file: hearth.toml.5" },
    [COMPLETION] = { .name = "completion", .type = OPT_CHOICE, .value = "bash|zsh|fish",
                     .help = "the file that makes this shell complete commands and options" },
};

static int run(const struct args *a)
{
    static void (*const completions[])(void) = { help_bash, help_zsh, help_fish };
    const struct opt_value *v = a->value;
    if (v[MARKDOWN].on || v[MAN].on || v[MAN_SETTINGS].on || v[COMPLETION].origin != OPT_UNSET) {
        (v[MARKDOWN].on       ? markdown_manual
         : v[MAN].on          ? help_man
         : v[MAN_SETTINGS].on ? help_man_settings
                              : completions[v[COMPLETION].i])();
        return EXIT_DONE;
    }
    if (v[API].on)
        return print_api();
    if (a->n_words == 0) {
        print_overview();
        return EXIT_DONE;
    }
    int n_words;
    char *words[2] = { (char *)a->word[0], (char *)a->word[1] };
    const struct command *c = command_find(a->n_words, words, &n_words);
    for (int i = 0; !c && commands[i]; i++) /* "dev synth" as one word, from hearth dev synth --help */
        if (strcmp(commands[i]->name, a->word[0]) == 0)
            c = commands[i];
    if (!c)
        return usage_error(&cmd_help, "'%.80s' is not a command", a->word[0]);
    print_command(c);
    return EXIT_DONE;
}

const struct command cmd_help = {
    .name = "help",
    .positionals = "[COMMAND]",
    .max_words = 2,
    .summary = "this page, or that of one command",
    .opts = options,
    .n_opts = N_OPTS,
    .no_settings = true,
    .run = run,
};
