/* sequences.c: filters of sequences.
 *
 * What is lazy in jinja2 (map, select, unique, ...) is computed at once here; an error on the
 * way is kept and comes when somebody reads that far, as there. */
#include <string.h>

#include "text/jinja/filters.h"

const char group_type[] = "group";

/* End a generator with the error that happened; budget errors are not to be put off. */
static bool put_off(struct run *r, struct value *g)
{
    if (!r->failed)
        return true;
    if (r->err->failure != JINJA_RUNTIME)
        return false;
    g->list->err = arena_new(r->arena, struct jinja_error);
    if (!g->list->err)
        return false;
    *g->list->err = *r->err;
    r->failed = false;
    *r->err = (struct jinja_error){ 0 };
    return true;
}

/* The value of a dotted path: "function.name", 0; J_MISSING or none: the value itself. */
bool j_attribute_path(struct run *r, struct value v, struct value path, struct value dflt, struct value *out)
{
    *out = v;
    if (path.kind == J_MISSING || path.kind == J_NONE)
        return true;
    if (path.kind != J_STRING)
        return j_getitem(r, v, path, out);
    struct str s = j_str(path);
    if (!j_spend(r, s.len / 32))
        return false;
    for (size_t from = 0, at = 0; at <= s.len; at++) {
        struct value part;
        if (at < s.len && s.ptr[at] != '.')
            continue;
        bool digits = at > from && at - from < 18;
        int64_t index = 0;
        for (size_t i = from; digits && i < at; i++) {
            digits = s.ptr[i] >= '0' && s.ptr[i] <= '9';
            index = index * 10 + (s.ptr[i] - '0');
        }
        if (!j_sub(r, path, from, at - from, &part) || !j_getitem(r, *out, digits ? j_int(index) : part, out))
            return false;
        if (j_is_undef(*out) && dflt.kind != J_MISSING && dflt.kind != J_NONE)
            *out = dflt;
        from = at + 1;
    }
    return true;
}

bool j_sort_key(struct run *r, struct value v, bool case_sensitive, struct value *out)
{
    *out = v;
    return case_sensitive || v.kind != J_STRING || j_call_plain(r, v, "lower", NULL, 0, out);
}

/* ---------------------------------------------------------------- sorting */

/* Stable merge of [from, mid) and [mid, to), by keys. */
static bool merge(struct run *r, struct value *v, struct value *k, struct value *spare, size_t from, size_t mid,
                  size_t to, bool reverse)
{
    size_t a = from, b = mid, n = 0;
    size_t half = to - from;
    while (a < mid || b < to) {
        bool second = a == mid;
        if (a < mid && b < to) {
            bool ok = reverse ? j_less(r, k[a], k[b], "<", &second) : j_less(r, k[b], k[a], "<", &second);
            if (!ok || !j_spend(r, 1))
                return false;
        }
        spare[n] = second ? v[b] : v[a];
        spare[half + n++] = second ? k[b++] : k[a++];
    }
    memcpy(v + from, spare, half * sizeof *v);
    memcpy(k + from, spare + half, half * sizeof *k);
    return true;
}

bool j_sort(struct run *r, struct value *items, struct value *keys, size_t n, bool reverse)
{
    struct value *spare = j_array(r, struct value, 2 * n);
    bool less;
    if (!spare)
        return false;
    /* Python looks at neighbours from the left first: its complaint names the first two that do
     * not compare. */
    for (size_t i = 1; i < n; i++) {
        bool ok = reverse ? j_less(r, keys[n - 1 - i], keys[n - i], "<", &less)
                          : j_less(r, keys[i], keys[i - 1], "<", &less);
        if (!ok)
            return false;
    }
    for (size_t width = 1; width < n; width *= 2)
        for (size_t from = 0; from + width < n; from += 2 * width)
            if (!merge(r, items, keys, spare, from, from + width, min_size(from + 2 * width, n), reverse))
                return false;
    return true;
}

/* Keys of items: attributes ("a,b": several), then case. */
static bool sort_keys(struct run *r, const struct list *l, struct value attribute, struct value dflt,
                      bool case_sensitive, struct value **out)
{
    *out = j_array(r, struct value, l->n);
    for (size_t i = 0; *out && i < l->n; i++) {
        struct value parts, part, key;
        if (attribute.kind != J_STRING || !memchr(attribute.s->ptr, ',', attribute.s->len)) {
            if (!j_attribute_path(r, l->items[i], attribute, dflt, &key)
                || !j_sort_key(r, key, case_sensitive, &(*out)[i]))
                return false;
            continue;
        }
        bool ok = j_list(r, J_LIST, 0, &parts);
        for (size_t from = 0, at = 0; ok && at <= attribute.s->len; at++) {
            if (at < attribute.s->len && attribute.s->ptr[at] != ',')
                continue;
            ok = j_sub(r, attribute, from, at - from, &part) && j_attribute_path(r, l->items[i], part, dflt, &key)
              && j_sort_key(r, key, case_sensitive, &key) && j_push(r, parts.list, key);
            from = at + 1;
        }
        if (!ok)
            return false;
        (*out)[i] = parts;
    }
    return *out != NULL;
}

bool f_sort(struct run *r, struct value *a, struct value *out)
{
    struct value *keys;
    if (!j_to_list(r, a[0], J_LIST, out) || !sort_keys(r, out->list, a[3], j_none(), j_truth(a[2]), &keys))
        return false;
    for (size_t i = 0; i < out->list->n; i++) { /* a key is a list of attributes: undefined ones are equal in it */
        struct value key = keys[i];
        if (!j_list(r, J_LIST, 1, &keys[i]) || !j_push(r, keys[i].list, key))
            return false;
    }
    return j_sort(r, out->list->items, keys, out->list->n, j_truth(a[1]));
}

bool f_items(struct run *r, struct value *a, struct value *out)
{
    if (a[0].kind != J_DICT) {
        if (!j_list(r, J_GENERATOR, 0, out))
            return false;
        if (!j_is_undef(a[0]))
            j_fail(r, "Can only get item pairs from a mapping.");
        return put_off(r, out);
    }
    if (!j_call_plain(r, a[0], "items", NULL, 0, out))
        return false;
    out->kind = J_GENERATOR;
    out->list->type = "generator";
    return true;
}

bool f_dictsort(struct run *r, struct value *a, struct value *out)
{
    struct str by = a[2].kind == J_STRING ? j_str(a[2]) : STR("key");
    bool key = str_eq_z(by, "key");
    if (!key && !str_eq_z(by, "value"))
        return j_fail(r, "You can only sort by either \"key\" or \"value\"");
    if (j_is_undef(a[0]))
        return j_fail_undefined(r, a[0]);
    if (a[0].kind != J_DICT)
        return j_fail(r, "'%s' object has no attribute 'items'", j_type_name(a[0]));
    if (!j_call_plain(r, a[0], "items", NULL, 0, out))
        return false;
    out->kind = J_LIST;
    struct value *keys;
    return sort_keys(r, out->list, j_int(key ? 0 : 1), j_none(), j_truth(a[1]), &keys)
        && j_sort(r, out->list->items, keys, out->list->n, j_truth(a[3]));
}

bool f_unique(struct run *r, struct value *a, struct value *out)
{
    struct value list, seen, *found, *keys;
    if (!j_list(r, J_GENERATOR, 0, out) || !j_dict(r, 0, &seen))
        return false;
    if (j_to_list(r, a[0], J_LIST, &list) && sort_keys(r, list.list, a[2], j_none(), j_truth(a[1]), &keys)) {
        for (size_t i = 0; i < list.list->n; i++) {
            if (!j_dict_find(r, seen.dict, keys[i], &found))
                break;
            if (!found && (!j_dict_set(r, seen.dict, keys[i], j_none())
                           || !j_push(r, out->list, list.list->items[i])))
                break;
        }
    }
    return put_off(r, out);
}

bool f_groupby(struct run *r, struct value *a, struct value *out)
{
    struct value list, *keys, group = { 0 }, members = { 0 }, named;
    bool case_sensitive = j_truth(a[3]), same = false;
    if (!j_to_list(r, a[0], J_LIST, &list) || !sort_keys(r, list.list, a[1], a[2], case_sensitive, &keys)
        || !j_sort(r, list.list->items, keys, list.list->n, false) || !j_list(r, J_LIST, 0, out))
        return false;
    for (size_t i = 0; i < list.list->n; i++) {
        if (i && !j_equal(r, keys[i - 1], keys[i], &same))
            return false;
        if (i == 0 || !same) {
            if (!j_attribute_path(r, list.list->items[i], a[1], a[2], &named) || !j_list(r, J_TUPLE, 2, &group)
                || !j_list(r, J_LIST, 0, &members) || !j_push(r, group.list, named)
                || !j_push(r, group.list, members) || !j_push(r, out->list, group))
                return false;
            group.list->type = group_type;
        }
        if (!j_push(r, members.list, list.list->items[i]))
            return false;
    }
    return true;
}

/* ---------------------------------------------------------------- picking */

static bool no_item(struct run *r, const char *hint, struct value *out) { return j_undefined_hint(r, hint, out); }

bool f_first(struct run *r, struct value *a, struct value *out)
{
    struct iter it;
    bool got;
    if (!j_iter(r, a[0], &it) || !j_next(r, &it, out, &got))
        return false;
    return got || no_item(r, "No first item, sequence was empty.", out);
}

bool f_last(struct run *r, struct value *a, struct value *out)
{
    struct value list;
    if (a[0].kind == J_GENERATOR || j_is_set(a[0]) || (!j_has_length(a[0]) && a[0].kind != J_LOOP))
        return j_fail(r, "'%s' object is not reversible", j_type_name(a[0]));
    if (!j_to_list(r, a[0], J_LIST, &list))
        return false;
    if (list.list->n == 0)
        return no_item(r, "No last item, sequence was empty.", out);
    *out = list.list->items[list.list->n - 1];
    return true;
}

static bool extreme(struct run *r, struct value *a, const char *op, struct value *out)
{
    struct value list, *keys;
    size_t best = 0;
    bool better;
    if (!j_to_list(r, a[0], J_LIST, &list))
        return false;
    if (list.list->n == 0)
        return no_item(r, "No aggregated item, sequence was empty.", out);
    if (!sort_keys(r, list.list, a[2], j_none(), j_truth(a[1]), &keys))
        return false;
    for (size_t i = 1; i < list.list->n; i++) {
        if (!j_less(r, keys[i], keys[best], op, &better))
            return false;
        best = better ? i : best;
    }
    *out = list.list->items[best];
    return true;
}

bool f_max(struct run *r, struct value *a, struct value *out) { return extreme(r, a, ">", out); }
bool f_min(struct run *r, struct value *a, struct value *out) { return extreme(r, a, "<", out); }

bool f_sum(struct run *r, struct value *a, struct value *out)
{
    struct iter it;
    struct value v;
    bool got = true;
    *out = a[2].kind == J_MISSING ? j_int(0) : a[2];
    if (out->kind == J_STRING)
        return j_fail(r, "sum() can't sum strings [use ''.join(seq) instead]");
    if (!j_iter(r, a[0], &it))
        return false;
    while (got) {
        if (!j_next(r, &it, &v, &got))
            return false;
        if (got && (!j_attribute_path(r, v, a[1], j_none(), &v) || !j_binary(r, T_ADD, *out, v, out)))
            return false;
    }
    return true;
}

bool f_list(struct run *r, struct value *a, struct value *out) { return j_to_list(r, a[0], J_LIST, out); }

bool f_reverse(struct run *r, struct value *a, struct value *out)
{
    struct value bounds[3] = { j_none(), j_none(), j_int(-1) }, list;
    if (a[0].kind == J_STRING)
        return j_slice(r, a[0], bounds, out);
    if (a[0].kind < J_STRING && a[0].kind != J_UNDEFINED)
        return j_fail(r, "argument must be iterable");
    if (!j_to_list(r, a[0], J_LIST, &list) || !j_slice(r, list, bounds, out))
        return false;
    if (a[0].kind == J_GENERATOR || j_is_set(a[0]))
        return true;
    out->kind = J_GENERATOR;
    out->list->type = "list_reverseiterator";
    return true;
}

bool f_join(struct run *r, struct value *a, struct value *out)
{
    struct growing g = { 0 };
    struct iter it;
    struct value v, glue;
    bool got;
    if (a[1].kind == J_MISSING ? !j_literal(r, "", &glue) : !j_to_text(r, a[1], &glue))
        return false;
    if (!j_iter(r, a[0], &it))
        return false;
    for (size_t i = 0;; i++) {
        if (!j_next(r, &it, &v, &got))
            return false;
        if (!got)
            break;
        if (!j_attribute_path(r, v, a[2], j_none(), &v) || (i && !j_put_text(r, &g, glue.s)) || !j_put_str(r, &g, v))
            return false;
    }
    return j_built(r, &g, out);
}

/* ---------------------------------------------------------------- map and select */

static struct args after(const struct args *args, size_t n)
{
    struct args rest = *args;
    if (n) {
        rest.at += n;
        rest.n -= n;
    }
    return rest;
}

static bool map_attribute(struct run *r, struct value v, const struct args *args, struct value *out)
{
    struct value path = { 0 }, dflt = { 0 }, item;
    struct iter it;
    bool got = true;
    for (size_t i = 0; i < args->n_named; i++) {
        if (str_eq_z(args->names[i], "attribute"))
            path = args->named[i];
        else if (str_eq_z(args->names[i], "default"))
            dflt = args->named[i];
        else
            return j_fail(r, "Unexpected keyword argument '" STR_FMT "'", STR_ARG(args->names[i]));
    }
    if (!j_iter(r, v, &it))
        return false;
    while (got)
        if (!j_next(r, &it, &item, &got)
            || (got && (!j_attribute_path(r, item, path, dflt, &item) || !j_push(r, out->list, item))))
            return false;
    return true;
}

static bool map_filter(struct run *r, struct value v, const struct args *args, struct value *out)
{
    struct value item;
    struct iter it;
    bool got = true;
    if (args->n == 0)
        return j_fail(r, "map requires a filter argument");
    if (!j_iter(r, v, &it))
        return false;
    struct args rest = after(args, 1);
    if (args->at[0].kind != J_STRING)
        return j_fail(r, "map requires the name of a filter");
    struct str name = j_str(args->at[0]);
    const struct filter_row *row = j_find_filter(name);
    while (got) {
        if (!j_next(r, &it, &item, &got))
            return false;
        if (got && !row)
            return j_fail(r, "No filter named '" STR_FMT "'.", STR_ARG(name));
        if (got && (!j_call_filter(r, row, item, &rest, &item) || !j_push(r, out->list, item)))
            return false;
    }
    return true;
}

static bool has_name(const struct args *args, const char *name)
{
    for (size_t i = 0; i < args->n_named; i++)
        if (str_eq_z(args->names[i], name))
            return true;
    return false;
}

bool f_map(struct run *r, struct value v, const struct args *args, struct value *out)
{
    if (!j_list(r, J_GENERATOR, 0, out))
        return false;
    if (!j_truth(v))
        return true;
    if (args->n == 0 && has_name(args, "attribute"))
        map_attribute(r, v, args, out);
    else
        map_filter(r, v, args, out);
    return put_off(r, out);
}

static bool select_items(struct run *r, struct value v, const struct args *args, bool want, bool attribute,
                         struct list *out)
{
    struct value item, part;
    struct iter it;
    bool got = true, yes;
    if (attribute && args->n == 0)
        return j_fail(r, "Missing parameter for attribute name");
    struct value path = attribute ? args->at[0] : (struct value){ 0 };
    struct args test = after(args, attribute), rest = test.n ? after(&test, 1) : test;
    if (test.n && test.at[0].kind != J_STRING)
        return j_fail(r, "a test is chosen by its name");
    if (!j_iter(r, v, &it))
        return false;
    const struct test_row *row = test.n ? j_find_test(j_str(test.at[0])) : NULL;
    while (got) {
        if (!j_next(r, &it, &item, &got))
            return false;
        if (!got)
            break;
        if (!j_attribute_path(r, item, path, j_none(), &part))
            return false;
        yes = j_truth(part);
        if (test.n && !row)
            return j_fail(r, "No test named '" STR_FMT "'.", STR_ARG(j_str(test.at[0])));
        if (test.n && !j_call_test(r, row, part, &rest, &yes))
            return false;
        if (yes == want && !j_push(r, out, item))
            return false;
    }
    return true;
}

static bool select_any(struct run *r, struct value v, const struct args *args, bool want, bool attribute,
                       struct value *out)
{
    if (!j_list(r, J_GENERATOR, 0, out))
        return false;
    if (j_truth(v))
        select_items(r, v, args, want, attribute, out->list);
    return put_off(r, out);
}

bool f_select(struct run *r, struct value v, const struct args *args, struct value *out)
{
    return select_any(r, v, args, true, false, out);
}

bool f_reject(struct run *r, struct value v, const struct args *args, struct value *out)
{
    return select_any(r, v, args, false, false, out);
}

bool f_selectattr(struct run *r, struct value v, const struct args *args, struct value *out)
{
    return select_any(r, v, args, true, true, out);
}

bool f_rejectattr(struct run *r, struct value v, const struct args *args, struct value *out)
{
    return select_any(r, v, args, false, true, out);
}

/* ---------------------------------------------------------------- cutting up */

static bool count_of(struct run *r, struct value v, int64_t *out)
{
    if (!j_is_whole(v))
        return j_fail(r, "'%s' object cannot be interpreted as an integer", j_type_name(v));
    *out = j_whole(v);
    return *out > 0 && *out <= 100000 ? true : *out > 0 ? j_limit(r, "more than 100000 parts")
                                                        : j_fail(r, "integer division or modulo by zero");
}

bool f_batch(struct run *r, struct value *a, struct value *out)
{
    struct value list, row = { 0 };
    int64_t width = 0;
    if (!j_list(r, J_GENERATOR, 0, out) || !j_to_list(r, a[0], J_LIST, &list) || !count_of(r, a[1], &width))
        return false;
    for (size_t i = 0; i < list.list->n; i++) {
        if (i % (size_t)width == 0 && (!j_list(r, J_LIST, 0, &row) || !j_push(r, out->list, row)))
            return false;
        if (!j_push(r, row.list, list.list->items[i]))
            return false;
    }
    bool fill = a[2].kind != J_MISSING && a[2].kind != J_NONE && list.list->n;
    while (fill && row.list->n < (size_t)width)
        if (!j_push(r, row.list, a[2]))
            return false;
    return true;
}

bool f_slice(struct run *r, struct value *a, struct value *out)
{
    struct value list, row;
    int64_t n_slices = 0;
    if (!j_list(r, J_GENERATOR, 0, out) || !j_to_list(r, a[0], J_LIST, &list) || !count_of(r, a[1], &n_slices))
        return false;
    size_t each = list.list->n / (size_t)n_slices, extra = list.list->n % (size_t)n_slices, at = 0;
    for (size_t i = 0; i < (size_t)n_slices; i++) {
        size_t n = each + (i < extra);
        if (!j_list(r, J_LIST, 0, &row) || !j_push(r, out->list, row))
            return false;
        for (; n > 0; n--)
            if (!j_push(r, row.list, list.list->items[at++]))
                return false;
        if (i >= extra && a[2].kind != J_MISSING && a[2].kind != J_NONE && !j_push(r, row.list, a[2]))
            return false;
    }
    return true;
}
