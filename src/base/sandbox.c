#define _GNU_SOURCE
#include "base/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/landlock.h"
#include "base/machine.h"

/* ---- which calls stay ---- */

/* An argument that a call must have. */
struct need {
    unsigned arg;
    uint64_t mask, value; /* (argument & mask) == value */
};

enum { MAX_NEEDS = 2 };

static const uint64_t ALL = UINT64_MAX, LOW = UINT32_MAX; /* an int is in the low half */

struct call {
    const char *name;
    int n;
    struct need need[MAX_NEEDS];
};

#define CALL(name)                          { #name, 0, { { 0 } } }
#define CALL_IF(name, arg, mask, value)     { #name, 1, { { arg, mask, value } } }
#define CALL_IF2(name, a, am, av, b, bm, bv) { #name, 2, { { a, am, av }, { b, bm, bv } } }

/* By name, for not every machine has every one. */
static const struct call allowed[] = {
    /* memory; pages with code in them are made while models are opened, never later */
    CALL_IF(mmap, 2, PROT_EXEC, 0),
    CALL_IF(mprotect, 2, PROT_EXEC, 0),
    CALL(munmap),
    CALL(mremap),
    CALL(madvise),
    CALL(brk),
    CALL(mlock),
    CALL(mlock2),
    CALL(munlock),
    CALL(mincore),

    /* threads, and no processes */
    CALL_IF(clone, 0, CLONE_THREAD, CLONE_THREAD),
    CALL(futex),
    CALL(futex_waitv),
    CALL(set_robust_list),
    CALL(rseq),
    CALL(membarrier),
    CALL(sched_yield),
    CALL(sched_getaffinity),
    CALL(sched_setaffinity),
    CALL(getcpu),
    CALL(gettid),
    CALL(getpid),
    CALL_IF(setpriority, 0, ALL, PRIO_PROCESS),
    CALL_IF(prctl, 0, ALL, PR_SET_NAME),
    CALL(exit),
    CALL(exit_group),
    CALL(restart_syscall),

    /* signals to itself (with its own number, below) and from others */
    CALL(rt_sigaction),
    CALL(rt_sigprocmask),
    CALL(rt_sigreturn),
    CALL(sigaltstack),

    /* time */
    CALL(clock_gettime),
    CALL(clock_getres),
    CALL(clock_nanosleep),
    CALL(nanosleep),
    CALL(gettimeofday),
    CALL(time),
    CALL(setitimer),
    CALL(alarm),

    /* what is open */
    CALL(read),
    CALL(readv),
    CALL(pread64),
    CALL(preadv),
    CALL(write),
    CALL(writev),
    CALL(pwrite64),
    CALL(lseek),
    CALL(close),
    CALL(fstat),
    CALL_IF(newfstatat, 3, AT_EMPTY_PATH, AT_EMPTY_PATH), /* how the C library says fstat() */
    CALL(fsync),
    CALL(fdatasync),
    CALL(fadvise64),
    CALL(readahead),
    CALL_IF(fcntl, 1, LOW, F_GETFL),
    CALL_IF(fcntl, 1, LOW, F_SETFL),
    CALL_IF(fcntl, 1, LOW, F_GETFD),
    CALL_IF(fcntl, 1, LOW, F_SETFD),
    CALL_IF(ioctl, 1, LOW, FIONBIO),
    CALL_IF(ioctl, 1, LOW, FIONREAD),
    CALL_IF(ioctl, 1, LOW, TCGETS),
    CALL_IF(ioctl, 1, LOW, TIOCGWINSZ),
    CALL(poll),
    CALL(ppoll),
    CALL(select),
    CALL(pselect6),
    CALL(epoll_create1),
    CALL(epoll_ctl),
    CALL(epoll_wait),
    CALL(epoll_pwait),
    CALL(eventfd2),
    CALL(pipe2),

    /* connections that come in */
    CALL(accept),
    CALL(accept4),
    CALL(recvfrom),
    CALL(recvmsg),
    CALL_IF2(sendto, 4, ALL, 0, 3, MSG_FASTOPEN, 0), /* to nobody but the other end */
    CALL_IF(sendmsg, 2, MSG_FASTOPEN, 0),
    CALL(setsockopt),
    CALL(getsockopt),
    CALL(getsockname),
    CALL(getpeername),
    CALL(shutdown),

    /* figures */
    CALL(getrandom),
    CALL(getrusage),
    CALL(sysinfo),
    CALL(uname),
    CALL(times),
    CALL(getuid),
    CALL(geteuid),
    CALL(getgid),
    CALL(getegid),
    CALL_IF2(prlimit64, 0, ALL, 0, 2, ALL, 0),
};

/* Where files may be read: Landlock says which. */
enum { WRITE_FLAGS = O_ACCMODE | O_CREAT | O_TRUNC | O_PATH };
static const struct call reading[] = {
    CALL_IF(openat, 2, WRITE_FLAGS, O_RDONLY),
    CALL_IF(open, 1, WRITE_FLAGS, O_RDONLY),
};

/* Where files may be written, too. */
static const struct call writing[] = {
    CALL(openat),
    CALL(open),
    CALL(newfstatat),
    CALL(stat),
    CALL(lstat),
    CALL(statx),
    CALL(getdents64),
    CALL(ftruncate),
    CALL(fallocate),
    CALL(flock),
    CALL(mkdir),
    CALL(mkdirat),
    CALL(unlink),
    CALL(unlinkat),
    CALL(rmdir),
    CALL(rename),
    CALL(renameat),
    CALL(renameat2),
    CALL(fchmod),
    CALL_IF(utimensat, 1, ALL, 0), /* of what is open: the path is NULL */
};

/* Where a database is open, too: it locks ranges of its files, and looks whether they are still under their names. */
static const struct call locking[] = {
    CALL_IF(fcntl, 1, LOW, F_SETLK),
    CALL_IF(fcntl, 1, LOW, F_GETLK),
    CALL(ftruncate),
    CALL(newfstatat),
    CALL(stat),
    CALL(lstat),
};

/* Where it may also be made anew: Landlock says where. */
static const struct call renewing[] = {
    CALL_IF(openat, 2, O_PATH, 0),
    CALL_IF(open, 1, O_PATH, 0),
    CALL(unlink),
    CALL(unlinkat),
    CALL(rename),
    CALL(renameat),
    CALL(renameat2),
};

/* Where others are connected to, too: how names are looked up (DNS, a daemon's socket), and libraries for that and for
 * TLS are loaded, from files. Landlock says from which. */
static const struct call connecting[] = {
    CALL_IF2(socket, 0, LOW, AF_INET, 1, 0xf, SOCK_STREAM),
    CALL_IF2(socket, 0, LOW, AF_INET, 1, 0xf, SOCK_DGRAM),
    CALL_IF2(socket, 0, LOW, AF_INET6, 1, 0xf, SOCK_STREAM),
    CALL_IF2(socket, 0, LOW, AF_INET6, 1, 0xf, SOCK_DGRAM),
    CALL_IF(socket, 0, LOW, AF_UNIX),
    CALL_IF(socket, 0, LOW, AF_NETLINK), /* which kinds of addresses this machine has */
    CALL_IF(socketpair, 0, LOW, AF_UNIX),
    CALL(connect),
    CALL(bind), /* to no port of one's own: Landlock, and no listen() */
    CALL_IF(sendto, 3, MSG_FASTOPEN, 0),
    CALL(sendmmsg),
    CALL_IF2(mmap, 2, PROT_EXEC, PROT_EXEC, 3, MAP_ANONYMOUS, 0),
    CALL(access),
    CALL(faccessat),
    CALL(faccessat2),
    CALL(readlink),
    CALL(readlinkat),
    CALL(fstatfs),
};

/* Where a file may be removed, too. */
static const struct call removing[] = {
    CALL(newfstatat),
    CALL(lstat),
    CALL(unlink),
    CALL(unlinkat),
};

static int add(scmp_filter_ctx filter, uint32_t action, const struct call *c)
{
    struct scmp_arg_cmp needs[MAX_NEEDS];
    int number = seccomp_syscall_resolve_name(c->name);
    if (number == __NR_SCMP_ERROR)
        return 0; /* a call that this libseccomp does not know is refused, as all others */
    for (int i = 0; i < c->n; i++)
        needs[i] = SCMP_CMP64(c->need[i].arg, SCMP_CMP_MASKED_EQ, c->need[i].mask, c->need[i].value);
    return seccomp_rule_add_array(filter, action, number, (unsigned)c->n, needs);
}

static int add_all(scmp_filter_ctx filter, const struct call *calls, size_t n)
{
    int wrong = 0;
    for (size_t i = 0; i < n && !wrong; i++)
        wrong = add(filter, SCMP_ACT_ALLOW, &calls[i]);
    return wrong;
}

static int add_rules(scmp_filter_ctx filter, const struct sandbox *s)
{
    /* abort() and the C library's own signals. */
    const struct call to_itself = CALL_IF(tgkill, 0, ALL, (uint64_t)getpid());
    /* The C library then starts its threads with clone(), whose flags can be looked at. */
    static const struct call clone3 = CALL(clone3);
    int wrong = add_all(filter, allowed, ARRAY_LEN(allowed));
    wrong = wrong ? wrong : add(filter, SCMP_ACT_ALLOW, &to_itself);
    wrong = wrong ? wrong : add(filter, SCMP_ACT_ERRNO(ENOSYS), &clone3);
    if (!wrong && s->n_write > s->n_databases)
        wrong = add_all(filter, writing, ARRAY_LEN(writing));
    else if (!wrong && s->n_databases > 0)
        wrong = add_all(filter, renewing, ARRAY_LEN(renewing));
    else if (!wrong && s->n_read > 0)
        wrong = add_all(filter, reading, ARRAY_LEN(reading));
    if (!wrong && s->database)
        wrong = add_all(filter, locking, ARRAY_LEN(locking));
    if (!wrong && s->client)
        wrong = add_all(filter, connecting, ARRAY_LEN(connecting));
    if (!wrong && s->remove[0])
        wrong = add_all(filter, removing, ARRAY_LEN(removing));
    return wrong;
}

/* ---- seccomp ---- */

static scmp_filter_ctx make_filter(uint32_t otherwise, int *wrong)
{
    scmp_filter_ctx filter = seccomp_init(otherwise);
    *wrong = filter ? seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) : -ENOMEM;
    if (!*wrong)
        *wrong = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM));
    return filter;
}

static bool load(scmp_filter_ctx filter, int wrong, hearth_error *err)
{
    wrong = wrong ? wrong : seccomp_load(filter);
    if (filter)
        seccomp_release(filter);
    if (wrong == 0)
        return true;
    if (wrong == -ENOMEM)
        return fail_memory(err, "the filter of system calls");
    return fail(err, HEARTH_ERR_IO, "the kernel does not take a filter of system calls (seccomp): %s",
                strerror(-wrong));
}

static bool has_seccomp(void)
{
    uint32_t action = 0x00050000; /* SECCOMP_RET_ERRNO */
    enum { GET_ACTION_AVAIL = 2 }; /* of seccomp(2) */
    return syscall(SYS_seccomp, GET_ACTION_AVAIL, 0, &action) == 0;
}

bool sandbox_offline(hearth_error *err)
{
    int wrong;
    if (!has_seccomp())
        return fail(err, HEARTH_ERR_IO, "this kernel cannot refuse connections (it has no seccomp), so --offline "
                    "would be a promise only; leave it out, and use a network namespace (unshare -n)");
    const uint32_t no = SCMP_ACT_ERRNO(EPERM);
    /* UDP needs no connect(), TCP none with MSG_FASTOPEN, and io_uring no system call at all. */
    static const struct call refused[] = {
        CALL(connect),
        CALL(sendmmsg),
        CALL(io_uring_setup),
        CALL_IF(sendmsg, 2, MSG_FASTOPEN, MSG_FASTOPEN),
        CALL_IF2(socket, 0, LOW, AF_INET, 1, 0xf, SOCK_DGRAM),
        CALL_IF2(socket, 0, LOW, AF_INET, 1, 0xf, SOCK_RAW),
        CALL_IF2(socket, 0, LOW, AF_INET, 1, 0xf, SOCK_SEQPACKET),
        CALL_IF2(socket, 0, LOW, AF_INET6, 1, 0xf, SOCK_DGRAM),
        CALL_IF2(socket, 0, LOW, AF_INET6, 1, 0xf, SOCK_RAW),
        CALL_IF2(socket, 0, LOW, AF_INET6, 1, 0xf, SOCK_SEQPACKET),
    };
    scmp_filter_ctx filter = make_filter(SCMP_ACT_ALLOW, &wrong);
    for (size_t i = 0; i < ARRAY_LEN(refused) && !wrong; i++)
        wrong = add(filter, no, &refused[i]);
    if (!wrong) /* an address beside the bytes */
        wrong = seccomp_rule_add(filter, no, SCMP_SYS(sendto), 1, SCMP_A4_64(SCMP_CMP_NE, 0));
    for (int family = 0; family < AF_MAX && !wrong; family++)
        if (family != AF_UNIX && family != AF_INET && family != AF_INET6 && family != AF_NETLINK)
            wrong = seccomp_rule_add(filter, no, SCMP_SYS(socket), 1, SCMP_A0_32(SCMP_CMP_EQ, (uint32_t)family));
    if (!wrong)
        wrong = seccomp_rule_add(filter, no, SCMP_SYS(socket), 1, SCMP_A0_32(SCMP_CMP_GE, AF_MAX));
    return load(filter, wrong, err);
}

/* ---- all together ---- */

static bool add_path(char paths[][SANDBOX_PATH_BYTES], int *n, const char *path, size_t bytes)
{
    if (*n == SANDBOX_MAX_PATHS || bytes >= SANDBOX_PATH_BYTES)
        return false;
    memcpy(paths[*n], path, bytes);
    paths[(*n)++][bytes] = 0;
    return true;
}

bool sandbox_may_read_beside(struct sandbox *s, const char *file)
{
    const char *slash = strrchr(file, '/');
    if (!slash)
        return add_path(s->read, &s->n_read, ".", 1);
    return add_path(s->read, &s->n_read, file, slash == file ? 1 : (size_t)(slash - file));
}

bool sandbox_may_remove_beside(struct sandbox *s, const char *file)
{
    int n = 0;
    const char *slash = strrchr(file, '/');
    return add_path(&s->remove, &n, slash ? file : ".", slash == file || !slash ? 1 : (size_t)(slash - file));
}

bool sandbox_may_write(struct sandbox *s, const char *folder)
{
    return add_path(s->write, &s->n_write, folder, strlen(folder));
}

bool sandbox_may_use_database(struct sandbox *s, const char *folder)
{
    s->database = true;
    if (!s->landlock_abi)
        return true;
    s->n_databases++;
    return sandbox_may_write(s, folder);
}

bool sandbox_may_read(struct sandbox *s, const char *path)
{
    return access(path, F_OK) != 0 || add_path(s->read, &s->n_read, path, strlen(path));
}

/* What a lookup of names and TLS read. */
static const struct {
    const char *path;
    bool of_root; /* for root alone: others may read all of /etc that they can */
} of_clients[] = {
    { "/etc/resolv.conf", true },     { "/etc/hosts", true },
    { "/etc/host.conf", true },       { "/etc/nsswitch.conf", true },
    { "/etc/gai.conf", true },        { "/etc/services", true },
    { "/etc/ld.so.cache", true },     { "/etc/ssl/certs", true },
    { "/etc/ssl/openssl.cnf", true }, { "/etc/pki/tls/certs", true },
    { "/etc/pki/ca-trust", true },    { "/etc/ca-certificates", true },
    { "/etc/crypto-policies", true }, { "/run/systemd/resolve", false },
    { "/run/NetworkManager", false }, { "/run/resolvconf", false },
    { "/usr/lib", false },            { "/usr/lib64", false },
    { "/lib", false },                { "/lib64", false },
    { "/usr/share/ca-certificates", false },
    { "/usr/local/share/ca-certificates", false },
    { "/proc/sys/crypto", false },    { "/dev/urandom", false },
};

bool sandbox_may_connect(struct sandbox *s)
{
    bool root = geteuid() == 0, ok = root || sandbox_may_read(s, "/etc");
    s->client = true;
    for (size_t i = 0; ok && i < ARRAY_LEN(of_clients); i++)
        ok = (of_clients[i].of_root && !root) || sandbox_may_read(s, of_clients[i].path);
    return ok;
}

void sandbox_look(struct sandbox *s)
{
    s->has_seccomp = has_seccomp();
    s->landlock_abi = landlock_abi();
}

bool sandbox_enter(struct sandbox *s, hearth_error *err)
{
    int wrong;
    sandbox_look(s);
    tzset(); /* reads /etc/localtime, once */
    process_status_keep();
    if (s->landlock_abi > 0 && !landlock_enter(s, err))
        return false;
    s->landlock = s->landlock_abi > 0;
    if (!s->has_seccomp)
        return true;
    scmp_filter_ctx filter = make_filter(SCMP_ACT_ERRNO(EPERM), &wrong);
    wrong = wrong ? wrong : add_rules(filter, s);
    s->seccomp = load(filter, wrong, err);
    return s->seccomp;
}
