/* key_text.h: a key out of a file, so that it stands on no command line. */
#pragma once
#include "base/err.h"

/* The first line that is not empty and no # comment, without spaces around it. path NULL: "" is it. option: how errors
 * call it, "--key-file". HEARTH_ERR_USAGE, HEARTH_ERR_IO. */
bool key_text_read(char *out, size_t room, const char *option, const char *path, hearth_error *err);
