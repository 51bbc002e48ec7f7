/* expr.c: expressions, by recursive descent.
 *
 * The order of precedence is Jinja's: if-else, or, and, not, comparison, + -, ~, * / // %,
 * ** (from the left), signs, then what is attached: attributes, subscripts, calls, filters,
 * tests. */
#include <stdlib.h>
#include <string.h>

#include "text/jinja/ast.h"

static struct node *parse_unary(struct parser *p, bool with_filter);
static struct node *parse_or(struct parser *p);

static struct node *two(struct parser *p, int kind, int op, uint32_t pos, struct node *a, struct node *b)
{
    struct node *n = a && b ? p_node(p, kind, pos) : NULL;
    if (!n)
        return NULL;
    n->op = (uint8_t)op;
    n->a = a;
    n->b = b;
    return p_over(p, p_over(p, n, a), b);
}

static struct node *one(struct parser *p, int kind, uint32_t pos, struct node *a)
{
    struct node *n = a ? p_node(p, kind, pos) : NULL;
    if (!n)
        return NULL;
    n->a = a;
    return p_over(p, n, a);
}

struct node *parse_expression(struct parser *p, bool with_cond)
{
    if (!p_enter(p))
        return NULL;
    struct node *value = parse_or(p);
    while (with_cond && value && p_skip_name(p, "if")) {
        uint32_t pos = value->pos;
        struct node *test = parse_or(p), *other = NULL;
        if (test && p_skip_name(p, "else") && !(other = parse_expression(p, true)))
            return NULL;
        struct node *n = two(p, N_COND, 0, pos, test, value);
        if (n)
            n->c = other;
        value = n && other ? p_over(p, n, other) : n;
    }
    p->depth--;
    return value;
}

static struct node *parse_compare(struct parser *p);

static struct node *parse_not(struct parser *p)
{
    const struct token *k = p_now(p);
    if (!p_skip_name(p, "not"))
        return parse_compare(p);
    if (!p_enter(p))
        return NULL;
    struct node *n = one(p, N_NOT, k->pos, parse_not(p));
    p->depth--;
    return n;
}

static struct node *parse_and(struct parser *p)
{
    struct node *left = parse_not(p);
    const struct token *k = p_now(p);
    for (; left && p_skip_name(p, "and"); k = p_now(p))
        left = two(p, N_AND, 0, k->pos, left, parse_not(p));
    return left;
}

static struct node *parse_or(struct parser *p)
{
    struct node *left = parse_and(p);
    const struct token *k = p_now(p);
    for (; left && p_skip_name(p, "or"); k = p_now(p))
        left = two(p, N_OR, 0, k->pos, left, parse_and(p));
    return left;
}

/* How strongly binary operators hold; 0: not one. */
static int strength(int type)
{
    switch (type) {
    case T_ADD: case T_SUB: return 1;
    case T_TILDE: return 2;
    case T_MUL: case T_DIV: case T_FLOORDIV: case T_MOD: return 3;
    case T_POW: return 4;
    default: return 0;
    }
}

static struct node *parse_math(struct parser *p, int level)
{
    struct node *left = level == 5 ? parse_unary(p, true) : parse_math(p, level + 1);
    while (left && level < 5 && strength(p_now(p)->type) == level) {
        const struct token *k = p_take(p);
        struct node *right = level == 4 ? parse_unary(p, true) : parse_math(p, level + 1);
        if (level == 2 && left->kind == N_CONCAT && left->op == 1) {
            if (!p_add(p, &left->list, right) || !p_over(p, left, right))
                return NULL;
            continue;
        }
        if (level != 2) {
            left = two(p, N_BINARY, k->type, k->pos, left, right);
            continue;
        }
        struct node *n = right ? p_node(p, N_CONCAT, k->pos) : NULL;
        if (!n || !p_add(p, &n->list, left) || !p_add(p, &n->list, right) || !p_over(p, p_over(p, n, left), right))
            return NULL;
        n->op = 1; /* still open: more may be added */
        left = n;
    }
    if (left && level == 2 && left->kind == N_CONCAT)
        left->op = 0;
    return left;
}

/* Comparison operator at hand, taken; T_EOF: none. */
static int take_comparison(struct parser *p)
{
    const struct token *k = p_now(p);
    if (k->type >= T_EQ && k->type <= T_LTEQ)
        return p_take(p)->type;
    if (p_skip_name(p, "in"))
        return T_IN;
    if (p_is_name(k, "not") && p_is_name(p_look(p), "in")) {
        p_take(p);
        p_take(p);
        return T_NOT_IN;
    }
    return T_EOF;
}

/* list: the operands after the first; their ->op is not theirs to keep, so the operators go to a
 * node of their own kind: N_COMPARE with b as operand. */
static struct node *parse_compare(struct parser *p)
{
    struct node *first = parse_math(p, 1), *chain = NULL;
    while (first) {
        const struct token *k = p_now(p);
        int op = take_comparison(p);
        if (op == T_EOF)
            break;
        struct node *step = one(p, N_COMPARE, k->pos, parse_math(p, 1));
        if (!step)
            return NULL;
        step->op = (uint8_t)op;
        if (!chain && !(chain = one(p, N_COMPARE, k->pos, first)))
            return NULL;
        if (!p_add(p, &chain->list, step) || !p_over(p, chain, step))
            return NULL;
    }
    return chain ? chain : first;
}

/* ---------------------------------------------------------------- literals */

static struct node *constant(struct parser *p, uint32_t pos, struct value v)
{
    struct node *n = p_node(p, N_CONST, pos);
    if (n)
        n->value = v;
    return n;
}

static struct node *text_constant(struct parser *p, uint32_t pos, struct str s)
{
    struct text *t = arena_new(&p->t->arena, struct text);
    if (!t) {
        p_memory(p);
        return NULL;
    }
    *t = (struct text){ .ptr = s.ptr, .len = s.len, .n_chars = -1 };
    j_chars(t); /* counted now: a template is shared by threads */
    return constant(p, pos, (struct value){ .kind = J_STRING, .s = t });
}

static struct node *parse_strings(struct parser *p)
{
    struct buf b = { 0 };
    const struct token *k = p_now(p);
    uint32_t pos = k->pos;
    bool ok = true;
    for (; ok && p_now(p)->type == T_STRING; p_take(p))
        ok = parse_string_value(p, p_now(p), &b);
    struct str s = ok && !b.failed ? arena_strdup(&p->t->arena, buf_str(&b)) : (struct str){ NULL, 0 };
    if (ok && !s.ptr)
        p_memory(p);
    buf_free(&b);
    return s.ptr ? text_constant(p, pos, s) : NULL;
}

static struct node *parse_number(struct parser *p)
{
    const struct token *k = p_take(p);
    char text[64];
    size_t n = 0;
    for (size_t i = 0; i < k->text.len; i++) {
        if (k->text.ptr[i] == '_')
            continue;
        if (n + 1 == sizeof text) {
            p_fail(p, k->pos, "a number of more than 63 characters");
            return NULL;
        }
        text[n++] = k->text.ptr[i];
    }
    text[n] = 0;
    if (k->type == T_FLOAT)
        return constant(p, k->pos, j_float(strtod(text, NULL)));
    int base = 10;
    if (n > 2 && text[0] == '0' && text[1] > '9')
        base = text[1] == 'x' || text[1] == 'X' ? 16 : text[1] == 'b' || text[1] == 'B' ? 2 : 8;
    int64_t x = 0;
    for (size_t i = base == 10 ? 0 : 2; i < n; i++) {
        int digit = text[i] <= '9' ? text[i] - '0' : (text[i] | 32) - 'a' + 10;
        if (__builtin_mul_overflow(x, base, &x) || __builtin_add_overflow(x, digit, &x)) {
            p_fail(p, k->pos, "the number %s does not fit in 64 bits", text);
            return NULL;
        }
    }
    return constant(p, k->pos, j_int(x));
}

/* Items up to the closing bracket, the opening one is at hand. */
static struct node *parse_list(struct parser *p)
{
    const struct token *k = p_take(p);
    struct node *n = p_node(p, N_LIST, k->pos);
    while (n && p_now(p)->type != T_RBRACKET) {
        if (n->list.n && !p_expect(p, T_COMMA))
            return NULL;
        if (p_now(p)->type == T_RBRACKET)
            break;
        struct node *item = parse_expression(p, true);
        if (!p_add(p, &n->list, item) || !p_over(p, n, item))
            return NULL;
    }
    return n && p_expect(p, T_RBRACKET) ? n : NULL;
}

static struct node *parse_dict(struct parser *p)
{
    const struct token *k = p_take(p);
    struct node *n = p_node(p, N_DICT, k->pos);
    while (n && p_now(p)->type != T_RBRACE) {
        if (n->list.n && !p_expect(p, T_COMMA))
            return NULL;
        if (p_now(p)->type == T_RBRACE)
            break;
        struct node *key = parse_expression(p, true);
        if (!p_add(p, &n->list, key) || !p_over(p, n, key) || !p_expect(p, T_COLON))
            return NULL;
        struct node *value = parse_expression(p, true);
        if (!p_add(p, &n->list, value) || !p_over(p, n, value))
            return NULL;
    }
    return n && p_expect(p, T_RBRACE) ? n : NULL;
}

static struct node *parse_name(struct parser *p, bool with_ns)
{
    const struct token *k = p_take(p);
    if (str_eq_z(k->text, "true") || str_eq_z(k->text, "True"))
        return constant(p, k->pos, j_bool(true));
    if (str_eq_z(k->text, "false") || str_eq_z(k->text, "False"))
        return constant(p, k->pos, j_bool(false));
    if (str_eq_z(k->text, "none") || str_eq_z(k->text, "None"))
        return constant(p, k->pos, j_none());
    struct node *n = p_node(p, N_NAME, k->pos);
    if (!n)
        return NULL;
    n->name = k->text;
    if (!with_ns || p_now(p)->type != T_DOT)
        return n;
    p_take(p);
    const struct token *attribute = p_expect(p, T_NAME);
    if (!attribute)
        return NULL;
    struct node *ns = one(p, N_NSREF, k->pos, n);
    if (ns)
        ns->name = attribute->text;
    return ns;
}

static struct node *parse_primary(struct parser *p, bool with_ns)
{
    const struct token *k = p_now(p);
    struct node *n;
    char what[96];
    switch (k->type) {
    case T_NAME: return parse_name(p, with_ns);
    case T_STRING: return parse_strings(p);
    case T_INTEGER: case T_FLOAT: return parse_number(p);
    case T_LBRACKET: return parse_list(p);
    case T_LBRACE: return parse_dict(p);
    case T_LPAREN:
        p_take(p);
        n = parse_tuple(p, false, true, true, false);
        return n && p_expect(p, T_RPAREN) ? n : NULL;
    default:
        p_describe(k, what, sizeof what);
        p_fail(p, k->pos, "unexpected '%s'", what);
        return NULL;
    }
}

static bool tuple_ends(struct parser *p)
{
    int type = p_now(p)->type;
    return type == T_VARIABLE_END || type == T_BLOCK_END || type == T_RPAREN;
}

struct node *parse_tuple(struct parser *p, bool simple, bool with_cond, bool parens, bool with_ns)
{
    struct node *tuple = p_node(p, N_TUPLE, p_now(p)->pos);
    bool is_tuple = false;
    if (!tuple)
        return NULL;
    for (;;) {
        if (tuple->list.n && !p_expect(p, T_COMMA))
            return NULL;
        if (tuple_ends(p))
            break;
        struct node *n = simple ? parse_primary(p, with_ns) : parse_expression(p, with_cond);
        if (!p_add(p, &tuple->list, n) || !p_over(p, tuple, n))
            return NULL;
        if (p_now(p)->type != T_COMMA)
            break;
        is_tuple = true;
    }
    if (is_tuple)
        return tuple;
    if (tuple->list.n)
        return tuple->list.at[0];
    if (parens)
        return tuple;
    char what[96];
    p_describe(p_now(p), what, sizeof what);
    p_fail(p, p_now(p)->pos, "Expected an expression, got '%s'", what);
    return NULL;
}

/* ---------------------------------------------------------------- attached things */

static bool parse_keyword(struct parser *p, struct node *n)
{
    struct str name = p_take(p)->text;
    p_take(p);
    struct node *value = parse_expression(p, true);
    size_t i = n->keyword_values.n;
    if (!p_add(p, &n->keyword_values, value) || !p_over(p, n, value))
        return false;
    struct str *names = arena_array(&p->t->arena, struct str, i + 1);
    if (!names || i > 1000)
        return names ? p_fail(p, n->pos, "more than 1000 keyword arguments") : p_memory(p);
    if (i)
        memcpy(names, n->keywords, i * sizeof *names);
    names[i] = name;
    n->keywords = names;
    return true;
}

/* One argument; `*` and `**` come after the others. */
static bool parse_argument(struct parser *p, struct node *n, uint32_t pos)
{
    const char *invalid = "invalid syntax for function call expression";
    int type = p_now(p)->type;
    if (type == T_MUL || type == T_POW) {
        struct node **star = type == T_MUL ? &n->star : &n->star_star;
        if (*star || n->star_star)
            return p_fail(p, pos, "%s", invalid);
        p_take(p);
        return (*star = parse_expression(p, true)) != NULL && p_over(p, n, *star);
    }
    if (type == T_NAME && p_look(p)->type == T_ASSIGN)
        return n->star_star ? p_fail(p, pos, "%s", invalid) : parse_keyword(p, n);
    if (n->star || n->star_star || n->keyword_values.n)
        return p_fail(p, pos, "%s", invalid);
    struct node *value = parse_expression(p, true);
    return p_add(p, &n->positional, value) && p_over(p, n, value);
}

static bool parse_arguments(struct parser *p, struct node *n)
{
    const struct token *k = p_expect(p, T_LPAREN);
    if (!k || !p_enter(p))
        return false;
    for (bool comma = false; p_now(p)->type != T_RPAREN; comma = true) {
        if (comma && !p_expect(p, T_COMMA))
            return false;
        if (comma && p_now(p)->type == T_RPAREN)
            break;
        if (!parse_argument(p, n, k->pos))
            return false;
    }
    p->depth--;
    return p_expect(p, T_RPAREN) != NULL;
}

static struct node *parse_call(struct parser *p, struct node *callee)
{
    struct node *n = one(p, N_CALL, callee->pos, callee);
    return n && parse_arguments(p, n) ? n : NULL;
}

/* a:b:c, or one expression. */
static struct node *parse_subscribed(struct parser *p)
{
    struct node *bound[3] = { NULL, NULL, NULL };
    uint32_t pos = p_now(p)->pos;
    if (p_now(p)->type != T_COLON) {
        bound[0] = parse_expression(p, true);
        if (!bound[0] || p_now(p)->type != T_COLON)
            return bound[0];
    }
    for (int i = 1; i < 3 && p_skip(p, T_COLON); i++) {
        int type = p_now(p)->type;
        if (type != T_COLON && type != T_RBRACKET && type != T_COMMA && !(bound[i] = parse_expression(p, true)))
            return NULL;
    }
    struct node *n = p_node(p, N_SLICE, pos);
    if (!n)
        return NULL;
    n->a = bound[0];
    n->b = bound[1];
    n->c = bound[2];
    for (int i = 0; n && i < 3; i++)
        n = bound[i] ? p_over(p, n, bound[i]) : n;
    return n;
}

static struct node *parse_dot(struct parser *p, struct node *n, uint32_t pos)
{
    const struct token *k = p_take(p);
    if (k->type == T_NAME) {
        struct node *name = text_constant(p, k->pos, k->text);
        return two(p, N_GETATTR, 0, pos, n, name);
    }
    if (k->type != T_INTEGER) {
        p_fail(p, k->pos, "expected name or number");
        return NULL;
    }
    p->at--;
    return two(p, N_GETITEM, 0, pos, n, parse_number(p));
}

static struct node *parse_subscript(struct parser *p, struct node *n)
{
    const struct token *k = p_take(p);
    if (k->type == T_DOT)
        return parse_dot(p, n, k->pos);
    struct node *tuple = p_node(p, N_TUPLE, k->pos);
    while (tuple && p_now(p)->type != T_RBRACKET) {
        if (tuple->list.n && !p_expect(p, T_COMMA))
            return NULL;
        struct node *item = parse_subscribed(p);
        if (!p_add(p, &tuple->list, item) || !p_over(p, tuple, item))
            return NULL;
    }
    if (!tuple || !p_expect(p, T_RBRACKET))
        return NULL;
    return two(p, N_GETITEM, 0, k->pos, n, tuple->list.n == 1 ? tuple->list.at[0] : tuple);
}

static struct node *parse_postfix(struct parser *p, struct node *n)
{
    while (n) {
        int type = p_now(p)->type;
        if (type == T_DOT || type == T_LBRACKET)
            n = parse_subscript(p, n);
        else if (type == T_LPAREN)
            n = parse_call(p, n);
        else
            break;
    }
    return n;
}

/* Dotted name of a filter or test. */
static bool dotted_name(struct parser *p, struct str *out)
{
    const struct token *k = p_expect(p, T_NAME);
    if (!k)
        return false;
    *out = k->text;
    while (p_skip(p, T_DOT)) {
        k = p_expect(p, T_NAME);
        if (!k)
            return false;
        out->len = (size_t)(k->text.ptr + k->text.len - out->ptr);
    }
    return true;
}

struct node *parse_filter(struct parser *p, struct node *n, bool inline_start)
{
    while (inline_start || p_now(p)->type == T_PIPE) {
        if (!inline_start)
            p_take(p);
        inline_start = false;
        struct node *filter = p_node(p, N_FILTER, p_now(p)->pos);
        if (!filter || !dotted_name(p, &filter->name))
            return NULL;
        filter->a = n;
        filter->filter = j_find_filter(filter->name);
        if (n && !p_over(p, filter, n))
            return NULL;
        if (p_now(p)->type == T_LPAREN && !parse_arguments(p, filter))
            return NULL;
        n = filter;
    }
    return n;
}

static bool starts_operand(struct parser *p)
{
    const struct token *k = p_now(p);
    if (k->type == T_NAME)
        return !p_is_name(k, "else") && !p_is_name(k, "or") && !p_is_name(k, "and");
    return k->type == T_STRING || k->type == T_INTEGER || k->type == T_FLOAT || k->type == T_LPAREN
        || k->type == T_LBRACKET || k->type == T_LBRACE;
}

static struct node *parse_test(struct parser *p, struct node *n)
{
    const struct token *k = p_take(p);
    bool negated = p_skip_name(p, "not");
    struct node *test = one(p, N_TEST, k->pos, n);
    if (!test || !dotted_name(p, &test->name))
        return NULL;
    test->test = j_find_test(test->name);
    if (p_now(p)->type == T_LPAREN) {
        if (!parse_arguments(p, test))
            return NULL;
    } else if (starts_operand(p)) {
        if (p_is_name(p_now(p), "is")) {
            p_fail(p, p_now(p)->pos, "You cannot chain multiple tests with is");
            return NULL;
        }
        struct node *operand = p_enter(p) ? parse_postfix(p, parse_primary(p, false)) : NULL;
        if (!p_add(p, &test->positional, operand) || !p_over(p, test, operand))
            return NULL;
        p->depth--;
    }
    return negated ? one(p, N_NOT, k->pos, test) : test;
}

static struct node *parse_attached(struct parser *p, struct node *n)
{
    while (n) {
        const struct token *k = p_now(p);
        if (k->type == T_PIPE)
            n = parse_filter(p, n, false);
        else if (p_is_name(k, "is"))
            n = parse_test(p, n);
        else if (k->type == T_LPAREN)
            n = parse_call(p, n);
        else
            break;
    }
    return n;
}

static struct node *parse_unary(struct parser *p, bool with_filter)
{
    const struct token *k = p_now(p);
    struct node *n;
    if (k->type == T_SUB || k->type == T_ADD) {
        if (!p_enter(p))
            return NULL;
        p_take(p);
        n = one(p, k->type == T_SUB ? N_NEG : N_POS, k->pos, parse_unary(p, false));
        p->depth--;
    } else {
        n = parse_primary(p, false);
    }
    n = parse_postfix(p, n);
    return with_filter ? parse_attached(p, n) : n;
}
