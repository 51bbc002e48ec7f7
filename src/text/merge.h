/* merge.h: the merging loop both tokenizer families share.
 *
 * A run of symbols is joined two neighbours at a time, always the pair with the least key
 * (merge rank for BPE, inverted score for SentencePiece), the leftmost one of equals, until
 * no pair can be joined. */
#pragma once
#include "base/base.h"

enum { MERGE_SHORT = 32 }; /* up to here scanning beats a heap */
#define MERGE_NONE UINT32_MAX

struct merge_symbol {
    int32_t prev, next; /* index of the neighbours; -1: none */
    int32_t id;         /* token, -1: none */
    uint32_t key;       /* of the pair (this, next); MERGE_NONE: cannot be joined */
    int32_t merged;     /* the token that pair becomes */
};

struct merger {
    struct merge_symbol *symbol;
    size_t n, room; /* n: one past the last index in use */
    uint64_t *heap; /* key << 32 | index; entries that are no longer true are skipped */
    size_t heap_n, heap_room;
};

/* Key of joining symbol `left` with its next one, and what comes out; MERGE_NONE when there
 * is no such token. left.next is never -1. */
typedef uint32_t merge_fn(const void *ctx, const struct merger *m, int32_t left, int32_t *merged);

/* Room for n symbols (n < 2^31); sets m->n. False: out of memory. */
bool merge_reserve(struct merger *m, size_t n);
/* Join what can be joined. symbol[0] starts the list of n_symbols; prev, next and id are
 * set by the caller. O(n log n). False: out of memory. */
bool merge_run(struct merger *m, size_t n_symbols, merge_fn *fn, const void *ctx);
void merge_free(struct merger *m);
