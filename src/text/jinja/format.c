/* format.c: "..." % values, "...".format(), and the format specifications of the latter. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja/value.h"

enum { MOST_WIDTH = 1000000, MOST_PRECISION = 300 };

struct spec {
    uint32_t fill;
    char align, sign, type; /* 0: not given */
    bool alternate, zero, comma;
    int width, precision;   /* precision -1: not given */
};

static bool pad(struct run *r, struct growing *g, uint32_t fill, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!j_put_char(r, g, fill, false))
            return false;
    return true;
}

static bool put_aligned(struct run *r, struct growing *g, struct value v, const struct spec *s, char dflt)
{
    int64_t room = s->width - j_chars(v.s);
    char align = s->align ? s->align : dflt;
    int64_t left = room <= 0 || align == '<' ? 0 : align == '^' ? room / 2 : room;
    size_t sign = align == '=' && v.s->len && strchr("+- ", v.s->ptr[0]) ? 1 : 0;
    return j_put_part(r, g, v.s, 0, sign) && pad(r, g, s->fill, left)
        && j_put_part(r, g, v.s, sign, v.s->len - sign) && pad(r, g, s->fill, room - left);
}

/* Digits of |x|, with thousands separators. */
static void whole_text(int64_t x, char type, bool comma, char out[96])
{
    uint64_t u = magnitude_of(x);
    unsigned base = type == 'x' || type == 'X' ? 16 : type == 'o' ? 8 : type == 'b' ? 2 : 10;
    char digits[96];
    int n = 0, count = 0;
    do {
        if (comma && count && count % 3 == 0)
            digits[n++] = ',';
        digits[n++] = (type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef")[u % base];
        u /= base;
        count++;
    } while (u);
    for (int i = 0; i < n; i++)
        out[i] = digits[n - 1 - i];
    out[n] = 0;
}

static void real_text(double f, const struct spec *s, char *out, size_t cap)
{
    char form[16];
    char type = s->type == '%' ? 'f' : s->type;
    int precision = s->precision < 0 ? 6 : s->precision;
    f = fabs(f) * (s->type == '%' ? 100.0 : 1.0);
    if (isnan(f) || isinf(f)) {
        snprintf(out, cap, "%s%s", isnan(f) ? "nan" : "inf", s->type == '%' ? "%" : "");
        return;
    }
    bool general = type == 0;
    if (general && s->precision < 0) {
        j_float_text(f, out);
    } else {
        snprintf(form, sizeof form, "%%%s.*%c", s->alternate ? "#" : "", general ? 'g' : type);
        snprintf(out, cap, form, precision, f);
    }
    size_t n = strlen(out);
    if (general && !strpbrk(out, ".e"))
        snprintf(out + n, cap - n, ".0");
    if (s->type == '%')
        snprintf(out + n, cap - n, "%%");
    char *dot = strchr(out, '.');
    for (ptrdiff_t at = (dot ? dot - out : (ptrdiff_t)n) - 3; s->comma && at > 0; at -= 3) {
        memmove(out + at + 1, out + at, strlen(out + at) + 1);
        out[at] = ',';
    }
}

static bool put_signed(struct run *r, struct growing *g, bool minus, const char *prefix, const char *digits,
                       struct spec s, bool taint)
{
    struct growing text = { 0 };
    struct value v;
    const char *sign = minus ? "-" : s.sign == '+' ? "+" : s.sign == ' ' ? " " : "";
    if (s.zero && !s.align) {
        s.align = '=';
        s.fill = '0';
    }
    if (!j_puts(r, &text, sign, taint) || !j_puts(r, &text, prefix, taint) || !j_puts(r, &text, digits, taint)
        || !j_built(r, &text, &v))
        return false;
    return put_aligned(r, g, v, &s, '>');
}

static bool put_number(struct run *r, struct growing *g, struct value v, struct spec s)
{
    char text[800];
    if (v.kind == J_FLOAT || (s.type && strchr("eEfFgG%", s.type))) {
        double f = v.kind == J_FLOAT ? v.f : (double)j_whole(v);
        real_text(f, &s, text, sizeof text);
        return put_signed(r, g, signbit(f) && !isnan(f), "", text, s, v.taint);
    }
    const char *prefix = !s.alternate ? "" : s.type == 'x' ? "0x" : s.type == 'X' ? "0X" : s.type == 'o' ? "0o"
                       : s.type == 'b' ? "0b" : "";
    whole_text(j_whole(v), s.type, s.comma, text);
    return put_signed(r, g, j_whole(v) < 0, prefix, text, s, v.taint);
}

static bool put_text(struct run *r, struct growing *g, struct value v, const struct spec *s)
{
    if (s->precision >= 0 && j_chars(v.s) > s->precision
        && !j_sub(r, v, 0, j_char_offset(v.s, s->precision), &v))
        return false;
    return put_aligned(r, g, v, s, '<');
}

static bool read_int(struct run *r, struct str t, size_t *at, int most, int *out)
{
    *out = 0;
    for (; *at < t.len && t.ptr[*at] >= '0' && t.ptr[*at] <= '9'; ++*at) {
        *out = *out * 10 + (t.ptr[*at] - '0');
        if (*out > most)
            return j_limit(r, "a width or precision of more than %d is not supported", most);
    }
    return true;
}

static bool read_spec(struct run *r, struct str t, struct spec *s)
{
    size_t at = 0;
    int n = 0;
    *s = (struct spec){ .fill = ' ', .precision = -1 };
    if (t.len) {
        uint32_t c = j_char_at(t, 0, &n);
        if ((size_t)n < t.len && strchr("<>=^", t.ptr[n])) {
            s->fill = c;
            s->align = t.ptr[n];
            at = (size_t)n + 1;
        } else if (strchr("<>=^", t.ptr[0])) {
            s->align = t.ptr[at++];
        }
    }
    if (at < t.len && strchr("+- ", t.ptr[at]))
        s->sign = t.ptr[at++];
    if (at < t.len && t.ptr[at] == '#')
        s->alternate = t.ptr[at++];
    if (at < t.len && t.ptr[at] == '0')
        s->zero = t.ptr[at++];
    if (!read_int(r, t, &at, MOST_WIDTH, &s->width))
        return false;
    if (at < t.len && t.ptr[at] == ',')
        s->comma = t.ptr[at++];
    if (at < t.len && t.ptr[at] == '.') {
        at++;
        if (!read_int(r, t, &at, MOST_PRECISION, &s->precision))
            return false;
    }
    if (at < t.len)
        s->type = t.ptr[at++];
    return at == t.len || j_fail(r, "Invalid format specifier");
}

bool j_format_spec(struct run *r, struct growing *g, struct value v, struct str spec)
{
    struct spec s;
    if (spec.len == 0)
        return j_put_str(r, g, v);
    if (!read_spec(r, spec, &s))
        return false;
    bool numeric = j_is_number(v) && !(v.kind == J_BOOL && s.type == 0);
    const char *types = v.kind == J_STRING ? "s" : v.kind == J_FLOAT ? "eEfFgGn%" : "bcdeEfFgGnoxX%";
    if (s.type && (!strchr(types, s.type) || !(numeric || v.kind == J_STRING)) && (numeric || v.kind == J_STRING))
        return j_fail(r, "Unknown format code '%c' for object of type '%s'", s.type, j_type_name(v));
    if (numeric)
        return put_number(r, g, v, s);
    if (v.kind != J_STRING && v.kind != J_BOOL)
        return j_fail(r, "unsupported format string passed to %s.__format__", j_type_name(v));
    return j_to_text(r, v, &v) && put_text(r, g, v, &s);
}

/* ---------------------------------------------------------------- % */

struct percent {
    struct value values;
    size_t next, n;
    struct str format;
    size_t at;
};

static bool next_value(struct run *r, struct percent *p, struct value *out)
{
    if (p->next >= p->n)
        return j_fail(r, "not enough arguments for format string");
    *out = p->values.kind == J_TUPLE ? p->values.list->items[p->next] : p->values;
    p->next++;
    return true;
}

/* %(name) */
static bool named_value(struct run *r, struct percent *p, struct value *out)
{
    size_t from = ++p->at;
    while (p->at < p->format.len && p->format.ptr[p->at] != ')')
        p->at++;
    if (p->at == p->format.len)
        return j_fail(r, "incomplete format key");
    if (p->values.kind != J_DICT)
        return j_fail(r, "format requires a mapping");
    struct str key = { p->format.ptr + from, p->at++ - from };
    struct value *found = j_dict_find_str(p->values.dict, key);
    if (!found)
        return j_fail(r, "'" STR_FMT "'", STR_ARG(key));
    *out = *found;
    return true;
}

static bool star_or_int(struct run *r, struct percent *p, int most, int *out)
{
    struct value v;
    if (p->at < p->format.len && p->format.ptr[p->at] == '*') {
        p->at++;
        if (!next_value(r, p, &v))
            return false;
        if (!j_is_whole(v))
            return j_fail(r, "* wants int");
        if (j_whole(v) > most || j_whole(v) < 0)
            return j_limit(r, "a width or precision of more than %d is not supported", most);
        *out = (int)j_whole(v);
        return true;
    }
    return read_int(r, p->format, &p->at, most, out);
}

static bool put_conversion(struct run *r, struct growing *g, struct value v, struct spec s)
{
    struct growing text = { 0 };
    char type = s.type;
    if (!strchr("srdiufFeEgGxXoca", type))
        return j_fail(r, "unsupported format character '%c' (0x%x) at index", type, (unsigned)type);
    if (type == 's' || type == 'r' || type == 'a') {
        if (!(type == 's' ? j_put_str(r, &text, v) : j_put_repr(r, &text, v)) || !j_built(r, &text, &v))
            return false;
        s.align = s.align ? s.align : '>';
        return put_text(r, g, v, &s);
    }
    if (type == 'c') {
        if (v.kind == J_STRING && j_chars(v.s) == 1)
            return put_aligned(r, g, v, &s, '>');
        return j_fail(r, "%%c requires int or char");
    }
    if (j_is_undef(v))
        return j_fail_undefined(r, v);
    if (!j_is_number(v)) {
        if (strchr("fFeEgG", type))
            return j_fail(r, "must be real number, not %s", j_type_name(v));
        return j_fail(r, "%%%c format: %s is required, not %s", type,
                      strchr("diu", type) ? "a real number" : "an integer", j_type_name(v));
    }
    if (strchr("diu", type)) {
        if (v.kind == J_FLOAT && !(v.f > -9e18 && v.f < 9e18))
            return j_fail(r, "cannot convert float %s to integer", isnan(v.f) ? "NaN" : "infinity");
        bool taint = v.taint;
        v = v.kind == J_FLOAT ? j_int((int64_t)v.f) : v;
        v.taint = taint;
        s.type = 'd';
    }
    return put_number(r, g, v, s);
}

static bool percent_one(struct run *r, struct percent *p, struct growing *g)
{
    struct spec s = { .fill = ' ', .precision = -1 };
    struct value v = { 0 };
    struct str f = p->format;
    if (p->at < f.len && f.ptr[p->at] == '(' && !named_value(r, p, &v))
        return false;
    for (; p->at < f.len && strchr("-+ #0", f.ptr[p->at]); p->at++) {
        char c = f.ptr[p->at];
        s.align = c == '-' ? '<' : s.align;
        s.sign = c == '+' || (c == ' ' && !s.sign) ? c : s.sign;
        s.alternate |= c == '#';
        s.zero |= c == '0';
    }
    if (!star_or_int(r, p, MOST_WIDTH, &s.width))
        return false;
    if (p->at < f.len && f.ptr[p->at] == '.') {
        p->at++;
        if (!star_or_int(r, p, MOST_PRECISION, &s.precision))
            return false;
    }
    if (p->at == f.len)
        return j_fail(r, "incomplete format");
    s.type = f.ptr[p->at++];
    if (s.type == '%')
        return j_puts(r, g, "%", false);
    return (v.kind != J_MISSING || next_value(r, p, &v)) && put_conversion(r, g, v, s);
}

bool j_percent(struct run *r, struct value format, struct value values, struct value *out)
{
    struct growing g = { 0 };
    struct percent p = { .values = values, .format = j_str(format),
                         .n = values.kind == J_TUPLE ? values.list->n : 1 };
    while (p.at < p.format.len) {
        const char *mark = memchr(p.format.ptr + p.at, '%', p.format.len - p.at);
        size_t n = mark ? (size_t)(mark - p.format.ptr) - p.at : p.format.len - p.at;
        if (!j_put_part(r, &g, format.s, p.at, n))
            return false;
        p.at += n + (mark != NULL);
        if (mark && !percent_one(r, &p, &g))
            return false;
    }
    bool mapping = values.kind == J_DICT || values.kind == J_LIST || values.kind == J_RANGE
                || values.kind == J_UNDEFINED;
    if (p.next < p.n && !mapping)
        return j_fail(r, "not all arguments converted during string formatting");
    if (!j_built(r, &g, out))
        return false;
    out->s->markup = format.s->markup;
    return true;
}

/* ---------------------------------------------------------------- format() */

/* name.attribute[key] or 0[key]; `automatic` counts {} fields. */
static bool field_value(struct run *r, struct str field, const struct args *args, size_t *automatic,
                        struct value *out)
{
    size_t end = 0, number = 0;
    while (end < field.len && field.ptr[end] != '.' && field.ptr[end] != '[')
        end++;
    bool digits = end > 0;
    for (size_t i = 0; i < end; i++) {
        digits &= field.ptr[i] >= '0' && field.ptr[i] <= '9';
        number = digits && number < 1000000 ? number * 10 + (size_t)(field.ptr[i] - '0') : number;
    }
    if (end == 0 || digits) {
        number = end == 0 ? (*automatic)++ : number;
        if (number >= args->n)
            return j_fail(r, "Replacement index %zu out of range for positional args tuple", number);
        *out = args->at[number];
    } else {
        size_t i = 0;
        struct str name = { field.ptr, end };
        while (i < args->n_named && !str_eq(args->names[i], name))
            i++;
        if (!j_spend(r, i / 16))
            return false;
        if (i == args->n_named)
            return j_fail(r, "'" STR_FMT "'", STR_ARG(name));
        *out = args->named[i];
    }
    while (end < field.len) {
        bool dot = field.ptr[end] == '.';
        size_t from = ++end;
        while (end < field.len && (dot ? field.ptr[end] != '.' && field.ptr[end] != '[' : field.ptr[end] != ']'))
            end++;
        struct value key;
        struct str text = { field.ptr + from, end - from };
        end += !dot;
        int64_t index = 0;
        bool whole = text.len > 0 && text.len < 9;
        for (size_t i = 0; i < text.len && whole; i++) {
            whole = text.ptr[i] >= '0' && text.ptr[i] <= '9';
            index = index * 10 + (text.ptr[i] - '0');
        }
        if (!j_borrow(r, text, false, &key))
            return false;
        if (!dot && whole)
            key = j_int(index);
        if (!(dot ? j_getattr(r, *out, key, out) : j_getitem(r, *out, key, out)))
            return false;
    }
    return true;
}

static bool format_field(struct run *r, struct str inner, const struct args *args, size_t *automatic,
                         struct growing *g)
{
    size_t n = 0;
    char conversion = 0;
    struct str spec = { "", 0 };
    struct value v;
    while (n < inner.len && inner.ptr[n] != '!' && inner.ptr[n] != ':')
        n++;
    size_t at = n;
    if (at + 1 < inner.len && inner.ptr[at] == '!') {
        conversion = inner.ptr[at + 1];
        at += 2;
    }
    if (at < inner.len && inner.ptr[at] == ':')
        spec = (struct str){ inner.ptr + at + 1, inner.len - at - 1 };
    if (memchr(spec.ptr, '{', spec.len))
        return j_fail(r, "a field inside a format specification is not supported");
    if (!field_value(r, (struct str){ inner.ptr, n }, args, automatic, &v))
        return false;
    if (conversion) {
        struct growing text = { 0 };
        if (!(conversion == 's' ? j_put_str(r, &text, v) : j_put_repr(r, &text, v)) || !j_built(r, &text, &v))
            return false;
    }
    return j_format_spec(r, g, v, spec);
}

bool j_format(struct run *r, struct value format, const struct args *args, struct value *out)
{
    struct growing g = { 0 };
    struct str f = j_str(format);
    size_t automatic = 0;
    for (size_t at = 0; at < f.len;) {
        char c = f.ptr[at];
        if (c != '{' && c != '}') {
            if (!j_put_part(r, &g, format.s, at++, 1))
                return false;
        } else if (at + 1 < f.len && f.ptr[at + 1] == c) {
            if (!j_put_part(r, &g, format.s, at, 1))
                return false;
            at += 2;
        } else {
            const char *end = c == '{' ? memchr(f.ptr + at, '}', f.len - at) : NULL;
            if (!end)
                return j_fail(r, c == '}' ? "Single '}' encountered in format string"
                              : at + 1 == f.len ? "Single '{' encountered in format string"
                                                : "expected '}' before end of string");
            size_t n = (size_t)(end - f.ptr) - at - 1;
            if (!format_field(r, (struct str){ f.ptr + at + 1, n }, args, &automatic, &g))
                return false;
            at += n + 2;
        }
    }
    return j_built(r, &g, out);
}
