/* methods_container.c: the methods of dicts, lists and tuples. */
#include <string.h>

#include "text/jinja/methods.h"

static bool dict_get(struct run *r, struct value self, struct value *a, struct value *out)
{
    struct value *found;
    if (!j_dict_find(r, self.dict, a[0], &found))
        return false;
    *out = found ? *found : a[1].kind == J_MISSING ? j_none() : a[1];
    return true;
}

static bool view(struct run *r, struct value self, int part, struct value *out)
{
    static const char *const types[] = { "dict_keys", "dict_values", "dict_items" };
    struct value pair;
    if (!j_list(r, J_VIEW, self.dict->n, out))
        return false;
    out->list->type = types[part];
    out->taint = self.taint;
    for (size_t i = 0; i < self.dict->n; i++) {
        const struct entry *e = &self.dict->entries[i];
        if (part == 2 && (!j_list(r, J_TUPLE, 2, &pair) || !j_push(r, pair.list, e->key)
                          || !j_push(r, pair.list, e->value)))
            return false;
        if (!j_push(r, out->list, part == 2 ? pair : part ? e->value : e->key))
            return false;
    }
    return true;
}

METHOD(dict_keys, view(r, self, 0, out))
METHOD(dict_values, view(r, self, 1, out))
METHOD(dict_items, view(r, self, 2, out))

/* Nothing in the sandbox can change the original, so the copy may be it. */
static bool copy_self(struct run *r, struct value self, struct value *a, struct value *out)
{
    (void)r;
    (void)a;
    *out = self;
    return true;
}

static bool list_count(struct run *r, struct value self, struct value *a, struct value *out)
{
    int64_t n = 0;
    for (size_t i = 0; i < self.list->n; i++) {
        bool same;
        if (!j_equal(r, self.list->items[i], a[0], &same))
            return false;
        n += same;
    }
    *out = j_int(n);
    return true;
}

static bool list_index(struct run *r, struct value self, struct value *a, struct value *out)
{
    struct growing g = { 0 };
    for (size_t i = 0; i < self.list->n; i++) {
        bool same;
        if (!j_equal(r, self.list->items[i], a[0], &same))
            return false;
        if (same) {
            *out = j_int((int64_t)i);
            return true;
        }
    }
    if (self.kind == J_TUPLE)
        return j_fail(r, "tuple.index(x): x not in tuple");
    if (!j_put_repr(r, &g, a[0]))
        return false;
    return j_fail(r, "%.*s is not in list", (int)min_size(g.len, 500), g.ptr);
}

static const struct method_row dict_methods[] = {
    { "copy", "", copy_self, NULL },       { "fromkeys", NULL, NULL, NULL },
    { "get", "key |default", dict_get, NULL }, { "items", "", dict_items, NULL },
    { "keys", "", dict_keys, NULL },       { "values", "", dict_values, NULL },
};

static const struct method_row list_methods[] = {
    { "copy", "", copy_self, NULL },
    { "count", "value", list_count, NULL },
    { "index", "value", list_index, NULL },
};

static const struct method_row tuple_methods[] = {
    { "count", "value", list_count, NULL },
    { "index", "value", list_index, NULL },
};

static const struct method_row view_methods[] = {
    { "isdisjoint", "other", j_disjoint, NULL },
};

static const struct method_row set_methods[] = {
    { "isdisjoint", "other", j_disjoint, NULL },   { "copy", "", copy_self, NULL },
    { "difference", NULL, NULL, NULL },            { "intersection", NULL, NULL, NULL },
    { "issubset", NULL, NULL, NULL },              { "issuperset", NULL, NULL, NULL },
    { "symmetric_difference", NULL, NULL, NULL },  { "union", NULL, NULL, NULL },
};

struct method_table m_of_container(struct value v)
{
    int kind = v.kind;
    if (j_is_set(v))
        return (struct method_table){ set_methods, ARRAY_LEN(set_methods) };
    if (kind == J_VIEW)
        return (struct method_table){ view_methods, j_is_set_like(v) ? ARRAY_LEN(view_methods) : 0 };
    if (kind == J_DICT)
        return (struct method_table){ dict_methods, ARRAY_LEN(dict_methods) };
    return kind == J_TUPLE ? (struct method_table){ tuple_methods, ARRAY_LEN(tuple_methods) }
                           : (struct method_table){ list_methods, ARRAY_LEN(list_methods) };
}
