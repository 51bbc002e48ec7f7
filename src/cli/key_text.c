#include "cli/key_text.h"

#include <string.h>

#include "base/alloc.h"
#include "base/file.h"

enum { MOST_FILE_BYTES = 16 << 10 };

bool key_text_read(char *out, size_t room, const char *option, const char *path, hearth_error *err)
{
    char *text = NULL;
    size_t n;
    out[0] = 0;
    if (!path)
        return true;
    if (!file_read(path, MOST_FILE_BYTES, &text, &n, err))
        return err_context(err, "%s", option);
    const char *at = text;
    for (at += strspn(at, " \t\r\n"); *at == '#'; at += strspn(at, " \t\r\n"))
        at += strcspn(at, "\n");
    size_t length = strcspn(at, "\r\n");
    while (length > 0 && (at[length - 1] == ' ' || at[length - 1] == '\t'))
        length--;
    bool ok = length > 0 && length < room;
    if (ok) {
        memcpy(out, at, length);
        out[length] = 0;
    } else {
        fail(err, HEARTH_ERR_USAGE, "%s %.200s: %s; put the key into it, in a line of its own", option, path,
             length == 0 ? "it has no key" : "its first line is longer than any key");
    }
    memset(text, 0, n);
    mem_free(text);
    return ok;
}
