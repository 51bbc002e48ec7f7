/* loop.c: for, and the `loop` variable. Items are taken one by one: what a loop's test or
 * loop.last sees may depend on what the body did so far. */
#include <string.h>

#include "text/jinja/ast.h"

/* The next item that passes the test. */
static bool pull(struct run *r, struct loop *l, struct value *out, bool *got)
{
    for (;;) {
        struct value test;
        if (!j_next(r, &l->it, out, got) || !*got)
            return !r->failed;
        if (!l->node->c || l->tested)
            return true;
        l->test_env = env_again(r, l->node->test_scope, l->env, l->test_env);
        if (!l->test_env || !assign(r, l->node->a, l->test_env, *out) || !eval(r, l->node->c, l->test_env, &test))
            return false;
        if (j_truth(test))
            return true;
    }
}

static bool peek(struct run *r, struct loop *l, bool *got)
{
    *got = true;
    if (l->after.kind != J_MISSING)
        return true;
    if (!pull(r, l, &l->after, got))
        return false;
    if (!*got)
        l->after = (struct value){ .kind = J_MISSING };
    return true;
}

static bool step(struct run *r, struct loop *l, bool *got)
{
    struct value v;
    if (l->after.kind != J_MISSING) {
        v = l->after;
        l->after.kind = J_MISSING;
        *got = true;
    } else if (!pull(r, l, &v, got) || !*got) {
        return !r->failed;
    }
    l->index0++;
    l->before = l->now;
    l->now = v;
    return true;
}

static bool count(struct run *r, struct loop *l)
{
    struct value rest, v;
    bool got = true;
    if (l->length >= 0)
        return true;
    if (!l->node->c && j_has_length(l->iterable))
        return j_length(r, l->iterable, &l->length);
    if (!j_list(r, J_LIST, 0, &rest))
        return false;
    while (got)
        if (!pull(r, l, &v, &got) || (got && !j_push(r, rest.list, v)))
            return false;
    l->tested = true;
    l->length = (int64_t)rest.list->n + l->index0 + 1 + (l->after.kind != J_MISSING);
    return j_iter(r, rest, &l->it);
}

bool run_loop(struct run *r, const struct node *n, struct env *env, struct value over, int depth0)
{
    struct loop *l = j_new(r, struct loop);
    struct env *inner = NULL;
    bool got = true, any = false;
    if (!l)
        return false;
    *l = (struct loop){ .node = n, .env = env, .iterable = over, .index0 = -1, .length = -1, .depth0 = depth0 };
    if (!j_iter(r, over, &l->it))
        return false;
    while (r->flow != FLOW_BREAK) {
        if (!step(r, l, &got))
            return false;
        if (!got)
            break;
        any = true;
        inner = env_again(r, n->scope, env, inner);
        if (!inner)
            return false;
        inner->slots[0] = (struct value){ .kind = J_LOOP, .loop = l };
        if (!assign(r, n->a, inner, l->now) || !exec(r, &n->body, inner))
            return false;
        if (r->flow == FLOW_CONTINUE)
            r->flow = FLOW_ON;
    }
    r->flow = FLOW_ON;
    if (any || n->other.n == 0)
        return true;
    inner = env_enter(r, n->other_scope, env);
    return inner && exec(r, &n->other, inner);
}

bool call_loop(struct run *r, struct loop *l, const struct args *args, struct value *out)
{
    if (!l->node->recursive)
        return j_fail(r, "The loop must have the 'recursive' marker set.");
    if (args->n != 1 || args->n_named)
        return j_fail(r, "LoopContext.__call__() takes 2 positional arguments but %zu were given", args->n + 1);
    if (r->call_depth >= r->limits.call_depth)
        return j_limit(r, "loops call each other deeper than the limit of %d", r->limits.call_depth);
    struct growing *outer = r->out, *g = j_new(r, struct growing);
    if (!g)
        return false;
    r->out = g;
    r->call_depth++;
    bool ok = run_loop(r, l->node, l->env, args->at[0], l->depth0 + 1);
    r->call_depth--;
    r->out = outer;
    return ok && j_built(r, g, out);
}

static bool neighbour(struct run *r, struct loop *l, bool next, struct value *out)
{
    bool got;
    if (!next) {
        if (l->index0 == 0)
            return j_undefined_hint(r, "there is no previous item", out);
        *out = l->before;
        return true;
    }
    if (!peek(r, l, &got))
        return false;
    if (!got)
        return j_undefined_hint(r, "there is no next item", out);
    *out = l->after;
    return true;
}

bool loop_attribute(struct run *r, struct loop *l, struct str name, struct value *out, bool *found)
{
    bool got;
    *found = true;
    if (str_eq_z(name, "index"))
        *out = j_int(l->index0 + 1);
    else if (str_eq_z(name, "index0"))
        *out = j_int(l->index0);
    else if (str_eq_z(name, "first"))
        *out = j_bool(l->index0 == 0);
    else if (str_eq_z(name, "depth"))
        *out = j_int(l->depth0 + 1);
    else if (str_eq_z(name, "depth0"))
        *out = j_int(l->depth0);
    else if (str_eq_z(name, "previtem") || str_eq_z(name, "nextitem"))
        return neighbour(r, l, name.ptr[0] == 'n', out);
    else if (str_eq_z(name, "last")) {
        if (!peek(r, l, &got))
            return false;
        *out = j_bool(!got);
    } else if (str_eq_z(name, "length") || str_eq_z(name, "revindex") || str_eq_z(name, "revindex0")) {
        if (!count(r, l))
            return false;
        *out = j_int(name.len == 6 ? l->length : l->length - l->index0 - (name.len == 9));
    } else {
        bool forbidden;
        struct value self = { .kind = J_LOOP, .loop = l };
        const struct method_row *row = j_find_method(self, name, &forbidden);
        struct method *m = row ? j_new(r, struct method) : NULL;
        *found = row != NULL;
        if (row && !m)
            return false;
        if (m)
            *m = (struct method){ .self = self, .row = row, .name = row->name };
        *out = (struct value){ .kind = J_METHOD, .method = m };
    }
    return true;
}

bool loop_cycle(struct run *r, struct value self, const struct args *args, struct value *out)
{
    if (args->n == 0)
        return j_fail(r, "no items for cycling given");
    *out = args->at[(size_t)self.loop->index0 % args->n];
    return true;
}

bool loop_changed(struct run *r, struct value self, const struct args *args, struct value *out)
{
    struct value now;
    bool same = false;
    if (!j_list(r, J_TUPLE, args->n, &now))
        return false;
    for (size_t i = 0; i < args->n; i++)
        if (!j_push(r, now.list, args->at[i]))
            return false;
    if (self.loop->changed.kind != J_MISSING && !j_equal(r, self.loop->changed, now, &same))
        return false;
    self.loop->changed = now;
    *out = j_bool(!same);
    return true;
}
