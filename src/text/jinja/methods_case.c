/* methods_case.c: upper and lower case of strings, and what kind of characters they hold. */
#include <utf8proc.h>

#include "text/jinja/methods.h"

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

/* What to do with c: UPPER, LOWER or TITLE. */
static enum casing case_of(enum casing how, uint32_t c, bool first, bool inside)
{
    switch (how) {
    case TITLE: return inside ? LOWER : TITLE;
    case CAPITALIZE: return first ? TITLE : LOWER;
    case SWAP: return utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_LU ? LOWER : UPPER;
    default: return how;
    }
}

static bool is_ascii_letter(uint32_t c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; }

bool m_change_case(struct run *r, struct value self, enum casing how, struct value *out)
{
    struct growing g = { 0 };
    struct str s = j_str(self);
    uint32_t to[3];
    char ascii[64]; /* written together: most text is */
    size_t n_ascii = 0;
    bool inside = false;
    int n;
    for (size_t at = 0; at < s.len; at += (size_t)n) {
        uint32_t c = j_char_at(s, at, &n);
        enum casing now = case_of(how, c, at == 0, inside);
        bool taint = j_taint_at(self.s, at);
        inside = c < 0x80 ? is_ascii_letter(c) : j_cased(c);
        if (c < 0x80) {
            ascii[n_ascii++] = (char)(!inside ? c : now == LOWER ? (c | 32) : (c & ~32u));
            bool more = n_ascii < sizeof ascii && at + 1 < s.len && (uint8_t)s.ptr[at + 1] < 0x80
                     && j_taint_at(self.s, at + 1) == taint;
            if (!more && !j_put(r, &g, ascii, n_ascii, taint))
                return false;
            n_ascii = more ? n_ascii : 0;
            continue;
        }
        size_t count = now == UPPER ? j_upper(c, to) : now == LOWER ? j_lower(c, to) : j_title(c, to);
        if (now == LOWER && c == 0x3a3 && is_final_sigma(s, at))
            to[0] = 0x3c2;
        for (size_t i = 0; i < count; i++)
            if (!j_put_char(r, &g, to[i], taint))
                return false;
    }
    if (!j_spend(r, s.len / 16) || !j_built(r, &g, out))
        return false;
    out->s->markup = self.s->markup;
    return true;
}

/* ---------------------------------------------------------------- what kind of characters */

bool m_is_alpha(uint32_t c)
{
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}
bool m_is_decimal(uint32_t c) { return utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_ND; }
bool m_is_digit(uint32_t c)
{
    return m_is_decimal(c) || c == 0xb2 || c == 0xb3 || c == 0xb9 || c == 0x2070 || (c >= 0x2074 && c <= 0x2079)
        || (c >= 0x2080 && c <= 0x2089) || (c >= 0x2460 && c <= 0x2468);
}
bool m_is_numeric(uint32_t c)
{
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return k == UTF8PROC_CATEGORY_ND || k == UTF8PROC_CATEGORY_NL || k == UTF8PROC_CATEGORY_NO;
}
bool m_is_alnum(uint32_t c) { return m_is_alpha(c) || m_is_numeric(c); }
bool m_is_ascii(uint32_t c) { return c < 0x80; }

bool m_every(struct run *r, struct value self, char_test test, bool if_empty, struct value *out)
{
    struct str s = j_str(self);
    bool yes = s.len != 0 || if_empty;
    int n;
    for (size_t at = 0; yes && at < s.len; at += (size_t)n)
        yes = test(j_char_at(s, at, &n));
    *out = j_bool(yes);
    return j_spend(r, s.len / 16);
}

/* Cased characters only of this case, and at least one. */
bool m_one_case(struct run *r, struct value self, bool upper, struct value *out)
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

bool m_is_title(struct run *r, struct value self, struct value *out)
{
    struct str s = j_str(self);
    bool inside = false, any = false, ok = true;
    int n;
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
