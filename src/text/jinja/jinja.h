/* jinja.h: chat templates, in our own subset of Jinja.
 *
 * A template comes from a model file, its values from a request: neither is trusted, so
 * everything here is pure (no files, no clock, no environment; the date is handed in) and
 * runs against a budget. The text is byte for byte what jinja2 gives when set up for chat
 * templates: sandboxed and immutable, trim_blocks, lstrip_blocks, break and continue,
 * {% generation %} blocks, a tojson that escapes no HTML, raise_exception() and
 * strftime_now(). Not there: include, import, extends, block, autoescape, lipsum(), the filters
 * pprint, random, striptags, urlize and wordwrap, and integers that leave 64 bits; those end
 * with an error that says so.
 *
 * Output is a list of spans. Bytes that stood in the template are trusted; bytes that came
 * from a value, through whatever filter, slice or concatenation, are not, and must never
 * become a special token. */
#pragma once
#include <jansson.h>

#include "base/arena.h"
#include "base/err.h"

struct jinja_limits {
    size_t source_bytes;
    size_t nodes;        /* of the syntax tree */
    int parse_depth;     /* nested brackets, operators and blocks */
    int call_depth;      /* macros and recursive loops inside one another */
    uint64_t steps;      /* of evaluation; long strings and lists cost more than one */
    size_t output_bytes; /* also: never more than 8 times the input and 1 MB */
    size_t memory_bytes; /* of one compilation or one rendering */
    int64_t range_items;
    int64_t wall_ms;     /* last resort; 0: none */
};
/* The limits the server uses. */
struct jinja_limits jinja_limits_default(void);

enum jinja_failure {
    JINJA_SYNTAX,  /* the template cannot be read */
    JINJA_RUNTIME, /* evaluation failed: a type, an undefined value, an unsupported feature */
    JINJA_RAISED,  /* the template called raise_exception(): it refuses this conversation */
    JINJA_LIMIT,   /* a limit above was reached */
    JINJA_MEMORY,  /* the system has no memory */
};

struct jinja_error {
    enum jinja_failure failure;
    int line, column;   /* 1-based; column counts characters; 0: no place */
    char message[1024]; /* what jinja2 would say, where it would say something; may quote the request */
};
/* The sentence for a user: place and message. Always returns false. */
bool jinja_fail(hearth_error *err, const struct jinja_error *e);

struct jinja_template;
/* source: UTF-8, borrowed for the call. NULL and *err when it does not compile. Immutable:
 * may be rendered by several threads. Release with jinja_template_free(). */
struct jinja_template *jinja_compile(struct str source, const struct jinja_limits *limits, struct jinja_error *err);
void jinja_template_free(struct jinja_template *t);

struct jinja_date {
    int year, month, day;         /* month and day from 1 */
    int hour, minute, second;
};

struct jinja_input {
    const json_t *values;  /* object, or NULL: messages, tools, ...; all text in it is untrusted */
    const json_t *trusted; /* object, or NULL: bos_token and the like, from the model file; wins */
    struct jinja_date date;
};

struct jinja_span {
    size_t begin, end; /* bytes of the output */
    bool trusted;
};

struct jinja_output {
    struct str text;
    struct jinja_span *spans; /* cover the text without gaps, neighbours differ in trust */
    size_t n_spans;
    uint64_t steps;           /* what it took */
    size_t memory_bytes;
    struct arena arena;       /* owns text and spans */
};

/* out is to be released with jinja_output_free() also after a failure. */
bool jinja_render(const struct jinja_template *t, const struct jinja_input *in, const struct jinja_limits *limits,
                  struct jinja_output *out, struct jinja_error *err);
void jinja_output_free(struct jinja_output *out);
