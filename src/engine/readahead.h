/* readahead.h: weights brought into memory in file order, ahead of the threads that compute.
 *
 * Nothing is copied: pages of the map are read into the page cache and mapped. Helper threads do
 * it: a cached file is mapped while the tokenizer is made, and a cold one is read at the rate of
 * the disk instead of page fault by page fault. */
#pragma once
#include "base/file.h"
#include "base/thread.h"

/* Two, so that one piece is being read while the other is being mapped. */
enum { READAHEAD_THREADS = 2 };

struct readahead {
    const struct file_map *maps;
    uint32_t n_maps;
    uint32_t n_pieces;
    struct thread threads[READAHEAD_THREADS];
    atomic_uint next; /* piece */
    atomic_bool stop;
    uint64_t file_bytes, room_bytes;
    bool no_room; /* file_bytes > room_bytes: nothing is read ahead */
    bool refused; /* the system does not offer it */
    bool no_huge; /* the system gives no large pages for files */
};

/* Begin; returns at once. maps must stay as they are until readahead_end(). Maps of bytes in
 * memory are left alone. Never an error: what was not granted is in the three flags, and does not
 * change later. */
void readahead_begin(struct readahead *r, const struct file_map *maps, uint32_t n_maps, uint64_t room_bytes);
/* Stop after the pieces that are being read; fine on a zeroed struct, and twice. */
void readahead_end(struct readahead *r);
