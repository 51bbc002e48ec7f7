/* readahead.h: weights brought into memory in the order of their use, ahead of the threads that compute.
 *
 * Nothing is copied: pages of the map are read into the page cache and mapped. Helper threads do
 * it: a cached file is mapped while the tokenizer is made, and a cold one is read at the rate of
 * the disk instead of page fault by page fault. The parts of a file are cut into pieces of 4 MB;
 * a piece comes when the first of what is in it is needed. */
#pragma once
#include "base/file.h"
#include "base/thread.h"

/* Two, so that one piece is being read while the other is being mapped. */
enum { READAHEAD_THREADS = 2, READAHEAD_PIECE_BYTES = 4 << 20 };

struct readahead_piece {
    uint32_t rank;  /* when it is needed: low first */
    uint32_t piece; /* of all parts, in their order */
};

struct readahead {
    const struct file_map *maps;
    uint32_t n_maps;
    uint32_t n_pieces;
    struct readahead_piece *pieces; /* [n_pieces] in the order of reading once it began */
    struct thread threads[READAHEAD_THREADS];
    atomic_uint next; /* of pieces */
    atomic_bool stop;
    atomic_bool failed; /* a file was cut short meanwhile */
    atomic_uint_fast64_t read_bytes;
    uint64_t file_bytes, room_bytes;
    atomic_int n_threads; /* helpers that could be started */
    bool no_room;  /* file_bytes > room_bytes: nothing is read ahead */
    bool no_huge;  /* the system gives no large pages for files */
    bool filled;   /* readahead_fill() succeeded */
};

/* Cut the parts into pieces. maps must stay as they are until readahead_end(). False when memory is out. */
bool readahead_plan(struct readahead *r, const struct file_map *maps, uint32_t n_maps, uint64_t room_bytes,
                    hearth_error *err);
/* These bytes of one of the maps are needed at this time; before readahead_begin(). What nobody names comes last.
 * Bytes elsewhere, or none (NULL), are nothing. */
void readahead_need(struct readahead *r, const void *data, uint64_t bytes, uint32_t rank);
/* Begin, now or only with readahead_again(); returns at once. Maps of bytes in memory are left alone. Never an error:
 * what was not granted is in the flags and n_threads. */
void readahead_begin(struct readahead *r, bool now);
/* Once more, from the beginning: what was read may have gone. After readahead_begin(). */
void readahead_again(struct readahead *r);
/* No further than it is. */
void readahead_stop(struct readahead *r);
/* How far it is. False: nothing is being read. */
bool readahead_look(const struct readahead *r, uint64_t *read_bytes);
/* Read with the helpers until everything is there (bytes in memory are touched too). show (may be NULL) is called now
 * and then on this thread; false from it ends with HEARTH_ERR_CANCELLED. HEARTH_ERR_MEMORY: there is not room enough;
 * HEARTH_ERR_IO: a file was cut short meanwhile. */
bool readahead_fill(struct readahead *r, bool (*show)(void *arg, uint64_t read_bytes, uint64_t file_bytes), void *arg,
                    hearth_error *err);
/* Stop after the pieces that are being read, and free; fine on a zeroed struct, and twice. */
void readahead_end(struct readahead *r);
