#include "base/self.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/env.h"

static int wait_for(pid_t child)
{
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int self_run(const char *const *words, hearth_error *err)
{
    struct sigaction ignore = { .sa_handler = SIG_IGN }, before;
    sigset_t defaults;
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    pid_t child = -1;
    int wrong = posix_spawn_file_actions_init(&files);
    if (wrong == 0 && (wrong = posix_spawnattr_init(&how)) != 0)
        posix_spawn_file_actions_destroy(&files);
    if (wrong != 0)
        return fail(err, HEARTH_ERR_IO, "cannot start another process: %s", strerror(wrong)), -1;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGINT);
    sigaction(SIGINT, &ignore, &before);
    wrong = posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO);
    wrong = wrong ? wrong : posix_spawnattr_setsigdefault(&how, &defaults);
    wrong = wrong ? wrong : posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGDEF);
    char *const *argv = (char *const *)(uintptr_t)words; /* which posix_spawn() does not change */
    wrong = wrong ? wrong : posix_spawn(&child, "/proc/self/exe", &files, &how, argv, env_all());
    int status = wrong ? -1 : wait_for(child);
    sigaction(SIGINT, &before, NULL);
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    if (status < 0)
        fail(err, HEARTH_ERR_IO, "cannot start another process: %s", strerror(wrong ? wrong : errno));
    return status;
}
