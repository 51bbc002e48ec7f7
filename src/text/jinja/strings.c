/* strings.c: the value of a string literal. */
#include <string.h>

#include "base/utf8.h"
#include "text/jinja/ast.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* n hexadecimal digits; the character they name is appended. Bytes read; 0: failed. */
static size_t put_hex(struct parser *p, const struct token *k, size_t at, size_t n, struct buf *out)
{
    uint32_t c = 0;
    char utf8[4];
    for (size_t i = 0; i < n; i++) {
        int digit = at + i < k->text.len ? hex_digit(k->text.ptr[at + i]) : -1;
        if (digit < 0) {
            p_fail(p, k->pos, "truncated \\%sXXXX escape", n == 2 ? "x" : n == 4 ? "u" : "U");
            return 0;
        }
        c = c << 4 | (uint32_t)digit;
    }
    if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) {
        p_fail(p, k->pos, "the escape U+%X is not a character", (unsigned)c);
        return 0;
    }
    buf_put(out, utf8, (size_t)j_encode(c, utf8));
    return n;
}

static size_t put_octal(const struct token *k, size_t at, struct buf *out)
{
    uint32_t c = 0;
    char utf8[4];
    size_t n = 0;
    for (; n < 3 && at + n < k->text.len && k->text.ptr[at + n] >= '0' && k->text.ptr[at + n] <= '7'; n++)
        c = c * 8 + (uint32_t)(k->text.ptr[at + n] - '0');
    buf_put(out, utf8, (size_t)j_encode(c, utf8));
    return n;
}

/* jinja2 turns what is not ASCII into escapes before it reads escapes: behind a backslash that
 * shows, as the text of that escape. */
static size_t put_escaped_wide(const struct token *k, size_t at, struct buf *out)
{
    int n;
    uint32_t c = j_char_at(k->text, at, &n);
    buf_printf(out, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
    return (size_t)n;
}

/* The escape whose backslash is before `at`: bytes read, 0: failed. */
static size_t put_escape(struct parser *p, const struct token *k, size_t at, struct buf *out)
{
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    char c = k->text.ptr[at];
    const char *found = c ? strchr(from, c) : NULL;
    size_t n;
    if (found) {
        buf_put(out, &to[found - from], 1);
        return 1;
    }
    if (c == '\n')
        return 1;
    if (c == 'x' || c == 'u' || c == 'U') {
        n = put_hex(p, k, at + 1, c == 'x' ? 2 : c == 'u' ? 4 : 8, out);
        return n ? n + 1 : 0;
    }
    if (c >= '0' && c <= '7')
        return put_octal(k, at, out);
    if (c == 'N') {
        p_fail(p, k->pos, "characters by name (\\N) are not supported");
        return 0;
    }
    if ((uint8_t)c >= 0x80)
        return put_escaped_wide(k, at, out);
    buf_put(out, "\\", 1);
    buf_put(out, &c, 1);
    return 1;
}

bool parse_string_value(struct parser *p, const struct token *k, struct buf *out)
{
    buf_put(out, "", 0);
    for (size_t at = 0; at < k->text.len;) {
        const char *slash = memchr(k->text.ptr + at, '\\', k->text.len - at);
        size_t plain = slash ? (size_t)(slash - k->text.ptr) - at : k->text.len - at;
        buf_put(out, k->text.ptr + at, plain);
        at += plain;
        if (!slash)
            break;
        size_t n = put_escape(p, k, at + 1, out);
        if (n == 0)
            return false;
        at += 1 + n;
    }
    return !out->failed || p_memory(p);
}
