/* gguf_read.h: the cursor of the parser, and the parse with a limit of its own; for src/format only.
 *
 * Reading past the end gives zeros and sets cut_off, so a record needs one check, not five. */
#pragma once
#include <string.h>

#include "format/gguf.h"

struct reader {
    const uint8_t *bytes;
    uint64_t n, at;      /* n: end of what may be read */
    uint64_t file_bytes; /* the whole file; above n when the limit on metadata ends the reading first */
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

/* Size of a value of a fixed-width type; 0 for strings, arrays and unknown numbers. */
uint64_t gguf_value_width(uint32_t type);

/* gguf_parse() with fewer bytes of metadata allowed: the parts of a set share one limit. */
bool gguf_parse_within(struct gguf *g, const uint8_t *bytes, size_t n_bytes, uint64_t most_metadata_bytes,
                       hearth_error *err);

/* For bytes that do not start with "GGUF": say what they are instead. Always returns false. */
bool gguf_refuse_stranger(const uint8_t *bytes, uint64_t n, hearth_error *err);
