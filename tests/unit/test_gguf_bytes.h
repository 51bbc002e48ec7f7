/* test_gguf_bytes.h: GGUF bytes made by hand, and bytes whose end touches a page that may not be read. */
#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#endif
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "format/gguf.h"

#include <cmocka.h> /* last: it has a macro fail() */

static inline void bytes_u32(struct buf *b, uint32_t x) { buf_put(b, &x, sizeof x); }
static inline void bytes_u64(struct buf *b, uint64_t x) { buf_put(b, &x, sizeof x); }

static inline void bytes_text(struct buf *b, const char *z)
{
    bytes_u64(b, strlen(z));
    buf_puts(b, z);
}

static inline void bytes_header(struct buf *b, uint64_t n_tensors, uint64_t n_values)
{
    buf_puts(b, "GGUF");
    bytes_u32(b, 3);
    bytes_u64(b, n_tensors);
    bytes_u64(b, n_values);
}

static inline void bytes_value(struct buf *b, const char *key, enum gguf_type type, const void *bytes, size_t n)
{
    bytes_text(b, key);
    bytes_u32(b, (uint32_t)type);
    buf_put(b, bytes, n);
}

static inline void bytes_array(struct buf *b, const char *key, enum gguf_type elem, uint64_t n_items, const void *bytes,
                               size_t n)
{
    bytes_text(b, key);
    bytes_u32(b, GGUF_ARRAY);
    bytes_u32(b, (uint32_t)elem);
    bytes_u64(b, n_items);
    if (n)
        buf_put(b, bytes, n);
}

/* A vector of 8 f32. */
static inline void bytes_tensor(struct buf *b, const char *name, uint64_t offset)
{
    bytes_text(b, name);
    bytes_u32(b, 1);
    bytes_u64(b, 8);
    bytes_u32(b, 0);
    bytes_u64(b, offset);
}

static inline void bytes_pad(struct buf *b, size_t more)
{
    static const uint8_t zeros[64];
    buf_put(b, zeros, (32 - b->len % 32) % 32);
    for (size_t n; more > 0; more -= n) {
        n = min_size(more, sizeof zeros);
        buf_put(b, zeros, n);
    }
}

static inline void parse_ok(struct gguf *g, const struct buf *b)
{
    hearth_error err = { 0 };
    if (!gguf_parse(g, (const uint8_t *)b->ptr, b->len, &err))
        fail_msg("%s", err.message);
}

static inline void expect_words(const hearth_error *err, const char *words)
{
    if (!strstr(err->message, words))
        fail_msg("\"%s\" lacks \"%s\"", err->message, words);
}

/* Room for files up to room bytes. */
struct edge {
    uint8_t *start;
    size_t room, all;
};

static inline void edge_open(struct edge *e, size_t room)
{
    enum { PAGE = 65536 }; /* a multiple of every page size we run on */
    e->room = align_size(room, PAGE);
    e->all = e->room + PAGE;
    e->start = mmap(NULL, e->all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(e->start != MAP_FAILED);
    assert_int_equal(mprotect(e->start + e->room, PAGE, PROT_NONE), 0);
}

/* A copy whose last byte is the last that may be read. Dead after the next call. */
static inline uint8_t *edge_put(struct edge *e, const void *bytes, size_t n)
{
    assert_true(n <= e->room);
    uint8_t *p = e->start + e->room - n;
    if (n)
        memcpy(p, bytes, n);
    return p;
}

static inline void edge_close(struct edge *e) { munmap(e->start, e->all); }
