/* gguf_index.h: hash tables over names, for lookups and for finding duplicates in linear time.
 * The hash is keyed with a secret of the process, so a file cannot be built to collide. */
#pragma once
#include "format/gguf.h"

/* Make both tables with room for n_values and n_tensors. */
bool gguf_index_make(struct gguf *g, uint64_t n_values, uint64_t n_tensors);
/* Enter item `i`; returns false when the name is there already. */
bool gguf_index_value(struct gguf *g, uint32_t i);
bool gguf_index_tensor(struct gguf *g, uint32_t i);
