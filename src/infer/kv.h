/* kv.h: the KV cache: one pool of pages for all sequences.
 *
 * A page holds 64 positions of all layers (layout: kernel/attention.h). A sequence is a list
 * of pages; a page belongs to as many sequences as its reference count says. Full pages go into
 * a tree by their tokens (infer/prefix.h), where other sequences find them, also when the one
 * that computed them has ended: the same tokens at the same places have the same bits
 * (contract 1). What no sequence has is kept until its page is needed, and then given away, the
 * oldest first. A full page is never written to; one that is not full has one sequence, and
 * others copy it. One owner: the engine thread. Layers that keep
 * a recurrent state have no place in pages: states have slots of their own (infer/state.h), and what is found of a
 * prompt ends where there is a snapshot. */
#pragma once
#include "infer/prefix.h"
#include "infer/state.h"
#include "kernel/attention.h"
#include "model/model.h"

struct kv_pool {
    uint8_t *data;
    size_t bytes, page_bytes;
    hearth_kv_type type;
    uint32_t n_pages, n_free;
    uint32_t *free_pages; /* stack of n_free page numbers */
    uint16_t *n_refs;     /* [n_pages] sequences that have it */
    bool *touched;        /* [n_pages] the system has given memory for it */
    uint32_t n_touched;
    bool tight;           /* memory is short: kept pages are used again before untouched ones are */
    struct prefix_tree tree;
    struct state_pool states; /* without slots: no layer keeps one */
    bool huge;            /* 2 MB pages were granted */
    bool small;           /* memory was given back: no further ones are asked for */
};

static inline uint32_t kv_pages_for(int n_tokens)
{
    return ((uint32_t)n_tokens + KV_PAGE_TOKENS - 1) / KV_PAGE_TOKENS;
}
/* Of the lists beside n_pages. */
static inline size_t kv_list_bytes(uint32_t n_pages)
{
    return n_pages * (sizeof(uint32_t) + sizeof(uint16_t) + sizeof(bool));
}
/* n_pages pages, all of one type: what one sequence left, another may go on from. At most n_seqs sequences that have
 * begun (kv_seq_find()) may be at a time, where layers keep states. */
bool kv_create(struct kv_pool *pool, const struct hparams *hp, hearth_kv_type type, uint32_t n_pages, int n_seqs,
               hearth_error *err);
void kv_destroy(struct kv_pool *pool); /* fine on a zeroed struct */
/* While no sequence has a page: give away all that are kept, and the memory of all back to the system. The pool is as
 * new, and knows what it gave away. */
void kv_forget(struct kv_pool *pool);
/* Pages that a sequence could have: free ones, and those that are kept without one. */
static inline uint32_t kv_available(const struct kv_pool *pool) { return pool->n_free + pool->tree.n_idle; }

/* What the system has given memory for. */
static inline size_t kv_touched_bytes(const struct kv_pool *pool)
{
    return pool->n_touched * pool->page_bytes + pool->states.n_touched * pool->states.slot_bytes;
}

/* Give memory back to the system, about so many bytes: what free pages have, or what those have that are kept without a
 * sequence, the longest unused first; they are free then. Returns how many bytes, and how many pages in *n_pages. */
size_t kv_give_free(struct kv_pool *pool, size_t bytes, uint32_t *n_pages);
size_t kv_give_kept(struct kv_pool *pool, size_t bytes, uint32_t *n_pages);

/* The pages of one sequence. */
struct kv_seq {
    uint32_t *pages; /* [max_pages], owned by the sequence */
    uint32_t n_pages, max_pages;
    uint32_t n_in_tree; /* the first so many of them can be found by others */
    uint64_t salt;      /* under which they can */
    uint32_t state;     /* its slot, from kv_seq_find() until it lets go of all pages; STATE_NONE */
    bool apart;         /* it takes no page of others, not even an equal one that came meanwhile */
};
bool kv_seq_create(struct kv_seq *s, uint32_t max_pages, hearth_error *err);
void kv_seq_destroy(struct kv_pool *pool, struct kv_seq *s);

/* How much of a prompt was there, and why not more. */
struct kv_match {
    int n_tokens;
    hearth_prefix_end end;
    int32_t other; /* HEARTH_PREFIX_DIFFERS: the token that was kept at n_tokens; -1: not known */
    int n_paged;   /* tokens of the full pages that were found, also those behind the last state */
};
/* For a sequence without pages: those of the first of its tokens that are kept under this salt, at most `most` tokens
 * of them; a page that begins right is copied. */
void kv_seq_find(struct kv_pool *pool, struct kv_seq *s, uint64_t salt, const int32_t *tokens, int most,
                 struct kv_match *match);
/* How many of the pages that kv_seq_find() would find no sequence has (they are among the available ones), and how many
 * full ones there are. */
void kv_look(const struct kv_pool *pool, uint64_t salt, const int32_t *tokens, int most, uint32_t *n_full,
             uint32_t *n_idle);
/* For one that has computed n_done tokens: full pages that others have computed meanwhile. Returns how many tokens it
 * has now. */
int kv_seq_join(struct kv_pool *pool, struct kv_seq *s, const int32_t *tokens, int n_done, int most);
/* Let others find what is full of n_done tokens. Where such a page is there already, the sequence goes on with it; one
 * that stays apart keeps its own, and all that follows, to itself. */
void kv_seq_publish(struct kv_pool *pool, struct kv_seq *s, const int32_t *tokens, int n_done);
/* The same, and what is not full, too; then let go of all pages. */
void kv_seq_leave(struct kv_pool *pool, struct kv_seq *s, const int32_t *tokens, int n_done);

/* What it has computed of n_done tokens ends with a full page that others can find: they can go on from there. */
void kv_seq_save_state(struct kv_pool *pool, const struct kv_seq *s, int n_done);

/* Make room for positions below n_tokens. False, and nothing changed, when the pool is empty. */
bool kv_seq_reserve(struct kv_pool *pool, struct kv_seq *s, int n_tokens);
/* Give back the pages that hold no position below n_tokens. */
void kv_seq_cut(struct kv_pool *pool, struct kv_seq *s, int n_tokens);
/* Give all pages back. What others can find of them is kept. */
void kv_seq_clear(struct kv_pool *pool, struct kv_seq *s);
/* NULL: no layer keeps one. */
static inline float *kv_seq_state(const struct kv_pool *pool, const struct kv_seq *s)
{
    return states_at(&pool->states, s->state);
}
struct kv_view kv_seq_view(const struct kv_pool *pool, const struct kv_seq *s);
