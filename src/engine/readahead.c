#include "engine/readahead.h"

#include <stdlib.h>

#include "base/alloc.h"

static uint32_t pieces_of(const struct file_map *m)
{
    return (uint32_t)((m->bytes + READAHEAD_PIECE_BYTES - 1) / READAHEAD_PIECE_BYTES);
}

/* Part of a piece, and where in it. */
static const struct file_map *find(const struct readahead *r, uint32_t piece, size_t *offset, size_t *bytes)
{
    const struct file_map *m = r->maps;
    for (; piece >= pieces_of(m); m++)
        piece -= pieces_of(m);
    *offset = (size_t)piece * READAHEAD_PIECE_BYTES;
    *bytes = min_size(m->bytes - *offset, READAHEAD_PIECE_BYTES);
    return m;
}

/* False: none is left, or no more are wanted. */
static bool read_next(struct readahead *r)
{
    size_t offset, bytes;
    if (atomic_load_explicit(&r->stop, memory_order_relaxed))
        return false;
    uint32_t i = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed);
    if (i >= r->n_pieces)
        return false;
    const struct file_map *m = find(r, r->pieces[i].piece, &offset, &bytes);
    /* False here: the file was cut short meanwhile. Whoever computes on it finds out. */
    if (!file_advise(m, offset, bytes, FILE_POPULATE)) {
        atomic_store_explicit(&r->failed, true, memory_order_relaxed);
        atomic_store_explicit(&r->stop, true, memory_order_relaxed);
        return false;
    }
    atomic_fetch_add_explicit(&r->read_bytes, bytes, memory_order_relaxed);
    return true;
}

static void helper_main(void *readahead)
{
    while (read_next(readahead))
        ;
}

bool readahead_plan(struct readahead *r, const struct file_map *maps, uint32_t n_maps, uint64_t room_bytes,
                    hearth_error *err)
{
    *r = (struct readahead){ .maps = maps, .n_maps = n_maps, .room_bytes = room_bytes };
    uint64_t n = 0;
    for (uint32_t i = 0; i < n_maps; i++) {
        r->file_bytes += maps[i].bytes;
        n += pieces_of(&maps[i]);
    }
    r->no_room = r->file_bytes > room_bytes;
    r->pieces = n < UINT32_MAX ? mem_alloc((size_t)n * sizeof *r->pieces) : NULL;
    if (!r->pieces)
        return fail_memory(err, "the order of reading");
    r->n_pieces = (uint32_t)n;
    for (uint32_t i = 0; i < r->n_pieces; i++)
        r->pieces[i] = (struct readahead_piece){ .rank = UINT32_MAX, .piece = i };
    return true;
}

void readahead_need(struct readahead *r, const void *data, uint64_t bytes, uint32_t rank)
{
    uintptr_t at = (uintptr_t)data;
    uint32_t first = 0;
    for (uint32_t i = 0; data && bytes && i < r->n_maps; first += pieces_of(&r->maps[i++])) {
        uintptr_t start = (uintptr_t)r->maps[i].ptr;
        if (at < start || at >= start + r->maps[i].bytes)
            continue;
        uint64_t offset = at - start, last = offset + bytes - 1;
        for (uint64_t p = offset / READAHEAD_PIECE_BYTES;
             p <= last / READAHEAD_PIECE_BYTES && p < pieces_of(&r->maps[i]); p++)
            if (rank < r->pieces[first + p].rank)
                r->pieces[first + p].rank = rank;
        return;
    }
}

static int earlier(const void *a, const void *b)
{
    const struct readahead_piece *x = a, *y = b;
    uint32_t of_x = x->rank == y->rank ? x->piece : x->rank, of_y = x->rank == y->rank ? y->piece : y->rank;
    return (of_x > of_y) - (of_x < of_y);
}

static bool is_file(const struct readahead *r) { return r->n_maps > 0 && r->maps[0].fd >= 0; }

static void start(struct readahead *r)
{
    int n = 0;
    for (int i = 0; i < READAHEAD_THREADS; i++) {
        hearth_error ignored = { 0 };
        n += thread_start(&r->threads[i], "hearth-read", helper_main, r, &ignored);
    }
    atomic_store(&r->n_threads, n);
}

void readahead_begin(struct readahead *r, bool now)
{
    if (r->n_pieces)
        qsort(r->pieces, r->n_pieces, sizeof *r->pieces, earlier);
    if (!is_file(r) || r->no_room)
        return;
    /* Before the first page is read: only then does the system choose large pages for it. */
    for (uint32_t i = 0; i < r->n_maps; i++)
        r->no_huge |= !file_advise(&r->maps[i], 0, r->maps[i].bytes, FILE_HUGE);
    if (now)
        start(r);
}

bool readahead_look(const struct readahead *r, uint64_t *read_bytes)
{
    *read_bytes = atomic_load_explicit(&r->read_bytes, memory_order_relaxed);
    return atomic_load(&r->n_threads) > 0 && !atomic_load_explicit(&r->stop, memory_order_relaxed)
        && *read_bytes < r->file_bytes;
}

static void join(struct readahead *r)
{
    for (int i = 0; i < READAHEAD_THREADS; i++)
        thread_join(&r->threads[i]);
}

void readahead_stop(struct readahead *r)
{
    atomic_store_explicit(&r->stop, true, memory_order_relaxed);
    join(r);
}

void readahead_again(struct readahead *r)
{
    readahead_stop(r);
    if (!is_file(r) || r->no_room || atomic_load(&r->failed))
        return;
    atomic_store(&r->next, 0);
    atomic_store(&r->read_bytes, 0);
    atomic_store(&r->stop, false);
    start(r);
}

bool readahead_fill(struct readahead *r, bool (*show)(void *arg, uint64_t read_bytes, uint64_t file_bytes), void *arg,
                    hearth_error *err)
{
    bool wanted = true;
    if (r->no_room)
        return fail(err, HEARTH_ERR_MEMORY,
                    "%llu MiB of weights cannot be held in memory, %llu MiB are free; free some, or leave out "
                    "--preload and --lock",
                    (unsigned long long)(r->file_bytes >> 20), (unsigned long long)(r->room_bytes >> 20));
    do
        wanted = !show || show(arg, atomic_load_explicit(&r->read_bytes, memory_order_relaxed), r->file_bytes);
    while (wanted && read_next(r));
    if (!wanted)
        atomic_store_explicit(&r->stop, true, memory_order_relaxed);
    join(r);
    if (!wanted)
        return fail(err, HEARTH_ERR_CANCELLED, "reading the weights was interrupted");
    if (atomic_load_explicit(&r->failed, memory_order_relaxed))
        return fail(err, HEARTH_ERR_IO,
                    "the file was cut short, or its disk failed, while it was read; put the whole file back and load "
                    "it again");
    r->filled = true;
    return true;
}

void readahead_end(struct readahead *r)
{
    readahead_stop(r);
    mem_free(r->pieces);
    r->pieces = NULL;
    r->n_pieces = 0;
}
