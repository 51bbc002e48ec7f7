#include "cli/record_choice.h"

#include <stdio.h>
#include <string.h>

#include "base/env.h"
#include "base/state_dir.h"
#include "cli/command.h"

enum record_mode record_mode_of(const struct opt_value *record, enum record_mode usual)
{
    return record->origin == OPT_UNSET ? usual : (enum record_mode)record->i;
}

bool record_place(char out[RECORD_DIR_BYTES], const struct opt_value *dir, hearth_error *err)
{
    static const char below[] = "record"; /* a folder of its own: servers may write all that is in it */
    const char *state = env_system("STATE_DIRECTORY"); /* of several the first */
    int n = -1;
    if (!dir->text && !state && state_dir_path(below, out))
        return true;
    if (dir->text)
        n = snprintf(out, RECORD_DIR_BYTES, "%s", dir->text);
    else if (state)
        n = snprintf(out, RECORD_DIR_BYTES, "%.*s/%s", (int)strcspn(state, ":"), state, below);
    if (n > 0 && n < RECORD_DIR_BYTES)
        return true;
    return fail(err, HEARTH_ERR_USAGE, n > 0 ? "the path of the folder has more than %d bytes; name a shorter one"
                                             : "neither HOME nor XDG_STATE_HOME names a folder (of %d bytes at most)",
                RECORD_DIR_BYTES - 1);
}

static void say_note(void *arg, const char *line)
{
    (void)arg;
    say("%s", line);
}

struct recorder *record_begin(enum record_mode mode, const struct opt_value *dir, const struct opt_value *days,
                              const struct opt_value *disk)
{
    char place[RECORD_DIR_BYTES];
    hearth_error err = { 0 };
    struct recorder_options o = {
        .dir = place,
        .full = mode == RECORD_FULL,
        .days = (int)days->i,
        .most_bytes = (uint64_t)disk->i << 20,
        .note = say_note,
    };
    if (mode == RECORD_OFF)
        return NULL;
    struct recorder *r = record_place(place, dir, &err) ? recorder_open(&o, &err) : NULL;
    if (!r)
        say("nothing is recorded: %s; --record-dir names a folder, and --record off is for when that is meant",
            err.message);
    return r;
}
