/* landlock.h: Landlock's part of the sandbox (sandbox.h): which paths may be opened. */
#pragma once
#include "base/sandbox.h"

/* 0: the kernel has none, or it is off, or it restricts one thread at a time, and without /proc nobody lists them. */
int landlock_abi(void);

/* All threads of the process. HEARTH_ERR_IO names the path, or what the kernel refused. */
bool landlock_enter(const struct sandbox *s, hearth_error *err);
