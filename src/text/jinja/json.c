/* json.c: tojson, byte for byte Python's json.dumps() with ensure_ascii off.
 *
 * Not HTML-safe on purpose: chat templates show models JSON. The text is untrusted as a whole
 * when any part of the value is. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "text/jinja/value.h"

struct writer {
    struct run *r;
    struct growing *g;
    struct str item_end, key_end, indent;
    bool indented, ascii, sorted, taint;
    int level;
};

static bool put(struct writer *w, struct str s) { return j_put(w->r, w->g, s.ptr, s.len, w->taint); }
static bool puts_json(struct writer *w, const char *z) { return put(w, str_z(z)); }

static bool put_escape(struct writer *w, uint32_t c)
{
    static const char plain[] = "\"\\\n\r\t\f\b", marks[] = "\"\\nrtfb";
    char text[16];
    const char *found = c && c < 0x80 ? strchr(plain, (int)c) : NULL;
    if (found)
        snprintf(text, sizeof text, "\\%c", marks[found - plain]);
    else if (c < 0x10000)
        snprintf(text, sizeof text, "\\u%04x", (unsigned)c);
    else
        snprintf(text, sizeof text, "\\u%04x\\u%04x", (unsigned)(0xd800 + ((c - 0x10000) >> 10)),
                 (unsigned)(0xdc00 + ((c - 0x10000) & 0x3ff)));
    return puts_json(w, text);
}

static bool put_text(struct writer *w, struct value v)
{
    struct str s = j_str(v);
    size_t from = 0;
    int n;
    if (!puts_json(w, "\""))
        return false;
    for (size_t at = 0; at < s.len; at += (size_t)n) {
        uint32_t c = j_char_at(s, at, &n);
        if (c >= ' ' && c != '"' && c != '\\' && !(w->ascii && c >= 0x7f))
            continue;
        if (w->ascii && c == 0x7f)
            continue;
        if (!put(w, (struct str){ s.ptr + from, at - from }) || !put_escape(w, c))
            return false;
        from = at + (size_t)n;
    }
    return put(w, (struct str){ s.ptr + from, s.len - from }) && puts_json(w, "\"");
}

static bool put_number(struct writer *w, struct value v, bool key)
{
    char text[48];
    (void)key;
    switch (v.kind) {
    case J_NONE: return puts_json(w, "null");
    case J_BOOL: return puts_json(w, v.b ? "true" : "false");
    case J_INT: snprintf(text, sizeof text, "%lld", (long long)v.i); return puts_json(w, text);
    default: break;
    }
    if (isnan(v.f))
        return puts_json(w, "NaN");
    if (isinf(v.f))
        return puts_json(w, v.f < 0 ? "-Infinity" : "Infinity");
    j_float_text(v.f, text);
    return puts_json(w, text);
}

static bool new_line(struct writer *w)
{
    if (!w->indented)
        return true;
    if (!puts_json(w, "\n"))
        return false;
    for (int i = 0; i < w->level; i++)
        if (!put(w, w->indent))
            return false;
    return true;
}

static bool write_value(struct writer *w, struct value v);

static bool write_list(struct writer *w, const struct list *l)
{
    if (l->n == 0)
        return puts_json(w, "[]");
    w->level++;
    bool ok = puts_json(w, "[");
    for (size_t i = 0; ok && i < l->n; i++)
        ok = (i == 0 || put(w, w->item_end)) && new_line(w) && write_value(w, l->items[i]);
    w->level--;
    return ok && new_line(w) && puts_json(w, "]");
}

static bool write_key(struct writer *w, struct value key)
{
    if (key.kind == J_STRING)
        return put_text(w, key);
    if (key.kind < J_NONE || key.kind > J_FLOAT)
        return j_fail(w->r, "keys must be str, int, float, bool or None, not %s", j_type_name(key));
    return puts_json(w, "\"") && put_number(w, key, true) && puts_json(w, "\"");
}

static bool key_order(struct writer *w, const struct dict *d, struct value **order)
{
    struct value *keys = j_array(w->r, struct value, d->n);
    *order = j_array(w->r, struct value, d->n);
    if (!keys || !*order)
        return false;
    for (size_t i = 0; i < d->n; i++) {
        keys[i] = d->entries[i].key;
        (*order)[i] = j_int((int64_t)i);
    }
    return !w->sorted || j_sort(w->r, *order, keys, d->n, false);
}

static bool write_dict(struct writer *w, const struct dict *d)
{
    struct value *order;
    if (d->n == 0)
        return puts_json(w, "{}");
    if (!key_order(w, d, &order))
        return false;
    w->level++;
    bool ok = puts_json(w, "{");
    for (size_t i = 0; ok && i < d->n; i++) {
        const struct entry *e = &d->entries[order[i].i];
        ok = (i == 0 || put(w, w->item_end)) && new_line(w) && write_key(w, e->key) && put(w, w->key_end)
          && write_value(w, e->value);
    }
    w->level--;
    return ok && new_line(w) && puts_json(w, "}");
}

static bool write_value(struct writer *w, struct value v)
{
    bool ok = j_enter(w->r);
    if (ok) {
        switch (v.kind) {
        case J_NONE: case J_BOOL: case J_INT: case J_FLOAT: ok = put_number(w, v, false); break;
        case J_STRING: ok = put_text(w, v); break;
        case J_LIST: case J_TUPLE: ok = write_list(w, v.list); break;
        case J_DICT: ok = write_dict(w, v.dict); break;
        default: ok = j_fail(w->r, "Object of type %s is not JSON serializable", j_type_name(v)); break;
        }
    }
    j_leave(w->r);
    return ok;
}

/* options: ensure_ascii, indent, separators, sort_keys; J_MISSING where not given. */
bool j_json(struct run *r, struct growing *g, struct value v, const struct value options[4])
{
    struct writer w = { .r = r, .g = g, .item_end = STR(", "), .key_end = STR(": "), .taint = j_tainted(v) };
    struct value indent = options[1], separators = options[2];
    char *spaces;
    w.ascii = j_truth(options[0]);
    w.sorted = j_truth(options[3]);
    if (indent.kind == J_STRING) {
        w.indent = j_str(indent);
        w.indented = true;
    } else if (j_is_whole(indent)) {
        int64_t n = j_whole(indent) > 0 ? j_whole(indent) : 0;
        if (n > 1000)
            return j_limit(r, "tojson: an indent of %lld is more than the limit of 1000", (long long)n);
        spaces = j_alloc(r, (size_t)n + 1, 1);
        if (!spaces)
            return false;
        memset(spaces, ' ', (size_t)n);
        w.indent = (struct str){ spaces, (size_t)n };
        w.indented = true;
    } else if (indent.kind > J_NONE && v.kind != J_STRING) {
        return j_fail(r, "can't multiply sequence by non-int of type '%s'", j_type_name(indent));
    } else if (j_is_undef(indent) && v.kind != J_STRING) {
        return j_fail_undefined(r, indent);
    }
    if (w.indented)
        w.item_end = STR(",");
    bool given = separators.kind != J_MISSING && separators.kind != J_NONE;
    if (given && separators.kind != J_TUPLE && separators.kind != J_LIST)
        return j_fail(r, "tojson: separators must be two strings");
    if (separators.kind == J_TUPLE || separators.kind == J_LIST) {
        const struct list *l = separators.list;
        if (l->n != 2 || l->items[0].kind != J_STRING || l->items[1].kind != J_STRING)
            return j_fail(r, "tojson: separators must be two strings");
        w.item_end = j_str(l->items[0]);
        w.key_end = j_str(l->items[1]);
    }
    return write_value(&w, v);
}
