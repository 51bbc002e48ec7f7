/* help.h: what the forms of the manual have in common: all of them come out of the tables of commands and options. */
#pragma once
#include <stddef.h>

#include "cli/opts.h"

extern const char help_overview[], help_general[]; /* lines of at most 110 columns */

struct help_exit {
    int code;
    const char *meaning; /* NULL: the end of the table */
};
extern const struct help_exit help_exits[];

/* "--ctx, -c, --ctx-size" */
void help_spellings(const struct opt *o, char *out, size_t room);
/* " (1 to 1024; default: 40)", or nothing. */
void help_limits(const struct opt *o, char *out, size_t room);

/* Pages for man(1), in the macros of man(7), on standard output (help_man.c). */
void help_man(void);
void help_man_settings(void);

/* What makes a shell complete the program's words, on standard output (help_complete.c). */
void help_bash(void);
void help_zsh(void);
void help_fish(void);
