/* value.h: what a template computes with, and the state of one rendering.
 *
 * Values are small and copied; what they point to lives in the rendering's arena (or is
 * borrowed from the request's JSON) and never changes, except namespaces, loops, cyclers
 * and generators. Strings carry taint byte by byte. Every function that can fail returns
 * false after j_fail(); results of failed calls are not to be read. */
#pragma once
#include "text/jinja/jinja.h"

enum kind {
    J_MISSING, /* a slot nobody has assigned, an argument nobody gave */
    J_UNDEFINED,
    J_NONE,
    J_BOOL,
    J_INT,
    J_FLOAT,
    J_STRING,
    J_LIST,
    J_TUPLE,
    J_DICT,
    J_RANGE,
    J_VIEW,      /* dict.items() and its like, and sets: a list that cannot be indexed */
    J_GENERATOR, /* what lazy filters give: readable once */
    J_NAMESPACE,
    J_MACRO,
    J_LOOP,
    J_FUNCTION, /* a global function */
    J_METHOD,   /* a method with its object */
    J_CYCLER,
    J_JOINER,
};

struct text {
    const char *ptr;
    const uint8_t *mask; /* one byte per byte of text, 1: untrusted; NULL: all are as `taint` says */
    size_t len;
    int64_t n_chars;     /* -1: not counted yet */
    struct growing *in;  /* the block ptr lies in, when something may be appended to it there */
    bool taint;
    bool markup;         /* "safe": concatenation escapes what is not */
};

struct value {
    uint8_t kind;
    bool taint; /* of numbers and containers: came from a request */
    union {
        bool b;
        int64_t i;
        double f;
        struct text *s;
        struct list *list; /* LIST TUPLE VIEW GENERATOR */
        struct dict *dict; /* DICT NAMESPACE */
        struct range *range;
        struct undefined *undefined;
        struct macro *macro;
        struct loop *loop;
        const struct function *function;
        struct method *method;
        struct cycler *cycler; /* CYCLER JOINER */
    };
};

struct list {
    struct value *items;
    size_t n, room;
    size_t next;             /* GENERATOR: what was read already */
    struct jinja_error *err; /* GENERATOR: what happens after the last item; NULL: it ends */
    const char *type;        /* VIEW, GENERATOR: Python's name for it; TUPLE: group_type or another */
};
extern const char set_type[];   /* of a VIEW that is a set */
extern const char group_type[]; /* of the pairs that groupby gives: they have names for their parts */

struct entry {
    struct value key, value;
    uint64_t hash;
};

/* In order of insertion. */
struct dict {
    struct entry *entries;
    size_t n, room;
    uint32_t *index; /* entry + 1, open addressing; NULL while small */
    size_t n_index;  /* a power of two */
};

struct range {
    int64_t start, stop, step, n;
};

/* An undefined value prints as nothing and fails when used. */
struct undefined {
    const char *hint;  /* the whole message; or NULL: */
    const char *owner; /* type of the object that lacks `name`; NULL: a variable */
    struct value name;
    bool unsafe;       /* the sandbox forbids it */
};

struct cycler {
    struct value *items;
    size_t n, next;
    struct text *separator;
    bool used;
};

struct method {
    struct value self;
    const struct method_row *row;
    const char *name;
};

struct args {
    struct value *at;
    size_t n;
    struct str *names; /* of keyword arguments */
    struct value *named;
    size_t n_named;
};

/* Block that grows; texts share its beginning. */
struct growing {
    char *ptr;
    uint8_t *mask; /* NULL while all bytes are as `taint` says */
    size_t len, room;
    bool taint;
    bool any; /* something was written, taint is settled */
};

struct filter_row;
struct test_row;

/* One rendering. */
struct run {
    const struct jinja_template *t;
    const struct jinja_input *in;
    struct jinja_limits limits;
    struct arena *arena;
    struct value *globals;    /* [t->n_globals] what free names mean */
    struct growing *out;      /* where text goes: the output or a capture */
    struct jinja_error *err;
    uint64_t steps, next_look; /* at next_look steps, look at the clock */
    int64_t start_ns;
    size_t input_bytes;
    size_t unpaid;            /* bytes written that have not made a step yet */
    int depth;                /* of C calls that nest with the data or the template */
    int call_depth;
    int flow;                 /* enum flow: break or continue under way */
    bool failed, located;
    bool folding;             /* computing as jinja2 does while it compiles: names and calls fail */
};

/* ---- failing */
bool j_fail(struct run *r, const char *fmt, ...) PRINTF(2, 3);
bool j_limit(struct run *r, const char *fmt, ...) PRINTF(2, 3);
bool j_memory(struct run *r);                 /* the arena refused */
bool j_spend(struct run *r, uint64_t steps);  /* false: over budget, or failed before */
bool j_enter(struct run *r);                  /* one level deeper; j_leave() after success and failure alike */
void j_leave(struct run *r);
void *j_alloc(struct run *r, size_t n, size_t each);
#define j_new(r, T)      ((T *)j_alloc((r), 1, sizeof(T)))
#define j_array(r, T, n) ((T *)j_alloc((r), (size_t)(n), sizeof(T)))

/* ---- making values */
static inline struct value j_none(void) { return (struct value){ .kind = J_NONE }; }
static inline struct value j_bool(bool b) { return (struct value){ .kind = J_BOOL, .b = b }; }
static inline struct value j_int(int64_t i) { return (struct value){ .kind = J_INT, .i = i }; }
static inline struct value j_float(double f) { return (struct value){ .kind = J_FLOAT, .f = f }; }
static inline bool j_is_text(struct value v) { return v.kind == J_STRING; }
static inline bool j_is_undef(struct value v) { return v.kind == J_UNDEFINED; }
static inline bool j_is_number(struct value v) { return v.kind >= J_BOOL && v.kind <= J_FLOAT; }
static inline bool j_is_whole(struct value v) { return v.kind == J_BOOL || v.kind == J_INT; }
static inline int64_t j_whole(struct value v) { return v.kind == J_BOOL ? v.b : v.i; }
static inline struct str j_str(struct value v) { return (struct str){ v.s->ptr, v.s->len }; }
bool j_borrow(struct run *r, struct str s, bool taint, struct value *out); /* text that outlives the rendering */
bool j_literal(struct run *r, const char *z, struct value *out);          /* trusted, static */
bool j_sub(struct run *r, struct value s, size_t from, size_t len, struct value *out); /* bytes of a text */
bool j_undefined(struct run *r, const char *owner, struct value name, struct value *out);
bool j_undefined_hint(struct run *r, const char *hint, struct value *out);
bool j_list(struct run *r, uint8_t kind, size_t room, struct value *out);
bool j_push(struct run *r, struct list *l, struct value v);
bool j_dict(struct run *r, size_t room, struct value *out);
bool j_dict_set(struct run *r, struct dict *d, struct value key, struct value v);
bool j_dict_find(struct run *r, const struct dict *d, struct value key, struct value **out); /* *out NULL: absent */
struct value *j_dict_find_str(const struct dict *d, struct str key);
bool j_from_json(struct run *r, const json_t *j, bool taint, struct value *out);

/* ---- building text */
bool j_put(struct run *r, struct growing *g, const char *bytes, size_t n, bool taint);
bool j_puts(struct run *r, struct growing *g, const char *z, bool taint);
bool j_put_text(struct run *r, struct growing *g, const struct text *s);
bool j_put_part(struct run *r, struct growing *g, const struct text *s, size_t from, size_t len);
bool j_put_char(struct run *r, struct growing *g, uint32_t c, bool taint);
bool j_built(struct run *r, struct growing *g, struct value *out); /* the text; g is not to be written again */
bool j_concat(struct run *r, struct value a, struct value b, struct value *out);
size_t j_run_end(const uint8_t *mask, size_t at, size_t end); /* of the bytes from `at` that are alike in trust */
static inline bool j_taint_at(const struct text *s, size_t i) { return s->mask ? s->mask[i] : s->taint; }
bool j_tainted(struct value v); /* any byte, any part */

/* ---- asking */
const char *j_type_name(struct value v);  /* Python's: "str" */
const char *j_owner_name(struct value v); /* as messages about attributes name it: "str object" */
bool j_truth(struct value v);
bool j_hash(struct run *r, struct value v, uint64_t *out);
bool j_equal(struct run *r, struct value a, struct value b, bool *out);
bool j_less(struct run *r, struct value a, struct value b, const char *op, bool *out); /* op: < <= > >= */
bool j_contains(struct run *r, struct value container, struct value item, bool *out);
bool j_length(struct run *r, struct value v, int64_t *out);
bool j_has_length(struct value v);
/* First place of `what` in the bytes [from, to), or -1: also when the budget is spent (r->failed). */
int64_t j_place(struct run *r, struct str s, struct str what, size_t from, size_t to);
int64_t j_chars(const struct text *s);
size_t j_char_offset(const struct text *s, int64_t n_chars); /* byte offset of a character */
bool j_fail_undefined(struct run *r, struct value v);
bool j_undefined_message(struct run *r, struct value v, struct growing *g);

/* ---- iterating: over a copy of the position; generators remember it themselves */
struct iter {
    struct value over;
    size_t at;
};
bool j_iter(struct run *r, struct value v, struct iter *out);
bool j_next(struct run *r, struct iter *it, struct value *out, bool *got);
bool j_to_list(struct run *r, struct value v, uint8_t kind, struct value *out);

/* ---- text of values (repr.c) */
bool j_to_text(struct run *r, struct value v, struct value *out);  /* str() */
bool j_put_str(struct run *r, struct growing *g, struct value v);  /* str(), appended */
bool j_put_repr(struct run *r, struct growing *g, struct value v); /* repr(), appended */
size_t j_float_text(double f, char out[40]);                       /* repr() of a float */
bool j_escape(struct run *r, struct value v, struct value *out);   /* HTML; the result is markup */

/* ---- characters (chars.c) */
bool j_is_space(uint32_t c);
bool j_is_printable(uint32_t c);
bool j_is_word(uint32_t c); /* may stand in a name */
bool j_cased(uint32_t c);
size_t j_upper(uint32_t c, uint32_t out[3]);
size_t j_title(uint32_t c, uint32_t out[3]);
size_t j_lower(uint32_t c, uint32_t out[3]);
uint32_t j_char_at(struct str s, size_t at, int *length);   /* well-formed UTF-8 */
uint32_t j_char_before(struct str s, size_t at, int *length);
int j_encode(uint32_t c, char out[4]);

/* ---- operators (ops.c) */
bool j_binary(struct run *r, int op, struct value a, struct value b, struct value *out);
bool j_negate(struct run *r, bool minus, struct value a, struct value *out);
bool j_slice(struct run *r, struct value v, const struct value bounds[3], struct value *out);

/* ---- dict views as sets (sets.c) */
bool j_is_set(struct value v);
bool j_is_set_like(struct value v); /* has the operators of sets: keys, items, sets */
bool j_has_difference(struct value a, struct value b);
bool j_difference(struct run *r, struct value a, struct value b, struct value *out);
bool j_subset(struct run *r, struct value a, struct value b, bool *out); /* both set-like */
bool j_disjoint(struct run *r, struct value self, struct value *a, struct value *out);

/* ---- attributes, calls (call.c) */
bool j_getattr(struct run *r, struct value v, struct value name, struct value *out);
bool j_getitem(struct run *r, struct value v, struct value key, struct value *out);
bool j_call(struct run *r, struct value f, const struct args *args, struct value *out);
bool j_call_filter(struct run *r, const struct filter_row *row, struct value v, const struct args *args,
                   struct value *out);
bool j_call_test(struct run *r, const struct test_row *row, struct value v, const struct args *args, bool *out);

/* Arguments in the order of `names` (space-separated; those after '|' may be left out). Missing
 * ones are J_MISSING. `function` is what Python calls it in a complaint. */
enum { MOST_PARAMETERS = 8 };
bool j_bind(struct run *r, const char *function, const char *names, const struct args *args,
            struct value out[MOST_PARAMETERS]);

/* ---- tables */
struct function {
    const char *name;
    bool (*call)(struct run *r, const struct args *args, struct value *out);
};
struct filter_row {
    const char *name, *function, *parameters; /* the first is the value */
    bool (*call)(struct run *r, struct value *a, struct value *out);
    bool (*call_any)(struct run *r, struct value v, const struct args *args, struct value *out);
};
struct test_row {
    const char *name, *function, *parameters;
    bool (*call)(struct run *r, struct value *a, bool *out);
};
struct method_row {
    const char *name, *parameters; /* parameters NULL: known, not supported */
    bool (*call)(struct run *r, struct value self, struct value *a, struct value *out);
    bool (*call_any)(struct run *r, struct value self, const struct args *args, struct value *out);
};
const struct filter_row *j_find_filter(struct str name);
const struct test_row *j_find_test(struct str name);
const struct function *j_find_function(struct str name);
/* Method or attribute of a type; *forbidden: the sandbox has it but refuses it. */
const struct method_row *j_find_method(struct value v, struct str name, bool *forbidden);
/* A method we know to be there, with n arguments in its order. */
bool j_call_plain(struct run *r, struct value self, const char *name, const struct value *args, size_t n,
                  struct value *out);

/* ---- parts with a file each */
bool j_json(struct run *r, struct growing *g, struct value v, const struct value options[4]);
bool j_percent(struct run *r, struct value format, struct value values, struct value *out);
bool j_format(struct run *r, struct value format, const struct args *args, struct value *out);
bool j_format_spec(struct run *r, struct growing *g, struct value v, struct str spec);
bool j_strftime(struct run *r, struct value format, const struct jinja_date *date, struct value *out);
bool j_sort(struct run *r, struct value *items, struct value *keys, size_t n, bool reverse);
bool j_sort_key(struct run *r, struct value v, bool case_sensitive, struct value *out);
bool j_attribute_path(struct run *r, struct value v, struct value path, struct value dflt, struct value *out);
