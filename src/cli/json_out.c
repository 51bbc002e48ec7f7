#include "cli/json_out.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/utf8.h"

static int put_piece(const char *bytes, size_t n, void *out)
{
    struct buf *b = out;
    buf_put(b, bytes, n);
    return b->failed ? -1 : 0;
}

bool json_print(json_t *o, size_t flags, const char *what, hearth_error *err)
{
    struct buf text = { 0 };
    bool ok = o && json_dump_callback(o, put_piece, &text, flags) == 0 && !text.failed;
    if (ok) {
        fwrite(text.ptr, 1, text.len, stdout);
        putchar('\n');
    }
    buf_free(&text);
    json_decref(o);
    return ok ? true : fail_memory(err, what);
}

json_t *json_of_text(const char *text)
{
    return json_string(utf8_valid(str_z(text)) ? text : "(not UTF-8)");
}
