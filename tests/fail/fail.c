/* fail.c: one call of the program to the system fails. Loaded in front of everything (LD_PRELOAD); only calls
 * made after main() began count.
 *
 *   FAIL_KIND   memory: malloc, calloc, realloc, aligned memory, mmap, new threads
 *               file: open, fopen, stat, read, pread, write, pwrite, fsync, close, rename, ftruncate, mmap of a file
 *               socket: of a server's calls those that FAIL_HOW can happen to: accept, recv, send, sendmsg, epoll_wait,
 *               epoll_ctl, socket, epoll_create, eventfd (the table below says which)
 *               narrow: no call; the buffer of what is sent is as small as the system allows, so that writes are short
 *               size: no call; files may not grow beyond FAIL_AT bytes (RLIMIT_FSIZE)
 *               space: no call; FAIL_AT times 4 KB of address space beside that in use at the start (RLIMIT_AS)
 *   FAIL_AT     the number of the call that fails, from 1; 0: none
 *   FAIL_HOW    EIO, ENOSPC, EINTR, or short: a read or write does half of what it was asked (other calls succeed);
 *               for sockets EINTR, ECONNRESET, EPIPE, ENOBUFS, EMFILE, ENOMEM
 *   FAIL_WHEN   accept: only calls after the first connection count
 *   FAIL_ON     1: every call after it fails too
 *   FAIL_COUNT  a file that is given the number of calls at the end
 *
 * What hwloc does while it reads the machine's topology does not count: it does not survive a failed allocation, is
 * asked only where there is memory enough (base/machine.c), and goes without what it cannot read. Nor does what
 * GnuTLS does in a handshake and with a certificate: libtasn1 does not survive one either, and server.c looks first
 * whether there is enough.
 *
 * glibc only: the real allocator is reached by its own names, the rest by system calls or RTLD_NEXT. */
#undef _FILE_OFFSET_BITS /* the names with and without 64 are two functions here, each with its own body */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SHOWN __attribute__((visibility("default")))

int hwloc_topology_init(void *), hwloc_topology_load(void *), gnutls_handshake(void *);
int gnutls_certificate_set_x509_key_mem2(void *, const void *, const void *, int, const char *, unsigned);
int __libc_start_main(int (*)(int, char **, char **), int, char **, void (*)(void), void (*)(void), void (*)(void),
                      void *);

enum kind { MEMORY = 1, FILES = 2, SIZE = 3, SPACE = 4, SOCKETS = 5, NARROW = 6 };

static enum kind kind;  /* 0: main() has not begun, or nothing is to fail */
static bool go_on, is_short;
static atomic_bool waits; /* for the first connection */
static int how;         /* errno */
static unsigned long long fail_at;
static atomic_ullong n_calls;
static const char *count_path;

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static _Thread_local bool in_library, in_tls; /* of the latter memory alone is spared */

static bool hit(enum kind k)
{
    if (kind != k || in_library || (in_tls && k == MEMORY) || atomic_load(&waits))
        return false;
    unsigned long long n = atomic_fetch_add(&n_calls, 1) + 1;
    return n == fail_at || (go_on && fail_at && n > fail_at);
}

static bool no_memory(void)
{
    if (!hit(MEMORY))
        return false;
    errno = ENOMEM;
    return true;
}

/* For calls that move no bytes. */
static bool no_file(void)
{
    if (!hit(FILES) || is_short)
        return false;
    errno = how;
    return true;
}

/* For calls that move n bytes: false to fail, or how many to move in *n. */
static bool may_move(size_t *n)
{
    if (!hit(FILES))
        return true;
    if (is_short && *n > 1)
        *n /= 2;
    errno = how;
    return is_short;
}

/* ---- memory ---- */

SHOWN void *malloc(size_t n) { return no_memory() ? NULL : __libc_malloc(n); }
SHOWN void *calloc(size_t n, size_t each) { return no_memory() ? NULL : __libc_calloc(n, each); }
SHOWN void *realloc(void *p, size_t n) { return no_memory() ? NULL : __libc_realloc(p, n); }
SHOWN void *aligned_alloc(size_t align, size_t n) { return no_memory() ? NULL : __libc_memalign(align, n); }

SHOWN int posix_memalign(void **out, size_t align, size_t n)
{
    void *p = no_memory() ? NULL : __libc_memalign(align, n);
    if (p)
        *out = p;
    return p ? 0 : ENOMEM;
}

SHOWN void *mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset)
{
    if (fd >= 0 ? no_file() || no_memory() : no_memory())
        return MAP_FAILED;
    return (void *)syscall(SYS_mmap, at, n, protection, flags, fd, offset);
}

SHOWN void *mmap64(void *at, size_t n, int protection, int flags, int fd, off64_t offset)
{
    return mmap(at, n, protection, flags, fd, offset);
}

SHOWN int pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*run)(void *), void *arg)
{
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    return no_memory() ? EAGAIN : real(t, a, run, arg);
}

/* ---- files ---- */

/* What the system tells in /proc and /sys does not fail. */
enum { MAX_FD = 1024 };
static atomic_bool of_system[MAX_FD];

static bool is_system(const char *path) { return strncmp(path, "/proc/", 6) == 0 || strncmp(path, "/sys/", 5) == 0; }

static int open_for(int folder, const char *path, int flags, mode_t mode)
{
    bool system = is_system(path);
    int fd = !system && no_file() ? -1 : (int)syscall(SYS_openat, folder, path, flags, mode);
    if (fd >= 0 && fd < MAX_FD)
        of_system[fd] = system;
    return fd;
}

static mode_t mode_of(int flags, va_list rest)
{
    return flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)) ? (mode_t)va_arg(rest, int) : 0;
}

#define OPEN(name)                                                                                            \
    SHOWN int name(const char *path, int flags, ...)                                                          \
    {                                                                                                         \
        va_list rest;                                                                                         \
        va_start(rest, flags);                                                                                \
        mode_t mode = mode_of(flags, rest);                                                                   \
        va_end(rest);                                                                                         \
        return open_for(AT_FDCWD, path, flags, mode);                                                         \
    }
OPEN(open)
OPEN(open64)

SHOWN FILE *fopen(const char *path, const char *mode)
{
    FILE *(*real)(const char *, const char *);
    *(void **)&real = dlsym(RTLD_NEXT, "fopen");
    return !is_system(path) && no_file() ? NULL : real(path, mode);
}

SHOWN FILE *fopen64(const char *path, const char *mode) { return fopen(path, mode); }

SHOWN ssize_t read(int fd, void *p, size_t n)
{
    bool system = fd >= 0 && fd < MAX_FD && of_system[fd];
    return system || may_move(&n) ? syscall(SYS_read, fd, p, n) : -1;
}
/* No I/O error can happen to a pipe, which is how threads of the program wake one another. */
static bool is_pipe(int fd)
{
    struct stat st;
    return syscall(SYS_newfstatat, fd, "", &st, AT_EMPTY_PATH) == 0 && S_ISFIFO(st.st_mode) && how != EINTR;
}

SHOWN ssize_t write(int fd, const void *p, size_t n)
{
    return is_pipe(fd) || may_move(&n) ? syscall(SYS_write, fd, p, n) : -1;
}

SHOWN ssize_t pread(int fd, void *p, size_t n, off_t at)
{
    return may_move(&n) ? syscall(SYS_pread64, fd, p, n, at) : -1;
}

SHOWN ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    return may_move(&n) ? syscall(SYS_pwrite64, fd, p, n, at) : -1;
}

SHOWN ssize_t pread64(int fd, void *p, size_t n, off64_t at) { return pread(fd, p, n, at); }
SHOWN ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at) { return pwrite(fd, p, n, at); }

SHOWN int fsync(int fd) { return no_file() ? -1 : (int)syscall(SYS_fsync, fd); }
SHOWN int ftruncate(int fd, off_t n) { return no_file() ? -1 : (int)syscall(SYS_ftruncate, fd, n); }

SHOWN int ftruncate64(int fd, off64_t n) { return ftruncate(fd, n); }

static int stat_of(int folder, const char *path, void *out, int flags)
{
    bool system = is_system(path) || (folder >= 0 && folder < MAX_FD && of_system[folder]);
    return !system && no_file() ? -1 : (int)syscall(SYS_newfstatat, folder, path, out, flags);
}

SHOWN int stat(const char *path, struct stat *out) { return stat_of(AT_FDCWD, path, out, 0); }
SHOWN int stat64(const char *path, struct stat64 *out) { return stat_of(AT_FDCWD, path, out, 0); }
SHOWN int fstat(int fd, struct stat *out) { return stat_of(fd, "", out, AT_EMPTY_PATH); }
SHOWN int fstat64(int fd, struct stat64 *out) { return stat_of(fd, "", out, AT_EMPTY_PATH); }

/* The file is closed all the same, as Linux does it. */
SHOWN int close(int fd)
{
    bool fails = fd >= 0 && !(fd < MAX_FD && of_system[fd]) && !is_pipe(fd) && no_file();
    int rc = (int)syscall(SYS_close, fd);
    return fails ? -1 : rc;
}

SHOWN int rename(const char *from, const char *to)
{
    return no_file() ? -1 : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* ---- sockets ----
 *
 * Only what the system does to such a call is done to it. No EAGAIN and no half of what was asked where bytes are
 * moved: the system promises an event after those (edges of epoll), and none would come; "narrow" makes them happen. */

enum call { ACCEPTS = 1, RECEIVES = 2, SENDS = 4, WAITS = 8, WATCHES = 16, OPENS = 32 };

static const struct { int how; unsigned calls; } happens[] = {
    { EINTR, ACCEPTS | RECEIVES | SENDS | WAITS }, { ECONNRESET, RECEIVES | SENDS }, { EPIPE, SENDS },
    { ENOBUFS, SENDS | ACCEPTS }, { EMFILE, ACCEPTS | OPENS }, { ENOMEM, ACCEPTS | WATCHES | OPENS },
    { ECONNABORTED, ACCEPTS }, { ETIMEDOUT, RECEIVES | SENDS },
};

static bool no_socket(enum call call)
{
    unsigned calls = 0;
    if (kind != SOCKETS)
        return false;
    for (size_t i = 0; i < sizeof happens / sizeof *happens; i++)
        if (happens[i].how == how)
            calls = happens[i].calls;
    if (!(calls & call) || !hit(SOCKETS))
        return false;
    errno = how;
    return true;
}

SHOWN int accept4(int fd, struct sockaddr *at, socklen_t *n, int flags)
{
    if (no_socket(ACCEPTS))
        return -1;
    int got = (int)syscall(SYS_accept4, fd, at, n, flags);
    if (got >= 0)
        atomic_store(&waits, false);
    return got;
}

SHOWN ssize_t recv(int fd, void *p, size_t n, int flags)
{
    return no_socket(RECEIVES) ? -1 : syscall(SYS_recvfrom, fd, p, n, flags, NULL, NULL);
}

SHOWN ssize_t send(int fd, const void *p, size_t n, int flags)
{
    return no_socket(SENDS) ? -1 : syscall(SYS_sendto, fd, p, n, flags, NULL, 0);
}

SHOWN ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
    return no_socket(SENDS) ? -1 : syscall(SYS_sendmsg, fd, m, flags);
}

SHOWN int epoll_wait(int fd, struct epoll_event *events, int n, int ms)
{
    return no_socket(WAITS) ? -1 : (int)syscall(SYS_epoll_pwait, fd, events, n, ms, NULL, 8);
}

/* What is taken away was there: that cannot fail. */
SHOWN int epoll_ctl(int epoll, int what, int fd, struct epoll_event *event)
{
    bool fails = what == EPOLL_CTL_ADD && no_socket(WATCHES);
    return fails ? -1 : (int)syscall(SYS_epoll_ctl, epoll, what, fd, event);
}

SHOWN int epoll_create1(int flags) { return no_socket(OPENS) ? -1 : (int)syscall(SYS_epoll_create1, flags); }
SHOWN int eventfd(unsigned n, int flags) { return no_socket(OPENS) ? -1 : (int)syscall(SYS_eventfd2, n, flags); }

SHOWN int socket(int domain, int type, int protocol)
{
    return no_socket(OPENS) ? -1 : (int)syscall(SYS_socket, domain, type, protocol);
}

SHOWN int setsockopt(int fd, int level, int name, const void *value, socklen_t n)
{
    static const int least = 1; /* the system makes it what it can be at least */
    bool narrow = kind == NARROW && level == SOL_SOCKET && name == SO_SNDBUF;
    return (int)syscall(SYS_setsockopt, fd, level, name, narrow ? &least : value, n);
}

/* ---- libraries: the topology and the session are opaque pointers here ---- */

#define SPARED(name, flag)                                                                                    \
    SHOWN int name(void *it)                                                                                  \
    {                                                                                                         \
        int (*real)(void *);                                                                                  \
        *(void **)&real = dlsym(RTLD_NEXT, #name);                                                            \
        flag = true;                                                                                          \
        int rc = real(it);                                                                                    \
        flag = false;                                                                                         \
        return rc;                                                                                            \
    }
SPARED(hwloc_topology_init, in_library)
SPARED(hwloc_topology_load, in_library)
SPARED(gnutls_handshake, in_tls)

SHOWN int gnutls_certificate_set_x509_key_mem2(void *to, const void *cert, const void *key, int form, const char *word,
                                               unsigned flags)
{
    int (*real)(void *, const void *, const void *, int, const char *, unsigned);
    *(void **)&real = dlsym(RTLD_NEXT, "gnutls_certificate_set_x509_key_mem2");
    in_tls = true;
    int rc = real(to, cert, key, form, word, flags);
    in_tls = false;
    return rc;
}

/* ---- from main() to the end ---- */

static void limit_to(int what, rlim_t most)
{
    struct rlimit limit;
    getrlimit(what, &limit);
    limit.rlim_cur = most < limit.rlim_max ? most : limit.rlim_max;
    setrlimit(what, &limit);
}

static unsigned long long space_in_use(void)
{
    char text[64] = "";
    int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/statm", O_RDONLY, 0);
    (void)!syscall(SYS_read, fd, text, sizeof text - 1);
    syscall(SYS_close, fd);
    return strtoull(text, NULL, 10) * (unsigned long long)sysconf(_SC_PAGESIZE);
}

static void write_count(void)
{
    char text[32];
    if (kind == SIZE)
        limit_to(RLIMIT_FSIZE, RLIM_INFINITY);
    kind = 0;
    int n = snprintf(text, sizeof text, "%llu\n", (unsigned long long)n_calls);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, count_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    (void)!syscall(SYS_write, fd, text, n);
    syscall(SYS_close, fd);
}

static const char *from_env(const char *name)
{
    const char *value = getenv(name);
    return value ? value : "";
}

static int errno_of(const char *word)
{
    static const struct { const char *word; int code; } known[] = {
        { "ENOSPC", ENOSPC },
        { "EINTR", EINTR },
        { "ECONNRESET", ECONNRESET },
        { "ECONNABORTED", ECONNABORTED },
        { "ETIMEDOUT", ETIMEDOUT },
        { "EPIPE", EPIPE },
        { "ENOBUFS", ENOBUFS },
        { "EMFILE", EMFILE },
        { "ENOMEM", ENOMEM },
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(word, known[i].word) == 0)
            return known[i].code;
    return EIO;
}

static int (*real_main)(int, char **, char **);

static int counted_main(int argc, char **argv, char **env)
{
    const char *word = from_env("FAIL_HOW");
    fail_at = strtoull(from_env("FAIL_AT"), NULL, 10);
    go_on = strcmp(from_env("FAIL_ON"), "1") == 0;
    is_short = strcmp(word, "short") == 0;
    how = errno_of(word);
    atomic_store(&waits, strcmp(from_env("FAIL_WHEN"), "accept") == 0);
    count_path = getenv("FAIL_COUNT");
    if (count_path)
        atexit(write_count);
    word = from_env("FAIL_KIND");
    kind = strcmp(word, "memory") == 0 ? MEMORY
         : strcmp(word, "file") == 0   ? FILES
         : strcmp(word, "size") == 0   ? SIZE
         : strcmp(word, "space") == 0  ? SPACE
         : strcmp(word, "socket") == 0 ? SOCKETS
         : strcmp(word, "narrow") == 0 ? NARROW
                                       : 0;
    if (kind == SIZE && fail_at)
        limit_to(RLIMIT_FSIZE, fail_at);
    if (kind == SPACE && fail_at)
        limit_to(RLIMIT_AS, space_in_use() + fail_at * (4 << 10));
    return real_main(argc, argv, env);
}

SHOWN int __libc_start_main(int (*m)(int, char **, char **), int argc, char **argv, void (*init)(void),
                            void (*fini)(void), void (*unload)(void), void *stack_end)
{
    int (*real)(int (*)(int, char **, char **), int, char **, void (*)(void), void (*)(void), void (*)(void), void *);
    *(void **)&real = dlsym(RTLD_NEXT, "__libc_start_main");
    real_main = m;
    return real(counted_main, argc, argv, init, fini, unload, stack_end);
}
