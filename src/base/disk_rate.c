#define _GNU_SOURCE
#include "base/disk_rate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/machine.h"
#include "base/system_text.h"

/* A file system's magic number tells what is behind it: statfs(2). */
static const struct {
    uint32_t magic;
    enum disk_kind kind;
} file_systems[] = {
    { 0x01021994, DISK_MEMORY },  /* tmpfs */
    { 0x858458f6, DISK_MEMORY },  /* ramfs */
    { 0x6969, DISK_NETWORK },     /* NFS */
    { 0xfe534d42, DISK_NETWORK }, /* SMB 2 */
    { 0xff534d42, DISK_NETWORK }, /* CIFS */
    { 0x00c36400, DISK_NETWORK }, /* Ceph */
    { 0x01021997, DISK_NETWORK }, /* 9p */
    { 0x65735546, DISK_NETWORK }, /* FUSE */
};

static enum disk_kind kind_of(const char *root, int fd)
{
    struct statfs fs;
    struct stat st;
    if (fstatfs(fd, &fs) == 0)
        for (size_t i = 0; i < ARRAY_LEN(file_systems); i++)
            if ((uint32_t)fs.f_type == file_systems[i].magic)
                return file_systems[i].kind;
    /* A partition has no queue of its own: that of the disk around it. */
    static const char *const names[] = { "queue/rotational", "../queue/rotational" };
    for (size_t i = 0; i < ARRAY_LEN(names) && fstat(fd, &st) == 0; i++) {
        char path[512];
        struct small_text text;
        snprintf(path, sizeof path, "%s/sys/dev/block/%u:%u/%s", root, major(st.st_dev), minor(st.st_dev), names[i]);
        if (read_small(path, &text))
            return text.bytes[0] == '0' ? DISK_SOLID : DISK_SPINNING;
    }
    return DISK_UNKNOWN;
}

/* O_NONBLOCK: a FIFO in the place of a file must not make us wait. -1: errno. */
static int open_file(const char *path, int flags)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags);
    if (fd < 0 || (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)))
        return fd;
    close(fd);
    errno = S_ISDIR(st.st_mode) ? EISDIR : ENODEV;
    return -1;
}

/* One piece after the other. -1: errno; else bytes. */
static int64_t read_pieces(int fd, void *piece, int64_t most_ns, uint64_t most_bytes)
{
    int64_t start = clock_ns();
    uint64_t n = 0;
    while (n < most_bytes && (n == 0 || clock_ns() - start < most_ns)) {
        ssize_t got = pread(fd, piece, DISK_RATE_PIECE_BYTES, (off_t)n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        n += (uint64_t)got;
        if (got < DISK_RATE_PIECE_BYTES) /* the end; what is read without a cache goes on at whole blocks only */
            break;
    }
    return (int64_t)n;
}

/* Without the page cache, which leaves what is in it where it is; where a file system cannot do that, after asking for
 * those pages of the file to be dropped. */
static int64_t read_past_cache(int *fd, const char *path, void *piece, int64_t most_ns, uint64_t most_bytes)
{
    *fd = open_file(path, O_DIRECT);
    int64_t n = *fd >= 0 ? read_pieces(*fd, piece, most_ns, most_bytes) : -1;
    if (n >= 0 || (errno != EINVAL && errno != EOPNOTSUPP))
        return n;
    if (*fd >= 0)
        close(*fd);
    *fd = open_file(path, 0);
    if (*fd < 0)
        return -1;
    posix_fadvise(*fd, 0, (off_t)most_bytes, POSIX_FADV_DONTNEED);
    return read_pieces(*fd, piece, most_ns, most_bytes);
}

bool disk_rate_read(const char *root, const char *path, int64_t most_ns, uint64_t most_bytes, struct disk_rate *out,
                    hearth_error *err)
{
    struct process_faults before, after;
    void *piece = mem_pages(DISK_RATE_PIECE_BYTES, NULL);
    int fd = -1;
    *out = (struct disk_rate){ 0 };
    if (!piece) {
        fail_memory(err, "reading a file for its rate");
        return false;
    }
    memset(piece, 1, DISK_RATE_PIECE_BYTES); /* its first touch is not the disk's time */
    process_fault_counts(&before);
    int64_t start = clock_ns(), n = read_past_cache(&fd, path, piece, most_ns, most_bytes);
    int reason = errno;
    out->ns = clock_ns() - start;
    process_fault_counts(&after);
    mem_pages_free(piece, DISK_RATE_PIECE_BYTES);
    if (n >= 0) {
        out->bytes = (uint64_t)n;
        out->kind = kind_of(root, fd);
        /* What comes over a network is not counted as read. */
        out->from_memory = out->kind == DISK_MEMORY
                        || (out->kind != DISK_NETWORK && after.read_bytes - before.read_bytes < out->bytes / 2);
    }
    if (fd >= 0)
        close(fd);
    return n >= 0 || fail(err, HEARTH_ERR_IO, "cannot read %s: %s", path, strerror(reason));
}
