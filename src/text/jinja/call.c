/* call.c: attributes, subscripts, calls; what the sandbox forbids. */
#include <string.h>

#include "text/jinja/ast.h"

static bool make_method(struct run *r, struct value self, const struct method_row *row, struct value *out)
{
    struct method *m = j_new(r, struct method);
    if (!m)
        return false;
    *m = (struct method){ .self = self, .row = row, .name = row->name };
    *out = (struct value){ .kind = J_METHOD, .method = m };
    return true;
}

/* Those attributes of numbers that are values. */
static bool number_part(struct value v, struct str name, struct value *out)
{
    bool whole = v.kind != J_FLOAT;
    *out = whole ? j_int(j_whole(v)) : v;
    if (str_eq_z(name, "imag"))
        *out = whole ? j_int(0) : j_float(0.0);
    else if (whole && str_eq_z(name, "denominator"))
        *out = j_int(1);
    else if (!str_eq_z(name, "real") && !(whole && str_eq_z(name, "numerator")))
        return false;
    out->taint = v.taint;
    return true;
}

/* What Python's getattr() finds. */
static bool attribute(struct run *r, struct value v, struct str name, struct value *out, bool *found)
{
    bool forbidden = false;
    *found = true;
    if (v.kind == J_NAMESPACE) {
        struct value *slot = j_dict_find_str(v.dict, name);
        *found = slot != NULL;
        if (slot)
            *out = *slot;
        return true;
    }
    if (v.kind == J_LOOP)
        return loop_attribute(r, v.loop, name, out, found);
    if (v.kind == J_CYCLER && str_eq_z(name, "current")) {
        *out = v.cycler->items[v.cycler->next];
        return true;
    }
    if (v.kind == J_MACRO && str_eq_z(name, "name")) {
        *out = v.macro->name;
        return true;
    }
    if (v.kind == J_TUPLE && v.list->type == group_type && (str_eq_z(name, "grouper") || str_eq_z(name, "list"))) {
        *out = v.list->items[name.ptr[0] == 'l'];
        return true;
    }
    if (j_is_number(v) && number_part(v, name, out))
        return true;
    const struct method_row *row = j_find_method(v, name, &forbidden);
    if (forbidden) {
        struct value text;
        if (!j_borrow(r, name, true, &text) || !j_undefined(r, j_type_name(v), text, out))
            return false;
        out->undefined->unsafe = true;
        return true;
    }
    *found = row != NULL;
    return !row || make_method(r, v, row, out);
}

static bool can_be_key(struct value v)
{
    for (size_t i = 0; v.kind == J_TUPLE && i < v.list->n; i++)
        if (!can_be_key(v.list->items[i]))
            return false;
    return v.kind != J_LIST && v.kind != J_DICT && !j_is_set_like(v);
}

/* obj[key]; *found false for what raises LookupError or TypeError. */
static bool item(struct run *r, struct value v, struct value key, struct value *out, bool *found)
{
    *found = false;
    if (v.kind == J_DICT) {
        struct value *slot = NULL;
        if (!can_be_key(key))
            return true;
        if (!j_dict_find(r, v.dict, key, &slot))
            return false;
        *found = slot != NULL;
        if (slot)
            *out = *slot;
        return true;
    }
    if (!j_is_whole(key) || !(v.kind == J_STRING || v.kind == J_LIST || v.kind == J_TUPLE || v.kind == J_RANGE))
        return true;
    int64_t n, at = j_whole(key);
    if (!j_length(r, v, &n))
        return false;
    if (at < 0)
        at += n;
    *found = at >= 0 && at < n;
    if (!*found)
        return true;
    if (v.kind == J_RANGE) {
        *out = j_int(v.range->start + at * v.range->step);
        return true;
    }
    if (v.kind != J_STRING) {
        *out = v.list->items[at];
        return true;
    }
    size_t from = j_char_offset(v.s, at);
    int length;
    if (n != (int64_t)v.s->len && !j_spend(r, from / 64))
        return false;
    j_char_at(j_str(v), from, &length);
    return j_sub(r, v, from, (size_t)length, out);
}

bool j_getattr(struct run *r, struct value v, struct value name, struct value *out)
{
    bool found;
    if (j_is_undef(v))
        return j_fail_undefined(r, v);
    if (!attribute(r, v, j_str(name), out, &found))
        return false;
    if (!found && !item(r, v, name, out, &found))
        return false;
    return found || j_undefined(r, j_owner_name(v), name, out);
}

bool j_getitem(struct run *r, struct value v, struct value key, struct value *out)
{
    bool found;
    if (j_is_undef(v))
        return j_fail_undefined(r, v);
    if (!item(r, v, key, out, &found))
        return false;
    if (!found && key.kind == J_STRING && !attribute(r, v, j_str(key), out, &found))
        return false;
    return found || j_undefined(r, j_owner_name(v), key, out);
}

/* ---------------------------------------------------------------- arguments */

static size_t count_names(const char *names, size_t *required)
{
    size_t n = 0;
    *required = SIZE_MAX;
    for (const char *p = names; *p;) {
        if (*p == '|') {
            *required = n;
            p++;
            p += *p == ' ';
            continue;
        }
        n++;
        p += strcspn(p, " ");
        p += *p == ' ';
    }
    if (*required == SIZE_MAX)
        *required = n;
    return n;
}

static int parameter(const char *names, struct str name)
{
    int n = 0;
    for (const char *p = names; *p; n++) {
        if (*p == '|')
            p += 1 + (p[1] == ' ');
        size_t len = strcspn(p, " ");
        if (len == name.len && memcmp(p, name.ptr, len) == 0)
            return n;
        p += len;
        p += *p == ' ';
    }
    return -1;
}

bool j_bind(struct run *r, const char *function, const char *names, const struct args *args,
            struct value out[MOST_PARAMETERS])
{
    size_t required, n = count_names(names, &required);
    memset(out, 0, MOST_PARAMETERS * sizeof *out);
    if (args->n > n)
        return required == n
                 ? j_fail(r, "%s() takes %zu positional argument%s but %zu were given", function, n, n == 1 ? "" : "s",
                          args->n)
                 : j_fail(r, "%s() takes from %zu to %zu positional arguments but %zu were given", function, required,
                          n, args->n);
    for (size_t i = 0; i < args->n; i++)
        out[i] = args->at[i];
    for (size_t i = 0; i < args->n_named; i++) {
        int at = parameter(names, args->names[i]);
        if (at < 0)
            return j_fail(r, "%s() got an unexpected keyword argument '" STR_FMT "'", function,
                          STR_ARG(args->names[i]));
        if ((size_t)at < args->n)
            return j_fail(r, "%s() got multiple values for argument '" STR_FMT "'", function, STR_ARG(args->names[i]));
        out[at] = args->named[i];
    }
    for (size_t i = 0; i < required; i++) {
        if (out[i].kind != J_MISSING)
            continue;
        const char *p = names;
        for (size_t k = 0; k < i; k++)
            p += strcspn(p, " ") + 1;
        return j_fail(r, "%s() missing 1 required positional argument: '%.*s'", function, (int)strcspn(p, " "), p);
    }
    return true;
}

/* The value, then the arguments. */
static bool with_value(struct run *r, struct value v, const struct args *args, struct args *out)
{
    *out = *args;
    out->n++;
    out->at = j_array(r, struct value, out->n);
    if (!out->at)
        return false;
    out->at[0] = v;
    if (args->n)
        memcpy(out->at + 1, args->at, args->n * sizeof *args->at);
    return true;
}

bool j_call_filter(struct run *r, const struct filter_row *row, struct value v, const struct args *args,
                   struct value *out)
{
    struct args all;
    struct value bound[MOST_PARAMETERS];
    if (row->call_any)
        return row->call_any(r, v, args, out);
    return with_value(r, v, args, &all) && j_bind(r, row->function, row->parameters, &all, bound)
        && row->call(r, bound, out);
}

bool j_call_test(struct run *r, const struct test_row *row, struct value v, const struct args *args, bool *out)
{
    struct args all;
    struct value bound[MOST_PARAMETERS];
    bool operator = strcmp(row->parameters, "a b") == 0; /* which is written in C there */
    if (operator && args->n_named)
        return j_fail(r, "_operator.%s() takes no keyword arguments", row->function);
    if (operator && args->n != 1)
        return j_fail(r, "%s expected 2 arguments, got %zu", row->function, args->n + 1);
    return with_value(r, v, args, &all) && j_bind(r, row->function, row->parameters, &all, bound)
        && row->call(r, bound, out);
}

/* Methods are written in C there, and complain in words of their own. */
static bool check_count(struct run *r, const struct method *m, const struct args *args)
{
    const char *type = m->self.kind == J_BOOL ? "int" : j_type_name(m->self);
    size_t required, most = count_names(m->row->parameters, &required), n = args->n;
    if (args->n_named && m->row->call && !strstr(m->row->parameters, "maxsplit")
        && !strstr(m->row->parameters, "keepends"))
        return j_fail(r, "%s.%s() takes no keyword arguments", type, m->name);
    if (most == 0 && n)
        return j_fail(r, "%s.%s() takes no arguments (%zu given)", type, m->name, n);
    if (most == 1 && required == 1 && n != 1)
        return j_fail(r, "%s.%s() takes exactly one argument (%zu given)", type, m->name, n);
    if (n < required)
        return j_fail(r, "%s expected at least %zu argument%s, got %zu", m->name, required, required == 1 ? "" : "s",
                      n);
    if (n > most)
        return j_fail(r, "%s expected at most %zu argument%s, got %zu", m->name, most, most == 1 ? "" : "s", n);
    return true;
}

static bool call_method(struct run *r, const struct method *m, const struct args *args, struct value *out)
{
    struct value bound[MOST_PARAMETERS];
    if (m->row->call_any)
        return m->row->call_any(r, m->self, args, out);
    if (!m->row->parameters)
        return j_fail(r, "the method '%s' of '%s' is not supported", m->name, j_type_name(m->self));
    return check_count(r, m, args) && j_bind(r, m->name, m->row->parameters, args, bound)
        && m->row->call(r, m->self, bound, out);
}

static bool call_joiner(struct run *r, struct cycler *c, struct value *out)
{
    *out = (struct value){ .kind = J_STRING, .s = c->separator };
    if (!c->used && !j_literal(r, "", out))
        return false;
    c->used = true;
    return true;
}

bool j_call(struct run *r, struct value f, const struct args *args, struct value *out)
{
    bool ok = j_enter(r);
    if (ok) {
        switch (f.kind) {
        case J_UNDEFINED: ok = j_fail_undefined(r, f); break;
        case J_FUNCTION: ok = f.function->call(r, args, out); break;
        case J_METHOD: ok = call_method(r, f.method, args, out); break;
        case J_MACRO: ok = call_macro(r, f.macro, args, out); break;
        case J_LOOP: ok = call_loop(r, f.loop, args, out); break;
        case J_JOINER: ok = call_joiner(r, f.cycler, out); break;
        default: ok = j_fail(r, "'%s' object is not callable", j_type_name(f)); break;
        }
    }
    j_leave(r);
    return ok;
}
