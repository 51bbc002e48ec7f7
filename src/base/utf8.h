/* utf8.h: well-formed UTF-8, as Unicode's table 3-7 defines it. */
#pragma once
#include "base/base.h"

/* Length 1..4 of the well-formed character that starts at p[0], n > 0 bytes being left.
 * 0: ill-formed there; *ill_formed (may be NULL) is then the length of the maximal part that
 * one U+FFFD replaces, and *cut_off says that more bytes could still make it a character. */
static inline int utf8_length(const uint8_t *p, size_t n, int *ill_formed, bool *cut_off)
{
    int want = 0, have = 1;
    uint8_t low = 0x80, high = 0xbf; /* allowed range of the second byte */
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        want = 2;
    } else if (p[0] >= 0xe0 && p[0] <= 0xef) {
        want = 3;
        low = p[0] == 0xe0 ? 0xa0 : 0x80;
        high = p[0] == 0xed ? 0x9f : 0xbf;
    } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        want = 4;
        low = p[0] == 0xf0 ? 0x90 : 0x80;
        high = p[0] == 0xf4 ? 0x8f : 0xbf;
    }
    while (have < want && (size_t)have < n && p[have] >= low && p[have] <= high) {
        have++;
        low = 0x80;
        high = 0xbf;
    }
    if (have == want)
        return want;
    if (ill_formed)
        *ill_formed = have;
    if (cut_off)
        *cut_off = want != 0 && (size_t)have == n;
    return 0;
}

static inline bool utf8_valid(struct str s)
{
    for (size_t at = 0; at < s.len;) {
        int n = utf8_length((const uint8_t *)s.ptr + at, s.len - at, NULL, NULL);
        if (n == 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

/* Code point of the well-formed character of this length at p. */
static inline uint32_t utf8_code_point(const uint8_t *p, int length)
{
    switch (length) {
    case 1: return p[0];
    case 2: return (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
    case 3: return (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
    default: return (p[0] & 0x07u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
    }
}

/* Bytes from `at` on that are all well-formed (*valid) or all ill-formed. */
static inline size_t utf8_run(struct str s, size_t at, bool *valid)
{
    const uint8_t *p = (const uint8_t *)s.ptr;
    size_t end = at;
    *valid = utf8_length(p + at, s.len - at, NULL, NULL) > 0;
    while (end < s.len) {
        int bad = 0;
        int length = utf8_length(p + end, s.len - end, &bad, NULL);
        if ((length > 0) != *valid)
            break;
        end += (size_t)(length > 0 ? length : bad);
    }
    return end - at;
}
