/* disk.h: the cache of keys and values on disk: a folder of pages, one a file (infer/kv_file.h).
 *
 * Two threads of its own do what waits for a disk. One reads pages into the pool for sequences that wait for them; one,
 * at low priority, writes copies that the engine thread gives it, and removes what is over the limit, the longest
 * unused first. Nobody who computes waits for either. Nothing that goes wrong here is an error of a request: a page
 * that cannot be read is computed, one that cannot be written is not kept; both are counted, and said once in a while.
 *
 * Of several processes with one folder the first to ask writes and removes there (folder_hold()), all read. */
#pragma once
#include "base/thread.h"
#include "infer/kv_file.h"

struct disk; /* opaque */

/* A page counts as used so much before the one in front of it: the ends of sequences go first, after a restart too. */
enum { DISK_DEPTH_NS = 1000 };

struct disk_options {
    const char *path; /* copied */
    uint64_t most_bytes;
    void (*note)(void *arg, const char *line); /* NULL: nobody wants to know */
    void *note_arg;
    void (*wake)(void *arg); /* a page was written, or a load has ended */
    void *wake_arg;
};

/* Look through the folder, and start the threads. HEARTH_ERR_IO, HEARTH_ERR_MEMORY. */
struct disk *disk_open(const struct disk_options *o, hearth_error *err);
/* End what is read: loads end where they are. Then also what is written: what waits to be is dropped. */
void disk_stop_reading(struct disk *d);
void disk_stop(struct disk *d);
void disk_close(struct disk *d); /* after disk_stop(); NULL is fine in all three */
uint64_t disk_memory_bytes(void);
void disk_look(struct disk *d, hearth_disk_cache *out);

/* A page of this id is there, or being written: it is of use now. */
bool disk_touch(struct disk *d, struct kv_id id, int64_t used_ns);
/* A page of this id can be read: it is of use now. */
bool disk_has(struct disk *d, struct kv_id id, int64_t used_ns);
/* Pages that were to be written, but had to go before. */
void disk_dropped(struct disk *d, uint64_t n);

/* ---- reading ---- */

/* Pages in a row for one sequence. Who asks leaves it, and what it points to, alone until it has ended. */
struct disk_load {
    const struct kv_form *form;
    struct kv_key before;    /* of the page before the first */
    uint32_t first, n_pages; /* its number in the sequence; how many */
    const int32_t *tokens;   /* of page `first` on */
    uint8_t *data;           /* the pool's */
    const uint32_t *pages;   /* pages of the pool to read into, for page `first` on */
    int64_t used_ns;         /* Unix time of the request */

    atomic_uint n_read;      /* the first so many are there, and right */
    atomic_bool stop, ended;
    struct disk_load *next;
};
void disk_load_begin(struct disk *d, struct disk_load *l);
/* It ends after the page that is being read. */
static inline void disk_load_stop(struct disk_load *l) { atomic_store(&l->stop, true); }
static inline bool disk_load_ended(const struct disk_load *l) { return atomic_load(&l->ended); }
static inline uint32_t disk_load_read(const struct disk_load *l) { return atomic_load(&l->n_read); }

/* ---- writing ---- */

enum { DISK_MOST_COPIES = 16 };

/* A copy of a page on its way out. */
struct disk_copy {
    struct kv_file_page page;
    int32_t tokens[PREFIX_PAGE_TOKENS]; /* page.tokens */
    const struct kv_form *form;
    int64_t used_ns;
    uint8_t *data; /* [page_bytes] */
    struct disk_copy *next;
    enum { COPY_FREE, COPY_TAKEN, COPY_WAITS, COPY_WRITTEN } state;
};

/* Room for copies of one model's pages. */
struct disk_stage {
    struct disk_copy copies[DISK_MOST_COPIES];
    int n;
};

/* One to fill; NULL: none is free. */
struct disk_copy *disk_copy_take(struct disk *d, struct disk_stage *s);
/* It is filled: write it. */
void disk_copy_put(struct disk *d, struct disk_copy *c);
/* Until one is free; false: that took longer, or all are. */
bool disk_stage_wait(struct disk *d, struct disk_stage *s, double ms, bool all);
/* Nothing of it is written any more when this returns; what waited is dropped. */
void disk_stage_end(struct disk *d, struct disk_stage *s);
