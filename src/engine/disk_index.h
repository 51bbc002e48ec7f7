/* disk_index.h: which files the cache on disk has, how large they are and when they were of use. A table in memory of
 * a fixed size: open addressing over the ids, which are uniform. No threads, no files. */
#pragma once
#include "infer/kv_file.h"

/* DISK_KEPT_FILES: beyond it old ones go, so that there is place for those on their way. */
enum { DISK_SLOTS = 1 << 16, DISK_MOST_FILES = DISK_SLOTS / 4 * 3, DISK_KEPT_FILES = DISK_MOST_FILES - 512 };

struct disk_entry {
    struct kv_id id;
    uint64_t bytes;  /* of the file; 0: the slot is empty */
    int64_t used_ns; /* Unix time; later pages of a sequence are older, so that they go first */
    bool coming;     /* it is being written */
};

struct disk_index {
    struct disk_entry *slots; /* [DISK_SLOTS] */
    uint32_t n;
    uint64_t bytes; /* of all of them */
};

size_t disk_index_bytes(void); /* of memory */
bool disk_index_create(struct disk_index *x); /* false: no memory */
void disk_index_destroy(struct disk_index *x); /* fine on a zeroed struct */
/* NULL: it is not there. Valid until something is put or removed. */
struct disk_entry *disk_index_find(const struct disk_index *x, struct kv_id id);
/* Put one that is not there. NULL: there are as many as there may be. */
struct disk_entry *disk_index_put(struct disk_index *x, struct kv_id id, uint64_t bytes, int64_t used_ns);
void disk_index_remove(struct disk_index *x, struct disk_entry *e);
void disk_index_clear(struct disk_index *x); /* all but those that are being written */
/* The one that was of no use for longest, of those that are there; NULL: none is. */
struct disk_entry *disk_index_oldest(const struct disk_index *x);
