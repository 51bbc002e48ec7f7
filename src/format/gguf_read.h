/* gguf_read.h: the cursor of the parser; for src/format only.
 *
 * Reading past the end gives zeros and sets cut_off, so a record needs one check, not five. */
#pragma once
#include <string.h>

#include "base/base.h"

struct reader {
    const uint8_t *bytes;
    uint64_t n, at;
    bool cut_off;
};

static inline uint64_t read_left(const struct reader *r) { return r->n - r->at; }

static inline const uint8_t *read_bytes(struct reader *r, uint64_t n)
{
    if (r->cut_off || n > read_left(r)) {
        r->cut_off = true;
        return NULL;
    }
    const uint8_t *p = r->bytes + r->at;
    r->at += n;
    return p;
}

static inline uint32_t read_u32(struct reader *r)
{
    uint32_t v = 0;
    const uint8_t *p = read_bytes(r, sizeof v);
    if (p)
        memcpy(&v, p, sizeof v); /* little endian; a big-endian host is refused at build time */
    return v;
}

static inline uint64_t read_u64(struct reader *r)
{
    uint64_t v = 0;
    const uint8_t *p = read_bytes(r, sizeof v);
    if (p)
        memcpy(&v, p, sizeof v);
    return v;
}

static inline struct str read_str(struct reader *r)
{
    uint64_t n = read_u64(r);
    const uint8_t *p = read_bytes(r, n);
    return (struct str){ (const char *)p, p ? (size_t)n : 0 };
}

/* Size of a value of a fixed-width type; 0 for strings, arrays and unknown numbers. */
uint64_t gguf_value_width(uint32_t type);
