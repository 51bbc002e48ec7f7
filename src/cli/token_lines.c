#include "cli/token_lines.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/err.h"
#include "record/explain.h"

void quoted_print(const char *text, size_t n)
{
    struct buf quoted = { 0 };
    explain_quoted(text, n, &quoted);
    fputs(quoted.failed ? "(out of memory)" : quoted.ptr, stdout);
    buf_free(&quoted);
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
