#define _GNU_SOURCE
#include "base/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/file_open.h"
#include "base/folder.h"

/* ---- names ---- */

bool tree_part_is_good(struct str part)
{
    if (part.len == 0 || part.len > TREE_PART_BYTES || part.ptr[0] == '.')
        return false;
    for (size_t i = 0; i < part.len; i++) {
        char c = part.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (c == 0 || !strchr("._+=@,~-", c)))
            return false;
    }
    return true;
}

bool tree_name_is_good(const char *name)
{
    int n_parts = 0;
    if (strlen(name) >= TREE_NAME_BYTES)
        return false;
    for (const char *at = name;; at++) {
        size_t n = strcspn(at, "/");
        if (!tree_part_is_good((struct str){ at, n }) || ++n_parts > TREE_MOST_PARTS)
            return false;
        at += n;
        if (!*at)
            return true;
    }
}

static bool fail_at(const struct tree *t, const char *doing, const char *name, hearth_error *err)
{
    int why = errno;
    const char *advice = why == ENOSPC || why == EDQUOT ? "make room there" : "check the folder and its permissions";
    return fail(err, HEARTH_ERR_IO, "cannot %s %s%s%s: %s; %s", doing, t->path, *name ? "/" : "", name, strerror(why),
                advice);
}

/* ---- folders ---- */

bool tree_open(struct tree *t, const char *path, bool make, hearth_error *err)
{
    *t = (struct tree){ .fd = -1 };
    if ((size_t)snprintf(t->path, sizeof t->path, "%s", path) >= sizeof t->path)
        return fail(err, HEARTH_ERR_USAGE, "the path of a folder has %zu bytes; it may have 1 to %zu", strlen(path),
                    sizeof t->path - 1);
    if (make && !folder_make(path, err))
        return false;
    t->fd = file_told_to_fail() ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return t->fd >= 0 ? true : fail_at(t, "open the folder", "", err);
}

void tree_close(struct tree *t)
{
    if (t->fd >= 0)
        close(t->fd);
    t->fd = -1;
}

uint64_t tree_free_bytes(const struct tree *t)
{
    struct statvfs s;
    uint64_t n;
    return fstatvfs(t->fd, &s) == 0 && mul_ok(s.f_bavail, s.f_frsize, &n) ? n : UINT64_MAX;
}

static int open_folder(int above, const char *name, bool make)
{
    enum { FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };
    int fd = openat(above, name, FLAGS);
    if (fd >= 0 || errno != ENOENT || !make)
        return fd;
    if (mkdirat(above, name, 0700) != 0 && errno != EEXIST)
        return -1;
    (void)fsync(above); /* that the new folder is in */
    return openat(above, name, FLAGS);
}

/* The folder that a name is in, and its last part; -1: errno says why. */
static int open_above(const struct tree *t, const char *name, bool make, const char **last)
{
    char part[TREE_PART_BYTES + 1];
    *last = name;
    errno = EINVAL;
    if (!tree_name_is_good(name) || file_told_to_fail())
        return -1;
    int fd = openat(t->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (fd >= 0) {
        size_t n = strcspn(*last, "/");
        if (!(*last)[n])
            return fd;
        memcpy(part, *last, n);
        part[n] = 0;
        int below = open_folder(fd, part, make);
        int why = errno;
        close(fd);
        errno = why;
        fd = below;
        *last += n + 1;
    }
    return -1;
}

/* ---- files ---- */

static bool look_at(struct tree_file *f)
{
    struct stat st;
    if (file_told_to_fail() || fstat(f->fd, &st) != 0)
        return false;
    if (!S_ISREG(st.st_mode)) {
        errno = EINVAL;
        return false;
    }
    f->bytes = (uint64_t)st.st_size;
    f->device = (uint64_t)st.st_dev;
    f->inode = (uint64_t)st.st_ino;
    f->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    return true;
}

bool tree_file_outside(const char *path, struct tree_file *f)
{
    *f = (struct tree_file){ .fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC) };
    bool ok = f->fd >= 0 && look_at(f);
    tree_file_close(f);
    return ok;
}

void tree_file_close(struct tree_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

static bool open_named(const struct tree *t, const char *name, int flags, struct tree_file *f)
{
    const char *last;
    int folder = open_above(t, name, (flags & O_CREAT) != 0, &last);
    *f = (struct tree_file){ .fd = -1 };
    /* Not to be held up by what is no file (a pipe, say). */
    if (folder >= 0)
        f->fd = openat(folder, last, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    bool ok = f->fd >= 0 && look_at(f);
    int why = errno;
    if (!ok)
        tree_file_close(f);
    if (folder >= 0)
        close(folder);
    errno = why;
    return ok;
}

int tree_file_open(const struct tree *t, const char *name, struct tree_file *f, hearth_error *err)
{
    if (open_named(t, name, O_RDONLY, f))
        return 1;
    if (errno == ENOENT || errno == ENOTDIR)
        return 0;
    fail_at(t, "open", name, err);
    return -1;
}

/* Who waited for a lock may hold what meanwhile has another name: then the name is looked up again. */
static bool still_named(const struct tree *t, const char *name, const struct tree_file *f)
{
    struct tree_file now;
    bool same = open_named(t, name, O_RDONLY, &now) && now.device == f->device
             && now.inode == f->inode;
    tree_file_close(&now);
    return same;
}

int tree_file_hold(const struct tree *t, const char *name, struct tree_file *f, hearth_error *err)
{
    enum { TRIES = 10 };
    for (int i = 0; i < TRIES; i++) {
        if (!open_named(t, name, O_RDWR | O_CREAT | O_APPEND, f)) {
            fail_at(t, "create", name, err);
            return -1;
        }
        if (flock(f->fd, LOCK_EX | LOCK_NB) != 0) {
            bool held = errno == EWOULDBLOCK;
            if (!held)
                fail_at(t, "lock", name, err);
            tree_file_close(f);
            return held ? 0 : -1;
        }
        if (still_named(t, name, f) && look_at(f))
            return 1;
        tree_file_close(f);
    }
    return 0;
}

bool tree_file_get(const struct tree_file *f, void *out, size_t n, uint64_t offset)
{
    return fd_read(f->fd, out, n, offset);
}

bool tree_file_add(struct tree_file *f, const void *bytes, size_t n, hearth_error *err)
{
    const uint8_t *p = bytes;
    while (n > 0) {
        ssize_t done = file_told_to_fail() ? -1 : write(f->fd, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return fail(err, HEARTH_ERR_IO, "cannot write: %s", strerror(errno));
        p += done;
        n -= (size_t)done;
        f->bytes += (uint64_t)done;
    }
    return true;
}

bool tree_file_cut(struct tree_file *f, uint64_t bytes, hearth_error *err)
{
    if (file_told_to_fail() || ftruncate(f->fd, (off_t)bytes) != 0)
        return fail(err, HEARTH_ERR_IO, "cannot change the length of a file: %s", strerror(errno));
    f->bytes = bytes;
    return true;
}

bool tree_file_sync(struct tree_file *f, hearth_error *err)
{
    if (!file_told_to_fail() && fsync(f->fd) == 0 && look_at(f))
        return true;
    return fail(err, HEARTH_ERR_IO, "cannot bring a file to the disk: %s", strerror(errno));
}

/* ---- whole files, names ---- */

bool tree_write(const struct tree *t, const char *name, const void *bytes, size_t n, hearth_error *err)
{
    char fresh[TREE_NAME_BYTES + 8];
    struct tree_file f;
    snprintf(fresh, sizeof fresh, "%.*s.new", TREE_NAME_BYTES, name);
    if (!open_named(t, fresh, O_WRONLY | O_CREAT | O_TRUNC, &f))
        return fail_at(t, "create", fresh, err);
    bool ok = tree_file_add(&f, bytes, n, err) && tree_file_sync(&f, err);
    tree_file_close(&f);
    if (!ok)
        return err_context(err, "%s/%s", t->path, name);
    return tree_rename(t, fresh, name, err);
}

int tree_read(const struct tree *t, const char *name, size_t most, char **out, size_t *n, hearth_error *err)
{
    struct tree_file f;
    int found = tree_file_open(t, name, &f, err);
    if (found == 1 && !file_read_fd(f.fd, name, most, out, n, err))
        found = -1;
    tree_file_close(&f);
    return found;
}

bool tree_rename(const struct tree *t, const char *from, const char *to, hearth_error *err)
{
    const char *from_last, *to_last = to;
    int a = open_above(t, from, false, &from_last), b = a < 0 ? -1 : open_above(t, to, true, &to_last);
    bool ok = b >= 0 && renameat(a, from_last, b, to_last) == 0;
    ok = ok && !file_told_to_fail() && fsync(b) == 0 && fsync(a) == 0;
    if (!ok)
        fail_at(t, "rename a file to", to, err);
    if (a >= 0)
        close(a);
    if (b >= 0)
        close(b);
    return ok;
}

/* As far up as they are empty; not "records" and its like, the first ones. */
static void remove_empty(const struct tree *t, const char *name)
{
    char folder[TREE_NAME_BYTES];
    const char *last;
    snprintf(folder, sizeof folder, "%s", name);
    for (char *slash; (slash = strrchr(folder, '/'));) {
        *slash = 0;
        if (!strchr(folder, '/'))
            return;
        int fd = open_above(t, folder, false, &last);
        bool gone = fd >= 0 && unlinkat(fd, last, AT_REMOVEDIR) == 0;
        if (fd >= 0)
            close(fd);
        if (!gone)
            return;
    }
}

bool tree_remove(const struct tree *t, const char *name, hearth_error *err)
{
    const char *last;
    int fd = open_above(t, name, false, &last);
    bool ok = fd >= 0 && unlinkat(fd, last, 0) == 0 && fsync(fd) == 0;
    if (!ok && (errno == ENOENT || errno == ENOTDIR))
        ok = true;
    if (!ok)
        fail_at(t, "remove", name, err);
    if (fd >= 0)
        close(fd);
    if (ok)
        remove_empty(t, name);
    return ok;
}

/* ---- all of them ---- */

struct look {
    const struct tree *tree;
    void (*see)(void *arg, const char *name, const struct tree_file *f);
    void (*see_linked)(void *arg, const char *name, const char *at, const struct tree_file *f); /* or */
    void *arg;
    char name[TREE_NAME_BYTES + TREE_PART_BYTES + 2];
};

/* Where a link of that name and text leads to in the tree, by its text alone. False: out of it, or to no name. */
static bool resolve(const char *name, const char *text, char out[TREE_NAME_BYTES])
{
    const char *slash = strrchr(name, '/');
    size_t n = slash ? (size_t)(slash - name) : 0; /* of the folder that it is in */
    for (; strncmp(text, "../", 3) == 0; text += 3) {
        if (n == 0)
            return false;
        while (n > 0 && name[n - 1] != '/')
            n--;
        n -= n > 0;
    }
    int m = snprintf(out, TREE_NAME_BYTES, "%.*s%s%s", (int)n, name, n ? "/" : "", text);
    return m > 0 && m < TREE_NAME_BYTES && tree_name_is_good(out);
}

static void see_link(struct look *l, int folder, const char *last)
{
    char text[TREE_NAME_BYTES], at[TREE_NAME_BYTES];
    struct tree_file f = { .fd = -1 };
    ssize_t n = readlinkat(folder, last, text, sizeof text - 1);
    text[n > 0 ? n : 0] = 0;
    bool inside = n > 0 && resolve(l->name, text, at) && tree_file_open(l->tree, at, &f, NULL) == 1;
    tree_file_close(&f);
    l->see_linked(l->arg, l->name, inside ? at : NULL, inside ? &f : NULL);
}

static void see_file(struct look *l, const struct stat *st)
{
    const struct tree_file f = {
        .fd = -1, .bytes = (uint64_t)st->st_size, .device = (uint64_t)st->st_dev, .inode = (uint64_t)st->st_ino,
        .mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
    };
    if (l->see_linked)
        l->see_linked(l->arg, l->name, l->name, &f);
    else
        l->see(l->arg, l->name, &f);
}

static void look_below(struct look *l, int folder, size_t n, int depth);

/* `last` in the folder whose name has n bytes. What has no good name is not ours: seen as what leads elsewhere, or left
 * out, as hidden files are. */
static void look_at_entry(struct look *l, int folder, const char *last, size_t n, int depth)
{
    struct stat st;
    size_t m = strlen(last), from = n ? n + 1 : 0;
    bool good = tree_part_is_good((struct str){ last, m }) && from + m < TREE_NAME_BYTES;
    if ((!good && (!l->see_linked || last[0] == '.')) || from + m >= sizeof l->name)
        return;
    if (n)
        l->name[n] = '/';
    memcpy(l->name + from, last, m + 1);
    if (!good) {
        l->see_linked(l->arg, l->name, NULL, NULL);
    } else if (fstatat(folder, last, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        /* it went meanwhile */
    } else if (S_ISREG(st.st_mode)) {
        see_file(l, &st);
    } else if (S_ISLNK(st.st_mode) && l->see_linked) {
        see_link(l, folder, last);
    } else if (S_ISDIR(st.st_mode) && depth < TREE_MOST_PARTS) {
        int below = open_folder(folder, last, false);
        if (below >= 0)
            look_below(l, below, from + m, depth + 1);
    }
    l->name[n] = 0;
}

/* Takes the folder. */
static void look_below(struct look *l, int folder, size_t n, int depth)
{
    DIR *dir = fdopendir(folder);
    if (!dir) {
        close(folder);
        return;
    }
    for (const struct dirent *e; (e = readdir(dir));)
        look_at_entry(l, dirfd(dir), e->d_name, n, depth);
    closedir(dir);
}

static bool look_from(struct look *l, const char *name, hearth_error *err)
{
    const struct tree *t = l->tree;
    const char *last = name;
    int fd = -1;
    if (*name) {
        int above = open_above(t, name, false, &last);
        fd = above < 0 ? -1 : open_folder(above, last, false);
        int why = errno;
        if (above >= 0)
            close(above);
        errno = why;
    } else if (!file_told_to_fail()) {
        fd = openat(t->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (fd < 0)
        return *name && (errno == ENOENT || errno == ENOTDIR) ? true : fail_at(t, "look through", name, err);
    snprintf(l->name, sizeof l->name, "%s", name);
    look_below(l, fd, strlen(name), 0);
    return true;
}

bool tree_look(const struct tree *t, const char *name,
               void (*see)(void *arg, const char *name, const struct tree_file *f), void *arg, hearth_error *err)
{
    struct look l = { .tree = t, .see = see, .arg = arg };
    return look_from(&l, name, err);
}

bool tree_look_linked(const struct tree *t, const char *name,
                      void (*see)(void *arg, const char *name, const char *at, const struct tree_file *f), void *arg,
                      hearth_error *err)
{
    struct look l = { .tree = t, .see_linked = see, .arg = arg };
    return look_from(&l, name, err);
}
