/* gguf_override.h: a directory that says what its file should have said. */
#pragma once
#include "format/gguf.h"
#include "hearth/hearth.h"

/* Apply them in order to a parsed file or set. The texts are copied; the file's bytes stay as they are.
 * HEARTH_ERR_USAGE names a tensor that is not there, or two whose shapes differ. On failure g is still to be freed. */
bool gguf_override(struct gguf *g, const hearth_override *all, size_t n, hearth_error *err);
