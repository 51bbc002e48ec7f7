/* repr.c: values as text: str(), repr(), numbers, HTML escapes.
 *
 * What is printed as a container's repr() is untrusted as a whole when any part of it is. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja/ast.h"

/* Shortest digits that read back as f, which is finite and positive: "d.ddde+xx". */
static void shortest(double f, char out[40])
{
    for (int digits = 0; digits < 17; digits++) {
        snprintf(out, 40, "%.*e", digits, f);
        if (strtod(out, NULL) == f)
            return;
    }
}

size_t j_float_text(double f, char out[40])
{
    char digits[40], mantissa[24];
    size_t n = 0, used = 0;
    if (isnan(f))
        return (size_t)snprintf(out, 40, "nan");
    if (isinf(f))
        return (size_t)snprintf(out, 40, f < 0 ? "-inf" : "inf");
    if (signbit(f))
        out[n++] = '-';
    if (f == 0.0)
        return n + (size_t)snprintf(out + n, 40 - n, "0.0");
    shortest(fabs(f), digits);
    char *e = strchr(digits, 'e');
    int exponent = atoi(e + 1);
    for (const char *p = digits; p < e; p++)
        if (*p != '.')
            mantissa[used++] = *p;
    while (used > 1 && mantissa[used - 1] == '0')
        used--;
    mantissa[used] = 0;
    if (exponent < -4 || exponent >= 16)
        return n + (size_t)snprintf(out + n, 40 - n, "%c%s%se%c%02d", mantissa[0], used > 1 ? "." : "", mantissa + 1,
                                    exponent < 0 ? '-' : '+', abs(exponent));
    if (exponent < 0)
        return n + (size_t)snprintf(out + n, 40 - n, "0.%.*s%s", -exponent - 1, "000", mantissa);
    for (int i = 0; i <= exponent || i <= (int)used - 1; i++) {
        if (i == exponent + 1)
            out[n++] = '.';
        out[n++] = i < (int)used ? mantissa[i] : '0';
    }
    if ((int)used <= exponent + 1)
        n += (size_t)snprintf(out + n, 40 - n, ".0");
    out[n] = 0;
    return n;
}

static bool repr_text(struct run *r, struct growing *g, struct value v, bool taint)
{
    struct str s = j_str(v);
    bool single = memchr(s.ptr, '\'', s.len) && !memchr(s.ptr, '"', s.len);
    char quote = single ? '"' : '\'', escape[16];
    bool ok = j_put(r, g, &quote, 1, taint);
    int n;
    for (size_t at = 0; ok && at < s.len; at += (size_t)n) {
        uint32_t c = j_char_at(s, at, &n);
        const char *named = c == '\n' ? "\\n" : c == '\r' ? "\\r" : c == '\t' ? "\\t" : c == '\\' ? "\\\\" : NULL;
        if (named) {
            ok = j_puts(r, g, named, taint);
        } else if (c == (uint32_t)quote) {
            ok = j_put(r, g, "\\", 1, taint) && j_put(r, g, &quote, 1, taint);
        } else if (j_is_printable(c)) {
            ok = j_put(r, g, s.ptr + at, (size_t)n, taint);
        } else {
            snprintf(escape, sizeof escape, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
            ok = j_puts(r, g, escape, taint);
        }
    }
    return ok && j_put(r, g, &quote, 1, taint);
}

static bool repr_any(struct run *r, struct growing *g, struct value v, bool taint);

static bool repr_items(struct run *r, struct growing *g, const struct list *l, const char *open, const char *close,
                       bool taint)
{
    bool ok = j_puts(r, g, open, taint);
    for (size_t i = 0; ok && i < l->n; i++)
        ok = (i == 0 || j_puts(r, g, ", ", taint)) && repr_any(r, g, l->items[i], taint);
    return ok && j_puts(r, g, close, taint);
}

static bool repr_dict(struct run *r, struct growing *g, const struct dict *d, bool taint)
{
    bool ok = j_puts(r, g, "{", taint);
    for (size_t i = 0; ok && i < d->n; i++)
        ok = (i == 0 || j_puts(r, g, ", ", taint)) && repr_any(r, g, d->entries[i].key, taint)
          && j_puts(r, g, ": ", taint) && repr_any(r, g, d->entries[i].value, taint);
    return ok && j_puts(r, g, "}", taint);
}

/* Things whose repr() in Python is an address are told apart by their type only. */
static bool repr_object(struct run *r, struct growing *g, struct value v, bool taint)
{
    char text[96];
    switch (v.kind) {
    case J_NAMESPACE:
        return j_puts(r, g, "<Namespace ", taint) && repr_dict(r, g, v.dict, taint) && j_puts(r, g, ">", taint);
    case J_RANGE:
        snprintf(text, sizeof text, v.range->step == 1 ? "range(%lld, %lld)" : "range(%lld, %lld, %lld)",
                 (long long)v.range->start, (long long)v.range->stop, (long long)v.range->step);
        return j_puts(r, g, text, taint);
    case J_VIEW:
        if (j_is_set(v))
            return v.list->n ? repr_items(r, g, v.list, "{", "}", taint) : j_puts(r, g, "set()", taint);
        return j_puts(r, g, v.list->type, taint) && repr_items(r, g, v.list, "([", "])", taint);
    case J_MACRO:
        return j_puts(r, g, "<Macro ", taint) && repr_text(r, g, v.macro->name, taint) && j_puts(r, g, ">", taint);
    case J_LOOP: {
        struct value length;
        bool found;
        if (!loop_attribute(r, v.loop, STR("length"), &length, &found))
            return false;
        snprintf(text, sizeof text, "<LoopContext %lld/%lld>", (long long)v.loop->index0 + 1, (long long)length.i);
        return j_puts(r, g, text, taint);
    }
    default: return j_puts(r, g, "<", taint) && j_puts(r, g, j_type_name(v), taint) && j_puts(r, g, ">", taint);
    }
}

static bool repr_plain(struct run *r, struct growing *g, struct value v, bool taint)
{
    char text[48];
    switch (v.kind) {
    case J_NONE: return j_puts(r, g, "None", taint);
    case J_BOOL: return j_puts(r, g, v.b ? "True" : "False", taint);
    case J_INT: snprintf(text, sizeof text, "%lld", (long long)v.i); return j_puts(r, g, text, taint);
    case J_FLOAT: j_float_text(v.f, text); return j_puts(r, g, text, taint);
    default: return j_puts(r, g, "Undefined", taint);
    }
}

static bool repr_any(struct run *r, struct growing *g, struct value v, bool taint)
{
    bool ok = j_enter(r);
    if (!ok) {
        j_leave(r);
        return false;
    }
    switch (v.kind) {
    case J_STRING:
        ok = (!v.s->markup || j_puts(r, g, "Markup(", taint)) && repr_text(r, g, v, taint)
          && (!v.s->markup || j_puts(r, g, ")", taint));
        break;
    case J_LIST: ok = repr_items(r, g, v.list, "[", "]", taint); break;
    case J_TUPLE: ok = repr_items(r, g, v.list, "(", v.list->n == 1 ? ",)" : ")", taint); break;
    case J_DICT: ok = repr_dict(r, g, v.dict, taint); break;
    default: ok = v.kind < J_STRING ? repr_plain(r, g, v, taint) : repr_object(r, g, v, taint); break;
    }
    j_leave(r);
    return ok;
}

bool j_put_repr(struct run *r, struct growing *g, struct value v) { return repr_any(r, g, v, j_tainted(v)); }

bool j_put_str(struct run *r, struct growing *g, struct value v)
{
    if (v.kind == J_STRING)
        return j_put_text(r, g, v.s);
    return v.kind == J_UNDEFINED || v.kind == J_MISSING || j_put_repr(r, g, v);
}

bool j_to_text(struct run *r, struct value v, struct value *out)
{
    struct growing g = { 0 };
    if (v.kind == J_STRING && !v.s->markup) {
        *out = v;
        return true;
    }
    return j_put_str(r, &g, v) && j_built(r, &g, out);
}

bool j_escape(struct run *r, struct value v, struct value *out)
{
    struct growing g = { 0 };
    if (v.kind == J_STRING && v.s->markup) {
        *out = v;
        return true;
    }
    if (!j_to_text(r, v, &v))
        return false;
    for (size_t i = 0, from = 0; i <= v.s->len; i++) {
        char c = i < v.s->len ? v.s->ptr[i] : 0;
        const char *to = c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '"' ? "&#34;"
                       : c == '\'' ? "&#39;" : NULL;
        if (!to && i < v.s->len)
            continue;
        if (!j_put_part(r, &g, v.s, from, i - from) || (to && !j_puts(r, &g, to, j_taint_at(v.s, i))))
            return false;
        from = i + 1;
    }
    if (!j_built(r, &g, out))
        return false;
    out->s->markup = true;
    return true;
}
