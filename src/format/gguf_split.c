/* gguf_split.c: models in several files. The first part has the metadata; each part has its own
 * tensors and says which part of how many it is. */
#include "format/gguf_index.h"
#include "format/gguf_limits.h"
#include "format/gguf_read.h"

typedef unsigned long long ull;

/* split.count is 0 in files that were merged again; absent: a file of its own. */
static bool read_place(const struct gguf *g, uint64_t *number, uint64_t *count, hearth_error *err)
{
    if (!gguf_uint_or(g, "split.count", 0, GGUF_MAX_PARTS, 1, count, err)
        || !gguf_uint_or(g, "split.no", 0, GGUF_MAX_PARTS - 1, 0, number, err))
        return false;
    if (*count == 0)
        *count = 1;
    if (*number >= *count)
        return fail(err, HEARTH_ERR_FORMAT,
                    "split.no is %llu (counted from 0), but split.count is %llu; the file's metadata is damaged",
                    (ull)*number, (ull)*count);
    return true;
}

bool gguf_split_count(const struct gguf *g, uint32_t *count, hearth_error *err)
{
    uint64_t n, number;
    if (!read_place(g, &number, &n, err))
        return false;
    if (number != 0)
        return fail(err, HEARTH_ERR_FORMAT, "this is part %llu of a set of %llu files; open the first part",
                    (ull)number + 1, (ull)n);
    *count = (uint32_t)n;
    return true;
}

static bool check_part(const struct gguf *g, const struct gguf *other, uint32_t part, hearth_error *err)
{
    uint64_t count, own_count, zero, number;
    if (!read_place(g, &zero, &count, err) || !read_place(other, &number, &own_count, err))
        return false;
    if (number == part && own_count == count)
        return true;
    return fail(err, HEARTH_ERR_FORMAT,
                "this file says it is part %llu of %llu, but part %u of %llu is needed; the set is mixed up: "
                "download it again",
                (ull)number + 1, (ull)own_count, part + 1, (ull)count);
}

/* Room for n tensors. What an arena outgrows stays allocated, so room doubles: a set of 512 parts
 * takes at most twice the memory of one file with as many tensors. */
static bool reserve(struct gguf *g, uint32_t n, hearth_error *err)
{
    if (n <= g->tensor_room)
        return true;
    uint32_t room = (uint32_t)min_size(max_size(n, 2 * (size_t)g->tensor_room), GGUF_MAX_TENSORS);
    struct gguf_tensor *all = arena_array(&g->arena, struct gguf_tensor, room);
    if (!all || !gguf_index_grow_tensors(g, room))
        return fail_memory(err, "the set's directory");
    if (g->n_tensors)
        memcpy(all, g->tensors, g->n_tensors * sizeof *all);
    g->tensors = all;
    g->tensor_room = room;
    return true;
}

static bool join(struct gguf *g, const struct gguf *other, uint32_t part, hearth_error *err)
{
    uint32_t n = g->n_tensors + other->n_tensors;
    if (n > GGUF_MAX_TENSORS)
        return fail(err, HEARTH_ERR_FORMAT, "the set has more than %d tensors up to part %u; this is no model",
                    GGUF_MAX_TENSORS, part + 1);
    for (uint32_t i = 0; i < other->n_tensors; i++)
        if (gguf_find_tensor(g, other->tensors[i].name))
            return fail(err, HEARTH_ERR_FORMAT,
                        "tensor " STR_FMT " stands in two parts of the set; the set is mixed up: download it again",
                        STR_ARG(other->tensors[i].name));
    if (!reserve(g, n, err))
        return false;
    for (uint32_t i = 0; i < other->n_tensors; i++) {
        g->tensors[g->n_tensors] = other->tensors[i];
        g->tensors[g->n_tensors].part = part;
        gguf_index_tensor(g, g->n_tensors);
        g->n_tensors++;
    }
    return true;
}

/* The set's own count, which writers put into the first part. */
static bool check_total(const struct gguf *g, const struct gguf *last, hearth_error *err)
{
    uint64_t n = (uint64_t)g->n_tensors + last->n_tensors, want;
    if (!gguf_uint_or(g, "split.tensors.count", 0, UINT64_MAX, n, &want, err))
        return false;
    if (want == n)
        return true;
    return fail(err, HEARTH_ERR_FORMAT,
                "split.tensors.count is %llu, but the parts have %llu tensors together; the set is mixed up: "
                "download it again",
                (ull)want, (ull)n);
}

bool gguf_add_part(struct gguf *g, uint32_t part, const uint8_t *bytes, size_t n_bytes, hearth_error *err)
{
    struct gguf other;
    uint64_t number, count, metadata_bytes = 0;
    if (!read_place(g, &number, &count, err))
        return false;
    if (part != g->n_parts || part >= count)
        return fail(err, HEARTH_ERR_USAGE, "part %u of a set of %llu was offered where part %u comes next", part + 1,
                    (ull)count, g->n_parts + 1);
    for (uint32_t i = 0; i < g->n_parts; i++)
        metadata_bytes += g->header_bytes[i]; /* each at most what was left of the limit */
    if (!gguf_parse_within(&other, bytes, n_bytes, GGUF_MAX_METADATA_BYTES - metadata_bytes, err))
        return false;
    bool ok = check_part(g, &other, part, err) && (part + 1 < count || check_total(g, &other, err))
           && join(g, &other, part, err);
    if (ok) {
        g->header_bytes[part] = other.header_bytes[0];
        g->part_bytes[part] = bytes;
        g->part_n_bytes[part] = n_bytes;
        g->data_bytes += other.data_bytes; /* each below its file's length */
        g->has_gaps = g->has_gaps || other.has_gaps;
        g->n_parts = part + 1;
    }
    gguf_free(&other);
    return ok;
}
