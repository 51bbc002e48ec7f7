/* quantize_open.c: a GGUF file or the parts of a set, mapped. */
#include <string.h>

#include "cli/quantize.h"
#include "format/gguf_set.h"

bool model_bytes_open(struct model_bytes *m, const char *path, hearth_error *err)
{
    memset(m, 0, sizeof *m);
    if (!file_map(&m->maps[0], path, err))
        return false;
    m->n_maps = 1;
    if (!gguf_parse(&m->gguf, m->maps[0].ptr, m->maps[0].bytes, err))
        return err_context(err, "%s", path);
    return gguf_map_parts(&m->gguf, m->maps, &m->n_maps, path, err);
}

void model_bytes_close(struct model_bytes *m)
{
    gguf_free(&m->gguf);
    for (uint32_t i = 0; i < m->n_maps; i++)
        file_unmap(&m->maps[i]);
    memset(m, 0, sizeof *m);
}
