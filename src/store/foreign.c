#include "store/foreign.h"

#include <string.h>

#include "base/utf8.h"

/* Control characters of one byte and of two (U+0080 to U+009F), the space too. */
static bool is_blank(const uint8_t *p, int length)
{
    return (length == 1 && (*p <= 0x20 || *p == 0x7f)) || (length == 2 && p[0] == 0xc2 && p[1] < 0xa0);
}

const char *foreign_line(char *out, size_t room, struct str text)
{
    static const char more[] = "...";
    const uint8_t *p = (const uint8_t *)text.ptr;
    size_t used = 0, cut = 0; /* cut: where `more` would still fit */
    bool blank = false;
    for (size_t i = 0; i < text.len;) {
        int bad = 0, length = utf8_length(p + i, text.len - i, &bad, NULL);
        const uint8_t *from = length > 0 ? p + i : (const uint8_t *)"?";
        bool skip = length > 0 && is_blank(from, length);
        size_t n = length > 0 ? (size_t)length : 1, gap = blank && used > 0;
        i += (size_t)(length > 0 ? length : bad);
        blank |= skip;
        if (skip)
            continue;
        if (used + gap + n >= room) {
            memcpy(out + cut, more, sizeof more);
            return out;
        }
        if (gap)
            out[used++] = ' ';
        memcpy(out + used, from, n);
        used += n;
        blank = false;
        if (used + sizeof more <= room)
            cut = used;
    }
    out[used] = 0;
    return out;
}

void foreign_hide(char *bytes, size_t n, const char *key)
{
    size_t n_key = key ? strlen(key) : 0;
    for (size_t i = 0; n_key > 0 && i + n_key <= n; i++)
        if (bytes[i] == key[0] && memcmp(bytes + i, key, n_key) == 0)
            memset(bytes + i, '*', n_key);
}
