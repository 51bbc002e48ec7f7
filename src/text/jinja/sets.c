/* sets.c: what dicts' keys and items can do as sets.
 *
 * Templates have one operator that makes a set, the difference. Its items keep the order they
 * had, so that a text is always the same; in Python theirs changes from run to run. */
#include <string.h>

#include "text/jinja/ast.h"

const char set_type[] = "set";

bool j_is_set(struct value v) { return v.kind == J_VIEW && v.list->type == set_type; }

bool j_is_set_like(struct value v) { return v.kind == J_VIEW && strcmp(v.list->type, "dict_values") != 0; }

/* A set has this operator with its like only, a view with all that can be gone through. */
bool j_has_difference(struct value a, struct value b)
{
    return (j_is_set_like(a) && !j_is_set(a)) || (j_is_set_like(b) && !j_is_set(b)) || (j_is_set(a) && j_is_set(b));
}

bool j_difference(struct run *r, struct value a, struct value b, struct value *out)
{
    struct value left, item, *found;
    struct iter it;
    bool got = true;
    if (!j_dict(r, 0, &left) || !j_iter(r, a, &it))
        return false;
    while (got)
        if (!j_next(r, &it, &item, &got) || (got && !j_dict_set(r, left.dict, item, j_bool(true))))
            return false;
    if (!j_iter(r, b, &it))
        return false;
    for (got = true; got;) {
        if (!j_next(r, &it, &item, &got) || (got && !j_dict_find(r, left.dict, item, &found)))
            return false;
        if (got && found)
            *found = j_bool(false);
    }
    if (!j_list(r, J_VIEW, 0, out))
        return false;
    out->list->type = set_type;
    for (size_t i = 0; i < left.dict->n; i++)
        if (left.dict->entries[i].value.b && !j_push(r, out->list, left.dict->entries[i].key))
            return false;
    return true;
}

/* Is every item of a in b? */
bool j_subset(struct run *r, struct value a, struct value b, bool *out)
{
    *out = a.list->n <= b.list->n;
    for (size_t i = 0; *out && i < a.list->n; i++)
        if (!j_contains(r, b, a.list->items[i], out))
            return false;
    return true;
}

bool j_disjoint(struct run *r, struct value self, struct value *a, struct value *out)
{
    struct value item;
    struct iter it;
    bool got = true, has = false;
    if (!j_iter(r, a[0], &it))
        return false;
    while (got && !has)
        if (!j_next(r, &it, &item, &got) || (got && !j_contains(r, self, item, &has)))
            return false;
    *out = j_bool(!has);
    return true;
}
