#include "engine/readahead.h"

/* Long enough for the disk, short enough to stop soon. */
enum { PIECE_BYTES = 4 << 20 };

static uint32_t pieces_of(const struct file_map *m) { return (uint32_t)((m->bytes + PIECE_BYTES - 1) / PIECE_BYTES); }

static void read_pieces(void *arg)
{
    struct readahead *r = arg;
    while (!atomic_load_explicit(&r->stop, memory_order_relaxed)) {
        uint32_t piece = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed), part = 0;
        if (piece >= r->n_pieces)
            return;
        for (; piece >= pieces_of(&r->maps[part]); part++)
            piece -= pieces_of(&r->maps[part]);
        /* False here: the file was cut short meanwhile. Whoever computes on it finds out. */
        if (!file_advise(&r->maps[part], (size_t)piece * PIECE_BYTES, PIECE_BYTES, FILE_POPULATE))
            atomic_store_explicit(&r->stop, true, memory_order_relaxed);
    }
}

void readahead_begin(struct readahead *r, const struct file_map *maps, uint32_t n_maps, uint64_t room_bytes)
{
    *r = (struct readahead){ .maps = maps, .n_maps = n_maps, .room_bytes = room_bytes };
    for (uint32_t i = 0; i < n_maps; i++) {
        if (maps[i].fd < 0)
            return;
        r->file_bytes += maps[i].bytes;
        r->n_pieces += pieces_of(&maps[i]);
    }
    r->no_room = r->file_bytes > room_bytes;
    if (r->no_room)
        return;
    /* Before the first page is read: only then does the system choose large pages for it. */
    for (uint32_t i = 0; i < n_maps; i++)
        r->no_huge |= !file_advise(&maps[i], 0, maps[i].bytes, FILE_HUGE);
    r->refused = !file_advise(&maps[0], 0, 1, FILE_POPULATE); /* the header: parsed, so no wait */
    for (int i = 0; !r->refused && i < READAHEAD_THREADS; i++) {
        hearth_error ignored = { 0 };
        if (!thread_start(&r->threads[i], "hearth-read", read_pieces, r, &ignored))
            r->refused = i == 0; /* one is slower, not less */
    }
}

void readahead_end(struct readahead *r)
{
    atomic_store_explicit(&r->stop, true, memory_order_relaxed);
    for (int i = 0; i < READAHEAD_THREADS; i++)
        thread_join(&r->threads[i]);
}
