#define _GNU_SOURCE
#include "base/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/env.h"
#include "base/file_open.h"
#include "base/folder.h"

bool scratch_open(struct scratch *s, hearth_error *err)
{
    const char *asked = env_system("TMPDIR");
    const char *in = asked ? asked : access("/var/tmp", W_OK | X_OK) == 0 ? "/var/tmp" : "/tmp";
    int n = snprintf(s->path, sizeof s->path, "%s/hearth-XXXXXX", in);
    bool fits = n > 0 && (size_t)n < sizeof s->path;
    if (fits && !file_told_to_fail() && mkdtemp(s->path))
        return true;
    s->path[0] = 0;
    return fail(err, HEARTH_ERR_IO, "cannot make a folder for temporary files in %s: %s; name another with TMPDIR", in,
                fits ? strerror(errno) : "the path is too long");
}

static void remove_one(void *folder, const char *name, uint64_t bytes, int64_t used_ns)
{
    (void)bytes;
    (void)used_ns;
    folder_remove(folder, name);
}

void scratch_close(struct scratch *s)
{
    struct folder f;
    if (!s->path[0])
        return;
    if (folder_open(&f, s->path, NULL)) {
        folder_look(&f, remove_one, &f, NULL);
        folder_close(&f);
    }
    rmdir(s->path);
    s->path[0] = 0;
}

int scratch_file(const char *folder, hearth_error *err)
{
    char path[1100];
    int fd = -1, n = snprintf(path, sizeof path, "%s/.hearth-XXXXXX", folder);
    if (n < 0 || (size_t)n >= sizeof path)
        errno = ENAMETOOLONG;
    else if (!file_told_to_fail())
        fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        fail(err, HEARTH_ERR_IO, "cannot make a temporary file in %s: %s; check the folder and its permissions", folder,
             strerror(errno));
    else
        unlink(path);
    return fd;
}

void scratch_file_close(int fd)
{
    if (fd >= 0)
        close(fd);
}

bool scratch_write(int fd, const void *bytes, size_t n, uint64_t offset, hearth_error *err)
{
    const uint8_t *p = bytes;
    while (n > 0) {
        ssize_t done = file_told_to_fail() ? -1 : pwrite(fd, p, n, (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return fail(err, HEARTH_ERR_IO, "cannot write a temporary file: %s; check free space, or name another "
                        "folder with TMPDIR", strerror(errno));
        p += done;
        n -= (size_t)done;
        offset += (uint64_t)done;
    }
    return true;
}

bool scratch_read(int fd, void *out, size_t n, uint64_t offset, hearth_error *err)
{
    return fd_read(fd, out, n, offset)
        || fail(err, HEARTH_ERR_IO, "cannot read a temporary file back: %s; the disk may be faulty",
                errno ? strerror(errno) : "it ends early");
}

bool folder_room(const char *path, uint64_t *bytes, hearth_error *err)
{
    struct statvfs v;
    if (file_told_to_fail() || statvfs(path, &v) != 0)
        return fail(err, HEARTH_ERR_IO, "cannot find out how much room there is in %s: %s; check the folder", path,
                    strerror(errno));
    *bytes = (uint64_t)v.f_bavail * v.f_frsize;
    return true;
}
