/* state.h: the cache of recurrent states (model/recurrence.h): one pool of slots of one size.
 *
 * A slot is what a sequence runs on, or a snapshot: the state after the last token of a page that is in the tree
 * (infer/prefix.h), which goes when that page leaves the tree. A state cannot be cut back, so what is kept of a prompt
 * can be gone on with only where there is a snapshot. Snapshots have what slots sequences leave, and the one that was
 * used last goes last; sequences that run have at most as many slots as were planned for them, so there is always one
 * to take. Nothing here allocates after states_create(). One owner: the engine thread. A pool of models without such
 * layers has no slots, and all of it does nothing. */
#pragma once
#include "base/base.h"
#include "base/err.h"

#define STATE_NONE UINT32_MAX

struct state_slot {
    uint32_t page;    /* whose snapshot it is; STATE_NONE: it is free, or a sequence has it */
    bool taken;       /* by a sequence */
    uint64_t used;    /* when, by count; 0: the system has given no memory for it */
};

struct state_pool {
    uint8_t *data;
    size_t bytes, slot_bytes; /* slots lie at multiples of 64 bytes */
    uint32_t n_slots;
    struct state_slot *slots;
    uint32_t *of_page; /* [n_pages of the pool of pages] its snapshot; STATE_NONE: it has none */
    uint64_t n_used;
    uint32_t n_touched; /* slots that have memory */
};

/* Slots for n_seqs that run: as many, and for snapshots a quarter of what the pages have, at least 2. 0: the model has
 * no such layers. */
uint32_t states_count(size_t state_bytes, int n_seqs, uint64_t kv_bytes);
size_t states_slot_bytes(size_t state_bytes);
/* Of the lists beside them. */
size_t states_list_bytes(uint32_t n_slots, uint32_t n_pages);
bool states_create(struct state_pool *p, size_t state_bytes, uint32_t n_slots, uint32_t n_pages, hearth_error *err);
void states_destroy(struct state_pool *p); /* fine on a zeroed struct */
/* While no sequence has one: all snapshots are gone, and the memory goes back to the system. */
void states_forget(struct state_pool *p);
/* The memory of free slots back to the system. Returns how many bytes. */
size_t states_give(struct state_pool *p);

static inline bool states_kept(const struct state_pool *p) { return p->n_slots > 0; }
static inline bool states_has(const struct state_pool *p, uint32_t page)
{
    return p->n_slots && p->of_page[page] != STATE_NONE;
}

/* A slot for a sequence, with the snapshot of this page in it; page STATE_NONE: with anything. */
uint32_t states_begin(struct state_pool *p, uint32_t page);
/* The snapshot of this page into the slot of a sequence. */
void states_load(struct state_pool *p, uint32_t slot, uint32_t page);
/* A copy of it becomes this page's snapshot, unless it has one or there is no slot for it. */
void states_save(struct state_pool *p, uint32_t slot, uint32_t page);
/* A sequence leaves its slot: to a page that has none yet; STATE_NONE: to nobody. */
void states_leave(struct state_pool *p, uint32_t slot, uint32_t page);
/* A page leaves the tree. */
void states_drop(struct state_pool *p, uint32_t page);
static inline float *states_at(const struct state_pool *p, uint32_t slot)
{
    return slot == STATE_NONE ? NULL : (float *)(void *)(p->data + slot * p->slot_bytes);
}
