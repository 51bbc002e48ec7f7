#include "infer/kv.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"

static_assert((int)PREFIX_PAGE_TOKENS == (int)KV_PAGE_TOKENS, "the tree is over pages of this size");

/* Low pages first, so that short work touches little memory. */
static void free_all(struct kv_pool *pool)
{
    pool->n_free = pool->n_pages;
    for (uint32_t i = 0; i < pool->n_pages; i++)
        pool->free_pages[i] = pool->n_pages - 1 - i;
}

bool kv_create(struct kv_pool *pool, const struct hparams *hp, hearth_kv_type type, uint32_t n_pages, int n_seqs,
               hearth_error *err)
{
    *pool = (struct kv_pool){ .type = type, .n_pages = n_pages, .n_free = n_pages };
    pool->page_bytes = model_kv_page_bytes(hp, type);
    uint64_t bytes;
    if (!mul_ok(pool->page_bytes, n_pages, &bytes) || bytes > SIZE_MAX)
        return fail(err, HEARTH_ERR_MEMORY,
                    "a KV cache of %u pages of %zu bytes is beyond any address space; lower --ctx", n_pages,
                    pool->page_bytes);
    pool->bytes = (size_t)bytes;
    pool->data = mem_pages(pool->bytes, &pool->huge);
    pool->free_pages = mem_alloc(sizeof *pool->free_pages * n_pages);
    pool->n_refs = mem_alloc(sizeof *pool->n_refs * n_pages);
    pool->touched = mem_alloc(sizeof *pool->touched * n_pages);
    bool tree = prefix_create(&pool->tree, n_pages, rng_entropy());
    if (!pool->data || !pool->free_pages || !pool->n_refs || !pool->touched || !tree) {
        kv_destroy(pool);
        return fail(err, HEARTH_ERR_MEMORY, "cannot reserve %zu MiB for the KV cache; lower --ctx",
                    (size_t)bytes >> 20);
    }
    free_all(pool);
    size_t state_bytes = model_state_bytes(hp);
    if (states_create(&pool->states, state_bytes, states_count(state_bytes, n_seqs, pool->bytes), n_pages, err))
        return true;
    kv_destroy(pool);
    return false;
}

/* Out of the tree, with the state at its end. */
static void remove_page(struct kv_pool *pool, uint32_t page)
{
    prefix_remove(&pool->tree, page);
    states_drop(&pool->states, page);
}

static uint32_t give_away(struct kv_pool *pool)
{
    uint32_t page = prefix_give_away(&pool->tree);
    if (page != PREFIX_NONE)
        states_drop(&pool->states, page);
    return page;
}

void kv_forget(struct kv_pool *pool)
{
    assert(kv_available(pool) == pool->n_pages);
    while (give_away(pool) != PREFIX_NONE) {}
    states_forget(&pool->states);
    free_all(pool);
    memset(pool->touched, 0, sizeof *pool->touched * pool->n_pages);
    pool->n_touched = 0;
    mem_pages_forget(pool->data, pool->bytes);
}

void kv_destroy(struct kv_pool *pool)
{
    mem_pages_free(pool->data, pool->bytes);
    mem_free(pool->free_pages);
    mem_free(pool->n_refs);
    mem_free(pool->touched);
    prefix_destroy(&pool->tree);
    states_destroy(&pool->states);
    *pool = (struct kv_pool){ 0 };
}

bool kv_seq_create(struct kv_seq *s, uint32_t max_pages, hearth_error *err)
{
    *s = (struct kv_seq){ .max_pages = max_pages, .state = STATE_NONE };
    s->pages = mem_alloc(sizeof *s->pages * max_pages);
    return s->pages ? true : fail_memory(err, "a sequence's page table");
}

void kv_seq_destroy(struct kv_pool *pool, struct kv_seq *s)
{
    if (s->pages)
        kv_seq_clear(pool, s);
    mem_free(s->pages);
    *s = (struct kv_seq){ 0 };
}

/* ---- one page ---- */

static void have(struct kv_pool *pool, uint32_t page)
{
    if (pool->n_refs[page]++ == 0)
        prefix_used(&pool->tree, page);
}

static void let_go(struct kv_pool *pool, uint32_t page)
{
    if (--pool->n_refs[page] > 0)
        return;
    if (prefix_has(&pool->tree, page))
        prefix_idle(&pool->tree, page);
    else
        pool->free_pages[pool->n_free++] = page;
}

/* A free page, or else the longest unused of those that are kept; the other way round where memory is short and the
 * free one would take some. */
static uint32_t next_page(struct kv_pool *pool)
{
    bool has_memory = pool->n_free && (!pool->tight || pool->touched[pool->free_pages[pool->n_free - 1]]);
    uint32_t page = has_memory ? PREFIX_NONE : give_away(pool);
    return page == PREFIX_NONE && pool->n_free ? pool->free_pages[--pool->n_free] : page;
}

/* One for a sequence to write to; PREFIX_NONE: there is none. */
static uint32_t take_page(struct kv_pool *pool)
{
    uint32_t page = next_page(pool);
    if (page == PREFIX_NONE)
        return PREFIX_NONE;
    pool->n_refs[page] = 1;
    pool->n_touched += !pool->touched[page];
    pool->touched[page] = true;
    return page;
}

static uint32_t before(const struct kv_seq *s, uint32_t n) { return n ? s->pages[n - 1] : PREFIX_NONE; }

/* ---- pages of others ---- */

/* Page n of the sequence, and all before it are in the tree, is this one of the tree. */
static void go_on_with(struct kv_pool *pool, struct kv_seq *s, uint32_t n, uint32_t page)
{
    have(pool, page);
    if (n < s->n_pages)
        let_go(pool, s->pages[n]);
    else
        s->n_pages++;
    s->pages[n] = page;
    s->n_in_tree = n + 1;
}

/* Full pages from n on. Returns how many the sequence has then. */
static uint32_t take_full(struct kv_pool *pool, struct kv_seq *s, uint32_t n, const int32_t *tokens, int most)
{
    uint32_t page, last = (uint32_t)most / KV_PAGE_TOKENS;
    while (n < last
           && (page = prefix_find(&pool->tree, before(s, n), s->salt, tokens + n * KV_PAGE_TOKENS)) != PREFIX_NONE)
        go_on_with(pool, s, n++, page);
    return n;
}

/* A copy of this page for the sequence, or, where there is no room for one and nobody else wants it, the page itself.
 * What lies behind the tokens that are right is written before it is read. */
static bool copy_page(struct kv_pool *pool, struct kv_seq *s, uint32_t from)
{
    struct prefix_tree *tree = &pool->tree;
    have(pool, from); /* it must not be given away for the copy */
    uint32_t page = take_page(pool);
    if (page != PREFIX_NONE) {
        memcpy(pool->data + page * pool->page_bytes, pool->data + from * pool->page_bytes, pool->page_bytes);
        let_go(pool, from);
    } else if (pool->n_refs[from] == 1 && tree->nodes[from].n_children == 0) {
        remove_page(pool, from);
        page = from;
    } else {
        let_go(pool, from);
        return false;
    }
    s->pages[s->n_pages++] = page;
    return true;
}

static hearth_prefix_end why_not_more(const struct kv_pool *pool, const struct kv_seq *s, const int32_t *tokens,
                                      int most, const struct kv_match *m, int n_common)
{
    uint32_t parent = before(s, s->n_in_tree);
    int full = (int)(s->n_in_tree * KV_PAGE_TOKENS);
    if (m->n_tokens == most)
        return HEARTH_PREFIX_WHOLE;
    if (most - full >= KV_PAGE_TOKENS && prefix_was_there(&pool->tree, parent, s->salt, tokens + full))
        return HEARTH_PREFIX_EVICTED;
    if (n_common > 0)
        return m->n_tokens == full ? HEARTH_PREFIX_NO_PAGE : m->other >= 0 ? HEARTH_PREFIX_DIFFERS
                                                                           : HEARTH_PREFIX_ENDED;
    if (parent == PREFIX_NONE)
        return HEARTH_PREFIX_NEW;
    return pool->tree.nodes[parent].n_children ? HEARTH_PREFIX_DIFFERS : HEARTH_PREFIX_ENDED;
}

/* How many full pages behind page n - 1 = `page` are in the tree, up to `most` tokens; and up to and with the last that
 * has a state: *n_state. */
static uint32_t count_full(const struct kv_pool *pool, uint64_t salt, uint32_t n, uint32_t page, const int32_t *tokens,
                           int most, uint32_t *n_state)
{
    uint32_t last = (uint32_t)most / KV_PAGE_TOKENS;
    for (*n_state = n; n < last; n++) {
        page = prefix_find(&pool->tree, page, salt, tokens + n * KV_PAGE_TOKENS);
        if (page == PREFIX_NONE)
            break;
        if (states_has(&pool->states, page))
            *n_state = n + 1;
    }
    return n;
}

/* Where layers keep states: as far as there is one, be it at the end of a page that is not full. */
static void find_with_state(struct kv_pool *pool, struct kv_seq *s, const int32_t *tokens, int most,
                            struct kv_match *match)
{
    struct prefix_tree *tree = &pool->tree;
    uint32_t n_state, n_full = count_full(pool, s->salt, 0, PREFIX_NONE, tokens, most, &n_state);
    int full = (int)n_full * KV_PAGE_TOKENS, n_common = 0;
    take_full(pool, s, 0, tokens, full);
    uint32_t near = prefix_nearest(tree, before(s, n_full), s->salt, tokens + full,
                                   min_int(most - full, KV_PAGE_TOKENS), &n_common, &match->other);
    bool part = near != PREFIX_NONE && n_common == tree->nodes[near].n_tokens && states_has(&pool->states, near);
    s->state = states_begin(&pool->states, part ? near : before(s, n_state));
    match->n_paged = full;
    match->n_tokens = full + n_common;
    if (part && copy_page(pool, s, near)) {
        match->end = why_not_more(pool, s, tokens, most, match, n_common);
        return;
    }
    while (part && n_state > 0 && !states_has(&pool->states, before(s, n_state)))
        n_state--; /* it had to go for the one of the page that there was no room for */
    if (part && n_state > 0)
        states_load(&pool->states, s->state, before(s, n_state));
    bool more = n_state < n_full || n_common > 0;
    kv_seq_cut(pool, s, (int)n_state * KV_PAGE_TOKENS);
    match->n_tokens = (int)n_state * KV_PAGE_TOKENS;
    match->end = more ? HEARTH_PREFIX_NO_STATE : why_not_more(pool, s, tokens, most, match, 0);
}

void kv_seq_find(struct kv_pool *pool, struct kv_seq *s, uint64_t salt, const int32_t *tokens, int most,
                 struct kv_match *match)
{
    assert(s->n_pages == 0);
    s->salt = salt;
    s->n_in_tree = 0;
    if (states_kept(&pool->states)) {
        find_with_state(pool, s, tokens, most, match);
        return;
    }
    int full = (int)take_full(pool, s, 0, tokens, most) * KV_PAGE_TOKENS, n_common = 0;
    uint32_t near = prefix_nearest(&pool->tree, before(s, s->n_in_tree), salt, tokens + full,
                                   min_int(most - full, KV_PAGE_TOKENS), &n_common, &match->other);
    match->n_tokens = match->n_paged = full;
    if (near != PREFIX_NONE && copy_page(pool, s, near))
        match->n_tokens += n_common;
    match->end = why_not_more(pool, s, tokens, most, match, n_common);
}

void kv_look(const struct kv_pool *pool, uint64_t salt, const int32_t *tokens, int most, uint32_t *n_full,
             uint32_t *n_idle)
{
    uint32_t page = PREFIX_NONE, last, n_state;
    last = count_full(pool, salt, 0, PREFIX_NONE, tokens, most, &n_state);
    if (states_kept(&pool->states))
        last = n_state;
    *n_idle = 0;
    for (*n_full = 0; *n_full < last; ++*n_full) {
        page = prefix_find(&pool->tree, page, salt, tokens + *n_full * KV_PAGE_TOKENS);
        *n_idle += pool->n_refs[page] == 0;
    }
}

int kv_seq_join(struct kv_pool *pool, struct kv_seq *s, const int32_t *tokens, int n_done, int most)
{
    uint32_t n = (uint32_t)n_done / KV_PAGE_TOKENS;
    if (n != s->n_in_tree || s->apart)
        return n_done;
    if (states_kept(&pool->states)) {
        uint32_t had = n;
        count_full(pool, s->salt, had, before(s, had), tokens, most, &n);
        if (n == had)
            return n_done;
        take_full(pool, s, had, tokens, (int)n * KV_PAGE_TOKENS);
        states_load(&pool->states, s->state, before(s, n));
        return (int)n * KV_PAGE_TOKENS;
    }
    n = take_full(pool, s, n, tokens, most);
    return max_int(n_done, (int)n * KV_PAGE_TOKENS);
}

void kv_seq_publish(struct kv_pool *pool, struct kv_seq *s, const int32_t *tokens, int n_done)
{
    while ((int)(s->n_in_tree + 1) * KV_PAGE_TOKENS <= n_done) {
        uint32_t n = s->n_in_tree, parent = before(s, n);
        const int32_t *of_page = tokens + n * KV_PAGE_TOKENS;
        uint32_t page = prefix_find(&pool->tree, parent, s->salt, of_page);
        if (page != PREFIX_NONE) {
            if (s->apart)
                return;
            go_on_with(pool, s, n, page);
        } else {
            prefix_add(&pool->tree, s->pages[n], parent, s->salt, of_page, KV_PAGE_TOKENS);
            s->n_in_tree++;
        }
    }
}

/* The page that is not full. One that another covers is not kept twice. Returns the one that ends there in the tree;
 * PREFIX_NONE: none does. */
static uint32_t publish_rest(struct kv_pool *pool, struct kv_seq *s, const int32_t *tokens, int n)
{
    struct prefix_tree *tree = &pool->tree;
    uint32_t parent = before(s, s->n_in_tree);
    int32_t other;
    int n_common;
    uint32_t near = prefix_nearest(tree, parent, s->salt, tokens, n, &n_common, &other);
    if (near != PREFIX_NONE && n_common == n) {
        if (tree->nodes[near].idle)
            prefix_touch(tree, near);
        return tree->nodes[near].n_tokens == n ? near : PREFIX_NONE;
    }
    if (near != PREFIX_NONE && n_common == tree->nodes[near].n_tokens && tree->nodes[near].idle) {
        remove_page(pool, near); /* it is not full, or it would have been gone on with */
        pool->free_pages[pool->n_free++] = near;
    }
    prefix_add(tree, s->pages[s->n_in_tree], parent, s->salt, tokens, n);
    return s->pages[s->n_in_tree];
}

void kv_seq_leave(struct kv_pool *pool, struct kv_seq *s, const int32_t *tokens, int n_done)
{
    kv_seq_publish(pool, s, tokens, n_done);
    int full = (int)s->n_in_tree * KV_PAGE_TOKENS;
    uint32_t ends_there = n_done == full ? before(s, s->n_in_tree) : PREFIX_NONE;
    if (n_done > full && n_done - full < KV_PAGE_TOKENS)
        ends_there = publish_rest(pool, s, tokens + full, n_done - full);
    states_leave(&pool->states, s->state, ends_there);
    s->state = STATE_NONE;
    kv_seq_clear(pool, s);
}

void kv_seq_save_state(struct kv_pool *pool, const struct kv_seq *s, int n_done)
{
    if (states_kept(&pool->states) && n_done > 0 && n_done == (int)s->n_in_tree * KV_PAGE_TOKENS)
        states_save(&pool->states, s->state, before(s, s->n_in_tree));
}

/* ---- memory back to the system ---- */

/* A page's memory, but for what it shares with its neighbours: what is read there is zero until it is written. */
static size_t give(struct kv_pool *pool, uint32_t page)
{
    enum { SYSTEM_PAGE_BYTES = 4096 };
    size_t first = align_size(page * pool->page_bytes, SYSTEM_PAGE_BYTES);
    size_t last = (page + 1) * pool->page_bytes / SYSTEM_PAGE_BYTES * SYSTEM_PAGE_BYTES;
    pool->touched[page] = false;
    pool->n_touched--;
    if (last <= first)
        return 0;
    if (!pool->small)
        mem_pages_small(pool->data, pool->bytes);
    pool->small = true;
    pool->huge = false;
    mem_pages_forget_part(pool->data + first, last - first);
    return last - first;
}

size_t kv_give_free(struct kv_pool *pool, size_t bytes, uint32_t *n_pages)
{
    size_t given = 0;
    *n_pages = 0;
    for (uint32_t i = 0; i < pool->n_free && given < bytes; i++)
        if (pool->touched[pool->free_pages[i]]) {
            given += give(pool, pool->free_pages[i]);
            ++*n_pages;
        }
    return given + states_give(&pool->states);
}

size_t kv_give_kept(struct kv_pool *pool, size_t bytes, uint32_t *n_pages)
{
    size_t given = 0;
    uint32_t page;
    for (*n_pages = 0; given < bytes && (page = give_away(pool)) != PREFIX_NONE; ++*n_pages) {
        pool->free_pages[pool->n_free++] = page;
        given += give(pool, page);
    }
    return given + states_give(&pool->states); /* snapshots that went with their pages */
}

/* ---- pages of its own ---- */

bool kv_seq_reserve(struct kv_pool *pool, struct kv_seq *s, int n_tokens)
{
    uint32_t need = kv_pages_for(n_tokens);
    if (need > s->max_pages || (need > s->n_pages && need - s->n_pages > kv_available(pool)))
        return false;
    while (s->n_pages < need)
        s->pages[s->n_pages++] = take_page(pool);
    return true;
}

void kv_seq_clear(struct kv_pool *pool, struct kv_seq *s)
{
    states_leave(&pool->states, s->state, STATE_NONE);
    s->state = STATE_NONE;
    kv_seq_cut(pool, s, 0);
}

/* From the end on: prefix.h. */
void kv_seq_cut(struct kv_pool *pool, struct kv_seq *s, int n_tokens)
{
    uint32_t keep = kv_pages_for(n_tokens);
    while (s->n_pages > keep)
        let_go(pool, s->pages[--s->n_pages]);
    if (s->n_in_tree > keep)
        s->n_in_tree = keep;
}

struct kv_view kv_seq_view(const struct kv_pool *pool, const struct kv_seq *s)
{
    return (struct kv_view){ .base = pool->data,
                             .pages = s->pages,
                             .page_bytes = pool->page_bytes,
                             .type = pool->type };
}
