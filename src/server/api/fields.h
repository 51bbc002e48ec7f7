/* fields.h: the fields of a request against their table (fields.def). Pure. */
#pragma once
#include <jansson.h>

#include "hearth/hearth.h"
#include "server/api/problem.h"

/* Endpoints, as bits. */
enum {
    ON_CHAT = 1,
    ON_TEXT = 2,
    ON_NATIVE = 4,
    ON_TOKENIZE = 8,
    ON_DETOKENIZE = 16,
    ON_TEMPLATE = 32,
    ON_INFILL = 64,
    ON_EMBED = 128,
    ON_RERANK = 256,
    ON_EVERY = ON_CHAT | ON_TEXT | ON_NATIVE | ON_INFILL, /* that generates */
};

enum field_type { FIELD_FLAG, FIELD_WHOLE, FIELD_REAL, FIELD_TEXT, FIELD_LIST, FIELD_OBJECT, FIELD_ANY };
enum field_use { FIELD_USED, FIELD_INERT, FIELD_UNUSED };

enum field {
#define FIELD(id, name, type, least, most, dflt, unit, on, use, help) F_##id,
#define FIELD_OF_SAMPLER(name, type, dflt, least, most, help) F_##name,
#include "server/api/fields.def"
    N_FIELDS
};

struct field_info {
    const char *name;
    enum field_type type;
    double least, most;
    const char *dflt, *unit, *help;
    unsigned on;
    enum field_use use;
    int sampling; /* HEARTH_SAMPLING_...; -1: none of them */
};
extern const struct field_info field_table[N_FIELDS];

/* What was not taken as it stands: lists of sentences for the receipt. At most so many; then one with the number. */
enum { NOTES_MOST = 32 };
struct notes {
    json_t *ignored;  /* names of fields that have no effect */
    json_t *adjusted; /* sentences: values that were taken as others */
    int n_ignored, n_adjusted;
    bool failed; /* memory was out */
};
bool notes_init(struct notes *n); /* false: memory is out */
void notes_free(struct notes *n);
void notes_ignored(struct notes *n, const char *name);
void notes_adjusted(struct notes *n, const char *fmt, ...) PRINTF(2, 3);

/* What a request has; values point into its JSON. */
struct fields {
    const json_t *value[N_FIELDS]; /* NULL: not there, or null */
    double number[N_FIELDS];       /* of WHOLE and REAL that are there */
};

/* Reads the fields that this endpoint has. Refused: another type, a value out of range, and with `strict` a field that
 * is unknown or has no effect; without it those are noted. */
bool fields_read(struct fields *out, const json_t *body, unsigned on, bool strict, struct notes *notes,
                 struct problem *p);

/* Refuses: "messages[2] is a number; it must be an object". want: "an object". */
bool field_wrong_type(struct problem *p, const char *name, const json_t *got, const char *want);
bool field_flag(const struct fields *f, enum field id, bool dflt);

/* A table of the fields that the endpoints have, in Markdown, for docs/api.md. */
struct buf;
void fields_markdown(struct buf *out, unsigned on);
