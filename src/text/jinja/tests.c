/* tests.c: what stands behind `is`, one line each in the table at the end. */
#include <string.h>

#include "text/jinja/ast.h"

#define KIND(name, expression)                                                                                        \
    static bool name(struct run *r, struct value *a, bool *out)                                                       \
    {                                                                                                                 \
        (void)r;                                                                                                      \
        struct value v = a[0];                                                                                        \
        *out = (expression);                                                                                          \
        return true;                                                                                                  \
    }

KIND(t_defined, !j_is_undef(v))
KIND(t_undefined, j_is_undef(v))
KIND(t_none, v.kind == J_NONE)
KIND(t_boolean, v.kind == J_BOOL)
KIND(t_true, v.kind == J_BOOL && v.b)
KIND(t_false, v.kind == J_BOOL && !v.b)
KIND(t_integer, v.kind == J_INT)
KIND(t_float, v.kind == J_FLOAT)
KIND(t_number, j_is_number(v))
KIND(t_string, v.kind == J_STRING)
KIND(t_mapping, v.kind == J_DICT)
KIND(t_escaped, v.kind == J_STRING && v.s->markup)
KIND(t_callable, v.kind == J_UNDEFINED || v.kind == J_MACRO || v.kind == J_LOOP || v.kind == J_FUNCTION
                     || v.kind == J_METHOD || v.kind == J_JOINER)
KIND(t_iterable, v.kind == J_UNDEFINED || (v.kind >= J_STRING && v.kind <= J_GENERATOR) || v.kind == J_LOOP)
KIND(t_sequence, v.kind == J_UNDEFINED || (v.kind >= J_STRING && v.kind <= J_RANGE))

static bool t_filter(struct run *r, struct value *a, bool *out)
{
    uint64_t hash;
    *out = a[0].kind == J_STRING && j_find_filter(j_str(a[0]));
    return j_hash(r, a[0], &hash);
}

static bool t_test(struct run *r, struct value *a, bool *out)
{
    uint64_t hash;
    *out = a[0].kind == J_STRING && j_find_test(j_str(a[0]));
    return j_hash(r, a[0], &hash);
}

/* Identity: of small things, sameness of value is as near as it gets. */
static bool t_sameas(struct run *r, struct value *a, bool *out)
{
    *out = a[0].kind == a[1].kind;
    if (*out && a[0].kind > J_STRING)
        *out = a[0].list == a[1].list;
    else if (*out)
        return j_equal(r, a[0], a[1], out);
    return true;
}

static bool t_in(struct run *r, struct value *a, bool *out) { return j_contains(r, a[1], a[0], out); }
static bool t_eq(struct run *r, struct value *a, bool *out) { return j_equal(r, a[0], a[1], out); }

static bool t_ne(struct run *r, struct value *a, bool *out)
{
    bool ok = j_equal(r, a[0], a[1], out);
    *out = !*out;
    return ok;
}

static bool t_lt(struct run *r, struct value *a, bool *out) { return j_less(r, a[0], a[1], "<", out); }
static bool t_le(struct run *r, struct value *a, bool *out) { return j_less(r, a[0], a[1], "<=", out); }
static bool t_gt(struct run *r, struct value *a, bool *out) { return j_less(r, a[0], a[1], ">", out); }
static bool t_ge(struct run *r, struct value *a, bool *out) { return j_less(r, a[0], a[1], ">=", out); }

static bool case_is(struct run *r, struct value v, const char *method, bool *out)
{
    struct value yes;
    if (!j_to_text(r, v, &v) || !j_call_plain(r, v, method, NULL, 0, &yes))
        return false;
    *out = yes.b;
    return true;
}

static bool t_lower(struct run *r, struct value *a, bool *out) { return case_is(r, a[0], "islower", out); }
static bool t_upper(struct run *r, struct value *a, bool *out) { return case_is(r, a[0], "isupper", out); }

static bool rest_is(struct run *r, struct value v, struct value by, int64_t want, bool *out)
{
    struct value rest;
    return j_binary(r, T_MOD, v, by, &rest) && j_equal(r, rest, j_int(want), out);
}

static bool t_even(struct run *r, struct value *a, bool *out) { return rest_is(r, a[0], j_int(2), 0, out); }
static bool t_odd(struct run *r, struct value *a, bool *out) { return rest_is(r, a[0], j_int(2), 1, out); }
static bool t_divisibleby(struct run *r, struct value *a, bool *out) { return rest_is(r, a[0], a[1], 0, out); }

static const struct test_row tests[] = {
    { "!=", "ne", "a b", t_ne },
    { "<", "lt", "a b", t_lt },
    { "<=", "le", "a b", t_le },
    { "==", "eq", "a b", t_eq },
    { ">", "gt", "a b", t_gt },
    { ">=", "ge", "a b", t_ge },
    { "boolean", "test_boolean", "value", t_boolean },
    { "callable", "callable", "obj", t_callable },
    { "defined", "test_defined", "value", t_defined },
    { "divisibleby", "test_divisibleby", "value num", t_divisibleby },
    { "eq", "eq", "a b", t_eq },
    { "equalto", "eq", "a b", t_eq },
    { "escaped", "test_escaped", "value", t_escaped },
    { "even", "test_even", "value", t_even },
    { "false", "test_false", "value", t_false },
    { "filter", "test_filter", "value", t_filter },
    { "float", "test_float", "value", t_float },
    { "ge", "ge", "a b", t_ge },
    { "greaterthan", "gt", "a b", t_gt },
    { "gt", "gt", "a b", t_gt },
    { "in", "test_in", "value seq", t_in },
    { "integer", "test_integer", "value", t_integer },
    { "iterable", "test_iterable", "value", t_iterable },
    { "le", "le", "a b", t_le },
    { "lessthan", "lt", "a b", t_lt },
    { "lower", "test_lower", "value", t_lower },
    { "lt", "lt", "a b", t_lt },
    { "mapping", "test_mapping", "value", t_mapping },
    { "ne", "ne", "a b", t_ne },
    { "none", "test_none", "value", t_none },
    { "number", "test_number", "value", t_number },
    { "odd", "test_odd", "value", t_odd },
    { "sameas", "test_sameas", "value other", t_sameas },
    { "sequence", "test_sequence", "value", t_sequence },
    { "string", "test_string", "value", t_string },
    { "test", "test_test", "value", t_test },
    { "true", "test_true", "value", t_true },
    { "undefined", "test_undefined", "value", t_undefined },
    { "upper", "test_upper", "value", t_upper },
};

const struct test_row *j_find_test(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(tests); i++)
        if (str_eq_z(name, tests[i].name))
            return &tests[i];
    return NULL;
}
