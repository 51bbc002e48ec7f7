/* filters.c: filters of one value, and the table of all. Those of sequences: sequences.c. */
#include "text/jinja/filters.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* soft_str(value).name(): markup stays markup. */
static bool text_method(struct run *r, struct value v, const char *name, struct value *out)
{
    if (v.kind != J_STRING && !j_to_text(r, v, &v))
        return false;
    return j_call_plain(r, v, name, NULL, 0, out);
}

static bool f_upper(struct run *r, struct value *a, struct value *out) { return text_method(r, a[0], "upper", out); }
static bool f_lower(struct run *r, struct value *a, struct value *out) { return text_method(r, a[0], "lower", out); }
static bool f_capitalize(struct run *r, struct value *a, struct value *out)
{
    return text_method(r, a[0], "capitalize", out);
}

static bool f_trim(struct run *r, struct value *a, struct value *out)
{
    if (a[0].kind != J_STRING && !j_to_text(r, a[0], &a[0]))
        return false;
    return j_call_plain(r, a[0], "strip", a + 1, 1, out);
}

/* Words begin after white space, brackets and hyphens: not as str.title() sees it. */
static bool f_title(struct run *r, struct value *a, struct value *out)
{
    struct growing g = { 0 };
    struct value v, part;
    int n;
    if (!j_to_text(r, a[0], &v))
        return false;
    struct str s = j_str(v);
    bool begins = true;
    for (size_t at = 0, from = 0; at <= s.len; at += (size_t)n) {
        uint32_t c = at < s.len ? j_char_at(s, at, &n) : ' ', to[3];
        bool breaks = c == '-' || c == '(' || c == '{' || c == '[' || c == '<' || j_is_space(c);
        n = at < s.len ? n : 1;
        if (!breaks && !begins)
            continue;
        if (breaks) {
            if (!begins && (!j_sub(r, v, from, at - from, &part) || !text_method(r, part, "lower", &part)
                            || !j_put_text(r, &g, part.s)))
                return false;
            if (at < s.len && !j_put_part(r, &g, v.s, at, (size_t)n))
                return false;
            begins = true;
            continue;
        }
        size_t count = j_upper(c, to);
        for (size_t i = 0; i < count; i++)
            if (!j_put_char(r, &g, to[i], j_taint_at(v.s, at)))
                return false;
        begins = false;
        from = at + (size_t)n;
    }
    return j_built(r, &g, out);
}

static bool f_string(struct run *r, struct value *a, struct value *out)
{
    *out = a[0];
    return a[0].kind == J_STRING || j_to_text(r, a[0], out);
}

static bool f_safe(struct run *r, struct value *a, struct value *out)
{
    if (!j_to_text(r, a[0], &a[0]) || !j_sub(r, a[0], 0, a[0].s->len, out))
        return false;
    out->s->markup = true;
    return true;
}

static bool f_escape(struct run *r, struct value *a, struct value *out) { return j_escape(r, a[0], out); }

static bool f_forceescape(struct run *r, struct value *a, struct value *out)
{
    return j_to_text(r, a[0], &a[0]) && j_escape(r, a[0], out);
}

static bool f_center(struct run *r, struct value *a, struct value *out)
{
    struct value width = a[1].kind == J_MISSING ? j_int(80) : a[1];
    return j_to_text(r, a[0], &a[0]) && j_call_plain(r, a[0], "center", &width, 1, out);
}

static bool f_replace(struct run *r, struct value *a, struct value *out)
{
    struct value args[3] = { a[1], a[2], a[3].kind == J_NONE ? (struct value){ 0 } : a[3] };
    return j_to_text(r, a[0], &a[0]) && j_to_text(r, args[0], &args[0]) && j_to_text(r, args[1], &args[1])
        && j_call_plain(r, a[0], "replace", args, 3, out);
}

static bool f_default(struct run *r, struct value *a, struct value *out)
{
    *out = a[0];
    if (!j_is_undef(a[0]) && !(j_truth(a[2]) && !j_truth(a[0])))
        return true;
    *out = a[1];
    return a[1].kind != J_MISSING || j_literal(r, "", out);
}

static bool f_attr(struct run *r, struct value *a, struct value *out)
{
    bool forbidden;
    if (!j_to_text(r, a[1], &a[1]))
        return false;
    if (a[0].kind == J_DICT && !j_find_method(a[0], j_str(a[1]), &forbidden) && !forbidden)
        return j_undefined(r, j_owner_name(a[0]), a[1], out);
    return j_getattr(r, a[0], a[1], out);
}

/* ---------------------------------------------------------------- numbers */

static bool f_abs(struct run *r, struct value *a, struct value *out)
{
    if (!j_is_number(a[0]))
        return j_fail(r, "bad operand type for abs(): '%s'", j_type_name(a[0]));
    bool minus = a[0].kind == J_FLOAT ? signbit(a[0].f) : j_whole(a[0]) < 0;
    return j_negate(r, minus, a[0], out);
}

/* Text of a number without white space around and single underscores inside; false: not one. */
static bool plain_number(struct value v, char *out, size_t cap)
{
    struct str s = j_str(v);
    size_t n = 0;
    int length;
    while (s.len && j_is_space(j_char_at(s, 0, &length)))
        s = (struct str){ s.ptr + length, s.len - (size_t)length };
    while (s.len && j_is_space(j_char_before(s, s.len, &length)))
        s.len -= (size_t)length;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool digits = i > 0 && i + 1 < s.len && s.ptr[i - 1] >= '0' && s.ptr[i - 1] <= '9' && s.ptr[i + 1] >= '0'
                   && s.ptr[i + 1] <= '9';
        if (c == '_' && digits)
            continue;
        if (c == '_' || (uint8_t)c >= 0x80 || c == 0 || n + 1 >= cap)
            return false;
        out[n++] = c;
    }
    out[n] = 0;
    return n > 0;
}

static bool read_real(struct value v, double *out)
{
    char text[400], *end;
    if (!plain_number(v, text, sizeof text))
        return false;
    const char *p = text + (text[0] == '-' || text[0] == '+');
    if (p[0] == '0' && (p[1] | 32) == 'x')
        return false;
    if (!((*p >= '0' && *p <= '9') || *p == '.' || (*p | 32) == 'i' || (*p | 32) == 'n') || strchr(p, '('))
        return false;
    *out = strtod(text, &end);
    return *end == 0;
}

/* 1: a number; 0: not one; -1: too large for us. */
static int read_whole(struct value v, int64_t base, int64_t *out)
{
    char text[400];
    *out = 0;
    if (!plain_number(v, text, sizeof text) || base < 0 || base > 36 || base == 1)
        return 0;
    const char *p = text + (text[0] == '-' || text[0] == '+');
    int64_t prefix = p[0] != '0' ? 0 : (p[1] | 32) == 'x' ? 16 : (p[1] | 32) == 'o' ? 8 : (p[1] | 32) == 'b' ? 2 : 0;
    if (prefix && (base == 0 || base == prefix)) {
        p += 2;
        base = prefix;
    }
    base = base ? base : 10;
    if (!*p)
        return 0;
    for (; *p; p++) {
        int digit = *p >= '0' && *p <= '9' ? *p - '0'
                  : (*p | 32) >= 'a' && (*p | 32) <= 'z' ? (*p | 32) - 'a' + 10 : 99;
        if (digit >= base)
            return 0;
        if (__builtin_mul_overflow(*out, base, out) || __builtin_add_overflow(*out, (int64_t)digit, out))
            return -1;
    }
    *out = text[0] == '-' ? -*out : *out;
    return 1;
}

static bool real_to_int(struct run *r, double f, struct value dflt, struct value *out)
{
    *out = dflt;
    if (!isfinite(f))
        return true;
    if (!(f > -9.2e18 && f < 9.2e18))
        return j_limit(r, "an integer leaves 64 bits, which is not supported");
    *out = j_int((int64_t)f);
    return true;
}

static bool f_int(struct run *r, struct value *a, struct value *out)
{
    struct value dflt = a[1].kind == J_MISSING ? j_int(0) : a[1];
    int64_t base = a[2].kind == J_MISSING ? 10 : j_is_whole(a[2]) ? j_whole(a[2]) : 10, x;
    double f;
    bool taint = a[0].kind <= J_STRING && j_tainted(a[0]);
    if (j_is_undef(a[0]))
        return j_fail_undefined(r, a[0]);
    if (a[0].kind == J_STRING && !j_spend(r, a[0].s->len / 16))
        return false;
    if (j_is_whole(a[0])) {
        *out = j_int(j_whole(a[0]));
    } else if (a[0].kind == J_FLOAT) {
        if (!real_to_int(r, a[0].f, dflt, out))
            return false;
    } else if (a[0].kind == J_STRING) {
        int whole = read_whole(a[0], base, &x);
        if (whole < 0)
            return j_limit(r, "an integer leaves 64 bits, which is not supported");
        if (whole)
            *out = j_int(x);
        else if (!read_real(a[0], &f))
            *out = dflt;
        else if (!real_to_int(r, f, dflt, out))
            return false;
    } else {
        *out = dflt;
    }
    out->taint |= taint;
    return true;
}

static bool f_float(struct run *r, struct value *a, struct value *out)
{
    double f;
    bool taint = a[0].kind <= J_STRING && j_tainted(a[0]);
    if (j_is_undef(a[0]))
        return j_fail_undefined(r, a[0]);
    if (a[0].kind == J_STRING && !j_spend(r, a[0].s->len / 16))
        return false;
    if (j_is_number(a[0]))
        *out = j_float(a[0].kind == J_FLOAT ? a[0].f : (double)j_whole(a[0]));
    else if (a[0].kind == J_STRING && read_real(a[0], &f))
        *out = j_float(f);
    else
        *out = a[1].kind == J_MISSING ? j_float(0.0) : a[1];
    out->taint |= taint;
    return true;
}

static double power_of_ten(int64_t n)
{
    double x = 1.0;
    for (; n > 0; n--)
        x *= 10.0;
    return x;
}

/* Python's round(): to even on ties, by the decimal digits of the value itself. */
static bool round_common(struct run *r, struct value v, int64_t digits, struct value *out)
{
    char text[400];
    if (j_is_whole(v)) {
        int64_t x = j_whole(v), unit = 1;
        for (int64_t i = digits; i < 0; i++)
            if (__builtin_mul_overflow(unit, (int64_t)10, &unit))
                return j_limit(r, "round: a precision of %lld is not supported", (long long)digits);
        int64_t rest = ((x % unit) + unit) % unit, low = x - rest, twice = 2 * rest;
        *out = j_int(unit == 1 ? x : twice > unit || (twice == unit && (low / unit) % 2 != 0) ? low + unit : low);
        return true;
    }
    *out = v;
    if (!isfinite(v.f) || digits > 300)
        return true;
    if (digits < 0) {
        double unit = power_of_ten(-digits < 310 ? -digits : 310);
        snprintf(text, sizeof text, "%.0f", v.f / unit);
        *out = j_float(isfinite(unit) ? strtod(text, NULL) * unit : 0.0);
        return true;
    }
    if (fabs(v.f) > 1e22)
        return true;
    snprintf(text, sizeof text, "%.*f", (int)digits, v.f);
    *out = j_float(strtod(text, NULL));
    return true;
}

static bool f_round(struct run *r, struct value *a, struct value *out)
{
    int64_t digits = a[1].kind == J_MISSING ? 0 : j_is_whole(a[1]) ? j_whole(a[1]) : 0;
    struct str how = a[2].kind == J_STRING ? j_str(a[2]) : STR("common");
    bool common = str_eq_z(how, "common"), up = str_eq_z(how, "ceil");
    if (!common && !up && !str_eq_z(how, "floor"))
        return j_fail(r, "method must be common, ceil or floor");
    if (j_is_undef(a[0]) && !common)
        return j_fail_undefined(r, a[0]);
    if (!j_is_number(a[0]))
        return common ? j_fail(r, "type %s doesn't define __round__ method", j_type_name(a[0]))
                      : j_fail(r, "can't multiply sequence by non-int of type 'float'");
    if (common) {
        bool taint = a[0].taint;
        bool ok = round_common(r, a[0], digits, out);
        out->taint = taint;
        return ok;
    }
    double unit = digits >= 0 ? power_of_ten(digits) : 1.0 / power_of_ten(-digits);
    double x = (a[0].kind == J_FLOAT ? a[0].f : (double)j_whole(a[0])) * unit;
    *out = j_float((up ? ceil(x) : floor(x)) / unit);
    out->taint = a[0].taint;
    return true;
}

static bool size_number(struct run *r, struct value v, double *out)
{
    struct growing g = { 0 };
    if (j_is_undef(v))
        return j_fail_undefined(r, v);
    if (j_is_number(v)) {
        *out = v.kind == J_FLOAT ? v.f : (double)j_whole(v);
        return true;
    }
    if (v.kind != J_STRING)
        return j_fail(r, "float() argument must be a string or a real number, not '%s'", j_type_name(v));
    if (read_real(v, out))
        return true;
    return j_put_repr(r, &g, v)
        && j_fail(r, "could not convert string to float: %.*s", (int)min_size(g.len, 500), g.ptr);
}

static bool f_filesizeformat(struct run *r, struct value *a, struct value *out)
{
    static const char *const prefixes[] = { "k", "M", "G", "T", "P", "E", "Z", "Y" };
    static const double tens[] = { 1e6, 1e9, 1e12, 1e15, 1e18, 1e21, 1e24, 1e27 };
    struct growing g = { 0 };
    char text[400];
    double x = 0.0, unit = 1024.0;
    bool binary = j_truth(a[1]);
    size_t i = 0;
    if (!size_number(r, a[0], &x))
        return false;
    if (x < (binary ? 1024.0 : 1000.0)) {
        if (!isfinite(x))
            return j_fail(r, "cannot convert float infinity to integer");
        snprintf(text, sizeof text, x == 1.0 ? "1 Byte" : "%.0f Bytes", trunc(x) + 0.0);
    } else {
        for (;; i++) { /* 1e24 is less than 10 to the 24th */
            unit = binary ? unit * 1024.0 : tens[i];
            if (x < unit || (!binary && i == 6 && x <= unit) || i + 1 == ARRAY_LEN(prefixes))
                break;
        }
        snprintf(text, sizeof text, "%.1f %s%s", (binary ? 1024.0 : 1000.0) * x / unit,
                 binary && i == 0 ? "K" : prefixes[i], binary ? "iB" : "B");
    }
    return j_puts(r, &g, text, j_tainted(a[0])) && j_built(r, &g, out);
}

/* ---------------------------------------------------------------- text */

static bool check_attribute_name(struct run *r, struct value key)
{
    struct growing g = { 0 };
    if (key.kind != J_STRING)
        return j_fail(r, "expected string or bytes-like object, got '%s'", j_type_name(key));
    for (size_t i = 0; i < key.s->len; i++)
        if (key.s->ptr[i] && strchr(" \t\n\r\f\v/>=", key.s->ptr[i]))
            return j_put_repr(r, &g, key)
                && j_fail(r, "Invalid character in attribute name: %.*s", (int)min_size(g.len, 500), g.ptr);
    return true;
}

static bool f_xmlattr(struct run *r, struct value *a, struct value *out)
{
    struct growing g = { 0 };
    bool space = a[1].kind == J_MISSING || j_truth(a[1]);
    if (j_is_undef(a[0]))
        return j_fail_undefined(r, a[0]);
    if (a[0].kind != J_DICT)
        return j_fail(r, "'%s' object has no attribute 'items'", j_type_name(a[0]));
    for (size_t i = 0; i < a[0].dict->n; i++) {
        struct value key = a[0].dict->entries[i].key, v = a[0].dict->entries[i].value;
        if (v.kind == J_NONE || j_is_undef(v))
            continue;
        if (!check_attribute_name(r, key) || !j_escape(r, key, &key) || !j_escape(r, v, &v))
            return false;
        if (((space || g.len) && !j_puts(r, &g, " ", false)) || !j_put_text(r, &g, key.s)
            || !j_puts(r, &g, "=\"", false) || !j_put_text(r, &g, v.s) || !j_puts(r, &g, "\"", false))
            return false;
    }
    return j_built(r, &g, out);
}

static bool f_indent(struct run *r, struct value *a, struct value *out)
{
    struct growing g = { 0 };
    struct value pad, lines, newline, width = a[1].kind == J_MISSING ? j_int(4) : a[1];
    bool first = j_truth(a[2]), blank = j_truth(a[3]);
    if (a[0].kind != J_STRING)
        return j_is_undef(a[0])       ? j_fail_undefined(r, a[0])
             : a[0].kind == J_LIST ? j_fail(r, "'list' object has no attribute 'splitlines'")
             : a[0].kind == J_TUPLE ? j_fail(r, "can only concatenate tuple (not \"str\") to tuple")
                                   : j_fail(r, "unsupported operand type(s) for +=: '%s' and 'str'", j_type_name(a[0]));
    if (width.kind == J_STRING)
        pad = width;
    else if (!j_literal(r, " ", &pad) || !j_binary(r, T_MUL, pad, width, &pad))
        return false;
    if (!j_literal(r, "\n", &newline) || !j_concat(r, a[0], newline, &a[0])
        || !j_call_plain(r, a[0], "splitlines", NULL, 0, &lines))
        return false;
    for (size_t i = 0; i < lines.list->n; i++) {
        struct value line = lines.list->items[i];
        bool indented = i ? blank || line.s->len : first;
        if ((i && !j_put_text(r, &g, newline.s)) || (indented && !j_put_text(r, &g, pad.s))
            || !j_put_text(r, &g, line.s))
            return false;
    }
    return j_built(r, &g, out);
}

static bool f_truncate(struct run *r, struct value *a, struct value *out)
{
    struct value end, parts, space, args[2];
    int64_t length = a[1].kind == J_MISSING ? 255 : j_is_whole(a[1]) ? j_whole(a[1]) : 255;
    int64_t leeway = j_is_whole(a[4]) ? j_whole(a[4]) : 5, n;
    if (!j_literal(r, "...", &end) || !j_literal(r, " ", &space) || !j_length(r, a[0], &n))
        return false;
    if (a[3].kind == J_STRING)
        end = a[3];
    if (length < j_chars(end.s))
        return j_fail(r, "expected length >= %lld, got %lld", (long long)j_chars(end.s), (long long)length);
    *out = a[0];
    if (n <= length + leeway)
        return true;
    if (a[0].kind != J_STRING)
        return j_fail(r, "truncate: '%s' is not supported", j_type_name(a[0]));
    if (!j_sub(r, a[0], 0, j_char_offset(a[0].s, length - j_chars(end.s)), out))
        return false;
    if (!j_truth(a[2])) {
        args[0] = space;
        args[1] = j_int(1);
        if (!j_call_plain(r, *out, "rsplit", args, 2, &parts))
            return false;
        *out = parts.list->items[0];
    }
    return j_concat(r, *out, end, out);
}

static bool f_wordcount(struct run *r, struct value *a, struct value *out)
{
    int64_t words = 0;
    bool inside = false;
    int n;
    if (!j_to_text(r, a[0], &a[0]) || !j_spend(r, a[0].s->len / 16))
        return false;
    for (size_t at = 0; at < a[0].s->len; at += (size_t)n) {
        bool word = j_is_word(j_char_at(j_str(a[0]), at, &n));
        words += word && !inside;
        inside = word;
    }
    *out = j_int(words);
    return true;
}

/* In a query, spaces are plus signs and slashes are escaped. */
static bool put_quoted(struct run *r, struct growing *g, struct value v, bool query)
{
    char escape[8];
    if (!j_to_text(r, v, &v))
        return false;
    for (size_t i = 0; i < v.s->len; i++) {
        char c = v.s->ptr[i];
        bool plain = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || (c && strchr("_.-~", c))
                  || (c == '/' && !query);
        snprintf(escape, sizeof escape, query && c == ' ' ? "+" : "%%%02X", (unsigned)(uint8_t)c);
        if (!(plain ? j_put_part(r, g, v.s, i, 1) : j_puts(r, g, escape, j_taint_at(v.s, i))))
            return false;
    }
    return true;
}

static bool f_urlencode(struct run *r, struct value *a, struct value *out)
{
    struct growing g = { 0 };
    struct value pairs, pair;
    if (a[0].kind <= J_STRING && a[0].kind != J_UNDEFINED)
        return put_quoted(r, &g, a[0], false) && j_built(r, &g, out);
    if (a[0].kind == J_DICT && !j_call_plain(r, a[0], "items", NULL, 0, &a[0]))
        return false;
    if (!j_to_list(r, a[0], J_LIST, &pairs))
        return false;
    for (size_t i = 0; i < pairs.list->n; i++) {
        struct value of = pairs.list->items[i];
        if (of.kind < J_STRING)
            return j_fail(r, "cannot unpack non-iterable %s object", j_type_name(of));
        if (!j_to_list(r, of, J_LIST, &pair))
            return false;
        if (pair.list->n != 2)
            return pair.list->n > 2 ? j_fail(r, "too many values to unpack (expected 2)")
                                    : j_fail(r, "not enough values to unpack (expected 2, got %zu)", pair.list->n);
        if ((i && !j_puts(r, &g, "&", false)) || !put_quoted(r, &g, pair.list->items[0], true)
            || !j_puts(r, &g, "=", false) || !put_quoted(r, &g, pair.list->items[1], true))
            return false;
    }
    return j_built(r, &g, out);
}

static bool f_tojson(struct run *r, struct value *a, struct value *out)
{
    struct growing g = { 0 };
    return j_json(r, &g, a[0], a + 1) && j_built(r, &g, out);
}

static bool f_format(struct run *r, struct value v, const struct args *args, struct value *out)
{
    struct value values, key;
    if (args->n && args->n_named)
        return j_fail(r, "can't handle positional and keyword arguments at the same time");
    if (!j_to_text(r, v, &v))
        return false;
    if (args->n_named) {
        if (!j_dict(r, args->n_named, &values))
            return false;
        for (size_t i = 0; i < args->n_named; i++)
            if (!j_borrow(r, args->names[i], false, &key) || !j_dict_set(r, values.dict, key, args->named[i]))
                return false;
    } else {
        if (!j_list(r, J_TUPLE, args->n, &values))
            return false;
        for (size_t i = 0; i < args->n; i++)
            if (!j_push(r, values.list, args->at[i]))
                return false;
    }
    return j_percent(r, v, values, out);
}

static bool f_refused(struct run *r, struct value v, const struct args *args, struct value *out)
{
    (void)v;
    (void)args;
    (void)out;
    return j_fail(r, "this filter is not supported");
}

static bool f_length(struct run *r, struct value *a, struct value *out)
{
    int64_t n;
    if (!j_length(r, a[0], &n))
        return false;
    *out = j_int(n);
    return true;
}

static const struct filter_row filters[] = {
    { "abs", "abs", "x", f_abs, NULL },
    { "attr", "do_attr", "obj name", f_attr, NULL },
    { "batch", "do_batch", "value linecount |fill_with", f_batch, NULL },
    { "capitalize", "do_capitalize", "s", f_capitalize, NULL },
    { "center", "do_center", "value |width", f_center, NULL },
    { "count", "len", "obj", f_length, NULL },
    { "d", "do_default", "value |default_value boolean", f_default, NULL },
    { "default", "do_default", "value |default_value boolean", f_default, NULL },
    { "dictsort", "do_dictsort", "value |case_sensitive by reverse", f_dictsort, NULL },
    { "e", "escape", "s", f_escape, NULL },
    { "escape", "escape", "s", f_escape, NULL },
    { "filesizeformat", "do_filesizeformat", "value |binary", f_filesizeformat, NULL },
    { "first", "do_first", "seq", f_first, NULL },
    { "float", "do_float", "value |default", f_float, NULL },
    { "forceescape", "do_forceescape", "value", f_forceescape, NULL },
    { "format", NULL, NULL, NULL, f_format },
    { "groupby", "do_groupby", "value attribute |default case_sensitive", f_groupby, NULL },
    { "indent", "do_indent", "s |width first blank", f_indent, NULL },
    { "int", "do_int", "value |default base", f_int, NULL },
    { "items", "do_items", "value", f_items, NULL },
    { "join", "do_join", "value |d attribute", f_join, NULL },
    { "last", "do_last", "seq", f_last, NULL },
    { "length", "len", "obj", f_length, NULL },
    { "list", "do_list", "value", f_list, NULL },
    { "lower", "do_lower", "s", f_lower, NULL },
    { "map", NULL, NULL, NULL, f_map },
    { "max", "do_max", "value |case_sensitive attribute", f_max, NULL },
    { "min", "do_min", "value |case_sensitive attribute", f_min, NULL },
    { "pprint", NULL, NULL, NULL, f_refused },
    { "random", NULL, NULL, NULL, f_refused },
    { "reject", NULL, NULL, NULL, f_reject },
    { "rejectattr", NULL, NULL, NULL, f_rejectattr },
    { "replace", "do_replace", "s old new |count", f_replace, NULL },
    { "reverse", "do_reverse", "value", f_reverse, NULL },
    { "round", "do_round", "value |precision method", f_round, NULL },
    { "safe", "do_mark_safe", "value", f_safe, NULL },
    { "select", NULL, NULL, NULL, f_select },
    { "selectattr", NULL, NULL, NULL, f_selectattr },
    { "slice", "do_slice", "value slices |fill_with", f_slice, NULL },
    { "sort", "do_sort", "value |reverse case_sensitive attribute", f_sort, NULL },
    { "string", "soft_str", "s", f_string, NULL },
    { "striptags", NULL, NULL, NULL, f_refused },
    { "sum", "do_sum", "iterable |attribute start", f_sum, NULL },
    { "title", "do_title", "s", f_title, NULL },
    { "tojson", "tojson", "x |ensure_ascii indent separators sort_keys", f_tojson, NULL },
    { "trim", "do_trim", "value |chars", f_trim, NULL },
    { "truncate", "do_truncate", "s |length killwords end leeway", f_truncate, NULL },
    { "unique", "do_unique", "value |case_sensitive attribute", f_unique, NULL },
    { "upper", "do_upper", "s", f_upper, NULL },
    { "urlencode", "do_urlencode", "value", f_urlencode, NULL },
    { "urlize", NULL, NULL, NULL, f_refused },
    { "wordcount", "do_wordcount", "s", f_wordcount, NULL },
    { "wordwrap", NULL, NULL, NULL, f_refused },
    { "xmlattr", "do_xmlattr", "d |autospace", f_xmlattr, NULL },
};

const struct filter_row *j_find_filter(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(filters); i++)
        if (str_eq_z(name, filters[i].name))
            return &filters[i];
    return NULL;
}
