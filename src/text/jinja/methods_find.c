/* methods_find.c: finding a text in a string, and cutting strings at it. */
#include <string.h>

#include "text/jinja/methods.h"

/* A near miss can cost as much as the text that is looked for is long: it is paid for as it happens. */
static bool is_at(struct run *r, const char *at, struct str what)
{
    return (what.len < 64 || j_spend(r, what.len / 64)) && memcmp(at, what.ptr, what.len) == 0;
}

int64_t j_place(struct run *r, struct str s, struct str what, size_t from, size_t to)
{
    size_t misses = 0;
    int64_t place = -1;
    if (what.len == 0 || from + what.len > to)
        return what.len == 0 && from <= to ? (int64_t)from : -1;
    for (size_t at = from, last = to - what.len; at <= last && place < 0 && !r->failed; at++, misses++) {
        const char *hit = memchr(s.ptr + at, what.ptr[0], last - at + 1);
        if (!hit)
            break;
        at = (size_t)(hit - s.ptr);
        if (is_at(r, hit, what))
            place = (int64_t)at;
    }
    size_t looked_at = (place < 0 ? to : (size_t)place) - from;
    return j_spend(r, looked_at / 64 + misses / 8) ? place : -1;
}

static int64_t last_place(struct run *r, struct str s, struct str what, size_t from, size_t to)
{
    int64_t place = -1;
    if (what.len == 0 || from + what.len > to)
        return what.len == 0 && from <= to ? (int64_t)to : -1;
    for (size_t n = to - what.len - from + 1; n > 0 && place < 0 && !r->failed; n--) {
        const char *at = s.ptr + from + n - 1;
        if (*at == what.ptr[0] && is_at(r, at, what))
            place = at - s.ptr;
    }
    return j_spend(r, (to - (place < 0 ? from : (size_t)place)) / 16) ? place : -1;
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

bool m_find(struct run *r, struct value self, struct value *a, bool last, bool must, struct value *out)
{
    size_t from, to;
    bool empty;
    if (!m_want_text(r, a[0], "argument") || !range_of(r, self, a + 1, &from, &to, &empty))
        return false;
    int64_t at = empty ? -1 : last ? last_place(r, j_str(self), j_str(a[0]), from, to)
                                   : j_place(r, j_str(self), j_str(a[0]), from, to);
    if (at < 0 && (must || r->failed))
        return j_fail(r, "substring not found");
    if (at > 0) {
        struct text head = { .ptr = self.s->ptr, .len = (size_t)at, .n_chars = -1 };
        at = j_chars(&head);
    }
    *out = j_int(at);
    return true;
}

bool m_count(struct run *r, struct value self, struct value *a, struct value *out)
{
    size_t from, to;
    bool empty;
    int64_t n = 0;
    if (!m_want_text(r, a[0], "argument") || !range_of(r, self, a + 1, &from, &to, &empty))
        return false;
    struct text part = { .ptr = self.s->ptr + from, .len = empty ? 0 : to - from, .n_chars = -1 };
    if (a[0].s->len == 0) {
        *out = j_int(empty ? 0 : j_chars(&part) + 1);
        return true;
    }
    for (int64_t at = (int64_t)from; !empty; n++, at += (int64_t)a[0].s->len) {
        at = j_place(r, j_str(self), j_str(a[0]), (size_t)at, to);
        if (at < 0)
            break;
    }
    *out = j_int(n);
    return j_spend(r, (uint64_t)n);
}

bool m_affix(struct run *r, struct value self, struct value *a, bool start, struct value *out)
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

/* ---------------------------------------------------------------- cutting */

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

bool m_split(struct run *r, struct value self, struct value *a, bool right, struct value *out)
{
    int64_t most = -1, hit;
    struct str s = j_str(self);
    if (!j_list(r, J_LIST, 0, out) || (a[1].kind != J_MISSING && !m_want_int(r, a[1], &most)))
        return false;
    if (!j_spend(r, s.len / 32))
        return false;
    if (a[0].kind == J_MISSING || a[0].kind == J_NONE) {
        bool ok = right ? rsplit_space(r, self, most, out->list) : split_space(r, self, most, out->list);
        if (right && out->list->n)
            turn_around(out->list);
        return ok;
    }
    if (!m_want_text(r, a[0], "sep") || a[0].s->len == 0)
        return j_fail(r, "empty separator");
    size_t from = 0, to = s.len, n = a[0].s->len;
    for (; most != 0; most--) {
        hit = right ? last_place(r, s, j_str(a[0]), 0, to) : j_place(r, s, j_str(a[0]), from, to);
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

static bool is_line_end(uint32_t c)
{
    return (c >= 10 && c <= 13) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

bool m_split_lines(struct run *r, struct value self, struct value *a, struct value *out)
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

bool m_partition(struct run *r, struct value self, struct value *a, bool last, struct value *out)
{
    if (!m_want_text(r, a[0], "argument") || !j_list(r, J_TUPLE, 3, out))
        return false;
    if (a[0].s->len == 0)
        return j_fail(r, "empty separator");
    struct str s = j_str(self);
    int64_t hit = last ? last_place(r, s, j_str(a[0]), 0, s.len) : j_place(r, s, j_str(a[0]), 0, s.len);
    size_t n = a[0].s->len, from = last ? 0 : s.len, to = last ? 0 : s.len;
    if (hit >= 0) {
        from = (size_t)hit;
        to = (size_t)hit + n;
    }
    return push_part(r, out->list, self, 0, from) && push_part(r, out->list, self, from, to)
        && push_part(r, out->list, self, to, s.len);
}
