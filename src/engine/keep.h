/* keep.h: which pages of a model's pool go to the cache on disk, and which are fetched from there.
 *
 * Full pages of sequences that are long enough are noted when others can find them in the tree; those that are not on
 * disk wait, in order, until the engine thread has a moment to copy one into the stage (disk.h), from which it is
 * written. A page whose place in the pool is given away before was too slow: it is dropped. So nobody waits for the
 * disk, and the memory for it is planned. Owned by the engine thread; without a disk all of it does nothing. */
#pragma once
#include "engine/disk.h"
#include "infer/kv.h"

/* A page of the pool. */
struct keep_page {
    struct kv_key key, before;
    uint64_t hash;    /* of the tree's node when it was noted: it is still that page */
    int64_t used_ns;
    uint32_t number;  /* in its sequence */
    uint32_t next;    /* behind it in the queue */
    bool waits;
};

struct keep {
    struct disk *disk; /* NULL: none */
    struct kv_form form;
    struct sha256 *sha;
    struct keep_page *pages; /* [n_pages of the pool] */
    uint32_t first, last;    /* of those that wait; PREFIX_NONE: none */
    int n_least_tokens;
    int64_t rest_until_ns;   /* while somebody is answered, no copy is made before */
    struct disk_stage stage;
    uint8_t *copies;
    size_t copies_bytes;
};

/* Memory for it, beside a pool of n_pages. */
size_t keep_bytes(uint32_t n_pages, size_t page_bytes);
/* model: what it is told from all others by. False: no memory. */
bool keep_create(struct keep *k, struct disk *disk, const struct kv_pool *pool, const uint8_t model[32],
                 int n_least_tokens);
/* Write what waits, for at most so long, and let go. Fine on a zeroed struct. */
void keep_destroy(struct keep *k, const struct kv_pool *pool, double ms);

/* How far a sequence is noted. Zeroed: not at all. */
struct keep_mark {
    uint32_t n;
    struct kv_key key; /* of page n - 1 */
    int64_t used_ns;
};
/* Note its pages that others can find. */
void keep_note(struct keep *k, const struct kv_pool *pool, const struct kv_seq *s, struct keep_mark *mark);
/* Copy up to n of the pages that wait, as far as there is room. Returns how many. */
int keep_copy(struct keep *k, const struct kv_pool *pool, int n);
static inline bool keep_waits(const struct keep *k) { return k->disk && k->first != PREFIX_NONE; }

/* How many pages behind the first n_full of these tokens are on disk, of `most` tokens; load->before is set to what
 * stands before them. */
uint32_t keep_look(struct keep *k, uint64_t salt, const int32_t *tokens, uint32_t n_full, int most,
                   struct disk_load *load);
