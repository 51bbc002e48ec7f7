/* foreign.h: what a server elsewhere said, for a sentence of ours. Pure. */
#pragma once
#include "base/base.h"

/* text in one line of well-formed UTF-8, NUL-terminated: every run of spaces, newlines and control characters is one
 * space, what is not UTF-8 is '?', and what does not fit into room (> 4) bytes ends with "...". Returns out. */
const char *foreign_line(char *out, size_t room, struct str text);

/* A server may say a key again, and we do not: each place where all of it stands becomes asterisks. To be called before
 * anything is cut to fit. key NULL or "": there is none. */
void foreign_hide(char *bytes, size_t n, const char *key);
