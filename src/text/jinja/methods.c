/* methods.c: finding a method; the methods of numbers, cyclers and loops. */
#include "text/jinja/methods.h"

static bool int_bit_length(struct run *r, struct value self, struct value *a, struct value *out)
{
    int64_t n = 0, x = j_whole(self);
    (void)r;
    (void)a;
    for (uint64_t u = magnitude_of(x); u; u >>= 1)
        n++;
    *out = j_int(n);
    return true;
}

static bool float_is_integer(struct run *r, struct value self, struct value *a, struct value *out)
{
    (void)r;
    (void)a;
    *out = j_bool(self.f == (double)(int64_t)(self.f > -9e18 && self.f < 9e18 ? self.f : 0.0)
                  || (self.f >= 9e18 && self.f - self.f == 0.0) || (self.f <= -9e18 && self.f - self.f == 0.0));
    return true;
}

static bool cycler_next(struct run *r, struct value self, struct value *a, struct value *out)
{
    (void)r;
    (void)a;
    *out = self.cycler->items[self.cycler->next];
    self.cycler->next = (self.cycler->next + 1) % self.cycler->n;
    return true;
}

static bool cycler_reset(struct run *r, struct value self, struct value *a, struct value *out)
{
    (void)r;
    (void)a;
    self.cycler->next = 0;
    *out = j_none();
    return true;
}

static const struct method_row int_methods[] = {
    { "bit_length", "", int_bit_length, NULL }, { "as_integer_ratio", NULL, NULL, NULL },
    { "bit_count", NULL, NULL, NULL },          { "conjugate", NULL, NULL, NULL },
    { "from_bytes", NULL, NULL, NULL },         { "to_bytes", NULL, NULL, NULL },
};

static const struct method_row float_methods[] = {
    { "is_integer", "", float_is_integer, NULL }, { "as_integer_ratio", NULL, NULL, NULL },
    { "conjugate", NULL, NULL, NULL },            { "fromhex", NULL, NULL, NULL },
    { "hex", NULL, NULL, NULL },
};

static const struct method_row cycler_methods[] = {
    { "next", "", cycler_next, NULL },
    { "reset", "", cycler_reset, NULL },
};

static const struct method_row loop_methods[] = {
    { "cycle", NULL, NULL, loop_cycle },
    { "changed", NULL, NULL, loop_changed },
};

static const char *const dict_forbidden[] = { "clear", "pop", "popitem", "setdefault", "update" };
static const char *const list_forbidden[] = { "append", "clear", "pop", "reverse", "insert", "sort", "extend",
                                              "remove" };
static const char *const set_forbidden[] = { "add", "clear", "difference_update", "discard", "pop", "remove",
                                             "symmetric_difference_update", "update" };
/* What every Python object has, and the sandbox hides. */
static const char *const object_forbidden[] = { "__class__", "__doc__", "__init__", "__dir__", "__eq__", "__hash__",
                                                "__repr__", "__str__", "__new__", "__reduce__", "__reduce_ex__",
                                                "__subclasshook__", "__sizeof__", "__format__", "__ne__",
                                                "__getattribute__", "__setattr__", "__delattr__", "__init_subclass__",
                                                "__lt__", "__le__", "__gt__", "__ge__" };

static bool listed(const char *const *names, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq_z(name, names[i]))
            return true;
    return false;
}

static struct method_table table_of(struct value v)
{
#define TABLE(rows) (struct method_table){ rows, ARRAY_LEN(rows) }
    switch (v.kind) {
    case J_STRING: return m_of_str();
    case J_LIST: case J_TUPLE: case J_DICT: case J_VIEW: return m_of_container(v);
    case J_INT: case J_BOOL: return TABLE(int_methods);
    case J_FLOAT: return TABLE(float_methods);
    case J_CYCLER: return TABLE(cycler_methods);
    case J_LOOP: return TABLE(loop_methods);
    default: return (struct method_table){ NULL, 0 };
    }
#undef TABLE
}

const struct method_row *j_find_method(struct value v, struct str name, bool *forbidden)
{
    struct method_table table = table_of(v);
    *forbidden = v.kind != J_LOOP && name.len > 4 && name.ptr[0] == '_'
              && listed(object_forbidden, ARRAY_LEN(object_forbidden), name);
    *forbidden |= v.kind == J_DICT && listed(dict_forbidden, ARRAY_LEN(dict_forbidden), name);
    *forbidden |= v.kind == J_LIST && listed(list_forbidden, ARRAY_LEN(list_forbidden), name);
    *forbidden |= j_is_set(v) && listed(set_forbidden, ARRAY_LEN(set_forbidden), name);
    for (size_t i = 0; i < table.n; i++)
        if (str_eq_z(name, table.rows[i].name))
            return &table.rows[i];
    return NULL;
}

bool j_call_plain(struct run *r, struct value self, const char *name, const struct value *args, size_t n,
                  struct value *out)
{
    bool forbidden;
    struct value all[MOST_PARAMETERS] = { { 0 } };
    const struct method_row *row = j_find_method(self, str_z(name), &forbidden);
    for (size_t i = 0; i < n; i++)
        all[i] = args[i];
    return row->call(r, self, all, out);
}
