/* methods_str.c: the methods of strings; searching is in methods_find.c, case in methods_case.c. */
#include <string.h>

#include "text/jinja/methods.h"

bool m_want_text(struct run *r, struct value v, const char *what)
{
    return v.kind == J_STRING || j_fail(r, "%s must be str, not %s", what, j_type_name(v));
}

bool m_want_int(struct run *r, struct value v, int64_t *out)
{
    if (!j_is_whole(v))
        return j_fail(r, "'%s' object cannot be interpreted as an integer", j_type_name(v));
    *out = j_whole(v);
    return true;
}

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
    uint64_t each = 1 + set.len / 8; /* steps for 8 characters */
    while (left && from < to) {
        uint32_t c = j_char_at(s, from, &n);
        if (!(space ? j_is_space(c) : in_set(set, c)))
            break;
        from += (size_t)n;
        if (from % 8 < (size_t)n && !j_spend(r, each))
            return false;
    }
    while (right && to > from) {
        uint32_t c = j_char_before(s, to, &n);
        if (!(space ? j_is_space(c) : in_set(set, c)))
            break;
        to -= (size_t)n;
        if (to % 8 < (size_t)n && !j_spend(r, each))
            return false;
    }
    return j_sub(r, self, from, to - from, out);
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
    if (a[2].kind != J_MISSING && !m_want_int(r, a[2], &most))
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
        hit = j_place(r, s, j_str(a[0]), from, s.len);
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
    if (!m_want_text(r, a[0], "argument"))
        return false;
    size_t n = a[0].s->len, len = self.s->len;
    bool has = n <= len && memcmp(self.s->ptr + (start ? 0 : len - n), a[0].s->ptr, n) == 0;
    return j_sub(r, self, has && start ? n : 0, has ? len - n : len, out);
}

static bool pad_to(struct run *r, struct value self, struct value *a, char how, struct value *out)
{
    struct growing g = { 0 };
    int64_t width = 0, n = j_chars(self.s);
    struct value fill;
    if (!m_want_int(r, a[0], &width) || !j_literal(r, " ", &fill))
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

static bool str_zfill(struct run *r, struct value self, struct value *a, struct value *out)
{
    struct growing g = { 0 };
    int64_t width = 0;
    if (!m_want_int(r, a[0], &width))
        return false;
    size_t sign = self.s->len && (self.s->ptr[0] == '-' || self.s->ptr[0] == '+');
    if (!j_put_part(r, &g, self.s, 0, sign))
        return false;
    for (int64_t i = j_chars(self.s); i < width; i++)
        if (!j_spend(r, 1) || !j_puts(r, &g, "0", false))
            return false;
    return j_put_part(r, &g, self.s, sign, self.s->len - sign) && j_built(r, &g, out);
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

/* ---------------------------------------------------------------- the table */

METHOD(str_capitalize, m_change_case(r, self, CAPITALIZE, out))
METHOD(str_lower, m_change_case(r, self, LOWER, out))
METHOD(str_swapcase, m_change_case(r, self, SWAP, out))
METHOD(str_title, m_change_case(r, self, TITLE, out))
METHOD(str_upper, m_change_case(r, self, UPPER, out))
METHOD(str_isalnum, m_every(r, self, m_is_alnum, false, out))
METHOD(str_isalpha, m_every(r, self, m_is_alpha, false, out))
METHOD(str_isascii, m_every(r, self, m_is_ascii, true, out))
METHOD(str_isdecimal, m_every(r, self, m_is_decimal, false, out))
METHOD(str_isdigit, m_every(r, self, m_is_digit, false, out))
METHOD(str_isnumeric, m_every(r, self, m_is_numeric, false, out))
METHOD(str_isprintable, m_every(r, self, j_is_printable, true, out))
METHOD(str_isspace, m_every(r, self, j_is_space, false, out))
METHOD(str_islower, m_one_case(r, self, false, out))
METHOD(str_isupper, m_one_case(r, self, true, out))
METHOD(str_istitle, m_is_title(r, self, out))
METHOD(str_strip, strip(r, self, a[0], true, true, out))
METHOD(str_lstrip, strip(r, self, a[0], true, false, out))
METHOD(str_rstrip, strip(r, self, a[0], false, true, out))
METHOD(str_find, m_find(r, self, a, false, false, out))
METHOD(str_rfind, m_find(r, self, a, true, false, out))
METHOD(str_index, m_find(r, self, a, false, true, out))
METHOD(str_rindex, m_find(r, self, a, true, true, out))
METHOD(str_startswith, m_affix(r, self, a, true, out))
METHOD(str_endswith, m_affix(r, self, a, false, out))
METHOD(str_removeprefix, remove_affix(r, self, a, true, out))
METHOD(str_removesuffix, remove_affix(r, self, a, false, out))
METHOD(str_split, m_split(r, self, a, false, out))
METHOD(str_rsplit, m_split(r, self, a, true, out))
METHOD(str_partition, m_partition(r, self, a, false, out))
METHOD(str_rpartition, m_partition(r, self, a, true, out))
METHOD(str_center, pad_to(r, self, a, '^', out))
METHOD(str_ljust, pad_to(r, self, a, '<', out))
METHOD(str_rjust, pad_to(r, self, a, '>', out))

static const struct method_row str_methods[] = {
    { "capitalize", "", str_capitalize, NULL },
    { "casefold", NULL, NULL, NULL },
    { "center", "width |fillchar", str_center, NULL },
    { "count", "sub |start end", m_count, NULL },
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
    { "splitlines", "|keepends", m_split_lines, NULL },
    { "startswith", "prefix |start end", str_startswith, NULL },
    { "strip", "|chars", str_strip, NULL },
    { "swapcase", "", str_swapcase, NULL },
    { "title", "", str_title, NULL },
    { "translate", NULL, NULL, NULL },
    { "upper", "", str_upper, NULL },
    { "zfill", "width", str_zfill, NULL },
};

struct method_table m_of_str(void) { return (struct method_table){ str_methods, ARRAY_LEN(str_methods) }; }
