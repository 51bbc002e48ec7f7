#include "infer/state.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"

enum { ALIGN_BYTES = 64, LEAST_SNAPSHOTS = 2, MOST_SNAPSHOTS = 256, OF_PAGES = 4 };

size_t states_slot_bytes(size_t state_bytes) { return align_size(state_bytes, ALIGN_BYTES); }

uint32_t states_count(size_t state_bytes, int n_seqs, uint64_t kv_bytes)
{
    if (!state_bytes)
        return 0;
    uint64_t n = kv_bytes / OF_PAGES / states_slot_bytes(state_bytes);
    n = n < LEAST_SNAPSHOTS ? LEAST_SNAPSHOTS : n > MOST_SNAPSHOTS ? MOST_SNAPSHOTS : n;
    return (uint32_t)n_seqs + (uint32_t)n;
}

size_t states_list_bytes(uint32_t n_slots, uint32_t n_pages)
{
    return n_slots ? n_slots * sizeof(struct state_slot) + n_pages * sizeof(uint32_t) : 0;
}

bool states_create(struct state_pool *p, size_t state_bytes, uint32_t n_slots, uint32_t n_pages, hearth_error *err)
{
    *p = (struct state_pool){ .slot_bytes = states_slot_bytes(state_bytes), .n_slots = n_slots };
    if (!n_slots)
        return true;
    p->bytes = p->slot_bytes * n_slots;
    p->data = mem_pages(p->bytes, NULL);
    p->slots = mem_alloc(n_slots * sizeof *p->slots);
    p->of_page = mem_alloc(n_pages * sizeof *p->of_page);
    if (!p->data || !p->slots || !p->of_page) {
        fail(err, HEARTH_ERR_MEMORY, "cannot reserve %zu MiB for recurrent states; lower --ctx or --parallel",
             p->bytes >> 20);
        states_destroy(p);
        return false;
    }
    for (uint32_t i = 0; i < n_slots; i++)
        p->slots[i].page = STATE_NONE;
    for (uint32_t i = 0; i < n_pages; i++)
        p->of_page[i] = STATE_NONE;
    return true;
}

void states_destroy(struct state_pool *p)
{
    mem_pages_free(p->data, p->bytes);
    mem_free(p->slots);
    mem_free(p->of_page);
    *p = (struct state_pool){ 0 };
}

void states_drop(struct state_pool *p, uint32_t page)
{
    if (!states_has(p, page))
        return;
    p->slots[p->of_page[page]].page = STATE_NONE;
    p->of_page[page] = STATE_NONE;
}

void states_forget(struct state_pool *p)
{
    for (uint32_t i = 0; i < p->n_slots; i++) {
        assert(!p->slots[i].taken);
        if (p->slots[i].page != STATE_NONE)
            states_drop(p, p->slots[i].page);
    }
    for (uint32_t i = 0; i < p->n_slots; i++)
        p->slots[i].used = 0;
    p->n_touched = 0;
    if (p->n_slots)
        mem_pages_forget(p->data, p->bytes);
}

static bool is_free(const struct state_slot *s) { return !s->taken && s->page == STATE_NONE; }

size_t states_give(struct state_pool *p)
{
    size_t given = 0;
    enum { SYSTEM_PAGE_BYTES = 4096 };
    for (uint32_t i = 0; i < p->n_slots; i++) {
        size_t first = align_size(i * p->slot_bytes, SYSTEM_PAGE_BYTES);
        size_t last = (i + 1) * p->slot_bytes / SYSTEM_PAGE_BYTES * SYSTEM_PAGE_BYTES;
        if (!is_free(&p->slots[i]) || !p->slots[i].used || last <= first)
            continue;
        mem_pages_forget_part(p->data + first, last - first);
        p->slots[i].used = 0;
        p->n_touched--;
        given += last - first;
    }
    return given;
}

/* A free slot, or the snapshot that was used longest ago; STATE_NONE: sequences have all. */
static uint32_t take(struct state_pool *p)
{
    uint32_t best = STATE_NONE;
    for (uint32_t i = 0; i < p->n_slots; i++) {
        const struct state_slot *s = &p->slots[i];
        if (s->taken)
            continue;
        if (is_free(s)) {
            best = i;
            break;
        }
        if (best == STATE_NONE || s->used < p->slots[best].used)
            best = i;
    }
    if (best != STATE_NONE && p->slots[best].page != STATE_NONE)
        states_drop(p, p->slots[best].page);
    return best;
}

/* What it was used for last is over; from the first time on it has memory. */
static void use(struct state_pool *p, uint32_t slot)
{
    p->n_touched += !p->slots[slot].used;
    p->slots[slot].used = ++p->n_used;
}

static void copy(struct state_pool *p, uint32_t to, uint32_t from)
{
    if (to != from)
        memcpy(states_at(p, to), states_at(p, from), p->slot_bytes);
}

static void give_to(struct state_pool *p, uint32_t slot, uint32_t page)
{
    p->of_page[page] = slot;
    p->slots[slot].page = page;
    p->slots[slot].taken = false;
    use(p, slot);
}

uint32_t states_begin(struct state_pool *p, uint32_t page)
{
    if (!p->n_slots)
        return STATE_NONE;
    uint32_t from = page == STATE_NONE ? STATE_NONE : p->of_page[page];
    if (from != STATE_NONE)
        use(p, from);
    uint32_t slot = take(p); /* where it is the only one it is the snapshot itself */
    assert(slot != STATE_NONE);
    p->slots[slot].taken = true;
    use(p, slot);
    if (from != STATE_NONE)
        copy(p, slot, from);
    return slot;
}

void states_load(struct state_pool *p, uint32_t slot, uint32_t page)
{
    use(p, p->of_page[page]);
    copy(p, slot, p->of_page[page]);
}

void states_save(struct state_pool *p, uint32_t slot, uint32_t page)
{
    if (states_has(p, page)) {
        use(p, p->of_page[page]);
        return;
    }
    uint32_t to = take(p);
    if (to == STATE_NONE)
        return;
    copy(p, to, slot);
    give_to(p, to, page);
}

void states_leave(struct state_pool *p, uint32_t slot, uint32_t page)
{
    if (slot == STATE_NONE)
        return;
    p->slots[slot].taken = false;
    if (page == STATE_NONE)
        return;
    if (states_has(p, page))
        use(p, p->of_page[page]);
    else
        give_to(p, slot, page);
}
