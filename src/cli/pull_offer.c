#include "cli/pull_offer.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/self.h"
#include "cli/command.h"

static bool pull(const char *reference, const char *store, const char *config, bool plan)
{
    hearth_error err = { 0 };
    const char *words[] = { "hearth", "pull", reference, "--store-dir", store, "--config", *config ? config : "none",
                            plan ? "--plan" : NULL, NULL };
    int status = self_run(words, &err);
    if (status < 0)
        say("%s", err.message);
    return status == EXIT_DONE;
}

static bool is_yes(const char *answer)
{
    return strcmp(answer, "y\n") == 0 || strcmp(answer, "Y\n") == 0 || strcmp(answer, "yes\n") == 0;
}

bool pull_offer(const char *reference, const char *store, const char *config)
{
    char answer[16];
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
        return false;
    say("%s is not here. It would be:", reference);
    if (!pull(reference, store, config, true))
        return false;
    fputs("fetch it now? [y/N] ", stderr);
    return fgets(answer, sizeof answer, stdin) && is_yes(answer) && pull(reference, store, config, false);
}
