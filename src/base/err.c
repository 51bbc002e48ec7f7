#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Message text may quote bytes of a file: keep the terminal safe. */
static void keep_printable(char *text)
{
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
}

bool fail(hearth_error *err, hearth_status status, const char *fmt, ...)
{
    if (!err)
        return false;
    err->status = status;
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
