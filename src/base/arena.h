/* arena.h: memory with one lifetime.
 *
 * Things that are born together and die together (a model's metadata, one request) share
 * an arena: allocate freely, free once. Memory comes zeroed. An arena is not thread-safe;
 * its owner is one thread at a time. */
#pragma once
#include <stdalign.h>

#include "base/base.h"

struct arena {
    struct arena_chunk *chunk; /* newest first */
    size_t used;               /* bytes handed out of the newest chunk */
    size_t total_bytes;        /* of all chunks */
    size_t limit_bytes;        /* hard ceiling; set from the input's limits */
    bool failed;               /* sticky: some allocation was refused */
};

void arena_init(struct arena *a, size_t limit_bytes);
void arena_free(struct arena *a); /* every pointer from it is now dead */

/* NULL, and a->failed, when the ceiling is reached or the system has no memory. */
void *arena_alloc(struct arena *a, size_t bytes, size_t align);
void *arena_alloc_n(struct arena *a, size_t n, size_t bytes_each, size_t align); /* n * bytes_each, checked */

#define arena_new(a, T)      ((T *)arena_alloc((a), sizeof(T), alignof(T)))
#define arena_array(a, T, n) ((T *)arena_alloc_n((a), (size_t)(n), sizeof(T), alignof(T)))

/* A NUL-terminated copy; .ptr is NULL when it failed. */
struct str arena_strdup(struct arena *a, struct str s);
