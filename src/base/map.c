/* map.c: read-only maps, and what happens when a mapped file shrinks.
 *
 * Touching a page beyond the new end of a truncated file raises SIGBUS. The handler looks
 * the address up in a table of watched maps; if it is one of ours it maps a zero page there
 * and marks the map damaged, so the computation runs on and its owner finds out after the
 * step. Any other address goes to whoever handled SIGBUS before us. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/file_open.h"

enum { MAX_WATCHED = 1024, PAGE_BYTES = 4096 };

/* Read by a signal handler: only lock-free atomics, and a slot is filled before it is shown. */
static struct watched {
    _Atomic(uintptr_t) start; /* 0: free */
    _Atomic(uintptr_t) end;
    atomic_bool damaged;
} watched[MAX_WATCHED];

static pthread_mutex_t slots_mutex = PTHREAD_MUTEX_INITIALIZER;
/* Whom ours replaced: the last time it was put in place, and before a handler that came after ours, and so may
 * hand on to ours what it does not know, was replaced in turn. */
static struct sigaction previous, original;

static bool is_handler(const struct sigaction *a)
{
    return a->sa_flags & SA_SIGINFO ? a->sa_sigaction != NULL : a->sa_handler != SIG_DFL && a->sa_handler != SIG_IGN;
}

/* How often this very fault has come round to us already: it carries the same siginfo, and we stand deeper in the
 * stack than the last time (a handler that left by longjmp leaves us no deeper at its next fault). */
static int n_times_round(const siginfo_t *info)
{
    static _Thread_local const siginfo_t *last;
    static _Thread_local uintptr_t depth;
    static _Thread_local int n;
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    n = info == last && here < depth ? n + 1 : 0;
    last = info;
    depth = here;
    return n;
}

static void pass_on(int sig, siginfo_t *info, void *context)
{
    int n = n_times_round(info);
    const struct sigaction *next = n == 0 ? &previous : &original;
    if (n < 2 && is_handler(next) && next->sa_flags & SA_SIGINFO) {
        next->sa_sigaction(sig, info, context);
    } else if (n < 2 && is_handler(next)) {
        next->sa_handler(sig);
    } else {
        /* Not ours and nobody else's: die as without us. */
        signal(SIGBUS, SIG_DFL);
        raise(SIGBUS);
    }
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
    int saved = errno;
    uintptr_t at = (uintptr_t)info->si_addr;
    for (int i = 0; i < MAX_WATCHED; i++) {
        uintptr_t start = atomic_load_explicit(&watched[i].start, memory_order_acquire);
        if (start == 0 || at < start || at >= atomic_load_explicit(&watched[i].end, memory_order_acquire))
            continue;
        /* The system call itself: nobody promises that mmap() may be called in a handler, and the thread
         * sanitizer takes it for a write that races with those who read the page, which is its purpose. */
        uintptr_t page = at & ~(uintptr_t)(PAGE_BYTES - 1);
        if (syscall(SYS_mmap, page, (size_t)PAGE_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0L) < 0)
            break;
        atomic_store_explicit(&watched[i].damaged, true, memory_order_release);
        errno = saved;
        return;
    }
    pass_on(sig, info, context);
    errno = saved;
}

/* Asked for at every map: somebody may have put another handler in our place meanwhile. */
static bool handler_in_place(void)
{
    struct sigaction now;
    if (sigaction(SIGBUS, NULL, &now) != 0)
        return false;
    if (now.sa_flags & SA_SIGINFO && now.sa_sigaction == on_sigbus)
        return true;
    struct sigaction ours = { .sa_flags = SA_SIGINFO | SA_NODEFER };
    ours.sa_sigaction = on_sigbus;
    sigemptyset(&ours.sa_mask);
    static bool was_in_place;
    if (!was_in_place || !is_handler(&now))
        original = now;
    was_in_place = true;
    previous = now;
    return sigaction(SIGBUS, &ours, NULL) == 0;
}

static int watch(const void *start, size_t bytes)
{
    int slot = -1;
    pthread_mutex_lock(&slots_mutex);
    bool handled = handler_in_place();
    for (int i = 0; handled && i < MAX_WATCHED; i++) {
        if (atomic_load(&watched[i].start) != 0)
            continue;
        atomic_store(&watched[i].damaged, false);
        atomic_store(&watched[i].end, (uintptr_t)start + align_size(bytes, PAGE_BYTES));
        atomic_store(&watched[i].start, (uintptr_t)start);
        slot = i;
        break;
    }
    pthread_mutex_unlock(&slots_mutex);
    return slot;
}

bool file_map(struct file_map *out, const char *path, hearth_error *err)
{
    *out = (struct file_map){ .fd = -1, .slot = -1 };
    struct stat st;
    int fd = file_open_for_map(path, &st, err);
    if (fd < 0)
        return false;
    size_t bytes = (size_t)st.st_size;
    void *p = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) {
        fail(err, HEARTH_ERR_IO, "cannot map %s (%zu bytes): %s; free address space or check the file system", path,
             bytes, strerror(errno));
        close(fd);
        return false;
    }
    *out = (struct file_map){ .ptr = p,
                              .bytes = bytes,
                              .fd = fd,
                              .device = (uint64_t)st.st_dev,
                              .inode = (uint64_t)st.st_ino,
                              .mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec };
    out->slot = watch(p, bytes);
    if (out->slot < 0) {
        file_unmap(out);
        return fail(err, HEARTH_ERR_IO, "%s: %d files are mapped already; close some", path, MAX_WATCHED);
    }
    return true;
}

void file_map_memory(struct file_map *out, const void *bytes, size_t n)
{
    *out = (struct file_map){ .ptr = bytes, .bytes = n, .fd = -1, .slot = -1 };
}

void file_unmap(struct file_map *m)
{
    if (m->fd < 0 || !m->ptr) {
        *m = (struct file_map){ .fd = -1, .slot = -1 };
        return;
    }
    if (m->slot >= 0) {
        pthread_mutex_lock(&slots_mutex);
        atomic_store(&watched[m->slot].start, 0);
        pthread_mutex_unlock(&slots_mutex);
    }
    munmap((void *)(uintptr_t)m->ptr, m->bytes);
    close(m->fd);
    *m = (struct file_map){ .fd = -1, .slot = -1 };
}

bool file_map_damaged(const struct file_map *m)
{
    return m->slot >= 0 && atomic_load_explicit(&watched[m->slot].damaged, memory_order_acquire);
}

/* One byte of each page. A lost part of a file is no failure here: the handler marks the map. */
static bool touch(const uint8_t *p, size_t n)
{
    for (size_t at = 0; at < n; at += PAGE_BYTES)
        (void)*(const volatile uint8_t *)(p + at);
    return true;
}

static bool populate(void *p, size_t n)
{
#ifdef MADV_POPULATE_READ
    if (madvise(p, n, MADV_POPULATE_READ) == 0)
        return true;
    if (errno != EINVAL) /* what kernels before 5.14 say to it */
        return false;
#endif
    return touch(p, n);
}

/* Whole pages around the map's bytes. */
static void *pages_of(const struct file_map *m, size_t *bytes)
{
    size_t before = (uintptr_t)m->ptr % PAGE_BYTES;
    *bytes = align_size(before + m->bytes, PAGE_BYTES);
    return (void *)((uintptr_t)m->ptr - before);
}

bool file_lock(const struct file_map *m, bool later, hearth_error *err)
{
    size_t n;
    void *p = pages_of(m, &n);
    if (mlock2(p, n, later ? MLOCK_ONFAULT : 0) == 0)
        return true;
    int code = errno;
    struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
    getrlimit(RLIMIT_MEMLOCK, &limit);
    if (limit.rlim_cur == RLIM_INFINITY)
        return fail(err, HEARTH_ERR_MEMORY, "cannot lock %zu MiB of weights in memory: %s; leave out --lock", n >> 20,
                    strerror(code));
    return fail(err, HEARTH_ERR_MEMORY,
                "cannot lock %zu MiB of weights in memory, the limit on locked memory is %llu KiB; raise it (ulimit "
                "-l; LimitMEMLOCK= of a service; memlock in limits.conf) or leave out --lock",
                n >> 20, (unsigned long long)limit.rlim_cur >> 10);
}

void file_unlock(const struct file_map *m)
{
    size_t n;
    void *p = pages_of(m, &n);
    (void)munlock(p, n);
}

bool file_advise(const struct file_map *m, size_t offset, size_t bytes, enum file_advice advice)
{
    if (offset >= m->bytes)
        return false;
    if (m->fd < 0)
        return (advice == FILE_POPULATE || advice == FILE_TOUCH)
            && touch(m->ptr + offset, min_size(bytes, m->bytes - offset));
    size_t first = offset / PAGE_BYTES * PAGE_BYTES;
    size_t n = min_size(m->bytes, offset + bytes) - first;
    void *p = (void *)(uintptr_t)(m->ptr + first);
    switch (advice) {
    case FILE_WILL_NEED:
        return madvise(p, n, MADV_WILLNEED) == 0;
    case FILE_POPULATE:
        return populate(p, n);
    case FILE_TOUCH:
        return touch(p, n);
    case FILE_HUGE:
        return madvise(p, n, MADV_HUGEPAGE) == 0;
    case FILE_LET_GO:
        return madvise(p, n, MADV_DONTNEED) == 0;
    case FILE_EVICT:
        return madvise(p, n, MADV_DONTNEED) == 0
               && posix_fadvise(m->fd, (off_t)first, (off_t)n, POSIX_FADV_DONTNEED) == 0;
    }
    return false;
}

size_t file_resident_bytes(const struct file_map *m)
{
    size_t bytes, n = 0;
    void *p = pages_of(m, &bytes);
    unsigned char *in = mem_alloc(bytes / PAGE_BYTES);
    if (in && mincore(p, bytes, in) == 0)
        for (size_t i = 0; i < bytes / PAGE_BYTES; i++)
            n += in[i] & 1;
    mem_free(in);
    return min_size(n * PAGE_BYTES, m->bytes);
}
