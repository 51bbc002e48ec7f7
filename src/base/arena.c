#include "base/arena.h"

#include <string.h>

#include "base/alloc.h"

struct arena_chunk {
    struct arena_chunk *older;
    size_t bytes;
    unsigned char data[];
};

enum { CHUNK_BYTES = 64 << 10 };

void arena_init(struct arena *a, size_t limit_bytes) { *a = (struct arena){ .limit_bytes = limit_bytes }; }

void arena_free(struct arena *a)
{
    for (struct arena_chunk *c = a->chunk; c;) {
        struct arena_chunk *older = c->older;
        mem_free(c);
        c = older;
    }
    arena_init(a, a->limit_bytes);
}

/* Bytes from here to a multiple of align, a power of two. */
static size_t pad_to(const unsigned char *p, size_t align)
{
    return (align - ((uintptr_t)p & (align - 1))) & (align - 1);
}

static void *refused(struct arena *a)
{
    a->failed = true;
    return NULL;
}

void *arena_alloc(struct arena *a, size_t bytes, size_t align)
{
    if (a->chunk) {
        size_t pad = pad_to(a->chunk->data + a->used, align);
        size_t room = a->chunk->bytes - a->used;
        if (pad <= room && bytes <= room - pad) {
            void *p = a->chunk->data + a->used + pad;
            a->used += pad + bytes;
            return p;
        }
    }
    if (bytes > a->limit_bytes || align > 64)
        return refused(a);
    size_t want = max_size(bytes + align, CHUNK_BYTES);
    if (want > a->limit_bytes - a->total_bytes)
        want = bytes + align; /* near the ceiling: no more than asked for */
    if (want > a->limit_bytes - a->total_bytes)
        return refused(a);
    struct arena_chunk *c = mem_alloc(sizeof *c + want);
    if (!c)
        return refused(a);
    c->older = a->chunk;
    c->bytes = want;
    a->chunk = c;
    a->total_bytes += want;
    size_t pad = pad_to(c->data, align);
    a->used = pad + bytes;
    return c->data + pad;
}

void *arena_alloc_n(struct arena *a, size_t n, size_t bytes_each, size_t align)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, bytes_each, &bytes))
        return refused(a);
    return arena_alloc(a, bytes, align);
}

struct str arena_strdup(struct arena *a, struct str s)
{
    char *p = arena_alloc(a, s.len + 1, 1);
    if (!p)
        return (struct str){ NULL, 0 };
    if (s.len)
        memcpy(p, s.ptr, s.len);
    p[s.len] = 0;
    return (struct str){ p, s.len };
}
