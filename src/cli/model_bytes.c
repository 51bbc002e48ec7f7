#include "cli/model_bytes.h"

#include <string.h>

#include "format/gguf_set.h"

bool model_bytes_open(struct model_bytes *m, const hearth_source *source, hearth_error *err)
{
    memset(m, 0, sizeof *m);
    if (!source->path)
        file_map_memory(&m->maps[0], source->bytes, source->n_bytes);
    else if (!file_map(&m->maps[0], source->path, err))
        return false;
    m->n_maps = 1;
    if (!gguf_parse(&m->gguf, m->maps[0].ptr, m->maps[0].bytes, err))
        return err_context(err, "%s", source->path ? source->path : source->name);
    return gguf_map_parts(&m->gguf, m->maps, &m->n_maps, source->path, err);
}

void model_bytes_close(struct model_bytes *m)
{
    gguf_free(&m->gguf);
    for (uint32_t i = 0; i < m->n_maps; i++)
        file_unmap(&m->maps[i]);
    memset(m, 0, sizeof *m);
}

bool model_bytes_damaged(const struct model_bytes *m)
{
    for (uint32_t i = 0; i < m->n_maps; i++)
        if (file_map_damaged(&m->maps[i]))
            return true;
    return false;
}
