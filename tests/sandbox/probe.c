/* probe.c: what a server that was taken over would try. Loaded into the real program (LD_PRELOAD), so that its locked
 * process is what is asked; nothing in the program helps with that. A thread that is there from before main() waits
 * for a byte on PROBE_IN; then it, and a thread that it starts, try everything below and write "who: what: errno" to
 * PROBE_OUT, 0 for what went through. PROBE_SAFE: only what harms nobody where it does go through.
 *
 *   PROBE_FOLDER   the model's folder: may be read, not written; `inside` is a file there, `link` leads out of it
 *   PROBE_NO_LANDLOCK   the kernel has no Landlock, as far as the program can see */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static char program[] = "/bin/true", byte_sent[] = "x", before[] = "before", after[] = "after";
static char inside[256], new_file[256], link_out[256], renamed[256], folder[200];

#define TRY(name, ...) static long name(void) { __VA_ARGS__ }

static long reading(const char *path) { return open(path, O_RDONLY | O_CLOEXEC); }
static long family(int f, int type) { return socket(f, type, 0); }

/* ---- files ---- */
TRY(read_passwd, return reading("/etc/passwd");)
TRY(read_shadow, return reading("/etc/shadow");)
TRY(read_root, return open("/", O_RDONLY | O_DIRECTORY);)
TRY(read_home, return open("/root", O_RDONLY | O_DIRECTORY);)
TRY(read_environ, return reading("/proc/self/environ");)
TRY(read_maps, return reading("/proc/self/maps");)
TRY(read_others, return reading("/proc/1/cmdline");)
TRY(read_version, return reading("/proc/version");)
TRY(read_sys, return reading("/sys/kernel/mm/transparent_hugepage/enabled");)
TRY(read_urandom, return reading("/dev/urandom");)
TRY(read_null, return reading("/dev/null");)
TRY(read_program, return reading("/proc/self/exe");)
TRY(read_through_link, return reading(link_out);)
TRY(read_up, char p[300]; snprintf(p, sizeof p, "%s/../../../etc/passwd", folder); return reading(p);)
TRY(read_a_path_only, return open("/etc/passwd", O_PATH);)
TRY(read_openat2, struct { uint64_t a, b, c; } how = { O_RDONLY, 0, 0 };
    return syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", &how, sizeof how);)
TRY(write_model, return open(inside, O_WRONLY);)
TRY(append_model, return open(inside, O_RDWR | O_APPEND);)
TRY(truncate_model, return open(inside, O_RDONLY | O_TRUNC);)
TRY(truncate_path, return truncate(inside, 1);)
TRY(make_file, return open(new_file, O_WRONLY | O_CREAT, 0600);)
TRY(make_unnamed, return open(folder, O_TMPFILE | O_RDWR, 0600);)
TRY(make_folder, return mkdir(new_file, 0700);)
TRY(make_fifo, return mknod(new_file, S_IFIFO | 0600, 0);)
TRY(make_link, return link(inside, new_file);)
TRY(make_symlink, return symlink("/etc/passwd", new_file);)
TRY(remove_model, return unlink(inside);)
TRY(rename_model, return rename(inside, renamed);)
TRY(chmod_model, return chmod(inside, 0777);)
TRY(chown_model, return chown(inside, 1, 1);)
TRY(touch_model, return utimensat(AT_FDCWD, inside, NULL, 0);)
TRY(access_path, return access("/etc/passwd", R_OK);)
TRY(stat_path, struct stat st; return stat("/etc/passwd", &st);)
TRY(statfs_path, struct statfs st; return statfs("/", &st);)
TRY(readlink_path, char b[99]; return readlink("/proc/self/exe", b, sizeof b);)
TRY(change_folder, return chdir("/");)
TRY(change_root, return chroot("/");)
TRY(watch_files, return inotify_init1(0);)
TRY(by_handle, return syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, 0);)
TRY(memory_file, return memfd_create("x", 0);)

/* ---- programs ---- */
TRY(run_execve, char *v[] = { program, NULL }; return execve("/bin/true", v, NULL);)
TRY(run_execveat, char *v[] = { program, NULL }; return syscall(SYS_execveat, AT_FDCWD, program, v, NULL, 0);)
TRY(run_fork, pid_t p = fork(); if (p == 0) _exit(0); if (p > 0) waitpid(p, NULL, 0); return p;)
TRY(run_clone, long p = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); if (p == 0) _exit(0); return p;)
TRY(run_spawn, char *v[] = { program, NULL }; pid_t p; errno = posix_spawn(&p, "/bin/true", NULL, NULL, v, NULL);
    return errno ? -1 : 0;)
TRY(code_mmap, return (long)mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);)
TRY(code_mprotect, void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return mprotect(p, 4096, PROT_READ | PROT_EXEC);)

/* ---- connections ---- */
TRY(net_tcp, return family(AF_INET, SOCK_STREAM);)
TRY(net_tcp6, return family(AF_INET6, SOCK_STREAM);)
TRY(net_udp, return family(AF_INET, SOCK_DGRAM);)
TRY(net_raw, return family(AF_INET, SOCK_RAW);)
TRY(net_unix, return family(AF_UNIX, SOCK_STREAM);)
TRY(net_netlink, return family(AF_NETLINK, SOCK_RAW);)
TRY(net_packet, return family(AF_PACKET, SOCK_RAW);)
TRY(net_vsock, return family(40, SOCK_STREAM);)
TRY(net_pair, int v[2]; return socketpair(AF_UNIX, SOCK_STREAM, 0, v);)

static int socket_from_before = -1, udp_from_before = -1;
static struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = 0x901f };
TRY(net_connect, to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return connect(socket_from_before, (struct sockaddr *)&to, sizeof to);)
TRY(net_bind, struct sockaddr_in any = { .sin_family = AF_INET };
    return bind(socket_from_before, (struct sockaddr *)&any, sizeof any);)
TRY(net_listen, return listen(socket_from_before, 1);)
TRY(net_sendto, return sendto(udp_from_before, "x", 1, 0, (struct sockaddr *)&to, sizeof to);)
TRY(net_fast_open, struct iovec v = { byte_sent, 1 }; struct msghdr m = { &to, sizeof to, &v, 1, NULL, 0, 0 };
    return sendmsg(socket_from_before, &m, MSG_FASTOPEN);)
TRY(net_sendmmsg, struct iovec v = { byte_sent, 1 }; struct mmsghdr m = { { &to, sizeof to, &v, 1, NULL, 0, 0 }, 0 };
    return sendmmsg(udp_from_before, &m, 1, 0);)
TRY(net_io_uring, return syscall(SYS_io_uring_setup, 4, NULL);)

/* ---- other processes, and the system ---- */
TRY(sys_kill, return kill(1, 0);)
TRY(sys_kill_parent, return kill(getppid(), 0);)
TRY(sys_tgkill, return syscall(SYS_tgkill, getppid(), getppid(), 0);)
TRY(sys_ptrace, return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);)
TRY(sys_read_memory, char b; struct iovec v = { &b, 1 }; return process_vm_readv(getppid(), &v, 1, &v, 1, 0);)
TRY(sys_pidfd, return syscall(SYS_pidfd_open, getppid(), 0);)
TRY(sys_limits, struct rlimit l = { 10, 10 }; return setrlimit(RLIMIT_NOFILE, &l);)
TRY(sys_user, return syscall(SYS_setresuid, 1, 1, 1);)
TRY(sys_groups, return syscall(SYS_setgroups, 0, NULL);)
TRY(sys_capset, struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct d[2] = { { 0 } }; return syscall(SYS_capset, &h, d);)
TRY(sys_unshare, return unshare(CLONE_NEWUSER);)
TRY(sys_setns, return setns(0, 0);)
TRY(sys_mount, return mount("none", "/proc", "tmpfs", 0, NULL);)
TRY(sys_umount, return umount2("/proc", MNT_DETACH);)
TRY(sys_bpf, return syscall(SYS_bpf, 5, NULL, 0);)
TRY(sys_perf, return syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0);)
TRY(sys_userfault, return syscall(SYS_userfaultfd, 0);)
TRY(sys_keys, return syscall(SYS_keyctl, 0, -3, 0, 0, 0);)
TRY(sys_module, return syscall(SYS_init_module, NULL, 0, "");)
TRY(sys_kexec, return syscall(SYS_kexec_load, 0, 0, NULL, 0);)
TRY(sys_swap, return syscall(SYS_swapoff, "/nowhere");)
TRY(sys_time, return syscall(SYS_settimeofday, NULL, NULL);)
TRY(sys_name, return sethostname("x", 1);)
TRY(sys_log, return syscall(SYS_syslog, 3, NULL, 0);)
TRY(sys_shared, return shmget(IPC_PRIVATE, 4096, 0600);)
TRY(sys_message, return msgget(IPC_PRIVATE, 0600);)
TRY(sys_semaphore, return semget(IPC_PRIVATE, 1, 0600);)
TRY(sys_schedule, struct sched_param p = { 1 }; return sched_setscheduler(0, SCHED_FIFO, &p);)
TRY(sys_personality, return syscall(SYS_personality, 0xffffffff);)
TRY(sys_type, return ioctl(0, TIOCSTI, "x");)
TRY(sys_dumpable, return syscall(SYS_prctl, 4, 1, 0, 0, 0);)

/* ---- what must go on ---- */
TRY(may_read_model, long fd = reading(inside); char b; return fd < 0 ? fd : read((int)fd, &b, 1);)
TRY(may_map, return (long)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);)
TRY(may_sleep, return poll(NULL, 0, 1);)
TRY(may_draw, char b[8]; return syscall(SYS_getrandom, b, sizeof b, 0);)

/* The C library has no functions for Landlock: this is how it is asked for. */
__attribute__((visibility("default"))) long syscall(long number, ...)
{
    enum { LANDLOCK_CREATE_RULESET = 444 };
    static long (*next)(long, ...);
    va_list args;
    long a[6];
    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "syscall");
    va_start(args, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(args, long);
    va_end(args);
    if (number != LANDLOCK_CREATE_RULESET || !getenv("PROBE_NO_LANDLOCK"))
        return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    errno = ENOSYS;
    return -1;
}

static const struct attempt {
    const char *name;
    long (*go)(void);
    bool safe;
} attempts[] = {
#define SAFE(f)  { #f, f, true }
#define RISKY(f) { #f, f, false }
    SAFE(read_passwd), SAFE(read_shadow), SAFE(read_root), SAFE(read_home), SAFE(read_environ), SAFE(read_maps),
    SAFE(read_others), SAFE(read_version), SAFE(read_sys), SAFE(read_urandom), SAFE(read_null), SAFE(read_program),
    SAFE(read_through_link), SAFE(read_up), SAFE(read_a_path_only), SAFE(read_openat2), SAFE(write_model),
    SAFE(append_model), RISKY(truncate_model), RISKY(truncate_path), RISKY(make_file), SAFE(make_unnamed),
    RISKY(make_folder), RISKY(make_fifo), RISKY(make_link), RISKY(make_symlink), RISKY(remove_model),
    RISKY(rename_model), RISKY(chmod_model), RISKY(chown_model), SAFE(touch_model), SAFE(access_path), SAFE(stat_path),
    SAFE(statfs_path), SAFE(readlink_path), RISKY(change_folder), RISKY(change_root), SAFE(watch_files),
    RISKY(by_handle), SAFE(memory_file),
    RISKY(run_execve), RISKY(run_execveat), SAFE(run_fork), RISKY(run_clone), SAFE(run_spawn), SAFE(code_mmap),
    SAFE(code_mprotect),
    SAFE(net_tcp), SAFE(net_tcp6), SAFE(net_udp), RISKY(net_raw), SAFE(net_unix), SAFE(net_netlink), RISKY(net_packet),
    RISKY(net_vsock), SAFE(net_pair), RISKY(net_connect), SAFE(net_bind), SAFE(net_listen), RISKY(net_sendto),
    RISKY(net_fast_open), RISKY(net_sendmmsg), RISKY(net_io_uring),
    RISKY(sys_kill), SAFE(sys_kill_parent), RISKY(sys_tgkill), RISKY(sys_ptrace), RISKY(sys_read_memory),
    SAFE(sys_pidfd), RISKY(sys_limits), RISKY(sys_user), RISKY(sys_groups), RISKY(sys_capset), RISKY(sys_unshare),
    RISKY(sys_setns), RISKY(sys_mount), RISKY(sys_umount), RISKY(sys_bpf), RISKY(sys_perf), RISKY(sys_userfault),
    RISKY(sys_keys), RISKY(sys_module), RISKY(sys_kexec), RISKY(sys_swap), RISKY(sys_time), RISKY(sys_name),
    RISKY(sys_log), RISKY(sys_shared), RISKY(sys_message), RISKY(sys_semaphore), RISKY(sys_schedule),
    RISKY(sys_personality), RISKY(sys_type), RISKY(sys_dumpable),
    SAFE(may_read_model), SAFE(may_map), SAFE(may_sleep), SAFE(may_draw),
};

static int in_fd, out_fd;
static bool only_safe;

static void *try_all(void *who)
{
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
        const struct attempt *a = &attempts[i];
        if (only_safe && !a->safe)
            continue;
        errno = 0;
        long got = a->go();
        int why = got == -1 ? errno : 0;
        dprintf(out_fd, "%s: %s: %d\n", (const char *)who, a->name, why);
    }
    return NULL;
}

static void *wait_and_try(void *arg)
{
    char byte;
    pthread_t thread;
    (void)arg;
    while (read(in_fd, &byte, 1) != 1)
        poll(NULL, 0, 10);
    try_all(before);
    if (pthread_create(&thread, NULL, try_all, after) == 0)
        pthread_join(thread, NULL);
    dprintf(out_fd, "done\n");
    return NULL;
}

__attribute__((constructor)) static void begin(void)
{
    pthread_t thread;
    const char *in = getenv("PROBE_IN"), *out = getenv("PROBE_OUT"), *where = getenv("PROBE_FOLDER");
    if (!in || !out || !where)
        return;
    in_fd = atoi(in);
    out_fd = atoi(out);
    only_safe = getenv("PROBE_SAFE") != NULL;
    snprintf(folder, sizeof folder, "%s", where);
    snprintf(inside, sizeof inside, "%s/inside", folder);
    snprintf(new_file, sizeof new_file, "%s/new", folder);
    snprintf(renamed, sizeof renamed, "%s/renamed", folder);
    snprintf(link_out, sizeof link_out, "%s/link", folder);
    socket_from_before = socket(AF_INET, SOCK_STREAM, 0);
    udp_from_before = socket(AF_INET, SOCK_DGRAM, 0);
    pthread_create(&thread, NULL, wait_and_try, NULL);
    pthread_detach(thread);
}
