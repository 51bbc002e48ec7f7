/* opts.h: command-line options out of one table per command.
 *
 * From the table come parsing, range checks, HEARTH_<FLAG>, the help page and the manual.
 * Names are exact (no prefixes); '_' and '-' are the same inside a long name. A value is the
 * next word or follows '=': --ctx 4096, --ctx=4096, -c 4096. "--" ends the options. */
#pragma once
#include "base/err.h"

enum opt_type {
    OPT_FLAG,   /* takes no value */
    OPT_INT,    /* whole number, least..most */
    OPT_COUNT,  /* whole number, 0..2^63-1 (seeds) */
    OPT_FLOAT,  /* finite number, least..most */
    OPT_TEXT,
    OPT_LIST,   /* a text that may be given several times */
    OPT_CHOICE, /* one of value's words, any case */
};

struct opt {
    const char *name;    /* long name without dashes: "ctx" */
    const char *aliases; /* other spellings with their dashes, spaces between: "-c --ctx-size"; NULL: none */
    enum opt_type type;
    const char *value;   /* shown in help: "N", "FILE"; OPT_CHOICE: the choices, "Q4_K_M|Q8_0" */
    double least, most;  /* OPT_INT, OPT_FLOAT */
    const char *dflt;    /* shown in help; NULL: help says it, or there is none */
    const char *help;
};

enum { OPT_LIST_MAX = 16 };
/* Who says it; a later one wins. */
enum opt_origin {
    OPT_UNSET,
    OPT_FROM_FILE,   /* the settings file: for all commands, or for this one */
    OPT_FROM_PRESET, /* the settings file: for the model */
    OPT_FROM_ENV,
    OPT_FROM_LINE
};

struct opt_value {
    enum opt_origin origin; /* OPT_UNSET: all else is zero */
    bool on;                /* OPT_FLAG */
    int64_t i;              /* OPT_INT, OPT_COUNT; OPT_CHOICE: its index */
    double f;               /* OPT_FLOAT */
    const char *text;       /* as given; points into argv, the environment or the settings */
    int line;               /* OPT_FROM_FILE, OPT_FROM_PRESET: of the file */
    const char *list[OPT_LIST_MAX]; /* OPT_LIST: all of them, in their order */
    int n_list;
};

enum { OPTS_MAX = 64, WORDS_MAX = 16 };

/* The options that every command has, whatever its table is. */
enum common_opt { COMMON_CONFIG, N_COMMON };
extern const struct opt common_opts[N_COMMON];

struct settings; /* settings.h */

/* What a command line held. */
struct args {
    struct opt_value value[OPTS_MAX]; /* in the order of the table */
    struct opt_value common[N_COMMON];
    const struct settings *settings;  /* what the values were completed from; NULL: opts_parse() knows none */
    const char *word[WORDS_MAX];      /* positionals */
    int n_words;
    bool help;                        /* -h or --help came: nothing after it was looked at */
};

/* Parse argv[0..argc) (the command's own name already taken off) with a table of n <= OPTS_MAX
 * options; at most max_words positionals. Options that the line does not have are looked up in
 * the environment under each long spelling. HEARTH_ERR_USAGE names the option, the value and
 * the range, or the nearest option that exists. note (may be NULL) is called with a sentence
 * about something accepted that the user should know (an option given twice). */
bool opts_parse(struct args *out, const struct opt *table, int n, int max_words, int argc, char *const *argv,
                void (*note)(const char *sentence), hearth_error *err);

/* One value against its row, as if the line had it. thing: what the user wrote, "--ctx" or "HEARTH_CTX".
 * HEARTH_ERR_USAGE has thing, the text and the range. */
bool opt_set_value(struct opt_value *v, const struct opt *o, const char *thing, const char *text, hearth_error *err);

/* "--ctx" or "-c" against one row: any spelling. len: bytes of `given` up to '=' or its end. */
bool opt_matches(const struct opt *o, const char *given, size_t len);

/* One spelling after the other, the main one first: each call writes the next ("--top-k", "-c")
 * to out; *cursor starts at 0. False when there are no more. */
enum { OPT_SPELLING_BYTES = 48 };
bool opt_next_spelling(const struct opt *o, int *cursor, char out[OPT_SPELLING_BYTES]);

/* The long spelling of a row that is nearest to what was typed ("--tempreature"), into out, if it is less than `best`
 * edits away and near at all. Returns how many edits out is away, or best as it was. */
int opt_nearest(const struct opt *table, int n, const char *given, int best, char out[OPT_SPELLING_BYTES]);

/* HEARTH_<NAME> of a long spelling; "" for a short one. */
void opt_env_name(const char *spelling, char out[OPT_SPELLING_BYTES + 8]);
