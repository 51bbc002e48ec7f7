/* state_dir.h: where the program keeps what it found out and wants to know again: $XDG_STATE_HOME/hearth, or
 * ~/.local/state/hearth (XDG Base Directory Specification). */
#pragma once
#include "base/base.h"
#include "base/err.h"

enum { STATE_DIR_BYTES = 1024 };

/* The folder `below` it, "" for itself, whether it is there or not. False: there is no such place (no home), or its
 * path is too long. */
bool state_dir_path(const char *below, char out[STATE_DIR_BYTES]);
/* The same, and it is there afterwards, for its owner alone. HEARTH_ERR_IO. */
bool state_dir_make(const char *below, char out[STATE_DIR_BYTES], hearth_error *err);
