/* key_file.h: the text of a key file (guard.h), edited: what a person wrote there stays as it is. Pure. */
#pragma once
#include "base/buf.h"
#include "base/err.h"

/* The text with one line more: the hash of a key, its name, and further words ("requests=3 observer"; "": none). note:
 * behind '#'. HEARTH_ERR_USAGE: the text was bad before, the name or the key is there, a word is none. */
bool key_file_add(struct buf *out, const char *text, const char *file, const char *sha256, const char *name,
                  const char *words, const char *note, hearth_error *err);
/* The text without the line of this key. HEARTH_ERR_USAGE: nobody has the name, or it is the last key. */
bool key_file_revoke(struct buf *out, const char *text, const char *file, const char *name, hearth_error *err);
/* A line for people for each key: name, limits, what it may, and what the file notes behind '#'. */
bool key_file_list(struct buf *out, const char *text, const char *file, hearth_error *err);
