/* compare.c: truth, equality, order, membership, length, names of types. */
#include <string.h>

#include "text/jinja/ast.h"

const char *j_type_name(struct value v)
{
    switch (v.kind) {
    case J_MISSING: case J_UNDEFINED: return "Undefined";
    case J_NONE: return "NoneType";
    case J_BOOL: return "bool";
    case J_INT: return "int";
    case J_FLOAT: return "float";
    case J_STRING: return v.s->markup ? "Markup" : "str";
    case J_LIST: return "list";
    case J_TUPLE: return "tuple";
    case J_DICT: return "dict";
    case J_RANGE: return "range";
    case J_VIEW: case J_GENERATOR: return v.list->type;
    case J_NAMESPACE: return "Namespace";
    case J_MACRO: return "Macro";
    case J_LOOP: return "LoopContext";
    case J_FUNCTION: return "function";
    case J_METHOD: return "builtin_function_or_method";
    case J_CYCLER: return "Cycler";
    default: return "Joiner";
    }
}

const char *j_owner_name(struct value v)
{
    switch (v.kind) {
    case J_NONE: return "None";
    case J_BOOL: return "bool object";
    case J_INT: return "int object";
    case J_FLOAT: return "float object";
    case J_STRING: return v.s->markup ? "markupsafe.Markup object" : "str object";
    case J_LIST: return "list object";
    case J_TUPLE: return "tuple object";
    case J_DICT: return "dict object";
    case J_RANGE: return "range object";
    case J_VIEW: return j_is_set(v)                              ? "set object"
                      : strcmp(v.list->type, "dict_items") == 0 ? "dict_items object"
                      : strcmp(v.list->type, "dict_keys") == 0  ? "dict_keys object"
                                                                 : "dict_values object";
    case J_GENERATOR: return strcmp(v.list->type, "generator") == 0 ? "generator object"
                                                                     : "list_reverseiterator object";
    case J_NAMESPACE: return "jinja2.utils.Namespace object";
    case J_MACRO: return "jinja2.runtime.Macro object";
    case J_LOOP: return "jinja2.runtime.LoopContext object";
    case J_CYCLER: return "jinja2.utils.Cycler object";
    case J_JOINER: return "jinja2.utils.Joiner object";
    case J_FUNCTION: return "function object";
    default: return "builtin_function_or_method object";
    }
}

bool j_truth(struct value v)
{
    switch (v.kind) {
    case J_MISSING: case J_UNDEFINED: case J_NONE: return false;
    case J_BOOL: return v.b;
    case J_INT: return v.i != 0;
    case J_FLOAT: return v.f != 0.0;
    case J_STRING: return v.s->len != 0;
    case J_LIST: case J_TUPLE: case J_VIEW: return v.list->n != 0;
    case J_DICT: return v.dict->n != 0;
    case J_RANGE: return v.range->n != 0;
    default: return true;
    }
}

bool j_tainted(struct value v)
{
    if (v.kind == J_STRING) {
        if (!v.s->mask)
            return v.s->taint && v.s->len;
        return memchr(v.s->mask, 1, v.s->len) != NULL;
    }
    if (v.taint)
        return true;
    if (v.kind == J_LIST || v.kind == J_TUPLE || v.kind == J_VIEW) {
        for (size_t i = 0; i < v.list->n; i++)
            if (v.list->items[i].taint || (v.list->items[i].kind >= J_STRING && j_tainted(v.list->items[i])))
                return true;
    } else if (v.kind == J_DICT) {
        for (size_t i = 0; i < v.dict->n; i++)
            if (j_tainted(v.dict->entries[i].key) || j_tainted(v.dict->entries[i].value))
                return true;
    }
    return false;
}

static bool equal_numbers(struct value a, struct value b)
{
    if (a.kind == J_FLOAT || b.kind == J_FLOAT) {
        double x = a.kind == J_FLOAT ? a.f : (double)j_whole(a), y = b.kind == J_FLOAT ? b.f : (double)j_whole(b);
        return x == y;
    }
    return j_whole(a) == j_whole(b);
}

static bool equal_lists(struct run *r, const struct list *a, const struct list *b, bool *out)
{
    *out = a->n == b->n;
    for (size_t i = 0; *out && i < a->n; i++)
        if (!j_equal(r, a->items[i], b->items[i], out))
            return false;
    return true;
}

static bool equal_dicts(struct run *r, const struct dict *a, const struct dict *b, bool *out)
{
    *out = a->n == b->n;
    for (size_t i = 0; *out && i < a->n; i++) {
        struct value *other;
        if (!j_dict_find(r, b, a->entries[i].key, &other))
            return false;
        *out = other != NULL;
        if (other && !j_equal(r, a->entries[i].value, *other, out))
            return false;
    }
    return true;
}

bool j_equal(struct run *r, struct value a, struct value b, bool *out)
{
    bool ok = j_enter(r);
    *out = false;
    if (j_is_number(a) && j_is_number(b)) {
        *out = equal_numbers(a, b);
    } else if (a.kind == b.kind && ok) {
        switch (a.kind) {
        case J_UNDEFINED: case J_NONE: *out = true; break;
        case J_STRING: *out = str_eq(j_str(a), j_str(b)); ok = j_spend(r, min_size(a.s->len, b.s->len) / 64); break;
        case J_LIST: case J_TUPLE: ok = a.list == b.list ? (*out = true) : equal_lists(r, a.list, b.list, out); break;
        case J_DICT: ok = a.dict == b.dict ? (*out = true) : equal_dicts(r, a.dict, b.dict, out); break;
        case J_RANGE:
            *out = a.range->n == b.range->n && (a.range->n == 0 || (a.range->start == b.range->start
                   && (a.range->n == 1 || a.range->step == b.range->step)));
            break;
        case J_VIEW:
            if (!j_is_set_like(a) || !j_is_set_like(b) || a.list->n != b.list->n)
                *out = a.list == b.list;
            else
                ok = j_subset(r, a, b, out);
            break;
        default: *out = a.list == b.list; break;
        }
    }
    j_leave(r);
    return ok;
}

static bool cannot_order(struct run *r, struct value a, struct value b, const char *op)
{
    if (j_is_undef(a) || j_is_undef(b))
        return j_fail_undefined(r, j_is_undef(a) ? a : b);
    return j_fail(r, "'%s' not supported between instances of '%s' and '%s'", op, j_type_name(a), j_type_name(b));
}

static bool ordered(int sign, const char *op)
{
    if (op[0] == '<')
        return sign < 0 || (op[1] && sign == 0);
    return sign > 0 || (op[1] && sign == 0);
}

static bool less_lists(struct run *r, const struct list *a, const struct list *b, const char *op, bool *out)
{
    for (size_t i = 0; i < a->n && i < b->n; i++) {
        bool same;
        if (!j_equal(r, a->items[i], b->items[i], &same))
            return false;
        if (!same)
            return j_less(r, a->items[i], b->items[i], op, out);
    }
    *out = ordered(a->n < b->n ? -1 : a->n > b->n, op);
    return true;
}

/* Not an order: of two sets, neither need be less. */
static bool less_sets(struct run *r, struct value a, struct value b, const char *op, bool *out)
{
    bool same = a.list->n == b.list->n, or_equal = op[1] != 0;
    *out = false;
    return (same && !or_equal) || (op[0] == '<' ? j_subset(r, a, b, out) : j_subset(r, b, a, out));
}

bool j_less(struct run *r, struct value a, struct value b, const char *op, bool *out)
{
    bool ok = j_enter(r);
    if (j_is_number(a) && j_is_number(b)) {
        if (a.kind == J_FLOAT || b.kind == J_FLOAT) {
            double x = a.kind == J_FLOAT ? a.f : (double)j_whole(a), y = b.kind == J_FLOAT ? b.f : (double)j_whole(b);
            *out = x == x && y == y && ordered(x < y ? -1 : x > y, op);
        } else {
            *out = ordered(j_whole(a) < j_whole(b) ? -1 : j_whole(a) > j_whole(b), op);
        }
    } else if (a.kind == J_STRING && b.kind == J_STRING) {
        size_t n = min_size(a.s->len, b.s->len);
        int sign = n ? memcmp(a.s->ptr, b.s->ptr, n) : 0; /* UTF-8 sorts as its code points do */
        *out = ordered(sign ? sign : a.s->len < b.s->len ? -1 : a.s->len > b.s->len, op);
        ok = j_spend(r, n / 64);
    } else if (a.kind == b.kind && (a.kind == J_LIST || a.kind == J_TUPLE)) {
        ok = ok && less_lists(r, a.list, b.list, op, out);
    } else if (j_is_set_like(a) && j_is_set_like(b)) {
        ok = ok && less_sets(r, a, b, op, out);
    } else {
        ok = cannot_order(r, a, b, op);
    }
    j_leave(r);
    return ok;
}

bool j_contains(struct run *r, struct value in, struct value item, bool *out)
{
    struct iter it;
    struct value v, *found;
    bool got = true;
    *out = false;
    if (in.kind == J_STRING) {
        if (item.kind != J_STRING)
            return j_fail(r, "'in <string>' requires string as left operand, not %s", j_type_name(item));
        *out = j_place(r, j_str(in), j_str(item), 0, in.s->len) >= 0;
        return !r->failed;
    }
    if (in.kind == J_DICT) {
        bool ok = j_dict_find(r, in.dict, item, &found);
        *out = ok && found != NULL;
        return ok;
    }
    if (in.kind < J_STRING && in.kind != J_UNDEFINED)
        return j_fail(r, "argument of type '%s' is not iterable", j_type_name(in));
    if (in.kind >= J_NAMESPACE)
        return j_fail(r, "argument of type '%s' is not iterable", j_type_name(in));
    if (!j_iter(r, in, &it))
        return false;
    while (got && !*out) {
        if (!j_next(r, &it, &v, &got) || (got && !j_equal(r, v, item, out)))
            return false;
    }
    return true;
}

bool j_has_length(struct value v)
{
    return v.kind == J_UNDEFINED || (v.kind >= J_STRING && v.kind <= J_VIEW) || v.kind == J_LOOP;
}

bool j_length(struct run *r, struct value v, int64_t *out)
{
    switch (v.kind) {
    case J_UNDEFINED: *out = 0; return true;
    case J_STRING: *out = j_chars(v.s); return true;
    case J_LIST: case J_TUPLE: case J_VIEW: *out = (int64_t)v.list->n; return true;
    case J_DICT: *out = (int64_t)v.dict->n; return true;
    case J_RANGE: *out = v.range->n; return true;
    default: return j_fail(r, "object of type '%s' has no len()", j_type_name(v));
    }
}
