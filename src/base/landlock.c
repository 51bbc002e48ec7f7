/* landlock.c: by raw system calls, for the C library has none of them. Numbers as the kernel's
 * Documentation/userspace-api/landlock.rst has them; the headers of the system may be older than its kernel. */
#define _GNU_SOURCE
#include "base/landlock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

/* The same on every machine. */
enum { CREATE_RULESET = 444, ADD_RULE = 445, RESTRICT_SELF = 446, GET_VERSION = 1, RULE_PATH_BENEATH = 1 };

enum {
    FS_WRITE_FILE = 1 << 1, FS_READ_FILE = 1 << 2, FS_READ_DIR = 1 << 3, FS_REMOVE_DIR = 1 << 4,
    FS_REMOVE_FILE = 1 << 5, FS_MAKE_DIR = 1 << 7, FS_MAKE_REG = 1 << 8, FS_ALL_1 = (1 << 13) - 1,
    FS_REFER = 1 << 13, FS_TRUNCATE = 1 << 14, FS_IOCTL_DEV = 1 << 15, /* from versions 2, 3, 5 on */
    NET_BIND_TCP = 1 << 0, NET_CONNECT_TCP = 1 << 1,                   /* 4 */
    SCOPE_ABSTRACT_UNIX_SOCKET = 1 << 0,                               /* 6 */
    RESTRICT_ALL_THREADS = 1 << 3,                                     /* 8 */
    READS = FS_READ_FILE | FS_READ_DIR,
    WRITES = READS | FS_WRITE_FILE | FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG | FS_REFER
             | FS_TRUNCATE,
    OF_FILES = FS_READ_FILE | FS_WRITE_FILE | FS_TRUNCATE,
};

struct ruleset {
    uint64_t fs, net, scoped;
};

struct path_beneath {
    uint64_t allowed;
    int32_t fd;
} __attribute__((packed));

/* From this version on a thread restricts all of them. */
enum { ABI_OF_ALL_THREADS = 8 };
static const char threads[] = "/proc/self/task";

int landlock_abi(void)
{
    long v = syscall(CREATE_RULESET, NULL, (size_t)0, GET_VERSION);
    if (v > 0 && v < ABI_OF_ALL_THREADS && access(threads, R_OK) != 0)
        return 0;
    return v > 0 ? (int)v : 0;
}

/* What no rule allows is refused: all that this version knows. */
static int make_ruleset(int abi, bool client, struct ruleset *r)
{
    *r = (struct ruleset){ .fs = FS_ALL_1 };
    r->fs |= abi >= 2 ? FS_REFER : 0;
    r->fs |= abi >= 3 ? FS_TRUNCATE : 0;
    r->fs |= abi >= 5 ? FS_IOCTL_DEV : 0;
    r->net = abi < 4 ? 0 : client ? NET_BIND_TCP : NET_BIND_TCP | NET_CONNECT_TCP;
    r->scoped = abi >= 6 ? SCOPE_ABSTRACT_UNIX_SOCKET : 0;
    size_t bytes = abi >= 6 ? sizeof *r : abi >= 4 ? 2 * sizeof r->fs : sizeof r->fs;
    return (int)syscall(CREATE_RULESET, r, bytes, 0);
}

static bool allow(int ruleset, const struct ruleset *r, const char *path, uint64_t what, hearth_error *err)
{
    struct stat st;
    struct path_beneath rule = { .fd = open(path, O_PATH | O_CLOEXEC) };
    bool known = rule.fd >= 0 && fstat(rule.fd, &st) == 0;
    rule.allowed = what & r->fs & (known && S_ISDIR(st.st_mode) ? UINT64_MAX : OF_FILES);
    bool ok = known && syscall(ADD_RULE, ruleset, RULE_PATH_BENEATH, &rule, 0) == 0;
    int why = errno;
    if (rule.fd >= 0)
        close(rule.fd);
    return ok ? true : fail(err, HEARTH_ERR_IO, "the sandbox cannot keep %.200s open: %s; see that it is "
                            "there, or turn the sandbox off with --no-sandbox", path, strerror(why));
}

/* ---- every thread ----
 *
 * Before ABI_OF_ALL_THREADS a thread can restrict only itself and those that it starts. So each is asked by a signal,
 * whose handler makes the two calls: calls are all that it makes. */

static volatile int asked_ruleset;
static atomic_int answer; /* 0: none yet; 1: done; below 0: -errno */

static int restrict_this(int ruleset, unsigned flags)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || syscall(RESTRICT_SELF, ruleset, flags) != 0)
        return -errno;
    return 1;
}

static void on_asked(int signal_number)
{
    int saved = errno;
    (void)signal_number;
    atomic_store(&answer, restrict_this(asked_ruleset, 0));
    errno = saved;
}

/* 1, or below 0. A thread that ends meanwhile needs no more. */
static int ask(pid_t tid, int signal_number)
{
    enum { PATIENCE_MS = 10000 };
    static const struct timespec moment = { .tv_nsec = 20000 };
    int64_t start = clock_ns();
    atomic_store(&answer, 0);
    if (syscall(SYS_tgkill, getpid(), tid, signal_number) != 0)
        return errno == ESRCH ? 1 : -errno;
    while (atomic_load(&answer) == 0 && clock_ms_since(start) < PATIENCE_MS) {
        nanosleep(&moment, NULL);
        if (syscall(SYS_tgkill, getpid(), tid, 0) != 0)
            return 1;
    }
    int got = atomic_load(&answer);
    return got ? got : -ETIMEDOUT;
}

/* Threads come after those that start them: in the order of the folder each is seen once, and one that a restricted
 * thread starts is restricted. */
static int ask_all(int ruleset)
{
    struct sigaction action = { .sa_handler = on_asked, .sa_flags = SA_RESTART }, before;
    int signal_number = SIGRTMAX - 3, got = 1;
    DIR *tasks = opendir(threads);
    if (!tasks)
        return -errno;
    sigfillset(&action.sa_mask);
    asked_ruleset = ruleset;
    sigaction(signal_number, &action, &before);
    for (const struct dirent *e; got > 0 && (e = readdir(tasks));) {
        pid_t tid = (pid_t)atoi(e->d_name);
        if (tid > 0 && tid != (pid_t)syscall(SYS_gettid))
            got = ask(tid, signal_number);
    }
    sigaction(signal_number, &before, NULL);
    closedir(tasks);
    return got > 0 ? restrict_this(ruleset, 0) : got;
}

bool landlock_enter(const struct sandbox *s, hearth_error *err)
{
    struct ruleset r;
    int abi = landlock_abi(), ruleset = make_ruleset(abi, s->client, &r);
    bool ok = ruleset >= 0;
    int got = ok ? 0 : -errno;
    for (int i = 0; ok && i < s->n_read; i++)
        ok = allow(ruleset, &r, s->read[i], READS, err);
    for (int i = 0; ok && i < s->n_write; i++)
        ok = allow(ruleset, &r, s->write[i], WRITES, err);
    if (ok && s->remove[0])
        ok = allow(ruleset, &r, s->remove, FS_REMOVE_FILE, err);
    if (ok) {
        got = abi >= ABI_OF_ALL_THREADS ? restrict_this(ruleset, RESTRICT_ALL_THREADS) : 0;
        if (got <= 0)
            got = ask_all(ruleset);
    }
    if (ruleset >= 0)
        close(ruleset);
    if (got >= 0)
        return ok;
    return fail(err, HEARTH_ERR_IO, "the kernel offers Landlock and refuses it: %s; turn the sandbox off with "
                "--no-sandbox", strerror(-got));
}
