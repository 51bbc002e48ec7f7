/* kv.h: the KV cache: one pool of pages for all sequences.
 *
 * A page holds 64 positions of all layers (layout: kernel/attention.h). A sequence is a list
 * of pages; a page belongs to as many sequences as its reference count says. One owner: the
 * engine thread. Later cache classes (sliding window, latent, recurrent state) are pools of
 * their own beside this one. */
#pragma once
#include "kernel/attention.h"
#include "model/model.h"

struct kv_pool {
    uint8_t *data;
    size_t bytes, page_bytes, layer_bytes, head_bytes;
    int head_dim;
    hearth_kv_type type;
    uint32_t n_pages, n_free;
    uint32_t *free_pages; /* stack of n_free page numbers */
    uint16_t *n_refs;     /* [n_pages] */
    bool huge;            /* 2 MB pages were granted */
};

/* Bytes of one page for this model. */
size_t kv_page_bytes(const struct hparams *hp, hearth_kv_type type);
/* n_pages pages, all of one type: what one sequence left, another may go on from. */
bool kv_create(struct kv_pool *pool, const struct hparams *hp, hearth_kv_type type, uint32_t n_pages,
               hearth_error *err);
void kv_destroy(struct kv_pool *pool); /* fine on a zeroed struct */

/* The pages of one sequence. */
struct kv_seq {
    uint32_t *pages; /* [max_pages], owned by the sequence */
    uint32_t n_pages, max_pages;
};
bool kv_seq_create(struct kv_seq *s, uint32_t max_pages, hearth_error *err);
void kv_seq_destroy(struct kv_pool *pool, struct kv_seq *s);
/* Make room for positions below n_tokens. False, and nothing changed, when the pool is empty. */
bool kv_seq_reserve(struct kv_pool *pool, struct kv_seq *s, int n_tokens);
/* Give back the pages that hold no position below n_tokens. */
void kv_seq_cut(struct kv_pool *pool, struct kv_seq *s, int n_tokens);
/* Give all pages back. */
void kv_seq_clear(struct kv_pool *pool, struct kv_seq *s);
struct kv_view kv_seq_view(const struct kv_pool *pool, const struct kv_seq *s);
