/* model_bytes.h: a model's bytes, for tools that read the weights themselves: a file, a split set, or what is in
 * memory. */
#pragma once
#include "base/file.h"
#include "format/gguf.h"
#include "hearth/hearth.h"

struct model_bytes {
    struct gguf gguf;
    struct file_map maps[GGUF_MAX_PARTS];
    uint32_t n_maps;
};
/* Mapped and parsed; of the source only where the bytes are. Release with model_bytes_close(), also after a failure. */
bool model_bytes_open(struct model_bytes *m, const hearth_source *source, hearth_error *err);
void model_bytes_close(struct model_bytes *m); /* fine on a zeroed struct */
bool model_bytes_damaged(const struct model_bytes *m); /* a part became shorter since */
