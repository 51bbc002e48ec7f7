/* quantize_open.c: a GGUF file or the parts of a set, mapped. */
#include <stdio.h>
#include <string.h>

#include "cli/quantize.h"

static bool part_name(char *out, size_t room, const char *first, uint32_t part, uint32_t count, hearth_error *err)
{
    char tail[48];
    size_t n = strlen(first), t = (size_t)snprintf(tail, sizeof tail, "-00001-of-%05u.gguf", count);
    if (n < t || strcmp(first + n - t, tail) != 0 || n + 1 > room)
        return fail(err, HEARTH_ERR_FORMAT, "%s is the first of %u files, but is not named ...%s; give it that name",
                    first, count, tail);
    snprintf(out, room, "%.*s-%05u-of-%05u.gguf", (int)(n - t), first, part + 1, count);
    return true;
}

static bool add_parts(struct model_bytes *m, const char *path, hearth_error *err)
{
    uint32_t count;
    if (!gguf_split_count(&m->gguf, &count, err))
        return err_context(err, "%s", path);
    for (uint32_t part = 1; part < count; part++) {
        char name[4096];
        if (!part_name(name, sizeof name, path, part, count, err) || !file_map(&m->maps[part], name, err))
            return false;
        m->n_maps = part + 1;
        if (!gguf_add_part(&m->gguf, part, m->maps[part].ptr, m->maps[part].bytes, err))
            return err_context(err, "%s", name);
    }
    return true;
}

bool model_bytes_open(struct model_bytes *m, const char *path, hearth_error *err)
{
    memset(m, 0, sizeof *m);
    if (!file_map(&m->maps[0], path, err))
        return false;
    m->n_maps = 1;
    if (!gguf_parse(&m->gguf, m->maps[0].ptr, m->maps[0].bytes, err))
        return err_context(err, "%s", path);
    return add_parts(m, path, err);
}

void model_bytes_close(struct model_bytes *m)
{
    gguf_free(&m->gguf);
    for (uint32_t i = 0; i < m->n_maps; i++)
        file_unmap(&m->maps[i]);
    memset(m, 0, sizeof *m);
}
