/* text_ids.h: all tokens of a text. */
#pragma once
#include "base/err.h"

/* As hearth_file_tokenize(); *out: mem_alloc'ed ids, the caller frees them. */
bool text_ids(hearth_file *file, const char *text, size_t n_bytes, bool special, bool bos, int32_t **out, size_t *n,
              hearth_error *err);
