#include "base/state_dir.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/env.h"

bool state_dir_path(const char *below, char out[STATE_DIR_BYTES])
{
    const char *xdg = env_system("XDG_STATE_HOME"), *home = env_system("HOME");
    const char *slash = below[0] ? "/" : "";
    int n = -1;
    if (xdg && xdg[0] == '/') /* others are to be ignored */
        n = snprintf(out, STATE_DIR_BYTES, "%s/hearth%s%s", xdg, slash, below);
    else if (home && home[0] == '/')
        n = snprintf(out, STATE_DIR_BYTES, "%s/.local/state/hearth%s%s", home, slash, below);
    return n > 0 && n < STATE_DIR_BYTES;
}

bool state_dir_make(const char *below, char out[STATE_DIR_BYTES], hearth_error *err)
{
    if (!state_dir_path(below, out))
        return fail(err, HEARTH_ERR_IO,
                    "there is no folder for what is kept: neither XDG_STATE_HOME nor HOME is a path; set one of them");
    for (char *p = out + 1;; p++) {
        if (*p && *p != '/')
            continue;
        char was = *p;
        *p = 0;
        bool ok = mkdir(out, 0700) == 0 || errno == EEXIST;
        int reason = errno;
        *p = was;
        if (!ok && !was)
            return fail(err, HEARTH_ERR_IO, "cannot make the folder %s: %s", out, strerror(reason));
        if (!was) /* what is above it and cannot be made shows here */
            return true;
    }
}
