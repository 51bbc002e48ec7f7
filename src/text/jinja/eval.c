/* eval.c: expressions. */
#include <string.h>

#include "text/jinja/ast.h"

struct value *env_slot(struct env *env, struct ref ref)
{
    for (int i = 0; i < ref.up; i++)
        env = env->up;
    return &env->slots[ref.slot];
}

/* The next round of a loop, in the memory of the last one (NULL: there was none). A macro made in
 * an earlier round sees the new values: in jinja2 these are the variables of one Python function. */
struct env *env_again(struct run *r, const struct scope *s, struct env *up, struct env *last)
{
    struct env *env = last ? last : j_alloc(r, 1, sizeof *env + s->n * sizeof env->slots[0]);
    if (!env || !j_spend(r, s->n / 8))
        return NULL;
    env->up = up;
    env->scope = s;
    for (size_t i = 0; i < s->n; i++) {
        if (s->slots[i].load == LOAD_ALIAS)
            env->slots[i] = *env_slot(up, s->slots[i].from);
        else if (s->slots[i].load == LOAD_GLOBAL)
            env->slots[i] = r->globals[s->slots[i].global];
        else
            env->slots[i] = (struct value){ .kind = J_MISSING };
    }
    return env;
}

struct env *env_enter(struct run *r, const struct scope *s, struct env *up) { return env_again(r, s, up, NULL); }

static bool star_args(struct run *r, struct value v, struct args *out)
{
    struct value list;
    if (v.kind < J_STRING && v.kind != J_UNDEFINED)
        return j_fail(r, "Value after * must be an iterable, not %s", j_type_name(v));
    if (!j_to_list(r, v, J_LIST, &list))
        return false;
    struct value *all = j_array(r, struct value, out->n + list.list->n);
    if (!all)
        return false;
    if (out->n)
        memcpy(all, out->at, out->n * sizeof *all);
    if (list.list->n)
        memcpy(all + out->n, list.list->items, list.list->n * sizeof *all);
    out->at = all;
    out->n += list.list->n;
    return true;
}

static bool star_star_args(struct run *r, struct value v, struct args *out)
{
    if (v.kind != J_DICT)
        return j_fail(r, "argument after ** must be a mapping, not %s", j_type_name(v));
    size_t n = out->n_named + v.dict->n;
    struct str *names = j_array(r, struct str, n);
    struct value *named = j_array(r, struct value, n);
    if (!names || !named)
        return false;
    for (size_t i = 0; i < out->n_named; i++) {
        names[i] = out->names[i];
        named[i] = out->named[i];
    }
    for (size_t i = 0; i < v.dict->n; i++) {
        if (v.dict->entries[i].key.kind != J_STRING)
            return j_fail(r, "keywords must be strings");
        names[out->n_named + i] = j_str(v.dict->entries[i].key);
        named[out->n_named + i] = v.dict->entries[i].value;
    }
    out->names = names;
    out->named = named;
    out->n_named = n;
    return true;
}

bool eval_args(struct run *r, const struct node *n, struct env *env, struct args *out)
{
    struct value v;
    *out = (struct args){ .n = n->positional.n, .n_named = n->keyword_values.n, .names = n->keywords };
    if (out->n && !(out->at = j_array(r, struct value, out->n)))
        return false;
    if (out->n_named && !(out->named = j_array(r, struct value, out->n_named)))
        return false;
    for (size_t i = 0; i < out->n; i++)
        if (!eval(r, n->positional.at[i], env, &out->at[i]))
            return false;
    if (n->star && !(eval(r, n->star, env, &v) && star_args(r, v, out)))
        return false;
    for (size_t i = 0; i < n->keyword_values.n; i++)
        if (!eval(r, n->keyword_values.at[i], env, &out->named[i]))
            return false;
    return !n->star_star || (eval(r, n->star_star, env, &v) && star_star_args(r, v, out));
}

bool apply_filter(struct run *r, const struct node *n, struct value v, struct env *env, struct value *out)
{
    struct args args;
    if (n->a) { /* a chain in a block: the innermost filter has no operand */
        if (!apply_filter(r, n->a, v, env, &v))
            return false;
    }
    if (!n->filter)
        return j_fail(r, "No filter named '" STR_FMT "' found.", STR_ARG(n->name));
    return eval_args(r, n, env, &args) && j_call_filter(r, n->filter, v, &args, out);
}

static bool eval_filter(struct run *r, const struct node *n, struct env *env, struct value *out)
{
    struct args args;
    struct value v;
    if (!eval(r, n->a, env, &v))
        return false;
    if (!n->filter)
        return j_fail(r, "No filter named '" STR_FMT "' found.", STR_ARG(n->name));
    if (r->folding && n->filter->call_any)
        return j_fail(r, "not a constant"); /* as map and select, which use the context there */
    return eval_args(r, n, env, &args) && j_call_filter(r, n->filter, v, &args, out);
}

static bool eval_test(struct run *r, const struct node *n, struct env *env, struct value *out)
{
    struct args args;
    struct value v;
    bool yes;
    if (!eval(r, n->a, env, &v))
        return false;
    if (!n->test)
        return j_fail(r, "No test named '" STR_FMT "' found.", STR_ARG(n->name));
    if (!eval_args(r, n, env, &args) || !j_call_test(r, n->test, v, &args, &yes))
        return false;
    *out = j_bool(yes);
    return true;
}

static bool eval_items(struct run *r, const struct node *n, struct env *env, struct value *out)
{
    struct value v;
    if (!j_list(r, n->kind == N_TUPLE ? J_TUPLE : J_LIST, n->list.n, out))
        return false;
    for (size_t i = 0; i < n->list.n; i++)
        if (!eval(r, n->list.at[i], env, &v) || !j_push(r, out->list, v))
            return false;
    return true;
}

static bool eval_dict(struct run *r, const struct node *n, struct env *env, struct value *out)
{
    struct value key, v;
    if (!j_dict(r, n->list.n / 2, out))
        return false;
    for (size_t i = 0; i < n->list.n; i += 2)
        if (!eval(r, n->list.at[i], env, &key) || !eval(r, n->list.at[i + 1], env, &v)
            || !j_dict_set(r, out->dict, key, v))
            return false;
    return true;
}

static bool compare(struct run *r, int op, struct value a, struct value b, bool *out)
{
    switch (op) {
    case T_EQ: return j_equal(r, a, b, out);
    case T_NE:
        if (!j_equal(r, a, b, out))
            return false;
        *out = !*out;
        return true;
    case T_LT: return j_less(r, a, b, "<", out);
    case T_LTEQ: return j_less(r, a, b, "<=", out);
    case T_GT: return j_less(r, a, b, ">", out);
    case T_GTEQ: return j_less(r, a, b, ">=", out);
    default:
        if (!j_contains(r, b, a, out))
            return false;
        if (op == T_NOT_IN)
            *out = !*out;
        return true;
    }
}

static bool eval_compare(struct run *r, const struct node *n, struct env *env, struct value *out)
{
    struct value left, right;
    bool yes = true;
    if (!eval(r, n->a, env, &left))
        return false;
    for (size_t i = 0; yes && i < n->list.n; i++) {
        if (!eval(r, n->list.at[i]->a, env, &right) || !compare(r, n->list.at[i]->op, left, right, &yes))
            return false;
        left = right;
    }
    *out = j_bool(yes);
    return true;
}

static bool eval_concat(struct run *r, const struct node *n, struct env *env, struct value *out)
{
    struct value left, right;
    if (!eval(r, n->list.at[0], env, &left) || !j_to_text(r, left, &left))
        return false;
    for (size_t i = 1; i < n->list.n; i++) {
        if (!eval(r, n->list.at[i], env, &right) || !j_to_text(r, right, &right) || !j_concat(r, left, right, &left))
            return false;
    }
    *out = left;
    return true;
}

static bool eval_cond(struct run *r, const struct node *n, struct env *env, struct value *out)
{
    struct value test;
    char hint[128], *kept;
    int line, column;
    if (!eval(r, n->a, env, &test))
        return false;
    if (j_truth(test))
        return eval(r, n->b, env, out);
    if (n->c)
        return eval(r, n->c, env, out);
    source_place(r->t->source, n->pos, &line, &column);
    int len = snprintf(hint, sizeof hint,
                       "the inline if-expression on line %d evaluated to false and no else section was defined.", line);
    kept = j_alloc(r, (size_t)len + 1, 1);
    if (!kept)
        return false;
    memcpy(kept, hint, (size_t)len + 1);
    return j_undefined_hint(r, kept, out);
}

static bool eval_getitem(struct run *r, const struct node *n, struct env *env, struct value *out)
{
    const struct node *key = n->b, *parts[3] = { key->a, key->b, key->c };
    struct value v, k, bounds[3];
    if (!eval(r, n->a, env, &v))
        return false;
    if (key->kind != N_SLICE)
        return eval(r, key, env, &k) && j_getitem(r, v, k, out);
    for (int i = 0; i < 3; i++) {
        bounds[i] = j_none();
        if (parts[i] && !eval(r, parts[i], env, &bounds[i]))
            return false;
    }
    if (j_is_undef(v))
        return j_fail_undefined(r, v);
    if (v.kind == J_DICT)
        j_fail(r, "unhashable type: 'slice'");
    else if (v.kind < J_STRING || v.kind > J_RANGE)
        j_fail(r, "'%s' object is not subscriptable", j_type_name(v));
    else if (j_slice(r, v, bounds, out))
        return true;
    if (!r->folding || r->err->failure != JINJA_RUNTIME || strncmp(r->err->message, "slice step", 10) == 0)
        return false;
    r->failed = false;
    return j_literal(r, "slice", &k) && j_undefined(r, j_owner_name(v), k, out);
}

static bool eval_name(struct run *r, const struct node *n, struct env *env, struct value *out)
{
    struct value name;
    if (r->folding)
        return j_fail(r, "not a constant");
    *out = *env_slot(env, n->ref);
    if (out->kind != J_MISSING)
        return true;
    return j_borrow(r, n->name, false, &name) && j_undefined(r, NULL, name, out);
}

static bool eval_call(struct run *r, const struct node *n, struct env *env, struct value *out)
{
    struct value f;
    struct args args;
    if (r->folding)
        return j_fail(r, "not a constant");
    return eval(r, n->a, env, &f) && eval_args(r, n, env, &args) && j_call(r, f, &args, out);
}

/* No name or call under it: jinja2 computes that while it compiles. */
static bool is_constant(const struct node *n)
{
    if (!n)
        return true;
    for (size_t i = 0; i < n->list.n; i++)
        if (!is_constant(n->list.at[i]))
            return false;
    return n->kind != N_NAME && n->kind != N_CALL && is_constant(n->a) && is_constant(n->b) && is_constant(n->c);
}

static bool is_negative(struct value v)
{
    return (v.kind == J_FLOAT && v.f < 0) || (v.kind == J_INT && v.i < 0);
}

/* A negative constant to a power that is not one: jinja2 writes "-1 ** x" into its program, and
 * Python reads the sign last. */
static bool eval_power(struct run *r, const struct node *n, struct env *env, struct value *out)
{
    struct value a, b;
    if (!eval(r, n->a, env, &a) || !eval(r, n->b, env, &b))
        return false;
    if (!is_negative(a) || !is_constant(n->a) || is_constant(n->b))
        return j_binary(r, n->op, a, b, out);
    return j_negate(r, true, a, &a) && j_binary(r, n->op, a, b, out) && j_negate(r, true, *out, out);
}

static bool eval_two(struct run *r, const struct node *n, struct env *env, struct value *out)
{
    struct value a, b;
    if (n->op == T_POW)
        return eval_power(r, n, env, out);
    return eval(r, n->a, env, &a) && eval(r, n->b, env, &b) && j_binary(r, n->op, a, b, out);
}

static bool eval_node(struct run *r, const struct node *n, struct env *env, struct value *out)
{
    struct value a;
    switch (n->kind) {
    case N_NAME: return eval_name(r, n, env, out);
    case N_TUPLE: case N_LIST: return eval_items(r, n, env, out);
    case N_DICT: return eval_dict(r, n, env, out);
    case N_COND: return eval_cond(r, n, env, out);
    case N_AND: case N_OR:
        if (!eval(r, n->a, env, out))
            return false;
        return j_truth(*out) == (n->kind == N_OR) || eval(r, n->b, env, out);
    case N_NOT:
        if (!eval(r, n->a, env, &a))
            return false;
        *out = j_bool(!j_truth(a));
        return true;
    case N_COMPARE: return eval_compare(r, n, env, out);
    case N_CONCAT: return eval_concat(r, n, env, out);
    case N_BINARY: return eval_two(r, n, env, out);
    case N_NEG: case N_POS: return eval(r, n->a, env, &a) && j_negate(r, n->kind == N_NEG, a, out);
    case N_GETATTR: return eval(r, n->a, env, &a) && j_getattr(r, a, n->b->value, out);
    case N_GETITEM: return eval_getitem(r, n, env, out);
    case N_CALL: return eval_call(r, n, env, out);
    case N_FILTER: return eval_filter(r, n, env, out);
    case N_TEST: return eval_test(r, n, env, out);
    default: return j_fail(r, "a slice stands where a value is needed");
    }
}

bool eval(struct run *r, const struct node *n, struct env *env, struct value *out)
{
    if (n->kind == N_CONST) {
        *out = n->value;
        return true;
    }
    if (n->kind == N_NAME && !r->folding) { /* costs nothing: what is made of it does */
        *out = *env_slot(env, n->ref);
        if (out->kind != J_MISSING)
            return true;
    }
    bool ok = j_enter(r) && eval_node(r, n, env, out);
    j_leave(r);
    if (!ok && !r->located) {
        r->located = true;
        source_place(r->t->source, n->pos, &r->err->line, &r->err->column);
    }
    return ok;
}

/* jinja2 computes a printed expression while it compiles when nothing in it is a name or a call. It
 * is more lenient there: a slice that cannot be is an undefined value. So for those with a slice it
 * is tried that way first; any failure is put off until the expression is computed as usual. */
bool eval_printed(struct run *r, const struct node *n, struct env *env, struct value *out)
{
    if (n->soft) {
        int depth = r->depth;
        r->folding = true;
        bool ok = eval(r, n->a, env, out);
        r->folding = false;
        if (ok || r->err->failure != JINJA_RUNTIME)
            return ok;
        r->failed = r->located = false;
        r->depth = depth;
    }
    return eval(r, n->a, env, out);
}
