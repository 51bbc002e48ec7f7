#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

/* Message text may quote bytes of a file, cut anywhere: keep the terminal and JSON safe. */
static void keep_printable(char *text)
{
    uint8_t *end = (uint8_t *)text + strlen(text);
    for (uint8_t *p = (uint8_t *)text; p < end;) {
        int n = utf8_length(p, (size_t)(end - p), NULL, NULL);
        bool control = *p < 0x20 || *p == 0x7f || (*p == 0xc2 && p[1] < 0xa0);
        if (n == 0 || control)
            *p = '?';
        p += n == 0 || control ? 1 : n;
    }
}

bool fail(hearth_error *err, hearth_status status, const char *fmt, ...)
{
    if (!err)
        return false;
    err->status = status;
    err->n_prompt_tokens = 0;
    err->n_ctx_tokens = 0;
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->message, sizeof err->message, fmt, args);
    va_end(args);
    keep_printable(err->message);
    return false;
}

bool fail_memory(hearth_error *err, const char *what)
{
    return fail(err, HEARTH_ERR_MEMORY, "out of memory: %s; close other programs or use a smaller model", what);
}

bool err_context(hearth_error *err, const char *fmt, ...)
{
    if (!err)
        return false;
    char old[sizeof err->message];
    memcpy(old, err->message, sizeof old);
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(err->message, sizeof err->message, fmt, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof err->message)
        snprintf(err->message + n, sizeof err->message - (size_t)n, ": %s", old);
    keep_printable(err->message);
    return false;
}

void err_clear(hearth_error *err)
{
    if (err)
        *err = (hearth_error){ 0 };
}
