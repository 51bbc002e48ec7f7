/* buf.h: bytes that grow. Failure is sticky: write on, check `failed` once at the end. */
#pragma once
#include "base/base.h"

struct buf {
    char *ptr; /* always NUL-terminated once anything was written */
    size_t len;
    size_t room;
    bool failed; /* out of memory; what was written before is still there */
};

void buf_put(struct buf *b, const void *bytes, size_t n);
void buf_puts(struct buf *b, const char *z);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
void buf_clear(struct buf *b); /* empty it, keep the memory */
void buf_free(struct buf *b);
struct str buf_str(const struct buf *b);
