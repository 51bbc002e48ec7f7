/* command.h: what a command is, how it ends, and what it says when it fails.
 *
 * main.c has the table, one line per command; each cmd_<name>.c fills one of these. */
#pragma once
#include "base/base.h"
#include "cli/opts.h"
#include "hearth/hearth.h"

/* Exit codes; `hearth help` and the manual say them in words. */
enum exit_code {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,      /* the request ended in an error; inspect: the file cannot run here; verify: a problem */
    EXIT_USAGE = 2,       /* the command line asks for something that cannot be */
    EXIT_FILE = 3,        /* a file cannot be read or written, is damaged, or is unknown to us */
    EXIT_MEMORY = 4,      /* it does not fit */
    EXIT_CUT = 75,        /* serve: it ended before all that ran was answered (EX_TEMPFAIL of sysexits.h) */
    EXIT_INTERRUPTED = 130,
};

struct command {
    const char *name;        /* "run"; "dev synth" for a second level */
    const char *alias;       /* or NULL */
    const char *positionals; /* "[MODEL] [PROMPT]"; "" when there are none */
    int max_words;
    const char *summary;     /* one line, no full stop */
    const char *about;       /* paragraphs for help and the manual; NULL: none */
    const struct opt *opts;  /* n_opts rows; NULL: none */
    int n_opts;
    bool no_settings;        /* it works whatever the settings file says */
    int (*run)(const struct args *a); /* returns an exit_code */
};

#define COMMAND(name) extern const struct command cmd_##name;
#include "cli/commands.def"

/* Every command, NULL-terminated (main.c). */
extern const struct command *const commands[];

/* The command that argv begins with, and how many words its name took; NULL: none. */
const struct command *command_find(int argc, char *const *argv, int *n_words);

/* "hearth: <sentence>" on standard error. */
void say(const char *fmt, ...) PRINTF(1, 2);

/* From here on such sentences go there instead; NULL: to standard error again. */
void say_through(void (*to)(const char *sentence));

/* Say what is wrong with the command line and where the help is. Returns EXIT_USAGE. */
int usage_error(const struct command *c, const char *fmt, ...) PRINTF(2, 3);

/* Say a library error. Returns the exit code that belongs to its status. */
int report(const hearth_error *err);

/* Call right after a write to standard output failed, for the reason finish_output() gives.
 * True: nobody reads it any more (a pipe whose other end is closed), which is a normal end. */
bool output_failed(void);

/* End of a command that wrote to standard output: flush it. EXIT_FILE when that fails, except
 * for a reader that went away. */
int finish_output(int code);
