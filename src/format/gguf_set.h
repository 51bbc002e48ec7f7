/* gguf_set.h: the files of a split set, from the path of the first. */
#pragma once
#include "base/file.h"
#include "format/gguf.h"

/* NAME-00001-of-00003.gguf -> NAME-0000<part + 1>-of-00003.gguf, the field's convention; part counts from 0. out: room
 * bytes. HEARTH_ERR_FORMAT when the first is not named so. */
bool gguf_part_path(char *out, size_t room, const char *first, uint32_t part, uint32_t n_parts, hearth_error *err);

/* Map the other parts of the set whose first file g was parsed from (maps[0], *n_maps 1), and add their tensors.
 * Nothing to do for a file of its own. first: its path; NULL (it came from memory): a set is HEARTH_ERR_USAGE. maps has
 * room for GGUF_MAX_PARTS; *n_maps counts what is to be unmapped, on failure too. Errors name the part's path. */
bool gguf_map_parts(struct gguf *g, struct file_map *maps, uint32_t *n_maps, const char *first, hearth_error *err);
