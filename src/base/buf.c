#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

static bool buf_reserve(struct buf *b, size_t more)
{
    size_t need;
    if (b->failed || __builtin_add_overflow(b->len + 1, more, &need)) {
        b->failed = true;
        return false;
    }
    if (need <= b->room)
        return true;
    size_t room = max_size(need, max_size(64, b->room * 2));
    char *p = mem_resize(b->ptr, room);
    if (!p) {
        b->failed = true;
        return false;
    }
    b->ptr = p;
    b->room = room;
    return true;
}

void buf_put(struct buf *b, const void *bytes, size_t n)
{
    if (!buf_reserve(b, n))
        return;
    if (n)
        memcpy(b->ptr + b->len, bytes, n);
    b->len += n;
    b->ptr[b->len] = 0;
}

void buf_puts(struct buf *b, const char *z) { buf_put(b, z, strlen(z)); }

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n >= 0 && buf_reserve(b, (size_t)n)) {
        vsnprintf(b->ptr + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->failed = false;
    if (b->ptr)
        b->ptr[0] = 0;
}

void buf_free(struct buf *b)
{
    mem_free(b->ptr);
    *b = (struct buf){ 0 };
}

struct str buf_str(const struct buf *b) { return (struct str){ b->ptr ? b->ptr : "", b->len }; }
