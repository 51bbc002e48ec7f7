/* ast.h: tokens, syntax tree and scopes of a template; all in the template's arena. */
#pragma once
#include "base/buf.h"
#include "text/jinja/value.h"

enum token_type {
    T_EOF, T_DATA, T_VARIABLE_BEGIN, T_VARIABLE_END, T_BLOCK_BEGIN, T_BLOCK_END,
    T_NAME, T_STRING, T_INTEGER, T_FLOAT,
    T_ADD, T_SUB, T_DIV, T_FLOORDIV, T_MUL, T_MOD, T_POW, T_TILDE,
    T_LBRACKET, T_RBRACKET, T_LPAREN, T_RPAREN, T_LBRACE, T_RBRACE,
    T_EQ, T_NE, T_GT, T_GTEQ, T_LT, T_LTEQ, T_ASSIGN, T_DOT, T_COLON, T_PIPE, T_COMMA, T_SEMICOLON,
    T_IN, T_NOT_IN, /* of comparisons; the lexer gives names */
};

struct token {
    uint8_t type;
    uint32_t pos;    /* byte of the source */
    struct str text; /* T_STRING: between the quotes, escapes and all */
};

enum node_kind {
    N_CONST, N_NAME, N_TUPLE, N_LIST, N_DICT, N_COND, N_AND, N_OR, N_NOT, N_COMPARE, N_CONCAT, N_BINARY,
    N_NEG, N_POS, N_GETATTR, N_GETITEM, N_SLICE, N_CALL, N_FILTER, N_TEST, N_NSREF,
    N_DATA, N_PRINT, N_IF, N_FOR, N_SET, N_SET_BLOCK, N_MACRO, N_CALL_BLOCK, N_FILTER_BLOCK, N_WITH,
    N_GENERATION, N_BREAK, N_CONTINUE,
};

struct nodes {
    struct node **at;
    size_t n, room;
};

/* Where a name lives: so many environments up, in this slot. */
struct ref {
    uint16_t up, slot;
};

enum load { LOAD_UNDEFINED, LOAD_GLOBAL, LOAD_ALIAS, LOAD_PARAMETER };

struct slot {
    struct str name;
    uint8_t load;    /* enum load: what it holds when its scope is entered */
    bool known;      /* referred to so far (while analysing) */
    bool stored;
    struct ref from; /* LOAD_ALIAS: seen from the scope around */
    uint32_t global; /* LOAD_GLOBAL */
};

struct scope {
    struct scope *up;
    struct slot *slots;
    size_t n, room;
};

struct node {
    uint8_t kind, op;
    bool recursive, soft; /* N_FOR: marked recursive; N_PRINT: has a slice in it */
    uint16_t depth;       /* of the tree under it */
    uint32_t pos;
    struct str name;
    struct node *a, *b, *c;
    struct nodes list, body, other; /* items / body / else */
    struct nodes positional, keyword_values;
    struct str *keywords;
    struct node *star, *star_star;
    struct value value; /* N_CONST, N_DATA */
    struct ref ref;     /* N_NAME, N_MACRO: the variable */
    struct scope *scope, *test_scope, *other_scope;
    struct ref caller, varargs, kwargs; /* N_MACRO: slots, or up == NO_SLOT */
    const struct filter_row *filter;
    const struct test_row *test;
};
enum { NO_SLOT = 0xffff };

struct jinja_template {
    struct arena arena;
    struct str source; /* newlines normalized */
    struct token *tokens;
    size_t n_tokens;
    struct nodes body;
    struct scope *scope;
    struct str *globals; /* names that are looked up in the values given */
    size_t n_globals, globals_room;
    size_t n_slots;
};

struct parser {
    struct jinja_template *t;
    struct jinja_limits limits;
    struct jinja_error *err;
    size_t at; /* token */
    size_t n_nodes;
    int depth;
    bool failed;
    struct jinja_error lex_error; /* failure JINJA_SYNTAX with a message: what the last token stands for */
    struct str tags[160]; /* open tags and what would end them, for messages */
    const char *ends[160];
    int n_tags, n_ends;
};

bool p_fail(struct parser *p, uint32_t pos, const char *fmt, ...) PRINTF(3, 4);
bool p_memory(struct parser *p);
struct node *p_node(struct parser *p, int kind, uint32_t pos);
bool p_add(struct parser *p, struct nodes *list, struct node *n); /* n NULL: failed before */
struct node *p_over(struct parser *p, struct node *n, const struct node *child); /* n->depth; NULL: too deep */
bool p_enter(struct parser *p);

const struct token *p_now(const struct parser *p);
const struct token *p_look(const struct parser *p);
const struct token *p_take(struct parser *p);
bool p_is_name(const struct token *k, const char *name);
bool p_skip(struct parser *p, int type);
bool p_skip_name(struct parser *p, const char *name);
const struct token *p_expect(struct parser *p, int type); /* NULL: failed */
bool p_expect_name(struct parser *p, const char *name);
void p_describe(const struct token *k, char *out, size_t cap);
const char *p_symbol(int type);

bool lex(struct parser *p);
struct node *parse_expression(struct parser *p, bool with_cond);
struct node *parse_tuple(struct parser *p, bool simple, bool with_cond, bool parens, bool with_ns);
struct node *parse_filter(struct parser *p, struct node *n, bool inline_start);
bool parse_string_value(struct parser *p, const struct token *k, struct buf *out);
bool parse_template(struct parser *p);
bool resolve_names(struct parser *p);

/* Line and column of a byte. */
void source_place(struct str source, size_t pos, int *line, int *column);

enum flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE };

struct env {
    struct env *up;
    const struct scope *scope;
    struct value slots[];
};

struct macro {
    const struct node *node;
    struct env *env; /* where it was defined */
    struct value name;
};

struct loop {
    const struct node *node;
    struct env *env; /* around the loop */
    struct env *test_env;
    struct iter it;
    struct value iterable, before, now, after; /* after: J_MISSING unless peeked */
    int64_t index0, length;                    /* length -1: not known yet */
    int depth0;
    bool tested;                               /* what `it` gives has passed the loop's test already */
    struct value changed;                      /* arguments of the last loop.changed() */
};

bool eval(struct run *r, const struct node *n, struct env *env, struct value *out);
bool eval_printed(struct run *r, const struct node *n, struct env *env, struct value *out); /* n: N_PRINT */
bool eval_args(struct run *r, const struct node *n, struct env *env, struct args *out);
bool exec(struct run *r, const struct nodes *body, struct env *env);
bool run_loop(struct run *r, const struct node *n, struct env *env, struct value over, int depth0);
bool assign(struct run *r, const struct node *target, struct env *env, struct value v);
struct env *env_enter(struct run *r, const struct scope *s, struct env *up);
struct env *env_again(struct run *r, const struct scope *s, struct env *up, struct env *last);
struct value *env_slot(struct env *env, struct ref ref);
bool call_macro(struct run *r, struct macro *m, const struct args *args, struct value *out);
bool call_loop(struct run *r, struct loop *l, const struct args *args, struct value *out);
bool loop_cycle(struct run *r, struct value self, const struct args *args, struct value *out);
bool loop_changed(struct run *r, struct value self, const struct args *args, struct value *out);
bool loop_attribute(struct run *r, struct loop *l, struct str name, struct value *out, bool *found);
bool apply_filter(struct run *r, const struct node *n, struct value v, struct env *env, struct value *out);
