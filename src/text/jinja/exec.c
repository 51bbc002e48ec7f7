/* exec.c: statements and macros. */
#include <string.h>

#include "text/jinja/ast.h"

static bool put_output(struct run *r, struct value v)
{
    if (!j_put_str(r, r->out, v))
        return false;
    if (r->out->len > r->limits.output_bytes)
        return j_limit(r, "the template writes more than the limit of %zu bytes", r->limits.output_bytes);
    return true;
}

static bool unpack(struct run *r, const struct node *target, struct env *env, struct value v)
{
    struct iter it;
    struct value item;
    bool got;
    size_t n = target->list.n;
    if (v.kind < J_STRING && v.kind != J_UNDEFINED)
        return j_fail(r, "cannot unpack non-iterable %s object", j_type_name(v));
    if (!j_iter(r, v, &it))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!j_next(r, &it, &item, &got))
            return false;
        if (!got)
            return j_fail(r, "not enough values to unpack (expected %zu, got %zu)", n, i);
        if (!assign(r, target->list.at[i], env, item))
            return false;
    }
    if (!j_next(r, &it, &item, &got))
        return false;
    return !got || j_fail(r, "too many values to unpack (expected %zu)", n);
}

bool assign(struct run *r, const struct node *target, struct env *env, struct value v)
{
    struct value name;
    if (target->kind == N_NAME) {
        *env_slot(env, target->ref) = v;
        return true;
    }
    if (target->kind == N_TUPLE)
        return unpack(r, target, env, v);
    struct value ns = *env_slot(env, target->a->ref);
    if (ns.kind != J_NAMESPACE)
        return j_fail(r, "cannot assign attribute on non-namespace object");
    return j_borrow(r, target->name, false, &name) && j_dict_set(r, ns.dict, name, v);
}

/* Is the target of a set one that can be assigned to now? jinja2 asks before it evaluates. */
static bool check_target(struct run *r, const struct node *target, struct env *env)
{
    if (target->kind == N_TUPLE) {
        for (size_t i = 0; i < target->list.n; i++)
            if (!check_target(r, target->list.at[i], env))
                return false;
    }
    return target->kind != N_NSREF || env_slot(env, target->a->ref)->kind == J_NAMESPACE
        || j_fail(r, "cannot assign attribute on non-namespace object");
}

/* The text that a body writes. */
static bool capture(struct run *r, const struct nodes *body, struct env *env, struct value *out)
{
    struct growing *outer = r->out, *g = j_new(r, struct growing);
    if (!g)
        return false;
    r->out = g;
    bool ok = exec(r, body, env);
    r->out = outer;
    return ok && j_built(r, g, out);
}

static bool exec_if(struct run *r, const struct node *n, struct env *env)
{
    struct value test;
    for (size_t i = 0; i < n->list.n; i++) {
        if (!eval(r, n->list.at[i]->a, env, &test))
            return false;
        if (j_truth(test))
            return exec(r, &n->list.at[i]->body, env);
    }
    return exec(r, &n->other, env);
}

static bool exec_set_block(struct run *r, const struct node *n, struct env *env)
{
    struct value v;
    struct env *inner = env_enter(r, n->scope, env);
    if (!inner || !capture(r, &n->body, inner, &v))
        return false;
    if (r->flow != FLOW_ON)
        return true;
    if (n->b && !apply_filter(r, n->b, v, inner, &v))
        return false;
    return assign(r, n->a, env, v);
}

static bool exec_filter_block(struct run *r, const struct node *n, struct env *env)
{
    struct value v;
    struct env *inner = env_enter(r, n->scope, env);
    if (!inner || !capture(r, &n->body, inner, &v))
        return false;
    return r->flow != FLOW_ON || (apply_filter(r, n->a, v, inner, &v) && put_output(r, v));
}

static bool make_macro(struct run *r, const struct node *n, struct env *env, struct value *out)
{
    struct macro *m = j_new(r, struct macro);
    if (!m || !j_borrow(r, n->name, false, &m->name))
        return false;
    m->node = n;
    m->env = env;
    *out = (struct value){ .kind = J_MACRO, .macro = m };
    return true;
}

static bool exec_call_block(struct run *r, const struct node *n, struct env *env)
{
    struct value f, caller, v;
    struct args args;
    if (!make_macro(r, n, env, &caller) || !eval(r, n->a->a, env, &f) || !eval_args(r, n->a, env, &args))
        return false;
    struct str *names = j_array(r, struct str, args.n_named + 1);
    struct value *named = j_array(r, struct value, args.n_named + 1);
    if (!names || !named)
        return false;
    for (size_t i = 0; i < args.n_named; i++) {
        names[i] = args.names[i];
        named[i] = args.named[i];
    }
    names[args.n_named] = STR("caller");
    named[args.n_named++] = caller;
    args.names = names;
    args.named = named;
    return j_call(r, f, &args, &v) && put_output(r, v);
}

static bool exec_with(struct run *r, const struct node *n, struct env *env)
{
    struct value v;
    struct env *inner = env_enter(r, n->scope, env);
    for (size_t i = 0; inner && i < n->list.n; i++)
        if (!eval(r, n->positional.at[i], env, &v) || !assign(r, n->list.at[i], inner, v))
            return false;
    return inner && exec(r, &n->body, inner);
}

static bool exec_for(struct run *r, const struct node *n, struct env *env)
{
    struct value over;
    return eval(r, n->b, env, &over) && run_loop(r, n, env, over, 0);
}

static bool exec_node(struct run *r, const struct node *n, struct env *env)
{
    struct value v;
    struct env *inner;
    switch (n->kind) {
    case N_DATA: return put_output(r, n->value);
    case N_PRINT: return eval_printed(r, n, env, &v) && put_output(r, v);
    case N_IF: return exec_if(r, n, env);
    case N_FOR: return exec_for(r, n, env);
    case N_SET: return check_target(r, n->a, env) && eval(r, n->b, env, &v) && assign(r, n->a, env, v);
    case N_SET_BLOCK: return exec_set_block(r, n, env);
    case N_MACRO:
        if (!make_macro(r, n, env, &v))
            return false;
        *env_slot(env, n->ref) = v;
        return true;
    case N_CALL_BLOCK: return exec_call_block(r, n, env);
    case N_FILTER_BLOCK: return exec_filter_block(r, n, env);
    case N_WITH: return exec_with(r, n, env);
    case N_GENERATION:
        inner = env_enter(r, n->scope, env);
        return inner && exec(r, &n->body, inner);
    case N_BREAK: r->flow = FLOW_BREAK; return true;
    default: r->flow = FLOW_CONTINUE; return true;
    }
}

bool exec(struct run *r, const struct nodes *body, struct env *env)
{
    if (body->n == 0)
        return true;
    bool ok = j_enter(r);
    for (size_t i = 0; ok && i < body->n && r->flow == FLOW_ON; i++) {
        ok = j_spend(r, 1) && exec_node(r, body->at[i], env);
        if (!ok && !r->located) {
            r->located = true;
            source_place(r->t->source, body->at[i]->pos, &r->err->line, &r->err->column);
        }
    }
    j_leave(r);
    return ok;
}

/* ---------------------------------------------------------------- macros */

static int keyword(const struct args *args, struct str name)
{
    for (size_t i = 0; i < args->n_named; i++)
        if (str_eq(args->names[i], name))
            return (int)i;
    return -1;
}

/* Keyword arguments that no parameter took: for `kwargs`, or an error. */
static bool rest_keywords(struct run *r, const struct node *n, struct env *env, const struct args *args,
                          const bool *taken)
{
    struct value kwargs, name;
    if (!j_dict(r, 0, &kwargs))
        return false;
    for (size_t i = 0; i < args->n_named; i++) {
        if (taken[i])
            continue;
        if (n->kwargs.up == NO_SLOT && str_eq_z(args->names[i], "caller"))
            return j_fail(r, "macro '" STR_FMT "' was invoked with two values for the special caller argument."
                             " This is most likely a bug.", STR_ARG(n->name));
        if (n->kwargs.up == NO_SLOT)
            return j_fail(r, "macro '" STR_FMT "' takes no keyword argument '" STR_FMT "'", STR_ARG(n->name),
                          STR_ARG(args->names[i]));
        if (!j_borrow(r, args->names[i], false, &name) || !j_dict_set(r, kwargs.dict, name, args->named[i]))
            return false;
    }
    if (n->kwargs.up != NO_SLOT)
        *env_slot(env, n->kwargs) = kwargs;
    return true;
}

static bool rest_positional(struct run *r, const struct node *n, struct env *env, const struct args *args)
{
    struct value varargs;
    if (n->varargs.up == NO_SLOT) {
        const char *name = n->kind == N_CALL_BLOCK ? "None" : NULL;
        if (args->n <= n->list.n)
            return true;
        return name ? j_fail(r, "macro None takes not more than %zu argument(s)", n->list.n)
                    : j_fail(r, "macro '" STR_FMT "' takes not more than %zu argument(s)", STR_ARG(n->name), n->list.n);
    }
    if (!j_list(r, J_TUPLE, 0, &varargs))
        return false;
    for (size_t i = n->list.n; i < args->n; i++)
        if (!j_push(r, varargs.list, args->at[i]))
            return false;
    *env_slot(env, n->varargs) = varargs;
    return true;
}

/* What was not given is the default, evaluated now; or undefined. */
static bool fill_defaults(struct run *r, const struct node *n, struct env *env)
{
    for (size_t i = 0; i < n->list.n; i++) {
        const struct node *parameter = n->list.at[i];
        struct value *slot = env_slot(env, parameter->ref), v;
        struct growing g = { 0 };
        if (slot->kind != J_MISSING)
            continue;
        if (parameter->a) {
            if (!eval(r, parameter->a, env, &v))
                return false;
        } else if (!j_puts(r, &g, "parameter '", false)
                   || !j_put(r, &g, parameter->name.ptr, parameter->name.len, false)
                   || !j_put(r, &g, "' was not provided", sizeof "' was not provided", false)
                   || !j_undefined_hint(r, g.ptr, &v)) {
            return false;
        }
        *slot = v;
    }
    return true;
}

static bool bind_arguments(struct run *r, const struct node *n, struct env *env, const struct args *args)
{
    bool *taken = j_array(r, bool, args->n_named + 1);
    if (!taken || !j_spend(r, args->n_named * (n->list.n + 1) / 16))
        return false;
    for (size_t i = 0; i < n->list.n; i++) {
        int at = i < args->n ? -1 : keyword(args, n->list.at[i]->name);
        if (i < args->n)
            *env_slot(env, n->list.at[i]->ref) = args->at[i];
        else if (at >= 0)
            *env_slot(env, n->list.at[i]->ref) = args->named[at];
        if (at >= 0)
            taken[at] = true;
    }
    if (n->caller.up != NO_SLOT) {
        int at = keyword(args, STR("caller"));
        if (at >= 0)
            *env_slot(env, n->caller) = args->named[at];
        else if (!j_undefined_hint(r, "No caller defined", env_slot(env, n->caller)))
            return false;
        if (at >= 0)
            taken[at] = true;
    }
    return rest_keywords(r, n, env, args, taken) && rest_positional(r, n, env, args) && fill_defaults(r, n, env);
}

bool call_macro(struct run *r, struct macro *m, const struct args *args, struct value *out)
{
    const struct node *n = m->node;
    if (r->call_depth >= r->limits.call_depth)
        return j_limit(r, "macros call each other deeper than the limit of %d", r->limits.call_depth);
    struct env *env = env_enter(r, n->scope, m->env);
    if (!env || !bind_arguments(r, n, env, args))
        return false;
    int flow = r->flow;
    r->flow = FLOW_ON;
    r->call_depth++;
    bool ok = capture(r, &n->body, env, out);
    r->call_depth--;
    r->flow = flow;
    return ok;
}
