#include "cli/prompt_text.h"

#include <string.h>
#include <unistd.h>

#include "base/utf8.h"

void visible_print(FILE *out, const char *text, size_t n)
{
    const uint8_t *p = (const uint8_t *)text;
    for (size_t i = 0; i < n;) {
        int bad = 0, length = utf8_length(p + i, n - i, &bad, NULL);
        bool c1 = length == 2 && p[i] == 0xc2 && p[i + 1] < 0xa0; /* U+0080..U+009F */
        bool control = length == 1 && p[i] != '\n' && (p[i] < 0x20 || p[i] == 0x7f);
        size_t taken = (size_t)(length > 0 ? length : bad);
        if (length == 0 || c1 || control) {
            for (size_t k = 0; k < taken; k++)
                fprintf(out, "\\x%02x", p[i + k]);
        } else {
            fwrite(p + i, 1, taken, out);
        }
        i += taken;
    }
}

static void special_print(FILE *out, const char *text, size_t n)
{
    bool terminal = isatty(fileno(out));
    fputs(terminal ? "\033[7m" : "[[", out);
    visible_print(out, text, n);
    fputs(terminal ? "\033[27m" : "]]", out);
}

/* Is text[at, at + n) all of the template? */
static bool is_trusted(const hearth_rendered *r, size_t at, size_t n)
{
    size_t begin = 0;
    for (size_t i = 0; i < r->n_spans; i++) {
        size_t end = begin + r->spans[i].n_bytes;
        if (begin < at + n && end > at && !r->spans[i].trusted)
            return false;
        begin = end;
    }
    return true;
}

/* Where a special token with this text stands at or after `from`; n_bytes when nowhere. */
static size_t find_trusted(const hearth_rendered *r, size_t from, const char *text, size_t n)
{
    for (size_t at = from; n > 0 && at + n <= r->n_bytes; at++)
        if (r->text[at] == text[0] && memcmp(r->text + at, text, n) == 0 && is_trusted(r, at, n))
            return at;
    return r->n_bytes;
}

void prompt_print(FILE *out, hearth_file *file, const hearth_rendered *r)
{
    size_t at = 0;
    for (size_t i = 0; i < r->n_ids; i++) {
        size_t n = 0;
        if (!hearth_file_token_special(file, r->ids[i]))
            continue;
        const char *text = hearth_file_token_text(file, r->ids[i], &n);
        if (!text) {
            fputs("[[out of memory: a special token is not shown]]", out);
            continue;
        }
        bool unwritten = i == 0 && r->bos_added; /* in the tokens, not in the text */
        size_t found = unwritten ? at : find_trusted(r, at, text, n);
        if (found == r->n_bytes && !unwritten)
            continue;
        visible_print(out, r->text + at, found - at);
        special_print(out, text, n);
        at = unwritten ? found : found + n;
    }
    visible_print(out, r->text + at, r->n_bytes - at);
    if (r->n_bytes == 0 || r->text[r->n_bytes - 1] != '\n')
        fputc('\n', out);
}
