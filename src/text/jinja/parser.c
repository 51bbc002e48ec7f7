/* parser.c: statements; and what expressions and statements share. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "text/jinja/ast.h"

/* A left-leaning chain (a + b + c ...) nests without brackets; evaluation follows it. */
enum { MOST_TREE_DEPTH = 400 };

void source_place(struct str source, size_t pos, int *line, int *column)
{
    *line = 1;
    *column = 1;
    for (size_t i = 0; i < pos && i < source.len; i++) {
        if (source.ptr[i] == '\n') {
            ++*line;
            *column = 1;
        } else {
            *column += (source.ptr[i] & 0xc0) != 0x80;
        }
    }
}

bool p_fail(struct parser *p, uint32_t pos, const char *fmt, ...)
{
    if (p->failed)
        return false;
    p->failed = true;
    if (p->lex_error.message[0] && p->at + 1 >= p->t->n_tokens) {
        *p->err = p->lex_error; /* the text was unreadable from here on: that is the reason */
        return false;
    }
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(p->err->message, sizeof p->err->message, fmt, ap);
    va_end(ap);
    p->err->failure = JINJA_SYNTAX;
    source_place(p->t->source, pos, &p->err->line, &p->err->column);
    return false;
}

static bool p_limit(struct parser *p, uint32_t pos, const char *what, size_t most)
{
    if (!p->failed) {
        p_fail(p, pos, "the template has %s than the limit of %zu", what, most);
        p->err->failure = JINJA_LIMIT;
    }
    return false;
}

bool p_memory(struct parser *p)
{
    if (p->failed)
        return false;
    if (p->t->arena.total_bytes > p->limits.memory_bytes / 2)
        return p_limit(p, 0, "more to remember, in bytes,", p->limits.memory_bytes);
    p_fail(p, 0, "out of memory while reading the template");
    p->err->failure = JINJA_MEMORY;
    return false;
}

struct node *p_node(struct parser *p, int kind, uint32_t pos)
{
    if (p->failed)
        return NULL;
    if (p->n_nodes++ >= p->limits.nodes) {
        p_limit(p, pos, "more nodes", p->limits.nodes);
        return NULL;
    }
    struct node *n = arena_new(&p->t->arena, struct node);
    if (!n) {
        p_memory(p);
        return NULL;
    }
    n->kind = (uint8_t)kind;
    n->pos = pos;
    n->depth = 1;
    return n;
}

bool p_add(struct parser *p, struct nodes *list, struct node *n)
{
    if (!n)
        return false;
    if (list->n == list->room) {
        size_t room = list->room ? 2 * list->room : 2;
        struct node **more = arena_array(&p->t->arena, struct node *, room);
        if (!more)
            return p_memory(p);
        if (list->n)
            memcpy(more, list->at, list->n * sizeof *more);
        list->at = more;
        list->room = room;
    }
    list->at[list->n++] = n;
    return true;
}

struct node *p_over(struct parser *p, struct node *n, const struct node *child)
{
    if (!n || p->failed)
        return NULL;
    if (child->depth >= MOST_TREE_DEPTH) {
        p_limit(p, n->pos, "an expression that is longer", MOST_TREE_DEPTH);
        return NULL;
    }
    n->depth = (uint16_t)max_int(n->depth, child->depth + 1);
    return n;
}

bool p_enter(struct parser *p)
{
    if (++p->depth > p->limits.parse_depth)
        return p_limit(p, p_now(p)->pos, "deeper nesting", (size_t)p->limits.parse_depth);
    return !p->failed;
}

/* ---------------------------------------------------------------- tokens */

const struct token *p_now(const struct parser *p) { return &p->t->tokens[p->at]; }

const struct token *p_look(const struct parser *p) { return p_now(p) + (p->at + 1 < p->t->n_tokens); }

const struct token *p_take(struct parser *p)
{
    const struct token *k = p_now(p);
    p->at += p->at + 1 < p->t->n_tokens;
    return k;
}

bool p_is_name(const struct token *k, const char *name) { return k->type == T_NAME && str_eq_z(k->text, name); }

bool p_skip(struct parser *p, int type)
{
    bool yes = p_now(p)->type == type;
    if (yes)
        p_take(p);
    return yes;
}

bool p_skip_name(struct parser *p, const char *name)
{
    bool yes = p_is_name(p_now(p), name);
    if (yes)
        p_take(p);
    return yes;
}

static const char *type_text(int type)
{
    switch (type) {
    case T_EOF: return "end of template";
    case T_DATA: return "template data / text";
    case T_VARIABLE_BEGIN: return "begin of print statement";
    case T_VARIABLE_END: return "end of print statement";
    case T_BLOCK_BEGIN: return "begin of statement block";
    case T_BLOCK_END: return "end of statement block";
    case T_NAME: return "name";
    case T_STRING: return "string";
    case T_INTEGER: return "integer";
    case T_FLOAT: return "float";
    default: return p_symbol(type);
    }
}

void p_describe(const struct token *k, char *out, size_t cap)
{
    if (k->type == T_NAME)
        snprintf(out, cap, "%.*s", (int)min_size(k->text.len, 60), k->text.ptr);
    else
        snprintf(out, cap, "%s", type_text(k->type));
}

static void fail_expected(struct parser *p, const char *want)
{
    char got[96];
    p_describe(p_now(p), got, sizeof got);
    if (p_now(p)->type == T_EOF)
        p_fail(p, p_now(p)->pos, "unexpected end of template, expected '%s'.", want);
    else
        p_fail(p, p_now(p)->pos, "expected token '%s', got '%s'", want, got);
}

const struct token *p_expect(struct parser *p, int type)
{
    if (!p->failed && p_now(p)->type == type)
        return p_take(p);
    fail_expected(p, type_text(type));
    return NULL;
}

bool p_expect_name(struct parser *p, const char *name)
{
    if (!p->failed && p_skip_name(p, name))
        return true;
    fail_expected(p, name);
    return false;
}

/* ---------------------------------------------------------------- blocks of statements */

/* Is this word one of "a|b|c"? */
static bool among(const char *words, struct str word)
{
    for (const char *at = words; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL) {
        size_t n = strcspn(at, "|");
        if (n == word.len && memcmp(at, word.ptr, n) == 0)
            return true;
    }
    return false;
}

/* Name of an unknown tag, or NULL for the end of the template. */
static bool fail_tag(struct parser *p, const struct token *name, const char *ends)
{
    struct buf b = { 0 };
    bool expected = false;
    if (name)
        buf_printf(&b, "Encountered unknown tag '%.*s'.", (int)min_size(name->text.len, 60), name->text.ptr);
    else
        buf_puts(&b, "Unexpected end of template.");
    for (int i = 0; name && i < p->n_ends; i++)
        expected |= among(p->ends[i], name->text);
    if (ends) {
        buf_puts(&b, expected ? " You probably made a nesting mistake. Jinja is expecting this tag, but currently"
                                " looking for "
                              : " Jinja was looking for the following tags: ");
        for (const char *at = ends; *at;) {
            size_t n = strcspn(at, "|");
            buf_printf(&b, "%s'%.*s'", at == ends ? "" : " or ", (int)n, at);
            at += n + (at[n] == '|');
        }
        buf_puts(&b, ".");
    }
    if (p->n_tags)
        buf_printf(&b, " The innermost block that needs to be closed is '%.*s'.",
                   (int)min_size(p->tags[p->n_tags - 1].len, 60), p->tags[p->n_tags - 1].ptr);
    p_fail(p, p_now(p)->pos, "%s", b.failed ? "unknown tag" : b.ptr);
    buf_free(&b);
    return false;
}

static bool parse_statement(struct parser *p, struct nodes *body);

static bool parse_print(struct parser *p, struct nodes *body)
{
    const struct token *k = p_take(p);
    struct node *n = p_node(p, N_PRINT, k->pos);
    if (!n || !(n->a = parse_tuple(p, false, true, false, false)))
        return false;
    return p_expect(p, T_VARIABLE_END) && p_add(p, body, n);
}

static bool add_data(struct parser *p, struct nodes *body)
{
    const struct token *k = p_take(p);
    struct node *n = p_node(p, N_DATA, k->pos);
    if (!n)
        return false;
    n->name = k->text;
    return p_add(p, body, n);
}

/* Until a tag among ends (NULL: the end of the template), whose name is then at hand. */
static bool parse_body(struct parser *p, struct nodes *body, const char *ends)
{
    if (!p_enter(p))
        return false;
    if (ends)
        p->ends[p->n_ends++] = ends;
    bool ok = true, ended = false;
    while (ok && !ended && p_now(p)->type != T_EOF) {
        int type = p_now(p)->type;
        if (type == T_DATA) {
            ok = add_data(p, body);
        } else if (type == T_VARIABLE_BEGIN) {
            ok = parse_print(p, body);
        } else if (type == T_BLOCK_BEGIN) {
            p_take(p);
            ended = ends && p_now(p)->type == T_NAME && among(ends, p_now(p)->text);
            if (!ended)
                ok = parse_statement(p, body) && p_expect(p, T_BLOCK_END);
        } else {
            ok = p_fail(p, p_now(p)->pos, "internal parsing error");
        }
    }
    if (ends)
        p->n_ends--;
    p->depth--;
    return ok && !p->failed;
}

static bool parse_block(struct parser *p, struct nodes *body, const char *ends)
{
    p_skip(p, T_COLON);
    if (!p_expect(p, T_BLOCK_END) || !parse_body(p, body, ends))
        return false;
    return p_now(p)->type != T_EOF || fail_tag(p, NULL, ends);
}

static bool parse_whole_block(struct parser *p, struct nodes *body, const char *end)
{
    if (!parse_block(p, body, end))
        return false;
    p_take(p);
    return true;
}

/* ---------------------------------------------------------------- statements; the tag's name is taken */

static bool can_assign(const struct node *n)
{
    for (size_t i = 0; n->kind == N_TUPLE && i < n->list.n; i++)
        if (!can_assign(n->list.at[i]))
            return false;
    return n->kind == N_NAME || n->kind == N_NSREF || n->kind == N_TUPLE;
}

static struct node *parse_target(struct parser *p, bool with_ns)
{
    static const char *const kinds[] = { [N_CONST] = "const", [N_LIST] = "list", [N_DICT] = "dict",
                                         [N_TUPLE] = "tuple" };
    struct node *n = parse_tuple(p, true, true, false, with_ns);
    if (!n || can_assign(n))
        return n;
    p_fail(p, n->pos, "can't assign to '%s'", n->kind < (int)ARRAY_LEN(kinds) && kinds[n->kind] ? kinds[n->kind]
                                                                                               : "expression");
    return NULL;
}

static struct node *parse_target_name(struct parser *p)
{
    const struct token *k = p_expect(p, T_NAME);
    struct node *n = k ? p_node(p, N_NAME, k->pos) : NULL;
    if (n)
        n->name = k->text;
    return n;
}

static bool parse_set(struct parser *p, struct node *n)
{
    n->a = parse_target(p, true);
    if (!n->a)
        return false;
    if (p_skip(p, T_ASSIGN)) {
        n->kind = N_SET;
        return (n->b = parse_tuple(p, false, true, false, false)) != NULL;
    }
    n->kind = N_SET_BLOCK;
    n->b = parse_filter(p, NULL, false);
    return !p->failed && parse_whole_block(p, &n->body, "endset");
}

static bool parse_for(struct parser *p, struct node *n)
{
    n->a = parse_target(p, false);
    if (!n->a || !p_expect_name(p, "in"))
        return false;
    n->b = parse_tuple(p, false, false, false, false);
    if (n->b && p_skip_name(p, "if"))
        n->c = parse_expression(p, true);
    n->recursive = p_skip_name(p, "recursive");
    if (p->failed || !parse_block(p, &n->body, "endfor|else"))
        return false;
    return p_is_name(p_take(p), "endfor") || parse_whole_block(p, &n->other, "endfor");
}

/* list: the branches, each an N_IF with test and body; other: else. */
static bool parse_if(struct parser *p, struct node *n)
{
    for (;;) {
        struct node *branch = p_node(p, N_IF, p_now(p)->pos);
        if (!branch || !(branch->a = parse_tuple(p, false, false, false, false))
            || !p_add(p, &n->list, branch) || !parse_block(p, &branch->body, "elif|else|endif"))
            return false;
        const struct token *k = p_take(p);
        if (p_is_name(k, "else"))
            return parse_whole_block(p, &n->other, "endif");
        if (p_is_name(k, "endif"))
            return true;
    }
}

static bool parse_signature(struct parser *p, struct node *n)
{
    if (!p_expect(p, T_LPAREN))
        return false;
    while (p_now(p)->type != T_RPAREN) {
        if (n->list.n && !p_expect(p, T_COMMA))
            return false;
        struct node *name = parse_target_name(p);
        if (!p_add(p, &n->list, name))
            return false;
        if (p_skip(p, T_ASSIGN))
            name->a = parse_expression(p, true);
        else if (n->list.n > 1 && n->list.at[n->list.n - 2]->a)
            return p_fail(p, name->pos, "non-default argument follows default argument");
        if (p->failed)
            return false;
    }
    return p_expect(p, T_RPAREN) != NULL;
}

static bool parse_macro(struct parser *p, struct node *n)
{
    struct node *name = parse_target_name(p);
    if (!name)
        return false;
    n->name = name->name;
    return parse_signature(p, n) && parse_whole_block(p, &n->body, "endmacro");
}

static bool parse_call_block(struct parser *p, struct node *n)
{
    n->name = STR("caller");
    if (p_now(p)->type == T_LPAREN && !parse_signature(p, n))
        return false;
    n->a = parse_expression(p, true);
    if (n->a && n->a->kind != N_CALL)
        return p_fail(p, n->pos, "expected call");
    return n->a && parse_whole_block(p, &n->body, "endcall");
}

static bool parse_filter_block(struct parser *p, struct node *n)
{
    n->a = parse_filter(p, NULL, true);
    return n->a && parse_whole_block(p, &n->body, "endfilter");
}

/* list: names; positional: values. */
static bool parse_with(struct parser *p, struct node *n)
{
    while (p_now(p)->type != T_BLOCK_END) {
        if (n->list.n && !p_expect(p, T_COMMA))
            return false;
        if (!p_add(p, &n->list, parse_target(p, false)) || !p_expect(p, T_ASSIGN)
            || !p_add(p, &n->positional, parse_expression(p, true)))
            return false;
    }
    return parse_whole_block(p, &n->body, "endwith");
}

static bool parse_generation(struct parser *p, struct node *n)
{
    return parse_whole_block(p, &n->body, "endgeneration");
}

static bool parse_flow(struct parser *p, struct node *n)
{
    (void)p;
    (void)n;
    return true;
}

static bool parse_refused(struct parser *p, struct node *n)
{
    return p_fail(p, n->pos, "the tag '%.*s' is not supported: a template must stand alone",
                  (int)min_size(n->name.len, 40), n->name.ptr);
}

static const struct {
    const char *tag;
    int kind;
    bool (*parse)(struct parser *p, struct node *n);
} statements[] = {
    { "set", N_SET, parse_set },
    { "for", N_FOR, parse_for },
    { "if", N_IF, parse_if },
    { "macro", N_MACRO, parse_macro },
    { "call", N_CALL_BLOCK, parse_call_block },
    { "filter", N_FILTER_BLOCK, parse_filter_block },
    { "with", N_WITH, parse_with },
    { "generation", N_GENERATION, parse_generation },
    { "break", N_BREAK, parse_flow },
    { "continue", N_CONTINUE, parse_flow },
    { "include", N_DATA, parse_refused },
    { "import", N_DATA, parse_refused },
    { "from", N_DATA, parse_refused },
    { "extends", N_DATA, parse_refused },
    { "block", N_DATA, parse_refused },
    { "print", N_DATA, parse_refused },
    { "autoescape", N_DATA, parse_refused },
};

static bool parse_statement(struct parser *p, struct nodes *body)
{
    const struct token *k = p_now(p);
    if (k->type != T_NAME)
        return p_fail(p, k->pos, "tag name expected");
    for (size_t i = 0; i < ARRAY_LEN(statements); i++) {
        if (!str_eq_z(k->text, statements[i].tag))
            continue;
        struct node *n = p_node(p, statements[i].kind, k->pos);
        if (!n)
            return false;
        n->name = p_take(p)->text;
        p->tags[p->n_tags++] = k->text; /* as deep as parse_depth allows, which jinja_compile() holds to the room */
        bool ok = statements[i].parse(p, n) && !p->failed;
        p->n_tags--;
        return ok && p_add(p, body, n);
    }
    return fail_tag(p, k, p->n_ends ? p->ends[p->n_ends - 1] : NULL);
}

bool parse_template(struct parser *p)
{
    if (!parse_body(p, &p->t->body, NULL))
        return false;
    return p->lex_error.message[0] ? p_fail(p, 0, "unreadable") : true;
}
