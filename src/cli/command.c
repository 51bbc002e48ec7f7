#include "cli/command.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void (*say_to)(const char *sentence);

void say_through(void (*to)(const char *sentence)) { say_to = to; }

void say(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    if (say_to) {
        char sentence[1024];
        vsnprintf(sentence, sizeof sentence, fmt, args);
        va_end(args);
        say_to(sentence);
        return;
    }
    fputs("hearth: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
}

int usage_error(const struct command *c, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fputs("hearth: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
    if (c)
        fprintf(stderr, "usage: hearth %s %s%s(hearth help %s)\n", c->name, c->positionals,
                c->n_opts > 0 ? " [options]  " : "  ", c->name);
    else
        fputs("usage: hearth COMMAND ...  (hearth help)\n", stderr);
    return EXIT_USAGE;
}

int report(const hearth_error *err)
{
    say("%s", err->message);
    switch (err->status) {
    case HEARTH_OK:
        return EXIT_DONE;
    case HEARTH_ERR_USAGE:
        return EXIT_USAGE;
    case HEARTH_ERR_IO:
    case HEARTH_ERR_FORMAT:
        return EXIT_FILE;
    case HEARTH_ERR_MEMORY:
        return EXIT_MEMORY;
    case HEARTH_ERR_CANCELLED:
        return EXIT_INTERRUPTED;
    case HEARTH_ERR_BUSY:
    case HEARTH_ERR_MODEL:
        break;
    }
    return EXIT_FAILED;
}

static int output_errno; /* of the first failed write; 0: none, or not known */

bool output_failed(void)
{
    if (output_errno == 0)
        output_errno = errno;
    struct pollfd p = { .fd = STDOUT_FILENO, .events = POLLOUT };
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLERR | POLLHUP));
}

int finish_output(int code)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    if (output_failed())
        return code;
    say("cannot write to standard output: %s; check free space",
        output_errno ? strerror(output_errno) : "an earlier write failed");
    return EXIT_FILE;
}

const struct command *command_find(int argc, char *const *argv, int *n_words)
{
    for (int i = 0; commands[i] && argc > 0; i++) {
        const struct command *c = commands[i];
        const char *space = strchr(c->name, ' ');
        if (space) {
            size_t n = (size_t)(space - c->name);
            bool first = strlen(argv[0]) == n && strncmp(argv[0], c->name, n) == 0;
            if (first && argc > 1 && strcmp(argv[1], space + 1) == 0) {
                *n_words = 2;
                return c;
            }
        } else if (strcmp(argv[0], c->name) == 0 || (c->alias && strcmp(argv[0], c->alias) == 0)) {
            *n_words = 1;
            return c;
        }
    }
    return NULL;
}
