/* methods.c: methods of strings, lists, dicts and the like: one line each in a table at the end. */
#include <string.h>
#include <utf8proc.h>

#include "text/jinja/ast.h"

static bool want_text(struct run *r, struct value v, const char *what)
{
    return v.kind == J_STRING || j_fail(r, "%s must be str, not %s", what, j_type_name(v));
}

static bool want_int(struct run *r, struct value v, int64_t *out)
{
    if (!j_is_whole(v))
        return j_fail(r, "'%s' object cannot be interpreted as an integer", j_type_name(v));
    *out = j_whole(v);
    return true;
}

/* ---------------------------------------------------------------- case */

static bool is_final_sigma(struct str s, size_t at)
{
    int n;
    bool before = false, after = false;
    if (at > 0)
        before = j_cased(j_char_before(s, at, &n));
    if (at + 2 < s.len)
        after = j_cased(j_char_at(s, at + 2, &n));
    return before && !after;
}

enum casing { UPPER, LOWER, TITLE, SWAP, CAPITALIZE };

static bool change_case(struct run *r, struct value self, int how, struct value *out)
{
    struct growing g = { 0 };
    struct str s = j_str(self);
    uint32_t to[3];
    bool inside = false;
    int n;
    for (size_t at = 0; at < s.len; at += (size_t)n) {
        uint32_t c = j_char_at(s, at, &n);
        int now = how;
        if (how == TITLE)
            now = inside ? LOWER : TITLE;
        else if (how == CAPITALIZE)
            now = at ? LOWER : TITLE;
        else if (how == SWAP)
            now = utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_LU ? LOWER : UPPER;
        size_t count = now == UPPER ? j_upper(c, to) : now == LOWER ? j_lower(c, to) : j_title(c, to);
        if (now == LOWER && c == 0x3a3 && is_final_sigma(s, at))
            to[0] = 0x3c2;
        for (size_t i = 0; i < count; i++)
            if (!j_put_char(r, &g, to[i], j_taint_at(self.s, at)))
                return false;
        inside = c < 0x80 ? (c | 32) >= 'a' && (c | 32) <= 'z' : j_cased(c);
    }
    if (!j_spend(r, s.len / 8) || !j_built(r, &g, out))
        return false;
    out->s->markup = self.s->markup;
    return true;
}

static bool str_upper(struct run *r, struct value self, struct value *a, struct value *out)
{
    (void)a;
    return change_case(r, self, UPPER, out);
}

static bool str_lower(struct run *r, struct value self, struct value *a, struct value *out)
{
    (void)a;
    return change_case(r, self, LOWER, out);
}

static bool str_title(struct run *r, struct value self, struct value *a, struct value *out)
{
    (void)a;
    return change_case(r, self, TITLE, out);
}

static bool str_swapcase(struct run *r, struct value self, struct value *a, struct value *out)
{
    (void)a;
    return change_case(r, self, SWAP, out);
}

static bool str_capitalize(struct run *r, struct value self, struct value *a, struct value *out)
{
    (void)a;
    return change_case(r, self, CAPITALIZE, out);
}

/* ---------------------------------------------------------------- strip */

static bool in_set(struct str set, uint32_t c)
{
    int n;
    for (size_t at = 0; at < set.len; at += (size_t)n)
        if (j_char_at(set, at, &n) == c)
            return true;
    return false;
}

static bool strip(struct run *r, struct value self, struct value chars, bool left, bool right, struct value *out)
{
    struct str s = j_str(self), set = { "", 0 };
    size_t from = 0, to = s.len;
    int n;
    bool space = chars.kind == J_MISSING || chars.kind == J_NONE;
    if (!space && chars.kind != J_STRING)
        return j_fail(r, "%s arg must be None or str", left && right ? "strip" : left ? "lstrip" : "rstrip");
    if (!space)
        set = j_str(chars);
    while (left && from < to) {
        uint32_t c = j_char_at(s, from, &n);
        if (!(space ? j_is_space(c) : in_set(set, c)))
            break;
        from += (size_t)n;
    }
    while (right && to > from) {
        uint32_t c = j_char_before(s, to, &n);
        if (!(space ? j_is_space(c) : in_set(set, c)))
            break;
        to -= (size_t)n;
    }
    return j_spend(r, (s.len - (to - from)) * (1 + set.len) / 8) && j_sub(r, self, from, to - from, out);
}

static bool str_strip(struct run *r, struct value self, struct value *a, struct value *out)
{
    return strip(r, self, a[0], true, true, out);
}

static bool str_lstrip(struct run *r, struct value self, struct value *a, struct value *out)
{
    return strip(r, self, a[0], true, false, out);
}

static bool str_rstrip(struct run *r, struct value self, struct value *a, struct value *out)
{
    return strip(r, self, a[0], false, true, out);
}

/* ---------------------------------------------------------------- searching */

/* First place of `what` in [from, to), or -1. */
static int64_t find(struct str s, struct str what, size_t from, size_t to)
{
    if (what.len == 0)
        return from <= to ? (int64_t)from : -1;
    while (from + what.len <= to) {
        const char *hit = memchr(s.ptr + from, what.ptr[0], to - from - what.len + 1);
        if (!hit)
            return -1;
        if (memcmp(hit, what.ptr, what.len) == 0)
            return hit - s.ptr;
        from = (size_t)(hit - s.ptr) + 1;
    }
    return -1;
}

static int64_t find_last(struct str s, struct str what, size_t from, size_t to)
{
    for (size_t at = to; at >= from + what.len; at--)
        if (memcmp(s.ptr + at - what.len, what.ptr, what.len) == 0)
            return (int64_t)(at - what.len);
    return -1;
}

/* Bytes [from, to) of the characters that start and end name, as slices do. */
static bool range_of(struct run *r, struct value self, const struct value *bounds, size_t *from, size_t *to,
                     bool *empty)
{
    int64_t n = j_chars(self.s), at[2] = { 0, n };
    for (int i = 0; i < 2; i++) {
        if (bounds[i].kind == J_MISSING || bounds[i].kind == J_NONE)
            continue;
        if (!j_is_whole(bounds[i]))
            return j_fail(r, "slice indices must be integers or None or have an __index__ method");
        at[i] = j_whole(bounds[i]);
        if (at[i] < 0)
            at[i] = at[i] < -n ? 0 : at[i] + n;
    }
    *empty = at[0] > n || at[0] > at[1];
    *from = j_char_offset(self.s, at[0] > n ? n : at[0]);
    *to = j_char_offset(self.s, at[1] > n ? n : at[1]);
    return j_spend(r, self.s->len / 64);
}

static bool find_any(struct run *r, struct value self, struct value *a, bool last, bool must, struct value *out)
{
    size_t from, to;
    bool empty;
    if (!want_text(r, a[0], "argument") || !range_of(r, self, a + 1, &from, &to, &empty))
        return false;
    if (!j_spend(r, (to - min_size(from, to)) / 16 * (a[0].s->len / 64 + 1)))
        return false;
    int64_t at = empty ? -1 : last ? find_last(j_str(self), j_str(a[0]), from, to)
                                   : find(j_str(self), j_str(a[0]), from, to);
    if (at < 0 && must)
        return j_fail(r, "substring not found");
    if (at > 0) {
        struct text head = { .ptr = self.s->ptr, .len = (size_t)at, .n_chars = -1 };
        at = j_chars(&head);
    }
    *out = j_int(at);
    return true;
}

static bool str_find(struct run *r, struct value self, struct value *a, struct value *out)
{
    return find_any(r, self, a, false, false, out);
}

static bool str_rfind(struct run *r, struct value self, struct value *a, struct value *out)
{
    return find_any(r, self, a, true, false, out);
}

static bool str_index(struct run *r, struct value self, struct value *a, struct value *out)
{
    return find_any(r, self, a, false, true, out);
}

static bool str_rindex(struct run *r, struct value self, struct value *a, struct value *out)
{
    return find_any(r, self, a, true, true, out);
}

static bool str_count(struct run *r, struct value self, struct value *a, struct value *out)
{
    size_t from, to;
    bool empty;
    int64_t n = 0;
    if (!want_text(r, a[0], "argument") || !range_of(r, self, a + 1, &from, &to, &empty))
        return false;
    struct text part = { .ptr = self.s->ptr + from, .len = empty ? 0 : to - from, .n_chars = -1 };
    if (a[0].s->len == 0) {
        *out = j_int(empty ? 0 : j_chars(&part) + 1);
        return true;
    }
    for (int64_t at = (int64_t)from; !empty; n++, at += (int64_t)a[0].s->len) {
        at = find(j_str(self), j_str(a[0]), (size_t)at, to);
        if (at < 0)
            break;
        if (!j_spend(r, 1))
            return false;
    }
    *out = j_int(n);
    return true;
}

static bool affix(struct run *r, struct value self, struct value *a, bool start, struct value *out)
{
    size_t from, to, n = 1;
    bool empty, yes = false;
    const struct value *items = &a[0];
    const char *name = start ? "startswith" : "endswith";
    if (a[0].kind == J_TUPLE) {
        items = a[0].list->items;
        n = a[0].list->n;
    }
    if (!range_of(r, self, a + 1, &from, &to, &empty))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (items[i].kind != J_STRING)
            return a[0].kind == J_TUPLE
                     ? j_fail(r, "tuple for %s must only contain str, not %s", name, j_type_name(items[i]))
                     : j_fail(r, "%s first arg must be str or a tuple of str, not %s", name, j_type_name(items[i]));
        size_t len = items[i].s->len;
        if (!empty && len <= to - from)
            yes |= memcmp(self.s->ptr + (start ? from : to - len), items[i].s->ptr, len) == 0;
    }
    *out = j_bool(yes);
    return true;
}

static bool str_startswith(struct run *r, struct value self, struct value *a, struct value *out)
{
    return affix(r, self, a, true, out);
}

static bool str_endswith(struct run *r, struct value self, struct value *a, struct value *out)
{
    return affix(r, self, a, false, out);
}

/* ---------------------------------------------------------------- splitting and joining */

static bool push_part(struct run *r, struct list *l, struct value self, size_t from, size_t to)
{
    struct value part;
    return j_sub(r, self, from, to - from, &part) && j_push(r, l, part);
}

static bool split_space(struct run *r, struct value self, int64_t most, struct list *l)
{
    struct str s = j_str(self);
    int n;
    for (size_t at = 0;; most--) {
        while (at < s.len && j_is_space(j_char_at(s, at, &n)))
            at += (size_t)n;
        size_t end = at;
        if (at == s.len)
            return true;
        if (most == 0) {
            for (end = s.len; j_is_space(j_char_before(s, end, &n));)
                end -= (size_t)n;
            return push_part(r, l, self, at, end);
        }
        while (end < s.len && !j_is_space(j_char_at(s, end, &n)))
            end += (size_t)n;
        if (!push_part(r, l, self, at, end))
            return false;
        at = end;
    }
}

static bool rsplit_space(struct run *r, struct value self, int64_t most, struct list *l)
{
    struct str s = j_str(self);
    int n;
    for (size_t at = s.len;; most--) {
        while (at > 0 && j_is_space(j_char_before(s, at, &n)))
            at -= (size_t)n;
        size_t from = at;
        if (at == 0)
            return true;
        if (most == 0) {
            for (from = 0; j_is_space(j_char_at(s, from, &n));)
                from += (size_t)n;
            return push_part(r, l, self, from, at);
        }
        while (from > 0 && !j_is_space(j_char_before(s, from, &n)))
            from -= (size_t)n;
        if (!push_part(r, l, self, from, at))
            return false;
        at = from;
    }
}

static void turn_around(struct list *l)
{
    for (size_t i = 0; i + 1 < l->n - i; i++) {
        struct value v = l->items[i];
        l->items[i] = l->items[l->n - 1 - i];
        l->items[l->n - 1 - i] = v;
    }
}

static bool split(struct run *r, struct value self, struct value *a, bool right, struct value *out)
{
    int64_t most = -1, hit;
    struct str s = j_str(self);
    if (!j_list(r, J_LIST, 0, out) || (a[1].kind != J_MISSING && !want_int(r, a[1], &most)))
        return false;
    if (!j_spend(r, s.len / 32))
        return false;
    if (a[0].kind == J_MISSING || a[0].kind == J_NONE) {
        bool ok = right ? rsplit_space(r, self, most, out->list) : split_space(r, self, most, out->list);
        if (right && out->list->n)
            turn_around(out->list);
        return ok;
    }
    if (!want_text(r, a[0], "sep") || a[0].s->len == 0)
        return j_fail(r, "empty separator");
    size_t from = 0, to = s.len, n = a[0].s->len;
    for (; most != 0; most--) {
        hit = right ? find_last(s, j_str(a[0]), 0, to) : find(s, j_str(a[0]), from, to);
        if (hit < 0)
            break;
        if (right ? !push_part(r, out->list, self, (size_t)hit + n, to)
                  : !push_part(r, out->list, self, from, (size_t)hit))
            return false;
        from = right ? 0 : (size_t)hit + n;
        to = right ? (size_t)hit : to;
    }
    if (!push_part(r, out->list, self, from, to))
        return false;
    if (right)
        turn_around(out->list);
    return true;
}

static bool str_split(struct run *r, struct value self, struct value *a, struct value *out)
{
    return split(r, self, a, false, out);
}

static bool str_rsplit(struct run *r, struct value self, struct value *a, struct value *out)
{
    return split(r, self, a, true, out);
}

static bool is_line_end(uint32_t c)
{
    return (c >= 10 && c <= 13) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

static bool str_splitlines(struct run *r, struct value self, struct value *a, struct value *out)
{
    struct str s = j_str(self);
    bool keep = j_truth(a[0]);
    int n;
    if (!j_list(r, J_LIST, 0, out) || !j_spend(r, s.len / 32))
        return false;
    for (size_t at = 0, from = 0; at <= s.len; at += (size_t)n) {
        if (at == s.len)
            return from == at || push_part(r, out->list, self, from, at);
        uint32_t c = j_char_at(s, at, &n);
        if (!is_line_end(c))
            continue;
        size_t end = at;
        if (c == '\r' && at + 1 < s.len && s.ptr[at + 1] == '\n')
            n = 2;
        if (!push_part(r, out->list, self, from, keep ? end + (size_t)n : end))
            return false;
        from = at + (size_t)n;
    }
    return true;
}

static bool partition(struct run *r, struct value self, struct value *a, bool last, struct value *out)
{
    if (!want_text(r, a[0], "argument") || !j_list(r, J_TUPLE, 3, out))
        return false;
    if (a[0].s->len == 0)
        return j_fail(r, "empty separator");
    struct str s = j_str(self);
    int64_t hit = last ? find_last(s, j_str(a[0]), 0, s.len) : find(s, j_str(a[0]), 0, s.len);
    size_t n = a[0].s->len, from = last ? 0 : s.len, to = last ? 0 : s.len;
    if (hit >= 0) {
        from = (size_t)hit;
        to = (size_t)hit + n;
    }
    return j_spend(r, s.len / 64) && push_part(r, out->list, self, 0, from) && push_part(r, out->list, self, from, to)
        && push_part(r, out->list, self, to, s.len);
}

static bool str_partition(struct run *r, struct value self, struct value *a, struct value *out)
{
    return partition(r, self, a, false, out);
}

static bool str_rpartition(struct run *r, struct value self, struct value *a, struct value *out)
{
    return partition(r, self, a, true, out);
}

static bool str_join(struct run *r, struct value self, struct value *a, struct value *out)
{
    struct growing g = { 0 };
    struct iter it;
    struct value v;
    bool got = true;
    if (a[0].kind < J_STRING && a[0].kind != J_UNDEFINED)
        return j_fail(r, "can only join an iterable");
    if (!j_iter(r, a[0], &it))
        return false;
    for (size_t i = 0;; i++) {
        if (!j_next(r, &it, &v, &got))
            return false;
        if (!got)
            break;
        if (v.kind != J_STRING)
            return j_fail(r, "sequence item %zu: expected str instance, %s found", i, j_type_name(v));
        if (self.s->markup && !j_escape(r, v, &v))
            return false;
        if ((i && !j_put_text(r, &g, self.s)) || !j_put_text(r, &g, v.s))
            return false;
    }
    if (!j_built(r, &g, out))
        return false;
    out->s->markup = self.s->markup;
    return true;
}

static bool str_replace(struct run *r, struct value self, struct value *a, struct value *out)
{
    struct growing g = { 0 };
    struct str s = j_str(self);
    int64_t most = -1, hit;
    int n;
    for (int i = 0; i < 2; i++)
        if (a[i].kind != J_STRING)
            return j_fail(r, "replace() argument %d must be str, not %s", i + 1, j_type_name(a[i]));
    if (a[2].kind != J_MISSING && !want_int(r, a[2], &most))
        return false;
    if (self.s->markup && (!j_escape(r, a[0], &a[0]) || !j_escape(r, a[1], &a[1])))
        return false;
    size_t from = 0;
    for (; most != 0; most--) {
        if (a[0].s->len == 0) {
            if (!j_put_text(r, &g, a[1].s))
                return false;
            if (from == s.len)
                break;
            j_char_at(s, from, &n);
            if (!j_put_part(r, &g, self.s, from, (size_t)n))
                return false;
            from += (size_t)n;
            continue;
        }
        hit = find(s, j_str(a[0]), from, s.len);
        if (hit < 0)
            break;
        if (!j_put_part(r, &g, self.s, from, (size_t)hit - from) || !j_put_text(r, &g, a[1].s) || !j_spend(r, 1))
            return false;
        from = (size_t)hit + a[0].s->len;
    }
    if (!j_put_part(r, &g, self.s, from, s.len - from) || !j_built(r, &g, out))
        return false;
    out->s->markup = self.s->markup;
    return true;
}

static bool remove_affix(struct run *r, struct value self, struct value *a, bool start, struct value *out)
{
    if (!want_text(r, a[0], "argument"))
        return false;
    size_t n = a[0].s->len, len = self.s->len;
    bool has = n <= len && memcmp(self.s->ptr + (start ? 0 : len - n), a[0].s->ptr, n) == 0;
    return j_sub(r, self, has && start ? n : 0, has ? len - n : len, out);
}

static bool str_removeprefix(struct run *r, struct value self, struct value *a, struct value *out)
{
    return remove_affix(r, self, a, true, out);
}

static bool str_removesuffix(struct run *r, struct value self, struct value *a, struct value *out)
{
    return remove_affix(r, self, a, false, out);
}

/* ---------------------------------------------------------------- padding */

static bool pad_to(struct run *r, struct value self, struct value *a, char how, struct value *out)
{
    struct growing g = { 0 };
    int64_t width = 0, n = j_chars(self.s);
    struct value fill;
    if (!want_int(r, a[0], &width) || !j_literal(r, " ", &fill))
        return false;
    if (a[1].kind != J_MISSING)
        fill = a[1];
    if (fill.kind != J_STRING || j_chars(fill.s) != 1)
        return j_fail(r, "The fill character must be exactly one character long");
    int64_t room = width > n ? width - n : 0;
    int64_t left = how == '<' ? 0 : how == '>' ? room : room / 2 + (room & width & 1);
    for (int64_t i = 0; i < room; i++) {
        if (i == left && !j_put_text(r, &g, self.s))
            return false;
        if (!j_spend(r, 1) || !j_put_text(r, &g, fill.s))
            return false;
    }
    return (left < room || j_put_text(r, &g, self.s)) && j_built(r, &g, out);
}

static bool str_center(struct run *r, struct value self, struct value *a, struct value *out)
{
    return pad_to(r, self, a, '^', out);
}

static bool str_ljust(struct run *r, struct value self, struct value *a, struct value *out)
{
    return pad_to(r, self, a, '<', out);
}

static bool str_rjust(struct run *r, struct value self, struct value *a, struct value *out)
{
    return pad_to(r, self, a, '>', out);
}

static bool str_zfill(struct run *r, struct value self, struct value *a, struct value *out)
{
    struct growing g = { 0 };
    int64_t width = 0;
    if (!want_int(r, a[0], &width))
        return false;
    size_t sign = self.s->len && (self.s->ptr[0] == '-' || self.s->ptr[0] == '+');
    if (!j_put_part(r, &g, self.s, 0, sign))
        return false;
    for (int64_t i = j_chars(self.s); i < width; i++)
        if (!j_spend(r, 1) || !j_puts(r, &g, "0", false))
            return false;
    return j_put_part(r, &g, self.s, sign, self.s->len - sign) && j_built(r, &g, out);
}

/* ---------------------------------------------------------------- what kind of characters */

typedef bool (*char_test)(uint32_t c);

static bool is_alpha(uint32_t c)
{
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}
static bool is_decimal(uint32_t c) { return utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_ND; }
static bool is_digit(uint32_t c)
{
    return is_decimal(c) || c == 0xb2 || c == 0xb3 || c == 0xb9 || c == 0x2070 || (c >= 0x2074 && c <= 0x2079)
        || (c >= 0x2080 && c <= 0x2089) || (c >= 0x2460 && c <= 0x2468);
}
static bool is_numeric(uint32_t c)
{
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return k == UTF8PROC_CATEGORY_ND || k == UTF8PROC_CATEGORY_NL || k == UTF8PROC_CATEGORY_NO;
}
static bool is_alnum(uint32_t c) { return is_alpha(c) || is_numeric(c); }
static bool is_ascii(uint32_t c) { return c < 0x80; }

static bool every(struct run *r, struct value self, char_test test, bool if_empty, struct value *out)
{
    struct str s = j_str(self);
    bool yes = s.len != 0 || if_empty;
    int n;
    for (size_t at = 0; yes && at < s.len; at += (size_t)n)
        yes = test(j_char_at(s, at, &n));
    *out = j_bool(yes);
    return j_spend(r, s.len / 16);
}

#define EVERY(name, test, if_empty)                                                                                   \
    static bool name(struct run *r, struct value self, struct value *a, struct value *out)                            \
    {                                                                                                                 \
        (void)a;                                                                                                      \
        return every(r, self, test, if_empty, out);                                                                   \
    }
EVERY(str_isalpha, is_alpha, false)
EVERY(str_isalnum, is_alnum, false)
EVERY(str_isdecimal, is_decimal, false)
EVERY(str_isdigit, is_digit, false)
EVERY(str_isnumeric, is_numeric, false)
EVERY(str_isspace, j_is_space, false)
EVERY(str_isprintable, j_is_printable, true)
EVERY(str_isascii, is_ascii, true)

/* Cased characters only of this case, and at least one. */
static bool one_case(struct run *r, struct value self, bool upper, struct value *out)
{
    struct str s = j_str(self);
    bool yes = false;
    int n;
    *out = j_bool(false);
    for (size_t at = 0; at < s.len; at += (size_t)n) {
        uint32_t c = j_char_at(s, at, &n);
        utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
        if (k == UTF8PROC_CATEGORY_LT || k == (upper ? UTF8PROC_CATEGORY_LL : UTF8PROC_CATEGORY_LU))
            return j_spend(r, s.len / 16);
        yes |= k == (upper ? UTF8PROC_CATEGORY_LU : UTF8PROC_CATEGORY_LL);
    }
    *out = j_bool(yes);
    return j_spend(r, s.len / 16);
}

static bool str_isupper(struct run *r, struct value self, struct value *a, struct value *out)
{
    (void)a;
    return one_case(r, self, true, out);
}

static bool str_islower(struct run *r, struct value self, struct value *a, struct value *out)
{
    (void)a;
    return one_case(r, self, false, out);
}

static bool str_istitle(struct run *r, struct value self, struct value *a, struct value *out)
{
    struct str s = j_str(self);
    bool inside = false, any = false, ok = true;
    int n;
    (void)a;
    for (size_t at = 0; ok && at < s.len; at += (size_t)n) {
        uint32_t c = j_char_at(s, at, &n);
        utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
        bool upper = k == UTF8PROC_CATEGORY_LU || k == UTF8PROC_CATEGORY_LT, lower = k == UTF8PROC_CATEGORY_LL;
        ok = !(upper && inside) && !(lower && !inside);
        inside = upper || lower;
        any |= inside;
    }
    *out = j_bool(ok && any);
    return j_spend(r, s.len / 16);
}

static bool str_format_map(struct run *r, struct value self, struct value *a, struct value *out)
{
    struct args args = { 0 };
    if (a[0].kind != J_DICT)
        return j_fail(r, "format_map() wants a mapping, not %s", j_type_name(a[0]));
    args.names = j_array(r, struct str, a[0].dict->n);
    args.named = j_array(r, struct value, a[0].dict->n);
    if (!args.names || !args.named)
        return false;
    for (size_t i = 0; i < a[0].dict->n; i++) {
        if (a[0].dict->entries[i].key.kind != J_STRING)
            continue;
        args.names[args.n_named] = j_str(a[0].dict->entries[i].key);
        args.named[args.n_named++] = a[0].dict->entries[i].value;
    }
    return j_format(r, self, &args, out);
}

/* ---------------------------------------------------------------- dicts and lists */

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

static bool dict_items(struct run *r, struct value self, struct value *a, struct value *out)
{
    (void)a;
    return view(r, self, 2, out);
}

static bool dict_keys(struct run *r, struct value self, struct value *a, struct value *out)
{
    (void)a;
    return view(r, self, 0, out);
}

static bool dict_values(struct run *r, struct value self, struct value *a, struct value *out)
{
    (void)a;
    return view(r, self, 1, out);
}

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

static bool int_bit_length(struct run *r, struct value self, struct value *a, struct value *out)
{
    int64_t n = 0, x = j_whole(self);
    (void)r;
    (void)a;
    for (uint64_t u = x < 0 ? 0 - (uint64_t)x : (uint64_t)x; u; u >>= 1)
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

/* ---------------------------------------------------------------- the tables */

static const struct method_row str_methods[] = {
    { "capitalize", "", str_capitalize, NULL },
    { "casefold", NULL, NULL, NULL },
    { "center", "width |fillchar", str_center, NULL },
    { "count", "sub |start end", str_count, NULL },
    { "encode", NULL, NULL, NULL },
    { "endswith", "suffix |start end", str_endswith, NULL },
    { "expandtabs", NULL, NULL, NULL },
    { "find", "sub |start end", str_find, NULL },
    { "format", NULL, NULL, j_format },
    { "format_map", "mapping", str_format_map, NULL },
    { "index", "sub |start end", str_index, NULL },
    { "isalnum", "", str_isalnum, NULL },
    { "isalpha", "", str_isalpha, NULL },
    { "isascii", "", str_isascii, NULL },
    { "isdecimal", "", str_isdecimal, NULL },
    { "isdigit", "", str_isdigit, NULL },
    { "isidentifier", NULL, NULL, NULL },
    { "islower", "", str_islower, NULL },
    { "isnumeric", "", str_isnumeric, NULL },
    { "isprintable", "", str_isprintable, NULL },
    { "isspace", "", str_isspace, NULL },
    { "istitle", "", str_istitle, NULL },
    { "isupper", "", str_isupper, NULL },
    { "join", "iterable", str_join, NULL },
    { "ljust", "width |fillchar", str_ljust, NULL },
    { "lower", "", str_lower, NULL },
    { "lstrip", "|chars", str_lstrip, NULL },
    { "maketrans", NULL, NULL, NULL },
    { "partition", "sep", str_partition, NULL },
    { "removeprefix", "prefix", str_removeprefix, NULL },
    { "removesuffix", "suffix", str_removesuffix, NULL },
    { "replace", "old new |count", str_replace, NULL },
    { "rfind", "sub |start end", str_rfind, NULL },
    { "rindex", "sub |start end", str_rindex, NULL },
    { "rjust", "width |fillchar", str_rjust, NULL },
    { "rpartition", "sep", str_rpartition, NULL },
    { "rsplit", "|sep maxsplit", str_rsplit, NULL },
    { "rstrip", "|chars", str_rstrip, NULL },
    { "split", "|sep maxsplit", str_split, NULL },
    { "splitlines", "|keepends", str_splitlines, NULL },
    { "startswith", "prefix |start end", str_startswith, NULL },
    { "strip", "|chars", str_strip, NULL },
    { "swapcase", "", str_swapcase, NULL },
    { "title", "", str_title, NULL },
    { "translate", NULL, NULL, NULL },
    { "upper", "", str_upper, NULL },
    { "zfill", "width", str_zfill, NULL },
};

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

static const struct method_row int_methods[] = {
    { "bit_length", "", int_bit_length, NULL },  { "as_integer_ratio", NULL, NULL, NULL },
    { "bit_count", NULL, NULL, NULL },           { "conjugate", NULL, NULL, NULL },
    { "denominator", NULL, NULL, NULL },         { "from_bytes", NULL, NULL, NULL },
    { "imag", NULL, NULL, NULL },                { "numerator", NULL, NULL, NULL },
    { "real", NULL, NULL, NULL },                { "to_bytes", NULL, NULL, NULL },
};

static const struct method_row float_methods[] = {
    { "is_integer", "", float_is_integer, NULL }, { "as_integer_ratio", NULL, NULL, NULL },
    { "conjugate", NULL, NULL, NULL },            { "fromhex", NULL, NULL, NULL },
    { "hex", NULL, NULL, NULL },                  { "imag", NULL, NULL, NULL },
    { "real", NULL, NULL, NULL },
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

const struct method_row *j_find_method(struct value v, struct str name, bool *forbidden)
{
#define TABLE(kind, table) [kind] = { table, ARRAY_LEN(table) }
    static const struct { const struct method_row *rows; size_t n; } tables[] = {
        TABLE(J_STRING, str_methods), TABLE(J_DICT, dict_methods), TABLE(J_LIST, list_methods),
        TABLE(J_TUPLE, tuple_methods), TABLE(J_INT, int_methods), TABLE(J_BOOL, int_methods),
        TABLE(J_FLOAT, float_methods), TABLE(J_CYCLER, cycler_methods), TABLE(J_LOOP, loop_methods) };
#undef TABLE
    *forbidden = v.kind != J_LOOP && name.len > 4 && name.ptr[0] == '_'
              && listed(object_forbidden, ARRAY_LEN(object_forbidden), name);
    *forbidden |= v.kind == J_DICT && listed(dict_forbidden, ARRAY_LEN(dict_forbidden), name);
    *forbidden |= v.kind == J_LIST && listed(list_forbidden, ARRAY_LEN(list_forbidden), name);
    for (size_t i = 0; v.kind < ARRAY_LEN(tables) && i < tables[v.kind].n; i++)
        if (str_eq_z(name, tables[v.kind].rows[i].name))
            return &tables[v.kind].rows[i];
    return NULL;
}
