#include "text/merge.h"

#include "base/alloc.h"

bool merge_reserve(struct merger *m, size_t n)
{
    m->n = n;
    if (n <= m->room)
        return true;
    size_t room = max_size(n + n / 4, 256);
    struct merge_symbol *symbol = mem_resize(m->symbol, room * sizeof *symbol);
    if (!symbol)
        return false;
    m->symbol = symbol;
    m->room = room;
    return true;
}

void merge_free(struct merger *m)
{
    mem_free(m->symbol);
    mem_free(m->heap);
    *m = (struct merger){ 0 };
}

static void find_key(struct merger *m, int32_t left, merge_fn *fn, const void *ctx)
{
    struct merge_symbol *s = &m->symbol[left];
    s->key = s->next < 0 ? MERGE_NONE : fn(ctx, m, left, &s->merged);
}

/* Join `left` with its neighbour and look at the two pairs that this makes. */
static void join(struct merger *m, int32_t left, merge_fn *fn, const void *ctx)
{
    struct merge_symbol *s = &m->symbol[left];
    struct merge_symbol *gone = &m->symbol[s->next];
    s->id = s->merged;
    s->next = gone->next;
    gone->key = MERGE_NONE;
    if (s->next >= 0)
        m->symbol[s->next].prev = left;
    find_key(m, left, fn, ctx);
    if (s->prev >= 0)
        find_key(m, s->prev, fn, ctx);
}

static void run_short(struct merger *m, merge_fn *fn, const void *ctx)
{
    for (;;) {
        int32_t best = -1;
        uint32_t least = MERGE_NONE;
        for (int32_t i = 0; i >= 0; i = m->symbol[i].next) {
            if (m->symbol[i].key < least) {
                least = m->symbol[i].key;
                best = i;
            }
        }
        if (best < 0)
            return;
        join(m, best, fn, ctx);
    }
}

static void sift_down(uint64_t *heap, size_t n, size_t i)
{
    uint64_t item = heap[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && heap[child + 1] < heap[child])
            child++;
        if (item <= heap[child])
            break;
        heap[i] = heap[child];
    }
    heap[i] = item;
}

static void heap_push(struct merger *m, int32_t index)
{
    if (index < 0 || m->symbol[index].key == MERGE_NONE)
        return;
    uint64_t item = (uint64_t)m->symbol[index].key << 32 | (uint32_t)index;
    size_t i = m->heap_n++;
    for (; i > 0 && item < m->heap[(i - 1) / 2]; i = (i - 1) / 2)
        m->heap[i] = m->heap[(i - 1) / 2];
    m->heap[i] = item;
}

static int32_t heap_pop(struct merger *m)
{
    uint64_t top = m->heap[0];
    m->heap[0] = m->heap[--m->heap_n];
    if (m->heap_n > 1)
        sift_down(m->heap, m->heap_n, 0);
    int32_t index = (int32_t)(top & UINT32_MAX);
    return m->symbol[index].key == top >> 32 ? index : -1;
}

/* The pairs of n symbols fill at most n entries, and each of at most n joins takes one
 * entry out and puts at most two in: 2 n entries always suffice. */
static bool heap_reserve(struct merger *m, size_t n_symbols)
{
    size_t want = 2 * n_symbols;
    m->heap_n = 0;
    if (want <= m->heap_room)
        return true;
    uint64_t *heap = mem_resize(m->heap, want * sizeof *heap);
    if (!heap)
        return false;
    m->heap = heap;
    m->heap_room = want;
    return true;
}

static bool run_long(struct merger *m, size_t n_symbols, merge_fn *fn, const void *ctx)
{
    if (!heap_reserve(m, n_symbols))
        return false;
    for (int32_t i = 0; i >= 0; i = m->symbol[i].next)
        if (m->symbol[i].key != MERGE_NONE)
            m->heap[m->heap_n++] = (uint64_t)m->symbol[i].key << 32 | (uint32_t)i;
    for (size_t i = m->heap_n / 2; i > 0; i--)
        sift_down(m->heap, m->heap_n, i - 1);
    while (m->heap_n > 0) {
        int32_t left = heap_pop(m);
        if (left < 0)
            continue;
        join(m, left, fn, ctx);
        heap_push(m, left);
        heap_push(m, m->symbol[left].prev);
    }
    return true;
}

bool merge_run(struct merger *m, size_t n_symbols, merge_fn *fn, const void *ctx)
{
    if (n_symbols < 2)
        return true;
    for (int32_t i = 0; i >= 0; i = m->symbol[i].next)
        find_key(m, i, fn, ctx);
    if (n_symbols > MERGE_SHORT)
        return run_long(m, n_symbols, fn, ctx);
    run_short(m, fn, ctx);
    return true;
}
