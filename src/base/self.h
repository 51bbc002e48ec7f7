/* self.h: this program once more, as a process of its own. Linux; elsewhere there is none. */
#pragma once
#include "base/err.h"

/* Runs it with these words (NULL-terminated, the first is its name) and waits for its end; what it prints on standard
 * output goes to standard error. Until then Ctrl-C is for it alone. Returns its exit status, 128 + N where signal N
 * ended it; -1: HEARTH_ERR_IO. */
int self_run(const char *const *words, hearth_error *err);
