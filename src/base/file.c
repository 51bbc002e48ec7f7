#define _GNU_SOURCE
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file_open.h"

static atomic_ullong n_calls;
static atomic_ullong fail_call; /* 0: never */

uint64_t file_fail_at(uint64_t n)
{
    uint64_t calls = atomic_exchange(&n_calls, 0);
    atomic_store(&fail_call, n);
    return calls;
}

bool file_told_to_fail(void)
{
    uint64_t call = atomic_fetch_add_explicit(&n_calls, 1, memory_order_relaxed) + 1;
    if (call != atomic_load_explicit(&fail_call, memory_order_relaxed))
        return false;
    errno = EIO;
    return true;
}

static bool fail_errno(hearth_error *err, const char *doing, const char *path, const char *advice)
{
    return fail(err, HEARTH_ERR_IO, "cannot %s %s: %s; %s", doing, path, strerror(errno), advice);
}

/* ---- reading ---- */

bool file_read_fd(int fd, const char *name, size_t limit_bytes, char **out, size_t *n, hearth_error *err)
{
    size_t used = 0, room = 64 << 10;
    char *p = mem_alloc(room);
    if (!p)
        return fail_memory(err, name);
    for (;;) {
        if (used + 1 >= room) {
            char *bigger = mem_resize(p, room * 2);
            if (!bigger) {
                mem_free(p);
                return fail_memory(err, name);
            }
            p = bigger;
            room *= 2;
        }
        ssize_t got = file_told_to_fail() ? -1 : read(fd, p + used, room - used - 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            mem_free(p);
            return fail_errno(err, "read", name, "check that it is readable");
        }
        if (got == 0)
            break;
        used += (size_t)got;
        if (used > limit_bytes) {
            mem_free(p);
            return fail(err, HEARTH_ERR_USAGE, "%s is longer than %zu bytes, the most that is read; give a shorter one",
                        name, limit_bytes);
        }
    }
    p[used] = 0;
    *out = p;
    *n = used;
    return true;
}

bool file_read(const char *path, size_t limit_bytes, char **out, size_t *n, hearth_error *err)
{
    int fd = file_told_to_fail() ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(err, "open", path, "check the path");
    bool ok = file_read_fd(fd, path, limit_bytes, out, n, err);
    close(fd);
    return ok;
}

int file_identity(const char *path, uint64_t *device, uint64_t *inode, hearth_error *err)
{
    struct stat st;
    if (!file_told_to_fail() && stat(path, &st) == 0) {
        *device = (uint64_t)st.st_dev;
        *inode = (uint64_t)st.st_ino;
        return 1;
    }
    if (errno == ENOENT || errno == ENOTDIR)
        return 0;
    fail_errno(err, "look at", path, "check the path");
    return -1;
}

/* ---- writing ---- */

enum { WRITE_BUFFER_BYTES = 1 << 20 };

static void writer_fail(struct file_writer *w, const char *doing)
{
    if (w->failed)
        return;
    w->failed = true;
    fail_errno(&w->error, doing, w->part, "check free space and permissions");
}

static bool open_writer(struct file_writer *w, const char *path, mode_t mode, hearth_error *err)
{
    *w = (struct file_writer){ .fd = -1 };
    size_t n = strlen(path);
    w->path = mem_alloc(n + 1);
    w->part = mem_alloc(n + 6);
    w->buffer = mem_alloc(WRITE_BUFFER_BYTES);
    if (!w->path || !w->part || !w->buffer) {
        file_writer_abort(w);
        return fail_memory(err, path);
    }
    memcpy(w->path, path, n);
    memcpy(w->part, path, n);
    memcpy(w->part + n, ".part", 5);
    /* Always one of our own: what is there under its name may be left over, or a link that somebody put there. */
    (void)unlink(w->part);
    w->fd = file_told_to_fail() ? -1 : open(w->part, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (w->fd < 0) {
        fail_errno(err, "create", w->part, "check that the folder exists and is writable");
        file_writer_abort(w);
        return false;
    }
    return true;
}

bool file_writer_open(struct file_writer *w, const char *path, hearth_error *err)
{
    return open_writer(w, path, 0644, err);
}

bool file_writer_open_private(struct file_writer *w, const char *path, hearth_error *err)
{
    return open_writer(w, path, 0600, err);
}

bool file_writer_keep_access(struct file_writer *w, hearth_error *err)
{
    struct stat old, own;
    if (file_told_to_fail() || fstat(w->fd, &own) != 0)
        return fail_errno(err, "look at", w->part, "check the folder");
    if (lstat(w->path, &old) != 0)
        return true;
    bool same = old.st_uid == own.st_uid && old.st_gid == own.st_gid;
    if ((same || fchown(w->fd, old.st_uid, old.st_gid) == 0) && fchmod(w->fd, old.st_mode & 0640) == 0)
        return true;
    return fail(err, HEARTH_ERR_IO, "%s belongs to user %u and group %u, and you may not write a file of theirs (%s); "
                "run this as that user", w->path, (unsigned)old.st_uid, (unsigned)old.st_gid, strerror(errno));
}

bool file_is_link(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
}

bool file_real_path(const char *path, char *out, size_t n)
{
    char real[PATH_MAX];
    return realpath(path, real) && (size_t)snprintf(out, n, "%s", real) < n;
}

static bool write_all_at(struct file_writer *w, uint64_t offset, const uint8_t *p, size_t n)
{
    while (n > 0 && !w->failed) {
        ssize_t done = file_told_to_fail() ? -1 : pwrite(w->fd, p, n, (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            writer_fail(w, "write");
            return false;
        }
        p += done;
        n -= (size_t)done;
        offset += (uint64_t)done;
    }
    return !w->failed;
}

static void flush(struct file_writer *w)
{
    write_all_at(w, w->written - w->used, w->buffer, w->used);
    w->used = 0;
}

void file_write(struct file_writer *w, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    while (n > 0 && !w->failed) {
        size_t piece = min_size(n, WRITE_BUFFER_BYTES - w->used);
        memcpy(w->buffer + w->used, p, piece);
        w->used += piece;
        w->written += piece;
        p += piece;
        n -= piece;
        if (w->used == WRITE_BUFFER_BYTES)
            flush(w);
    }
}

bool file_write_at(struct file_writer *w, uint64_t offset, const void *bytes, size_t n)
{
    return write_all_at(w, offset, bytes, n);
}

bool file_size_below(struct file_writer *w, uint64_t n)
{
    struct stat st;
    flush(w);
    if (!w->failed && (file_told_to_fail() || fstat(w->fd, &st) != 0))
        writer_fail(w, "look at");
    return !w->failed && (uint64_t)st.st_size < n;
}

static int open_folder(const char *path)
{
    char folder[4096];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    return open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int folder_lock(const char *path, hearth_error *err)
{
    int fd = file_told_to_fail() ? -1 : open_folder(path);
    if (fd >= 0 && flock(fd, LOCK_EX) == 0)
        return fd;
    fail_errno(err, "lock the folder of", path, "check that it exists");
    folder_unlock(fd);
    return -1;
}

void folder_unlock(int lock)
{
    if (lock >= 0)
        close(lock);
}

static void sync_folder(const char *path)
{
    int fd = open_folder(path);
    if (fd >= 0) {
        (void)!fsync(fd);
        close(fd);
    }
}

bool file_writer_commit(struct file_writer *w, hearth_error *err)
{
    flush(w);
    if (!w->failed && (file_told_to_fail() || fsync(w->fd) != 0))
        writer_fail(w, "sync");
    if (!w->failed && (file_told_to_fail() || rename(w->part, w->path) != 0))
        writer_fail(w, "rename");
    bool ok = !w->failed;
    if (ok) {
        sync_folder(w->path);
        close(w->fd);
        w->fd = -1;
        w->part[0] = 0; /* nothing to remove */
    } else if (err) {
        *err = w->error;
    }
    file_writer_abort(w);
    return ok;
}

void file_writer_abort(struct file_writer *w)
{
    if (w->fd >= 0) {
        close(w->fd);
        unlink(w->part);
    }
    mem_free(w->path);
    mem_free(w->part);
    mem_free(w->buffer);
    *w = (struct file_writer){ .fd = -1, .failed = true };
}

/* ---- opening for a map (map.c does the rest) ---- */

int file_open_for_map(const char *path, struct stat *st, hearth_error *err)
{
    int fd = file_told_to_fail() ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fail_errno(err, "open", path, "check the path");
        return -1;
    }
    if (fstat(fd, st) != 0 || file_told_to_fail()) {
        fail_errno(err, "look at", path, "check the path");
    } else if (S_ISDIR(st->st_mode)) {
        fail(err, HEARTH_ERR_IO, "%s is a folder; name a .gguf file in it", path);
    } else if (!S_ISREG(st->st_mode)) {
        fail(err, HEARTH_ERR_IO, "%s is not a regular file; a model must be a file that can be mapped", path);
    } else if (st->st_size == 0) {
        fail(err, HEARTH_ERR_FORMAT, "%s is empty (0 bytes); download it again", path);
    } else {
        return fd;
    }
    close(fd);
    return -1;
}
