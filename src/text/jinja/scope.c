/* scope.c: which variable a name means, decided before anything runs.
 *
 * Jinja compiles names to local variables of nested functions, and what a name means follows
 * from that: a scope (template, loop body, macro, ...) has a variable for every name that is
 * assigned in it, and for every name it reads that no scope around it has. What the variable
 * holds on entry:
 *
 *   nothing      the first mention is an assignment that always happens
 *   the value from around the scope, copied: assigned here, and known around it
 *   the value given to the template: read first, or assigned in some branch only
 *
 * Two passes for each scope: collect the names in the order of the text, then bind them. */
#include <string.h>

#include "text/jinja/ast.h"

/* So that no template makes the search for names slow. */
enum { MOST_NAMES = 4000 };

struct change {
    uint16_t slot;
    bool known, stored;
    uint8_t load;
};

struct names {
    struct parser *p;
    struct scope *s;
    struct change *log; /* to take back what a branch did */
    size_t n_log, room;
};

static struct scope *new_scope(struct parser *p, struct scope *up)
{
    struct scope *s = arena_new(&p->t->arena, struct scope);
    if (!s)
        p_memory(p);
    else
        s->up = up;
    return s;
}

static int find_slot(const struct scope *s, struct str name)
{
    for (size_t i = 0; i < s->n; i++)
        if (str_eq(s->slots[i].name, name))
            return (int)i;
    return -1;
}

/* Slot of a name, made when it is new; -1: failed. */
static int need_slot(struct parser *p, struct scope *s, struct str name)
{
    int at = find_slot(s, name);
    if (at >= 0)
        return at;
    if (p->t->n_slots++ >= MOST_NAMES) {
        p_fail(p, 0, "the template has more than %d variables", MOST_NAMES);
        return -1;
    }
    if (s->n == s->room) {
        size_t room = s->room ? 2 * s->room : 8;
        struct slot *more = arena_array(&p->t->arena, struct slot, room);
        if (!more) {
            p_memory(p);
            return -1;
        }
        if (s->n)
            memcpy(more, s->slots, s->n * sizeof *more);
        s->slots = more;
        s->room = room;
    }
    s->slots[s->n] = (struct slot){ .name = name };
    return (int)s->n++;
}

/* The variable of a name, seen from s. */
static bool find_ref(const struct scope *s, struct str name, struct ref *out)
{
    int up = 0;
    for (; s; s = s->up, up++) {
        int at = find_slot(s, name);
        if (at >= 0 && s->slots[at].known) {
            *out = (struct ref){ (uint16_t)up, (uint16_t)at };
            return true;
        }
    }
    return false;
}

static bool global_index(struct parser *p, struct str name, uint32_t *out)
{
    struct jinja_template *t = p->t;
    for (*out = 0; *out < t->n_globals; ++*out)
        if (str_eq(t->globals[*out], name))
            return true;
    if (t->n_globals == t->globals_room) {
        size_t room = t->globals_room ? 2 * t->globals_room : 32;
        struct str *more = arena_array(&t->arena, struct str, room);
        if (!more)
            return p_memory(p);
        if (t->n_globals)
            memcpy(more, t->globals, t->n_globals * sizeof *more);
        t->globals = more;
        t->globals_room = room;
    }
    t->globals[t->n_globals++] = name;
    return true;
}

static bool set_slot(struct names *ns, int at, bool known, bool stored, int load)
{
    struct slot *s = &ns->s->slots[at];
    if (ns->n_log == ns->room) {
        size_t room = ns->room ? 2 * ns->room : 64;
        struct change *more = arena_array(&ns->p->t->arena, struct change, room);
        if (!more)
            return p_memory(ns->p);
        if (ns->n_log)
            memcpy(more, ns->log, ns->n_log * sizeof *more);
        ns->log = more;
        ns->room = room;
    }
    ns->log[ns->n_log++] = (struct change){ (uint16_t)at, s->known, s->stored, s->load };
    s->known = known;
    s->stored = stored;
    s->load = (uint8_t)load;
    return true;
}

static bool name_loaded(struct names *ns, struct str name)
{
    struct ref ref;
    if (find_ref(ns->s, name, &ref))
        return true;
    int at = need_slot(ns->p, ns->s, name);
    return at >= 0 && set_slot(ns, at, true, ns->s->slots[at].stored, LOAD_GLOBAL);
}

static bool name_stored(struct names *ns, struct str name)
{
    struct ref ref;
    int at = need_slot(ns->p, ns->s, name);
    if (at < 0)
        return false;
    const struct slot *s = &ns->s->slots[at];
    if (s->known)
        return s->stored || set_slot(ns, at, true, true, s->load);
    bool around = ns->s->up && find_ref(ns->s->up, name, &ref);
    return set_slot(ns, at, true, true, around ? LOAD_ALIAS : LOAD_UNDEFINED);
}

static bool name_given(struct names *ns, struct str name)
{
    int at = need_slot(ns->p, ns->s, name);
    return at >= 0 && set_slot(ns, at, true, true, LOAD_PARAMETER);
}

static bool collect(struct names *ns, const struct node *n, bool stores, bool as_parameter);

static bool collect_all(struct names *ns, const struct nodes *list)
{
    for (size_t i = 0; i < list->n; i++)
        if (!collect(ns, list->at[i], false, false))
            return false;
    return true;
}

/* Take back what happened since `from`; the net changes stay in *out. */
static bool take_back(struct names *ns, size_t from, struct change **out, size_t *n)
{
    *n = ns->n_log - from;
    *out = arena_array(&ns->p->t->arena, struct change, *n);
    if (!*out)
        return p_memory(ns->p);
    for (size_t i = 0; i < *n; i++) {
        const struct slot *s = &ns->s->slots[ns->log[from + i].slot];
        (*out)[i] = (struct change){ ns->log[from + i].slot, s->known, s->stored, s->load };
    }
    while (ns->n_log > from) {
        const struct change *c = &ns->log[--ns->n_log];
        struct slot *s = &ns->s->slots[c->slot];
        s->known = c->known;
        s->stored = c->stored;
        s->load = c->load;
    }
    return true;
}

struct branch {
    struct change *changes;
    size_t n;
};

static bool in_branch(struct names *ns, struct branch *b, const struct nodes *first, const struct node *first_if,
                      const struct nodes *ifs);

/* All branches see what was known before; then what any of them brought is known, and what some
 * of them newly assigned starts as it is outside. */
static bool merge(struct names *ns, const struct branch *b, size_t n_branches)
{
    struct ref ref;
    size_t from = ns->n_log;
    for (size_t k = 0; k < n_branches; k++) {
        for (size_t i = 0; i < b[k].n; i++) {
            const struct change *c = &b[k].changes[i];
            bool stored = c->stored || ns->s->slots[c->slot].stored;
            if (!set_slot(ns, c->slot, c->known, stored, c->load))
                return false;
        }
    }
    for (size_t i = from, n = ns->n_log; i < n; i++) {
        const struct change *before = &ns->log[i];
        int at = before->slot;
        struct str name = ns->s->slots[at].name;
        bool new_store = !before->stored && ns->s->slots[at].stored;
        bool around = ns->s->up && find_ref(ns->s->up, name, &ref);
        if (new_store && !set_slot(ns, at, true, true, around ? LOAD_ALIAS : LOAD_GLOBAL))
            return false;
    }
    return true;
}

/* if / elif ... / else, as jinja2 nests them: the elifs together are one branch, and each of
 * them is again an if without else. */
static bool collect_if(struct names *ns, const struct node *n)
{
    struct branch b[3] = { { 0 } };
    static const struct nodes none = { 0 };
    if (!collect(ns, n->list.at[0]->a, false, false))
        return false;
    return in_branch(ns, &b[0], &n->list.at[0]->body, NULL, NULL) && in_branch(ns, &b[1], &none, n, &n->list)
        && in_branch(ns, &b[2], &n->other, NULL, NULL) && merge(ns, b, 3);
}

static bool in_branch(struct names *ns, struct branch *b, const struct nodes *first, const struct node *first_if,
                      const struct nodes *ifs)
{
    size_t from = ns->n_log;
    if (!collect_all(ns, first))
        return false;
    for (size_t i = 1; first_if && i < ifs->n; i++) {
        struct branch inner = { 0 };
        if (!collect(ns, ifs->at[i]->a, false, false) || !in_branch(ns, &inner, &ifs->at[i]->body, NULL, NULL)
            || !merge(ns, &inner, 1))
            return false;
    }
    return take_back(ns, from, &b->changes, &b->n);
}

static bool collect_children(struct names *ns, const struct node *n, bool stores, bool as_parameter)
{
    const struct node *const single[] = { n->a, n->b, n->c, n->star, n->star_star };
    const struct nodes *const lists[] = { &n->list, &n->positional, &n->keyword_values };
    for (size_t i = 0; i < ARRAY_LEN(single); i++)
        if (single[i] && !collect(ns, single[i], stores, as_parameter))
            return false;
    for (size_t k = 0; k < ARRAY_LEN(lists); k++)
        for (size_t i = 0; i < lists[k]->n; i++)
            if (!collect(ns, lists[k]->at[i], stores, as_parameter))
                return false;
    return true;
}

static bool collect(struct names *ns, const struct node *n, bool stores, bool as_parameter)
{
    switch (n->kind) {
    case N_NAME:
        return as_parameter ? name_given(ns, n->name) : stores ? name_stored(ns, n->name) : name_loaded(ns, n->name);
    case N_NSREF: return name_loaded(ns, n->a->name);
    case N_IF: return collect_if(ns, n);
    case N_MACRO: return name_stored(ns, n->name);
    case N_SET: return collect(ns, n->b, false, false) && collect(ns, n->a, true, false);
    case N_SET_BLOCK: return collect(ns, n->a, true, false) && (!n->b || collect(ns, n->b, false, false));
    case N_FOR: return collect(ns, n->b, false, false);
    case N_CALL_BLOCK: case N_FILTER_BLOCK: return collect(ns, n->a, false, false);
    case N_WITH: return collect_all(ns, &n->positional);
    case N_GENERATION: case N_DATA: case N_BREAK: case N_CONTINUE: return true;
    default: return collect_children(ns, n, stores, as_parameter);
    }
}

/* ---------------------------------------------------------------- binding */

struct place {
    struct parser *p;
    struct scope *s;
    bool soft; /* inside an if: an unknown filter is a failure only when it is reached */
    bool in_loop;
    bool in_for; /* in_loop, or in a macro or an else of one */
};

static bool bind(struct place at, struct node *n);

static bool bind_all(struct place at, const struct nodes *list)
{
    for (size_t i = 0; i < list->n; i++)
        if (!bind(at, list->at[i]))
            return false;
    return true;
}

/* What the slots hold on entry; when all names of the scope are collected. */
static bool settle(struct parser *p, struct scope *s)
{
    for (size_t i = 0; i < s->n; i++) {
        struct slot *slot = &s->slots[i];
        if (slot->load == LOAD_ALIAS && !find_ref(s->up, slot->name, &slot->from))
            return p_fail(p, 0, "the variable '" STR_FMT "' has no place", STR_ARG(slot->name));
        if (slot->load == LOAD_GLOBAL && !global_index(p, slot->name, &slot->global))
            return false;
    }
    return true;
}

static bool bind_name(struct place at, struct node *n)
{
    if (find_ref(at.s, n->name, &n->ref))
        return true;
    struct names ns = { .p = at.p, .s = at.s }; /* in a filter of a block set: jinja2 has no variable for it */
    return name_loaded(&ns, n->name) && settle(at.p, at.s) && find_ref(at.s, n->name, &n->ref);
}

static bool mentions(const struct node *n, struct str name);

static bool mentions_in(const struct nodes *list, struct str name)
{
    for (size_t i = 0; i < list->n; i++)
        if (mentions(list->at[i], name))
            return true;
    return false;
}

static bool mentions(const struct node *n, struct str name)
{
    if (!n)
        return false;
    if (n->kind == N_NAME)
        return str_eq(n->name, name) || mentions(n->a, name);
    return mentions(n->a, name) || mentions(n->b, name) || mentions(n->c, name) || mentions(n->star, name)
        || mentions(n->star_star, name) || mentions_in(&n->list, name) || mentions_in(&n->body, name)
        || mentions_in(&n->other, name) || mentions_in(&n->positional, name)
        || mentions_in(&n->keyword_values, name);
}

static bool special(struct names *ns, const struct node *n, struct str name, struct ref *out)
{
    *out = (struct ref){ NO_SLOT, NO_SLOT };
    if (!mentions_in(&n->body, name))
        return true;
    for (size_t i = 0; i < n->list.n; i++)
        if (str_eq(n->list.at[i]->name, name))
            return true;
    return name_given(ns, name) && find_ref(ns->s, name, out);
}

/* A macro, or the body of a call block. */
static bool bind_macro(struct place at, struct node *n)
{
    struct names ns = { .p = at.p, .s = new_scope(at.p, at.s) };
    if (!ns.s)
        return false;
    n->scope = ns.s;
    for (size_t i = 0; i < n->list.n; i++)
        if (!name_given(&ns, n->list.at[i]->name))
            return false;
    for (size_t i = 0; i < n->list.n; i++)
        if (n->list.at[i]->a && !collect(&ns, n->list.at[i]->a, false, false))
            return false;
    if (!collect_all(&ns, &n->body) || !special(&ns, n, STR("caller"), &n->caller)
        || !special(&ns, n, STR("kwargs"), &n->kwargs) || !special(&ns, n, STR("varargs"), &n->varargs)
        || !settle(at.p, ns.s))
        return false;
    struct place inside = { at.p, ns.s, false, false, at.in_for };
    for (size_t i = 0; i < n->list.n; i++)
        if (!bind(inside, n->list.at[i]) || (n->list.at[i]->a && !bind(inside, n->list.at[i]->a)))
            return false;
    return bind_all(inside, &n->body);
}

/* A scope whose names are those of the body. */
static bool bind_block(struct place at, struct node *n, bool in_loop)
{
    struct names ns = { .p = at.p, .s = new_scope(at.p, at.s) };
    if (!ns.s)
        return false;
    n->scope = ns.s;
    if (n->kind == N_FILTER_BLOCK && !collect(&ns, n->a, false, false))
        return false;
    for (size_t i = 0; n->kind == N_WITH && i < n->list.n; i++)
        if (!collect(&ns, n->list.at[i], false, true))
            return false;
    if (!collect_all(&ns, &n->body) || !settle(at.p, ns.s))
        return false;
    struct place inside = { at.p, ns.s, false, in_loop, at.in_for };
    if (n->kind == N_WITH && !bind_all(inside, &n->list))
        return false;
    if (n->kind == N_FILTER_BLOCK && !bind(inside, n->a))
        return false;
    if (n->kind == N_SET_BLOCK && n->b && !bind(inside, n->b))
        return false;
    return bind_all(inside, &n->body);
}

/* Would `loop` be assigned to? That is an error, and true. */
static bool is_loop(struct place at, const struct node *target)
{
    for (size_t i = 0; target->kind == N_TUPLE && i < target->list.n; i++)
        if (is_loop(at, target->list.at[i]))
            return true;
    return target->kind == N_NAME && str_eq_z(target->name, "loop")
        && !p_fail(at.p, target->pos, "Can't assign to special loop variable in for-loop target");
}

static bool bind_for(struct place at, struct node *n)
{
    struct names body = { .p = at.p, .s = new_scope(at.p, at.s) };
    struct names test = { .p = at.p, .s = new_scope(at.p, at.s) };
    struct names other = { .p = at.p, .s = new_scope(at.p, at.s) };
    if (!body.s || !test.s || !other.s)
        return false;
    n->scope = body.s;
    n->test_scope = test.s;
    n->other_scope = other.s;
    if (is_loop(at, n->a))
        return false;
    if (!name_given(&body, STR("loop")) || !collect(&body, n->a, false, true) || !collect_all(&body, &n->body)
        || !settle(at.p, body.s) || !collect_all(&other, &n->other) || !settle(at.p, other.s))
        return false;
    /* The target is written in either scope: its names have the same slots in both, behind `loop`. */
    if (n->c && (need_slot(at.p, test.s, STR("")) < 0 || !collect(&test, n->a, false, true)
                 || !collect(&test, n->c, false, false) || !settle(at.p, test.s)))
        return false;
    struct place in_body = { at.p, body.s, false, true, true };
    struct place in_test = { at.p, test.s, false, false, true };
    struct place in_other = { at.p, other.s, false, at.in_loop, true };
    return bind(at, n->b) && (!n->c || bind(in_test, n->c)) && bind(in_body, n->a) && bind_all(in_body, &n->body)
        && bind_all(in_other, &n->other);
}

static bool bind_if(struct place at, struct node *n)
{
    at.soft = true;
    for (size_t i = 0; i < n->list.n; i++)
        if (!bind(at, n->list.at[i]->a) || !bind_all(at, &n->list.at[i]->body))
            return false;
    return bind_all(at, &n->other);
}

static bool bind_children(struct place at, struct node *n)
{
    struct node *const single[] = { n->a, n->b, n->c, n->star, n->star_star };
    if (n->kind == N_COND)
        at.soft = true;
    for (size_t i = 0; i < ARRAY_LEN(single); i++)
        if (single[i] && !bind(at, single[i]))
            return false;
    return bind_all(at, &n->list) && bind_all(at, &n->positional) && bind_all(at, &n->keyword_values);
}

static bool bind(struct place at, struct node *n)
{
    bool known = true;
    if ((n->kind == N_SET || n->kind == N_SET_BLOCK) && at.in_for && is_loop(at, n->a))
        return false;
    switch (n->kind) {
    case N_NAME: return bind_name(at, n);
    case N_NSREF: return bind_name(at, n->a);
    case N_IF: return bind_if(at, n);
    case N_FOR: return bind_for(at, n);
    case N_MACRO: return bind_macro(at, n) && find_ref(at.s, n->name, &n->ref);
    case N_CALL_BLOCK: return bind(at, n->a) && bind_macro(at, n);
    case N_SET_BLOCK: return bind(at, n->a) && bind_block(at, n, at.in_loop);
    case N_FILTER_BLOCK: case N_GENERATION: return bind_block(at, n, at.in_loop);
    case N_WITH: return bind_all(at, &n->positional) && bind_block(at, n, at.in_loop);
    case N_BREAK: case N_CONTINUE:
        return at.in_loop || p_fail(at.p, n->pos, "'" STR_FMT "' outside loop", STR_ARG(n->name));
    case N_FILTER: known = n->filter != NULL; break;
    case N_TEST: known = n->test != NULL; break;
    default: break;
    }
    if (!known && !at.soft)
        return p_fail(at.p, n->pos, "No %s named '" STR_FMT "'.", n->kind == N_FILTER ? "filter" : "test",
                      STR_ARG(n->name));
    return bind_children(at, n);
}

bool resolve_names(struct parser *p)
{
    struct names ns = { .p = p, .s = new_scope(p, NULL) };
    if (!ns.s || !collect_all(&ns, &p->t->body) || !settle(p, ns.s))
        return false;
    p->t->scope = ns.s;
    return bind_all((struct place){ .p = p, .s = ns.s }, &p->t->body);
}
