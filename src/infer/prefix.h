/* prefix.h: which pages of the KV pool hold the keys and values of which tokens.
 *
 * A tree over the pages of a pool (as in SGLang's RadixAttention, Zheng et al. 2023, in steps of whole pages as in
 * vLLM's automatic prefix caching): a node is a page, its parent the page before it, its tokens those of its
 * positions; all that is under one salt is a tree of its own, and what is under one is never found from another.
 * A full page is found by a hash over the salt and all tokens up to its end. The hash only says where to look: a hit
 * is a page whose tokens are equal and whose parent is the page that was hit before it, so by induction all tokens
 * were compared. Pages that differ within, and those that were not full when their sequence ended, are found by their
 * first token among the children of a page; they can be copied from.
 *
 * Pages that no sequence has are kept, the one that was let go of last as the newest, and given away from the oldest
 * on. A sequence that has a page has all before it, and lets go of them from its end: so a page is always older than
 * its parent, and what is given away never has children.
 *
 * Counts and orders alone decide: no clock, no thread. Nothing here allocates after prefix_create(). */
#pragma once
#include "base/base.h"
#include "hearth/hearth.h"

enum {
    PREFIX_PAGE_TOKENS = 64,
    PREFIX_NEIGHBOURS = 128, /* pages that are looked at for the longest common beginning, the latest first */
};
#define PREFIX_NONE UINT32_MAX /* no page; as a parent: the page is the first of a sequence */

struct prefix_node {
    uint64_t hash; /* of the salt and all tokens up to its end; of a page that is not full, up to its first token */
    uint64_t salt;
    uint32_t parent;
    uint32_t n_children;
    uint32_t next_same;        /* in its bucket of full pages */
    uint32_t next_near, before_near; /* in its bucket of first tokens */
    uint32_t older, newer;     /* among those that no sequence has */
    uint8_t n_tokens;          /* 0: the page is not in the tree */
    bool idle;                 /* no sequence has it */
};

struct prefix_tree {
    uint32_t n_pages, n_buckets; /* n_buckets is a power of two */
    uint64_t seed;
    struct prefix_node *nodes; /* [n_pages] */
    int32_t *tokens;           /* [n_pages][PREFIX_PAGE_TOKENS] */
    uint32_t *same, *near;     /* [n_buckets] first page of each; PREFIX_NONE: empty */
    uint64_t *given_away;      /* [n_buckets] hashes of full pages that were; a later one may take a place */
    uint32_t oldest, newest, n_idle;
    uint64_t n_given_away;
};

/* What it takes for a pool of n_pages. */
size_t prefix_bytes(uint32_t n_pages);
/* seed: any number; it has no influence on what is found. False: no memory. */
bool prefix_create(struct prefix_tree *t, uint32_t n_pages, uint64_t seed);
void prefix_destroy(struct prefix_tree *t); /* fine on a zeroed struct */

/* The full page with these tokens behind `parent`, or PREFIX_NONE. */
uint32_t prefix_find(const struct prefix_tree *t, uint32_t parent, uint64_t salt,
                     const int32_t tokens[PREFIX_PAGE_TOKENS]);
/* Of the pages behind `parent` the one that begins with most of these n tokens (the latest of equals), and how many;
 * PREFIX_NONE: none begins with the first. *other: its token behind those; -1: it has none. */
uint32_t prefix_nearest(const struct prefix_tree *t, uint32_t parent, uint64_t salt, const int32_t *tokens, int n,
                        int *n_common, int32_t *other);
/* A full page with these tokens was there and is given away since. Says no where another took its place in the list. */
bool prefix_was_there(const struct prefix_tree *t, uint32_t parent, uint64_t salt,
                      const int32_t tokens[PREFIX_PAGE_TOKENS]);
/* Put a page that is not in the tree into it: n of its positions (1 to 64). The parent is in the tree and full. No
 * equal full page may be there (prefix_find). */
void prefix_add(struct prefix_tree *t, uint32_t page, uint32_t parent, uint64_t salt, const int32_t *tokens, int n);
/* Take one out that has no children. */
void prefix_remove(struct prefix_tree *t, uint32_t page);
static inline bool prefix_has(const struct prefix_tree *t, uint32_t page) { return t->nodes[page].n_tokens > 0; }

/* The last sequence that had it let go: it is the newest of those that are kept. */
void prefix_idle(struct prefix_tree *t, uint32_t page);
/* A sequence has it again. */
void prefix_used(struct prefix_tree *t, uint32_t page);
/* Kept by nobody, and just read: it is the newest again. */
void prefix_touch(struct prefix_tree *t, uint32_t page);
/* Take the oldest out of the tree that no sequence has. PREFIX_NONE: there is none. */
uint32_t prefix_give_away(struct prefix_tree *t);
