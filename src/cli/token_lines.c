#include "cli/token_lines.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/err.h"

void quoted_print(const char *p, size_t n)
{
    putchar('"');
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        size_t more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc2 ? 1 : 0; /* continuation bytes */
        bool whole = c >= 0xc2 && c < 0xf5 && i + more < n;
        for (size_t j = 1; whole && j <= more; j++)
            whole = ((unsigned char)p[i + j] & 0xc0) == 0x80;
        if (c == '\n')
            fputs("\\n", stdout);
        else if (c == '\t')
            fputs("\\t", stdout);
        else if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c >= 0x20 && c < 0x7f)
            putchar(c);
        else if (!whole || c == 0xc2) /* U+0080..U+00BF has control characters: all of it by number */
            printf("\\x%02x", c);
        else {
            fwrite(p + i, 1, more + 1, stdout);
            i += more;
        }
    }
    putchar('"');
}

bool token_lines_print(hearth_file *file, const int32_t *ids, size_t n, hearth_error *err)
{
    for (size_t i = 0; i < n; i++) {
        size_t n_bytes = 0;
        const char *text = hearth_file_token_text(file, ids[i], &n_bytes);
        if (!text) /* they are the tokenizer's own ids */
            return fail_memory(err, "the text of a token");
        printf("%8" PRId32 "  ", ids[i]);
        quoted_print(text, n_bytes);
        putchar('\n');
    }
    return true;
}
