/* file.h: files, read-only maps of them, and atomic writes. */
#pragma once
#include "base/base.h"
#include "base/err.h"

/* A file mapped read-only, or bytes that were in memory already (an embedded model).
 * The length is that of the opened descriptor, so it cannot change between check and use.
 * If the file is truncated later, touching the lost part raises SIGBUS: the handler that
 * file_map() installs puts zeros there and sets `damaged`; whoever computes on the map
 * asks file_map_damaged() afterwards and fails the model, not the process. */
struct file_map {
    const uint8_t *ptr;
    size_t bytes;
    int fd;   /* -1: not a file */
    int slot; /* in the table of watched maps; -1: not watched */
    uint64_t device, inode;
    int64_t mtime_ns;
};

/* Map the whole file. HEARTH_ERR_IO names the path and the reason. Release with file_unmap(). */
bool file_map(struct file_map *out, const char *path, hearth_error *err);
/* The same view over bytes that live as long as the program. */
void file_map_memory(struct file_map *out, const void *bytes, size_t n);
void file_unmap(struct file_map *m); /* fine on a zeroed struct or twice */
bool file_map_damaged(const struct file_map *m);

enum file_advice {
    FILE_WILL_NEED, /* start reading ahead, return at once */
    FILE_POPULATE,  /* read and map now (blocks) */
    FILE_TOUCH,     /* the same by looking at every page: for bytes in memory and kernels that cannot (before 5.14) */
    FILE_HUGE,      /* 2 MB mappings where the file system gives them */
    FILE_LET_GO,    /* not mapped any more: it stays in the page cache, for as long as nobody needs the memory */
    FILE_EVICT,     /* drop it from the page cache (POSIX_FADV_DONTNEED), for benchmarks */
};
/* False where the system does not offer it: advice, never an error. offset/bytes are
 * rounded outwards to pages. */
bool file_advise(const struct file_map *m, size_t offset, size_t bytes, enum file_advice advice);
/* Keep the pages where they are (mlock): those that are there now or, with later, as they come. file_unmap() ends it;
 * for bytes in memory file_unlock(). HEARTH_ERR_MEMORY names the limit of this process and how to raise it. */
bool file_lock(const struct file_map *m, bool later, hearth_error *err);
void file_unlock(const struct file_map *m);
/* Bytes of the map that are in the page cache now. */
size_t file_resident_bytes(const struct file_map *m);

/* Which file a path names, links followed: 1 and the two numbers, which are those of its maps; 0: none is there;
 * -1: the system does not say (HEARTH_ERR_IO). */
int file_identity(const char *path, uint64_t *device, uint64_t *inode, hearth_error *err);

/* Read everything up to limit_bytes into *out (mem_alloc'ed, NUL-terminated; caller frees).
 * A file longer than the limit is HEARTH_ERR_USAGE. fd 0 reads standard input. */
bool file_read_fd(int fd, const char *name, size_t limit_bytes, char **out, size_t *n, hearth_error *err);
bool file_read(const char *path, size_t limit_bytes, char **out, size_t *n, hearth_error *err);

/* Writing: everything goes to PATH.part; commit syncs it and renames it to PATH, so a file
 * under its final name is complete. */
struct file_writer {
    char *path, *part;
    int fd;
    uint8_t *buffer;
    size_t used;
    uint64_t written; /* bytes accepted so far */
    bool failed;
    hearth_error error; /* the first failure */
};
bool file_writer_open(struct file_writer *w, const char *path, hearth_error *err);
/* The same for what nobody else is to read: mode 0600. */
bool file_writer_open_private(struct file_writer *w, const char *path, hearth_error *err);
/* The file belongs to whom the one that is there under its name belongs to, and its group may read it where that one's
 * may. HEARTH_ERR_IO: that is somebody else, and we may not give files away. */
bool file_writer_keep_access(struct file_writer *w, hearth_error *err);
bool file_is_link(const char *path); /* symbolic */
/* Without links. False: it is not there, or has more than n bytes. */
bool file_real_path(const char *path, char *out, size_t n);
void file_write(struct file_writer *w, const void *bytes, size_t n); /* sticky failure */
/* Positioned write for parallel producers; the range must lie beyond what file_write wrote. */
bool file_write_at(struct file_writer *w, uint64_t offset, const void *bytes, size_t n);
/* True when the file is shorter than n bytes now; false also when that cannot be found out, which is a failure. */
bool file_size_below(struct file_writer *w, uint64_t n);
bool file_writer_commit(struct file_writer *w, hearth_error *err); /* ends the writer either way */
void file_writer_abort(struct file_writer *w);                     /* removes PATH.part */

/* To read a file, change it and write it: who calls this for another file of the same folder waits until
 * folder_unlock(). Returns what that takes; -1: HEARTH_ERR_IO. */
int folder_lock(const char *path, hearth_error *err);
void folder_unlock(int lock); /* -1 is fine */

/* Test hook, as mem_fail_at(): the n-th open, look, read, write, sync or rename from now on fails with EIO. */
uint64_t file_fail_at(uint64_t n);
