/* help_man.c: hearth(1) and hearth.toml(5), for man. */
#include <stdio.h>
#include <string.h>

#include "base/env.h"
#include "cli/command.h"
#include "cli/help.h"
#include "cli/preset.h"
#include "cli/price.h"

/* Text of a line: nothing in it is a request, an escape or a hyphen where a minus is meant. */
static void put(const char *text, size_t n)
{
    if (n > 0 && (text[0] == '.' || text[0] == '\''))
        fputs("\\&", stdout);
    for (size_t i = 0; i < n; i++) {
        switch (text[i]) {
        case '\\': fputs("\\e", stdout); break;
        case '-': fputs("\\-", stdout); break;
        case '\'': fputs("\\(aq", stdout); break;
        case '`': fputs("\\(ga", stdout); break;
        case '^': fputs("\\(ha", stdout); break;
        case '~': fputs("\\(ti", stdout); break;
        case '"': fputs("\\(dq", stdout); break;
        default: putchar(text[i]);
        }
        if (strchr(";|,", text[i]) && i + 1 < n && text[i + 1] != ' ')
            fputs("\\:", stdout); /* a long word may go on in the next line */
    }
}

static void put_z(const char *text) { put(text, strlen(text)); }

/* Paragraphs: an empty line ends one, lines that begin with two spaces stand as they are. */
static void put_paragraphs(const char *text)
{
    bool as_is = false;
    while (*text) {
        size_t n = strcspn(text, "\n");
        bool indented = strncmp(text, "  ", 2) == 0;
        if (indented != as_is)
            puts(indented ? ".PP\n.nf" : ".fi\n.PP");
        as_is = indented;
        put(text, n);
        puts(n == 0 ? ".PP" : "");
        text += n + (text[n] == '\n');
    }
    if (as_is)
        puts(".fi");
}

static void put_option(const struct opt *o, bool dashes)
{
    char names[160], extra[240];
    help_limits(o, extra, sizeof extra);
    fputs(".TP\n", stdout);
    if (dashes) {
        help_spellings(o, names, sizeof names);
        fputs("\\fB", stdout);
        put_z(names);
    } else {
        char spelling[OPT_SPELLING_BYTES];
        int cursor = 0;
        opt_next_spelling(o, &cursor, spelling);
        fputs("\\fB", stdout);
        put_z(spelling + 2);
    }
    fputs("\\fR", stdout);
    if (o->type != OPT_FLAG) {
        fputs(dashes ? " \\fI" : " = \\fI", stdout);
        put_z(o->value);
        fputs("\\fR", stdout);
    }
    putchar('\n');
    put_z(o->help);
    put_z(extra);
    putchar('\n');
}

static void put_command(const struct command *c)
{
    fputs(".SS \"hearth ", stdout);
    put_z(c->name);
    if (*c->positionals) {
        putchar(' ');
        put_z(c->positionals);
    }
    fputs(c->n_opts > 0 ? " [options]\"\n" : "\"\n", stdout);
    put_z(c->summary);
    if (c->alias) {
        fputs(" (also: hearth ", stdout);
        put_z(c->alias);
        fputs(")", stdout);
    }
    puts(".");
    if (c->about) {
        puts(".PP");
        put_paragraphs(c->about);
    }
    for (int i = 0; i < c->n_opts; i++)
        put_option(&c->opts[i], true);
}

static void put_head(const char *name, const char *section)
{
    puts(".\\\" Made by the program out of its own tables: hearth help --man, hearth help --man-settings.");
    printf(".TH %s %s \"\" \"hearth %s\" \"hearth\"\n.ad l\n", name, section, hearth_version());
}

void help_man(void)
{
    put_head("HEARTH", "1");
    puts(".SH NAME\nhearth \\- run language models (GGUF files) on the machine in front of you\n"
         ".SH SYNOPSIS\n.B hearth\n.I COMMAND\n[\\fIwords\\fR] [\\fIoptions\\fR]\n.SH DESCRIPTION");
    put_paragraphs(help_overview);
    puts(".PP");
    put_paragraphs(help_general);
    puts(".SH COMMANDS");
    for (int i = 0; commands[i]; i++)
        put_command(commands[i]);
    puts(".SH OPTIONS OF EVERY COMMAND");
    for (int i = 0; i < N_COMMON; i++)
        put_option(&common_opts[i], true);
    puts(".SH ENVIRONMENT\nEvery option, as HEARTH_ and its long name in capitals, with _ for \\-, and beside them");
    for (const struct env_var *v = env_vars; v->name; v++) {
        fputs(".TP\n\\fBHEARTH_", stdout);
        put_z(v->name);
        fputs("\\fR\n", stdout);
        put_z(v->help);
        putchar('\n');
    }
    puts(".SH FILES\n.TP\n\\fI\\(ti/.config/hearth/hearth.toml\\fR, \\fI/etc/hearth/hearth.toml\\fR\n"
         "Settings: the first of them that is there, unless \\fB\\-\\-config\\fR names another.\n.SH EXIT STATUS");
    for (const struct help_exit *e = help_exits; e->meaning; e++) {
        printf(".TP\n\\fB%d\\fR\n", e->code);
        put_z(e->meaning);
        putchar('\n');
    }
    puts(".SH SEE ALSO\n.BR hearth.toml (5)");
}

static const char settings_text[] =
    "Settings of hearth: options by their long names, so that they need not be typed. One file is read: the\n"
    "one that --config or HEARTH_CONFIG names, else ~/.config/hearth/hearth.toml ($XDG_CONFIG_HOME in the\n"
    "place of ~/.config), else /etc/hearth/hearth.toml. A hearth.toml in the working folder is not read by\n"
    "itself. hearth config shows every value and where it comes from: the command line wins over the\n"
    "environment, the environment over the file.\n"
    "\n"
    "  # for every command that has the option\n"
    "  threads = 8\n"
    "\n"
    "  [serve]\n"
    "  host = \"0.0.0.0\"\n"
    "  api-key-file = \"/etc/hearth/keys\"\n"
    "  strict = true\n"
    "  alias = [\"small\", \"large\"]\n"
    "\n"
    "  [model.\"qwen3-0.6b-q8_0\"]\n"
    "  system = \"Answer in one sentence.\"\n"
    "  temperature = 0.6\n"
    "\n"
    "The file is TOML, a flat part of it: texts in \"...\" (with \\n, \\t, \\\", \\\\, \\uXXXX) or in '...'\n"
    "(as they stand), decimal numbers, true and false, lists of texts in one line, comments, sections. What\n"
    "TOML has besides is refused. It is UTF-8, of at most 256 KiB, 16 KiB a line, 512 keys. Flags are true or\n"
    "false; an option that may be given several times is a list. Unknown keys and sections are refused,\n"
    "whatever the command. Names of files are as on a command line: relative ones start at the working\n"
    "folder.\n";

static const char presets_text[] =
    "[model.\"NAME\"] is for one model: NAME is its alias of hearth serve, or its file's name without .gguf.\n"
    "serve, run and chat apply it, over what the file says for commands, under the environment and the\n"
    "command line; fields of a request win over it, and the receipt of every answer says what of it was used.\n"
    "It may have:\n";

static const char prices_text[] =
    "[price.\"NAME\"] is what a model costs elsewhere, NAME being what the server there calls it: hearth\n"
    "compare shows what its questions cost. No price is built in. All but one of these must be there:\n";

void help_man_settings(void)
{
    put_head("HEARTH.TOML", "5");
    puts(".SH NAME\nhearth.toml \\- settings of hearth\n.SH DESCRIPTION");
    put_paragraphs(settings_text);
    puts(".SH PRESETS OF MODELS");
    put_paragraphs(presets_text);
    for (int i = 0; i < PRESET_N_OPTS; i++)
        put_option(&preset_opts[i], false);
    puts(".SH PRICES");
    put_paragraphs(prices_text);
    for (int i = 0; i < PRICE_N_OPTS; i++)
        put_option(&price_opts[i], false);
    puts(".SH SEE ALSO\n.BR hearth (1)");
}
