#include "format/gguf_set.h"

#include <stdio.h>
#include <string.h>

bool gguf_part_path(char *out, size_t room, const char *first, uint32_t part, uint32_t n_parts, hearth_error *err)
{
    size_t n = strlen(first);
    char tail[48];
    snprintf(tail, sizeof tail, "-00001-of-%05u.gguf", n_parts);
    size_t t = strlen(tail);
    if (n < t || strcmp(first + n - t, tail) != 0)
        return fail(err, HEARTH_ERR_FORMAT,
                    "%s is part of a set of %u files; open the first one, named ...%s, with the others beside it",
                    first, n_parts, tail);
    int length = snprintf(out, room, "%.*s-%05u-of-%05u.gguf", (int)(n - t), first, part + 1, n_parts);
    if (length < 0 || (size_t)length >= room)
        return fail(err, HEARTH_ERR_USAGE, "the path of part %u is longer than %zu bytes; use a shorter one", part + 1,
                    room - 1);
    return true;
}

bool gguf_map_parts(struct gguf *g, struct file_map *maps, uint32_t *n_maps, const char *first, hearth_error *err)
{
    uint32_t count = 1;
    if (!gguf_split_count(g, &count, err))
        return first ? err_context(err, "%s", first) : false;
    if (count > 1 && !first)
        return fail(err, HEARTH_ERR_USAGE, "a split set of %u files cannot come from memory; give a path", count);
    for (uint32_t part = 1; part < count; part++) {
        char name[4096];
        if (!gguf_part_path(name, sizeof name, first, part, count, err) || !file_map(&maps[part], name, err))
            return false;
        *n_maps = part + 1;
        if (!gguf_add_part(g, part, maps[part].ptr, maps[part].bytes, err))
            return err_context(err, "%s", name);
    }
    return true;
}
