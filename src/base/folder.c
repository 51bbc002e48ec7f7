#define _GNU_SOURCE
#include "base/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_open.h"

static bool fail_at(const struct folder *f, const char *doing, const char *name, hearth_error *err)
{
    return fail(err, HEARTH_ERR_IO, "cannot %s %s%s%s: %s; check the folder, its permissions and its free space", doing,
                f->path, name[0] ? "/" : "", name, strerror(errno));
}

bool folder_open(struct folder *f, const char *path, hearth_error *err)
{
    *f = (struct folder){ .fd = -1, .path = path };
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return fail_at(f, "make the folder", "", err);
    f->fd = file_told_to_fail() ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return f->fd >= 0 ? true : fail_at(f, "open the folder", "", err);
}

void folder_close(struct folder *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

static bool make_one(const char *path, hearth_error *err)
{
    const struct folder f = { .fd = -1, .path = path };
    struct stat st;
    if ((stat(path, &st) == 0 && S_ISDIR(st.st_mode)) || (!file_told_to_fail() && mkdir(path, 0700) == 0))
        return true;
    if (errno == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return true; /* somebody was quicker */
    return fail_at(&f, "make the folder", "", err);
}

bool folder_make(const char *path, hearth_error *err)
{
    char part[1024];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof part)
        return fail(err, HEARTH_ERR_USAGE, "the path of a folder has %zu bytes; it may have 1 to %zu", n,
                    sizeof part - 1);
    for (size_t i = 1; i <= n; i++) {
        if (path[i] && path[i] != '/')
            continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (!make_one(part, err))
            return false;
    }
    return true;
}

/* The file system says what it likes: held to what fits. */
static int64_t ns_of(const struct timespec *t)
{
    const int64_t most_s = 9000000000;
    int64_t s = t->tv_sec < 0 ? 0 : t->tv_sec > most_s ? most_s : t->tv_sec;
    return s * 1000000000 + t->tv_nsec;
}

bool folder_look(const struct folder *f, void (*see)(void *arg, const char *name, uint64_t bytes, int64_t used_ns),
                 void *arg, hearth_error *err)
{
    int fd = file_told_to_fail() ? -1 : openat(f->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        fail_at(f, "look through", "", err);
        if (fd >= 0)
            close(fd);
        return false;
    }
    for (const struct dirent *e; (e = readdir(dir));) {
        struct stat st;
        if (fstatat(f->fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
            see(arg, e->d_name, (uint64_t)st.st_size, ns_of(&st.st_mtim));
    }
    closedir(dir);
    return true;
}

bool folder_remove(const struct folder *f, const char *name)
{
    return !file_told_to_fail() && (unlinkat(f->fd, name, 0) == 0 || errno == ENOENT);
}

bool folder_create(const struct folder *f, const char *name, hearth_error *err)
{
    struct stat st;
    int fd = file_told_to_fail()
                 ? -1
                 : openat(f->fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0) {
        close(fd);
        return true;
    }
    if (errno != EEXIST)
        return fail_at(f, "create", name, err);
    if (fstatat(f->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
        return true;
    return fail(err, HEARTH_ERR_IO, "%s/%s is no file, or a link to one; take it away, or name another folder", f->path,
                name);
}

bool folder_rename(const struct folder *f, const char *from, const char *to, hearth_error *err)
{
    struct stat st;
    if (fstatat(f->fd, to, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        errno = EEXIST;
        return fail_at(f, "rename a file to", to, err);
    }
    if (!file_told_to_fail() && (renameat(f->fd, from, f->fd, to) == 0 || errno == ENOENT))
        return true;
    return fail_at(f, "rename", from, err);
}

int folder_hold(const struct folder *f, const char *name)
{
    int fd = file_told_to_fail() ? -1 : openat(f->fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

void folder_let_go(int held) { close(held); }

/* ---- writing ---- */

static bool write_all(int fd, const uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t done = file_told_to_fail() ? -1 : write(fd, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        p += done;
        n -= (size_t)done;
    }
    return true;
}

static struct timespec time_of(int64_t ns) { return (struct timespec){ ns / 1000000000, ns % 1000000000 }; }

void fd_mark_used(int fd, int64_t used_ns)
{
    const struct timespec times[2] = { time_of(used_ns), time_of(used_ns) };
    (void)futimens(fd, times);
}

static bool fill(int fd, const struct bytes_part *parts, int n_parts, int64_t used_ns)
{
    for (int i = 0; i < n_parts; i++)
        if (!write_all(fd, parts[i].bytes, parts[i].n))
            return false;
    fd_mark_used(fd, used_ns);
    if (file_told_to_fail() || fsync(fd) != 0)
        return false;
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    return true;
}

bool folder_write(const struct folder *f, const char *name, const struct bytes_part *parts, int n_parts,
                  int64_t used_ns, hearth_error *err)
{
    char part[256];
    snprintf(part, sizeof part, "%.240s.part", name);
    (void)unlinkat(f->fd, part, 0); /* left over: whoever wrote it is gone */
    int fd = file_told_to_fail() ? -1
                                 : openat(f->fd, part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail_at(f, "create", part, err);
    bool ok = fill(fd, parts, n_parts, used_ns);
    int why = errno;
    if (close(fd) != 0 && ok) {
        why = errno;
        ok = false;
    }
    if (ok && (file_told_to_fail() || renameat(f->fd, part, f->fd, name) != 0)) {
        why = errno;
        ok = false;
    }
    if (ok)
        return true;
    (void)unlinkat(f->fd, part, 0);
    errno = why;
    return fail_at(f, "write", name, err);
}

/* ---- reading ---- */

int folder_file_open(const struct folder *f, const char *name, uint64_t *bytes, hearth_error *err)
{
    struct stat st;
    /* Not to be held up by what is no file (a pipe, say). */
    int fd = file_told_to_fail() ? -1 : openat(f->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0 && !file_told_to_fail() && fstat(fd, &st) == 0) {
        if (S_ISREG(st.st_mode)) {
            *bytes = (uint64_t)st.st_size;
            return fd;
        }
        errno = EINVAL;
    }
    int why = errno;
    if (fd >= 0)
        close(fd);
    errno = why;
    fail_at(f, "open", name, err);
    return -1;
}

bool fd_read(int fd, void *out, size_t n, uint64_t offset)
{
    uint8_t *p = out;
    while (n > 0) {
        ssize_t got = file_told_to_fail() ? -1 : pread(fd, p, n, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0)
            errno = 0; /* it ends here */
        if (got <= 0)
            return false;
        p += got;
        n -= (size_t)got;
        offset += (uint64_t)got;
    }
    return true;
}

void fd_will_read(int fd) { (void)posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED); }

void fd_done(int fd)
{
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
}
