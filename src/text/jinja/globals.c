/* globals.c: the functions every template may call. */
#include <string.h>

#include "text/jinja/ast.h"

static bool g_range(struct run *r, const struct args *args, struct value *out)
{
    int64_t part[3] = { 0, 0, 1 };
    if (args->n_named)
        return j_fail(r, "range() takes no keyword arguments");
    if (args->n == 0)
        return j_fail(r, "range expected at least 1 argument, got 0");
    if (args->n > 3)
        return j_fail(r, "range expected at most 3 arguments, got %zu", args->n);
    for (size_t i = 0; i < args->n; i++) {
        if (!j_is_whole(args->at[i]))
            return j_fail(r, "'%s' object cannot be interpreted as an integer", j_type_name(args->at[i]));
        part[args->n == 1 ? 1 : i] = j_whole(args->at[i]);
    }
    if (part[2] == 0)
        return j_fail(r, "range() arg 3 must not be zero");
    bool up = part[2] > 0;
    uint64_t distance = 0, size = magnitude_of(part[2]);
    if (up ? part[1] > part[0] : part[0] > part[1])
        distance = up ? distance_up(part[0], part[1]) : distance_up(part[1], part[0]);
    uint64_t n = distance / size + (distance % size != 0);
    if (n > (uint64_t)r->limits.range_items)
        return j_limit(r, "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%lld).",
                       (long long)r->limits.range_items);
    struct range *range = j_new(r, struct range);
    if (!range)
        return false;
    *range = (struct range){ part[0], part[1], part[2], (int64_t)n };
    *out = (struct value){ .kind = J_RANGE, .range = range };
    return true;
}

/* dict(pairs or mapping, name=value...). */
static bool g_dict(struct run *r, const struct args *args, struct value *out)
{
    struct iter it;
    struct value pair, list, key;
    bool got = true;
    if (!j_dict(r, 0, out))
        return false;
    if (args->n > 1)
        return j_fail(r, "dict expected at most 1 argument, got %zu", args->n);
    if (args->n && j_is_undef(args->at[0]))
        return j_fail_undefined(r, args->at[0]);
    if (args->n && args->at[0].kind == J_DICT) {
        for (size_t i = 0; i < args->at[0].dict->n; i++)
            if (!j_dict_set(r, out->dict, args->at[0].dict->entries[i].key, args->at[0].dict->entries[i].value))
                return false;
    } else if (args->n) {
        if (!j_iter(r, args->at[0], &it))
            return false;
        for (size_t i = 0; got; i++) {
            if (!j_next(r, &it, &pair, &got))
                return false;
            if (!got)
                break;
            if (pair.kind < J_STRING)
                return j_fail(r, "cannot convert dictionary update sequence element #%zu to a sequence", i);
            if (!j_to_list(r, pair, J_LIST, &list))
                return false;
            if (list.list->n != 2)
                return j_fail(r, "dictionary update sequence element #%zu has length %zu; 2 is required", i,
                              list.list->n);
            if (!j_dict_set(r, out->dict, list.list->items[0], list.list->items[1]))
                return false;
        }
    }
    for (size_t i = 0; i < args->n_named; i++)
        if (!j_borrow(r, args->names[i], false, &key) || !j_dict_set(r, out->dict, key, args->named[i]))
            return false;
    return true;
}

static bool g_namespace(struct run *r, const struct args *args, struct value *out)
{
    if (!g_dict(r, args, out))
        return false;
    out->kind = J_NAMESPACE;
    return true;
}

static bool new_cycler(struct run *r, uint8_t kind, struct value *out)
{
    struct cycler *c = j_new(r, struct cycler);
    *out = (struct value){ .kind = kind, .cycler = c };
    return c != NULL;
}

static bool g_cycler(struct run *r, const struct args *args, struct value *out)
{
    if (args->n == 0)
        return j_fail(r, "at least one item has to be provided");
    if (!new_cycler(r, J_CYCLER, out))
        return false;
    out->cycler->items = args->at;
    out->cycler->n = args->n;
    return true;
}

static bool g_joiner(struct run *r, const struct args *args, struct value *out)
{
    struct value bound[MOST_PARAMETERS];
    if (!j_bind(r, "Joiner.__init__", "|sep", args, bound) || !new_cycler(r, J_JOINER, out))
        return false;
    if (bound[0].kind == J_MISSING ? !j_literal(r, ", ", &bound[0]) : !j_to_text(r, bound[0], &bound[0]))
        return false;
    out->cycler->separator = bound[0].s;
    return true;
}

static bool g_raise_exception(struct run *r, const struct args *args, struct value *out)
{
    struct value bound[MOST_PARAMETERS];
    (void)out;
    if (!j_bind(r, "raise_exception", "message", args, bound) || !j_to_text(r, bound[0], &bound[0]))
        return false;
    j_fail(r, "%.*s", (int)min_size(bound[0].s->len, sizeof r->err->message), bound[0].s->ptr);
    r->err->failure = JINJA_RAISED;
    return false;
}

static bool g_strftime_now(struct run *r, const struct args *args, struct value *out)
{
    struct value bound[MOST_PARAMETERS];
    if (!j_bind(r, "strftime_now", "format", args, bound))
        return false;
    if (bound[0].kind != J_STRING)
        return j_fail(r, "strftime() argument 1 must be str, not %s", j_type_name(bound[0]));
    return j_strftime(r, bound[0], &r->in->date, out);
}

static bool g_lipsum(struct run *r, const struct args *args, struct value *out)
{
    (void)args;
    (void)out;
    return j_fail(r, "lipsum() is not supported");
}

static const struct function functions[] = {
    { "range", g_range },
    { "dict", g_dict },
    { "namespace", g_namespace },
    { "cycler", g_cycler },
    { "joiner", g_joiner },
    { "lipsum", g_lipsum },
    { "raise_exception", g_raise_exception },
    { "strftime_now", g_strftime_now },
};

const struct function *j_find_function(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(functions); i++)
        if (str_eq_z(name, functions[i].name))
            return &functions[i];
    return NULL;
}
