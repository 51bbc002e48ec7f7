/* gguf_index.h: hash tables over names, for lookups and for finding duplicates in linear time.
 *
 * The hash is keyed with a secret of the parse, so a file cannot be built whose names all fall
 * into one slot. Slots hold item + 1; 0 is free. For src/format only. */
#pragma once
#include "format/gguf.h"

/* Draw the secret and make both tables with room for n_values and n_tensors. */
bool gguf_index_make(struct gguf *g, uint64_t n_values, uint64_t n_tensors);
/* Make the table of tensors anew with room for n, and enter those that g has. On failure
 * (no memory) g is as before. */
bool gguf_index_grow_tensors(struct gguf *g, uint64_t n);
/* The same for values. */
bool gguf_index_grow_values(struct gguf *g, uint64_t n);
/* Enter item `i`; returns false when the name is there already. */
bool gguf_index_value(struct gguf *g, uint32_t i);
bool gguf_index_tensor(struct gguf *g, uint32_t i);
