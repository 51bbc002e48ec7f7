/* toml.h: settings files: a flat part of TOML 1.0 (https://toml.io/en/v1.0.0), and no more. Pure.
 *
 *   # a comment
 *   ctx = 4096                                  a whole number: decimal, _ between digits
 *   temperature = 0.7                           a number
 *   strict = true                               true or false
 *   host = "127.0.0.1"                          a text: "with \n, \t, \\, \" and \uXXXX" or 'as it stands'
 *   dry-sequence-breaker = ["\n", ":"]          texts, in one line
 *   [serve]                                     what follows belongs to this section
 *   [model."qwen3-0.6b"]                        a section of two names; quotes where a name has more than A-Za-z0-9_-
 *
 * What of TOML is not there (texts and lists of several lines, dates, tables in a value, dotted and quoted keys, arrays
 * of tables, hexadecimal, inf and nan) is refused by its name: no file means one thing here and another elsewhere. */
#pragma once
#include "base/arena.h"
#include "base/err.h"

enum {
    TOML_MAX_BYTES = 256 << 10, /* of a file */
    TOML_MAX_LINE_BYTES = 16 << 10,
    TOML_MAX_KEYS = 512,        /* of all sections */
    TOML_MAX_SECTIONS = 64,
    TOML_MAX_ITEMS = 64,        /* of a list */
    TOML_MAX_NAME_BYTES = 120,  /* of a key, and of each name of a section */
    TOML_ARENA_BYTES = 1 << 20, /* what all of that takes at most */
};

enum toml_type { TOML_STRING, TOML_INTEGER, TOML_FLOAT, TOML_BOOLEAN, TOML_STRINGS };

struct toml_pair {
    const char *key; /* as it is written */
    int line;        /* from 1 */
    enum toml_type type;
    const char *text;         /* all but TOML_STRINGS: the text without quotes and escapes, or the number without _ */
    const char *const *items; /* TOML_STRINGS: [n_items] */
    int n_items;
};

struct toml_section {
    const char *name, *sub; /* both "": what stands before the first header; sub "": a header of one name */
    int line;               /* of its header; 0: the one without */
    int first, n;           /* its keys: pairs[first, first + n) */
};

struct toml {
    const struct toml_section *sections; /* the one without a header is the first, and always there */
    int n_sections;
    const struct toml_pair *pairs;
    int n_pairs;
};

/* text: the file; name: what errors call it. All of *out is in the arena, whose limit is TOML_ARENA_BYTES; texts have
 * no NUL inside. No key comes twice in a section, no section twice. HEARTH_ERR_FORMAT is "NAME:LINE: what is wrong;
 * what to do"; HEARTH_ERR_MEMORY. */
bool toml_read(struct toml *out, struct arena *a, struct str text, const char *name, hearth_error *err);

/* The section of these names; NULL: none. */
const struct toml_section *toml_section_find(const struct toml *t, const char *name, const char *sub);
