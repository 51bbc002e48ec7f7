/* gguf.c: bytes to a directory. Order of work: magic and counts, values, tensor records, then
 * the checks that need all of them (alignment, ranges, overlaps). */
#include "format/gguf.h"

#include <stdlib.h>

#include "base/utf8.h"
#include "format/gguf_index.h"
#include "format/gguf_limits.h"
#include "format/gguf_read.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "GGUF files are read in place: a little-endian host is needed"
#endif

typedef unsigned long long ull;

/* The bytes ran out: those of the file, or those that metadata may have. */
static bool ends_inside(const struct reader *r, const char *what, hearth_error *err)
{
    if (r->n < r->file_bytes)
        return fail(err, HEARTH_ERR_FORMAT,
                    "the metadata is longer than %d MB, the most that is read; this is no model",
                    GGUF_MAX_METADATA_BYTES >> 20);
    return fail(err, HEARTH_ERR_FORMAT, "the file ends inside %s, at byte %llu; download it again", what, (ull)r->n);
}

/* ---- header ---- */

static bool check_version(uint32_t version, hearth_error *err)
{
    uint32_t swapped = __builtin_bswap32(version);
    if (version >= GGUF_MIN_VERSION && version <= GGUF_MAX_VERSION)
        return true;
    if (version == 1)
        return fail(err, HEARTH_ERR_FORMAT,
                    "GGUF version 1 (2023), at byte 4, is no longer read; download a current .gguf");
    if (swapped >= 1 && swapped <= GGUF_MAX_VERSION)
        return fail(err, HEARTH_ERR_FORMAT,
                    "this is a GGUF file in big-endian byte order; download the little-endian one");
    return fail(err, HEARTH_ERR_FORMAT,
                "GGUF version %u, at byte 4, is not supported (%d and %d are); a newer hearth may read it", version,
                GGUF_MIN_VERSION, GGUF_MAX_VERSION);
}

/* A count is believed only if the rest of the file could hold that many records. */
static bool check_count(const char *what, uint64_t n, uint64_t most, uint64_t least_bytes, uint64_t left,
                        hearth_error *err)
{
    if (n > most)
        return fail(err, HEARTH_ERR_FORMAT, "the header promises %llu %s, at most %llu are allowed; this is no model",
                    (ull)n, what, (ull)most);
    if (n > left / least_bytes)
        return fail(err, HEARTH_ERR_FORMAT,
                    "the header promises %llu %s, but only %llu bytes follow for them; the file is cut short: "
                    "download it again",
                    (ull)n, what, (ull)left);
    return true;
}

static bool read_header(struct gguf *g, struct reader *r, uint64_t *n_tensors, uint64_t *n_values, hearth_error *err)
{
    const uint8_t *magic = read_bytes(r, 4);
    if (!magic || memcmp(magic, "GGUF", 4) != 0)
        return gguf_refuse_stranger(r->bytes, r->n, err);
    g->version = read_u32(r);
    if (r->cut_off)
        return ends_inside(r, "its header", err);
    if (!check_version(g->version, err))
        return false;
    *n_tensors = read_u64(r);
    *n_values = read_u64(r);
    if (r->cut_off)
        return ends_inside(r, "its header", err);
    if (!check_count("tensors", *n_tensors, GGUF_MAX_TENSORS, GGUF_MIN_TENSOR_RECORD_BYTES, read_left(r), err))
        return false;
    uint64_t left = read_left(r) - *n_tensors * GGUF_MIN_TENSOR_RECORD_BYTES;
    return check_count("metadata values", *n_values, GGUF_MAX_VALUES, GGUF_MIN_VALUE_RECORD_BYTES, left, err);
}

/* ---- names ---- */

/* The length is judged before it is used: a damaged one must not look like a file cut short. */
static bool read_name(struct reader *r, struct str *out, const char *what, hearth_error *err)
{
    uint64_t n = read_u64(r);
    if (!r->cut_off && (n < 1 || n > GGUF_MAX_NAME_BYTES))
        return fail(err, HEARTH_ERR_FORMAT, "its %s has %llu bytes, 1 to %d are allowed; the file is damaged", what,
                    (ull)n, GGUF_MAX_NAME_BYTES);
    const uint8_t *p = read_bytes(r, n);
    if (!p)
        return ends_inside(r, "it", err);
    *out = (struct str){ (const char *)p, (size_t)n };
    return true;
}

static bool check_key(struct str s, hearth_error *err)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.'
               || c == '-';
        if (!ok)
            return fail(err, HEARTH_ERR_FORMAT,
                        "its key has byte 0x%02x at position %zu; keys have letters, digits, _ . and - only; "
                        "the file is damaged",
                        (unsigned char)c, i);
    }
    return true;
}

/* UTF-8 without NUL. */
static bool good_utf8(struct str s)
{
    const uint8_t *p = (const uint8_t *)s.ptr, *end = p + s.len;
    for (int n; p < end; p += n) {
        n = utf8_length(p, (size_t)(end - p), NULL, NULL);
        if (n == 0 || *p == 0)
            return false;
    }
    return true;
}

/* ---- values ---- */

uint64_t gguf_value_width(uint32_t type)
{
    static const uint8_t width[GGUF_N_TYPES] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };
    return type < GGUF_N_TYPES ? width[type] : 0;
}

static bool read_string(struct reader *r, struct str key, hearth_error *err)
{
    bool is_template = str_starts(key, STR("tokenizer.chat_template"));
    uint64_t most = is_template ? GGUF_MAX_TEMPLATE_BYTES : GGUF_MAX_STRING_BYTES;
    uint64_t at = r->at, n = read_u64(r);
    if (!r->cut_off && n > most)
        return fail(err, HEARTH_ERR_FORMAT,
                    STR_FMT " has a text of %llu bytes at byte %llu, at most %llu are allowed; the file is damaged",
                    STR_ARG(key), (ull)n, (ull)at, (ull)most);
    return read_bytes(r, n) || ends_inside(r, "its text", err);
}

static bool check_bools(const struct gguf_value *v, hearth_error *err)
{
    for (uint64_t i = 0; i < v->bytes; i++)
        if (v->data[i] > 1)
            return fail(err, HEARTH_ERR_FORMAT, STR_FMT " holds %u where only 0 and 1 are allowed; the file is damaged",
                        STR_ARG(v->key), v->data[i]);
    return true;
}

static bool check_array_head(const struct reader *r, const struct gguf_value *v, uint32_t elem, hearth_error *err)
{
    if (elem == GGUF_ARRAY)
        return fail(err, HEARTH_ERR_FORMAT,
                    STR_FMT " is an array of arrays; these are not allowed; the file is damaged", STR_ARG(v->key));
    if (elem >= GGUF_N_TYPES)
        return fail(err, HEARTH_ERR_FORMAT, STR_FMT " is an array of type %u, types are 0 to %d; the file is damaged",
                    STR_ARG(v->key), elem, GGUF_N_TYPES - 1);
    if (v->n > GGUF_MAX_ARRAY_ITEMS)
        return fail(err, HEARTH_ERR_FORMAT, STR_FMT " promises %llu items, at most %d are allowed; the file is damaged",
                    STR_ARG(v->key), (ull)v->n, GGUF_MAX_ARRAY_ITEMS);
    uint64_t least = elem == GGUF_STRING ? sizeof(uint64_t) : gguf_value_width(elem);
    if (v->n <= read_left(r) / least)
        return true;
    if (r->n < r->file_bytes)
        return ends_inside(r, "its items", err);
    return fail(err, HEARTH_ERR_FORMAT,
                STR_FMT " promises %llu items, but only %llu bytes follow; the file is cut short: download it again",
                STR_ARG(v->key), (ull)v->n, (ull)read_left(r));
}

static bool read_array(struct reader *r, struct gguf_value *v, hearth_error *err)
{
    uint32_t elem = read_u32(r);
    v->n = read_u64(r);
    if (r->cut_off)
        return ends_inside(r, "its array", err);
    if (!check_array_head(r, v, elem, err))
        return false;
    v->elem = (enum gguf_type)elem;
    v->data = r->bytes + r->at;
    uint64_t start = r->at;
    if (elem == GGUF_STRING) {
        for (uint64_t i = 0; i < v->n; i++)
            if (!read_string(r, v->key, err))
                return err_context(err, "item %llu", (ull)i);
    } else {
        read_bytes(r, v->n * gguf_value_width(elem)); /* they fit: check_array_head() */
    }
    v->bytes = r->at - start;
    return elem == GGUF_BOOL ? check_bools(v, err) : true;
}

static bool read_value(struct reader *r, struct gguf_value *v, hearth_error *err)
{
    if (!read_name(r, &v->key, "key", err) || !check_key(v->key, err))
        return false;
    uint32_t type = read_u32(r);
    if (r->cut_off)
        return ends_inside(r, "its value", err);
    if (type >= GGUF_N_TYPES)
        return fail(err, HEARTH_ERR_FORMAT, STR_FMT " has value type %u, types are 0 to %d; the file is damaged",
                    STR_ARG(v->key), type, GGUF_N_TYPES - 1);
    v->type = (enum gguf_type)type;
    v->n = 1;
    if (type == GGUF_ARRAY)
        return read_array(r, v, err);
    uint64_t start = r->at;
    v->data = r->bytes + start;
    if (type == GGUF_STRING) {
        if (!read_string(r, v->key, err))
            return false;
    } else if (!read_bytes(r, gguf_value_width(type))) {
        return ends_inside(r, "its value", err);
    }
    v->bytes = r->at - start;
    return type == GGUF_BOOL ? check_bools(v, err) : true;
}

static bool read_values(struct gguf *g, struct reader *r, hearth_error *err)
{
    for (uint32_t i = 0; i < g->n_values; i++) {
        uint64_t at = r->at;
        bool ok = read_value(r, &g->values[i], err);
        if (ok && !gguf_index_value(g, i))
            ok = fail(err, HEARTH_ERR_FORMAT, "key " STR_FMT " stands twice in the metadata; the file is damaged",
                      STR_ARG(g->values[i].key));
        if (!ok)
            return err_context(err, "metadata value %u, at byte %llu", i, (ull)at);
    }
    return true;
}

/* ---- tensors ---- */

/* Values and bytes from the dimensions, with every product checked. */
static bool measure(struct gguf_tensor *t, hearth_error *err)
{
    struct gguf_type_info info;
    t->n_values = 1;
    for (uint32_t i = 0; i < t->n_dims; i++) {
        if (t->dim[i] < 1 || t->dim[i] > GGUF_MAX_DIM)
            return fail(err, HEARTH_ERR_FORMAT,
                        STR_FMT " has %llu for dimension %u; dimensions are 1 to 2^40; the file is damaged",
                        STR_ARG(t->name), (ull)t->dim[i], i);
        if (!mul_ok(t->n_values, t->dim[i], &t->n_values) || t->n_values > INT64_MAX)
            return fail(err, HEARTH_ERR_FORMAT, STR_FMT " has more values than 63 bits can count; the file is damaged",
                        STR_ARG(t->name));
    }
    if (!gguf_type_info(t->type, &info))
        return true; /* bytes stay 0: described, never read */
    if (t->dim[0] % info.block_values)
        return fail(err, HEARTH_ERR_FORMAT,
                    STR_FMT " has rows of %llu values, but %s comes in blocks of %u; the file is damaged",
                    STR_ARG(t->name), (ull)t->dim[0], info.name, info.block_values);
    if (!mul_ok(t->n_values / info.block_values, info.block_bytes, &t->bytes))
        return fail(err, HEARTH_ERR_FORMAT, STR_FMT " has more bytes than 64 bits can count; the file is damaged",
                    STR_ARG(t->name));
    return true;
}

static bool read_tensor(struct reader *r, struct gguf_tensor *t, hearth_error *err)
{
    if (!read_name(r, &t->name, "name", err))
        return false;
    if (!good_utf8(t->name))
        return fail(err, HEARTH_ERR_FORMAT, "its name is not UTF-8 text without NUL; the file is damaged");
    t->n_dims = read_u32(r);
    if (!r->cut_off && (t->n_dims < 1 || t->n_dims > GGUF_MAX_DIMS))
        return fail(err, HEARTH_ERR_FORMAT, STR_FMT " has %u dimensions, 1 to %d are allowed; the file is damaged",
                    STR_ARG(t->name), t->n_dims, GGUF_MAX_DIMS);
    for (uint32_t i = 0; i < GGUF_MAX_DIMS; i++)
        t->dim[i] = i < t->n_dims ? read_u64(r) : 1;
    t->type = read_u32(r);
    t->offset = read_u64(r);
    return r->cut_off ? ends_inside(r, "it", err) : measure(t, err);
}

static bool read_tensors(struct gguf *g, uint32_t n, struct reader *r, hearth_error *err)
{
    for (uint32_t i = 0; i < n; i++) {
        uint64_t at = r->at;
        bool ok = read_tensor(r, &g->tensors[i], err);
        if (ok && !gguf_index_tensor(g, i))
            ok = fail(err, HEARTH_ERR_FORMAT, "the name " STR_FMT " stands twice in the directory; the file is damaged",
                      STR_ARG(g->tensors[i].name));
        if (!ok)
            return err_context(err, "tensor %u, at byte %llu", i, (ull)at);
    }
    g->n_tensors = n;
    return true;
}

/* ---- data ranges ---- */

/* Where the data part begins and in which steps: set by one key that must be exactly as it should. */
struct layout {
    uint64_t alignment, data_start, file_bytes;
};

static bool read_alignment(const struct gguf *g, uint64_t *alignment, hearth_error *err)
{
    const struct gguf_value *v = gguf_find(g, "general.alignment");
    *alignment = GGUF_DEFAULT_ALIGNMENT;
    if (!v)
        return true;
    if (v->type != GGUF_U32)
        return fail(err, HEARTH_ERR_FORMAT,
                    "general.alignment has value type %d, it must be a 32-bit number (type %d); the file is damaged",
                    v->type, GGUF_U32);
    uint32_t a;
    memcpy(&a, v->data, sizeof a);
    *alignment = a;
    if (a < GGUF_MIN_ALIGNMENT || a > GGUF_MAX_ALIGNMENT || (a & (a - 1)))
        return fail(err, HEARTH_ERR_FORMAT,
                    "general.alignment is %u; it must be a power of two from %d to %d; the file is damaged", a,
                    GGUF_MIN_ALIGNMENT, GGUF_MAX_ALIGNMENT);
    return true;
}

static bool place_tensor(struct gguf *g, struct gguf_tensor *t, const struct layout *at, hearth_error *err)
{
    uint64_t start, end;
    if (t->offset % at->alignment)
        return fail(err, HEARTH_ERR_FORMAT,
                    STR_FMT " starts at offset %llu, which is no multiple of the alignment %llu; the file is damaged",
                    STR_ARG(t->name), (ull)t->offset, (ull)at->alignment);
    if (!add_ok(at->data_start, t->offset, &start) || !add_ok(start, t->bytes, &end) || end > at->file_bytes)
        return fail(err, HEARTH_ERR_FORMAT,
                    STR_FMT " has %llu bytes at offset %llu of the data, which starts at byte %llu, "
                            "but the file has %llu; it is cut short: download it again",
                    STR_ARG(t->name), (ull)t->bytes, (ull)t->offset, (ull)at->data_start, (ull)at->file_bytes);
    t->offset = start;
    t->data = g->part_bytes[0] + start;
    return true;
}

/* By place; of two at one place the longer first, so that an overlap is seen whatever their order. */
static int by_offset(const void *a, const void *b)
{
    const struct gguf_tensor *x = *(const struct gguf_tensor *const *)a, *y = *(const struct gguf_tensor *const *)b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    return x < y ? -1 : x > y;
}

/* Tensors of unknown layout have no length here: what follows them is no gap. */
static bool check_overlaps(struct gguf *g, const struct layout *at, hearth_error *err)
{
    uint64_t end = at->data_start;
    bool end_known = true;
    const struct gguf_tensor **order = arena_array(&g->arena, const struct gguf_tensor *, g->n_tensors);
    if (!order)
        return fail_memory(err, "the tensor directory");
    for (uint32_t i = 0; i < g->n_tensors; i++)
        order[i] = &g->tensors[i];
    qsort(order, g->n_tensors, sizeof(*order), by_offset);
    for (uint32_t i = 0; i < g->n_tensors; i++) {
        const struct gguf_tensor *t = order[i];
        if (t->offset < end) /* never the first: its offset was added to data_start */
            return fail(err, HEARTH_ERR_FORMAT, STR_FMT " and " STR_FMT " overlap at byte %llu; the file is damaged",
                        STR_ARG(order[i - 1]->name), STR_ARG(t->name), (ull)t->offset);
        g->has_gaps = g->has_gaps || (end_known && t->offset - end >= at->alignment);
        g->data_bytes += t->bytes; /* no overlaps: at most the file's length */
        end = t->offset + t->bytes;
        end_known = t->bytes > 0;
    }
    g->has_gaps = g->has_gaps || (g->n_tensors && end_known && at->file_bytes - end >= at->alignment);
    return true;
}

static bool place_tensors(struct gguf *g, const struct reader *r, hearth_error *err)
{
    struct layout at = { .file_bytes = r->file_bytes };
    g->header_bytes[0] = r->at;
    g->part_bytes[0] = r->bytes;
    g->part_n_bytes[0] = r->file_bytes;
    if (!read_alignment(g, &at.alignment, err))
        return false;
    if (!align_ok(r->at, at.alignment, &at.data_start))
        return fail(err, HEARTH_ERR_FORMAT, "the metadata ends beyond any file size; the file is damaged");
    for (uint32_t i = 0; i < g->n_tensors; i++)
        if (!place_tensor(g, &g->tensors[i], &at, err))
            return false;
    return check_overlaps(g, &at, err);
}

/* ---- the whole ---- */

static bool parse(struct gguf *g, struct reader *r, hearth_error *err)
{
    uint64_t n_tensors = 0, n_values = 0;
    if (!read_header(g, r, &n_tensors, &n_values, err))
        return false;
    g->values = arena_array(&g->arena, struct gguf_value, n_values);
    g->tensors = arena_array(&g->arena, struct gguf_tensor, n_tensors);
    if (!g->values || !g->tensors || !gguf_index_make(g, n_values, n_tensors))
        return fail_memory(err, "the file's directory");
    g->n_values = (uint32_t)n_values;
    g->tensor_room = (uint32_t)n_tensors;
    g->n_parts = 1;
    return read_values(g, r, err) && read_tensors(g, (uint32_t)n_tensors, r, err) && place_tensors(g, r, err);
}

/* A ceiling, not a plan: the counts are limited, so a directory takes 13 MB at most, and that of
 * a whole set 28 MB. */
static size_t arena_limit(size_t n_bytes)
{
    return min_size(n_bytes, GGUF_MAX_METADATA_BYTES) * 4 + ((size_t)48 << 20);
}

bool gguf_parse_within(struct gguf *g, const uint8_t *bytes, size_t n_bytes, uint64_t most_metadata_bytes,
                       hearth_error *err)
{
    *g = (struct gguf){ 0 };
    arena_init(&g->arena, arena_limit(n_bytes));
    struct reader r = { .bytes = bytes, .n = min_size(n_bytes, most_metadata_bytes), .file_bytes = n_bytes };
    if (parse(g, &r, err))
        return true;
    gguf_free(g);
    return false;
}

bool gguf_parse(struct gguf *g, const uint8_t *bytes, size_t n_bytes, hearth_error *err)
{
    return gguf_parse_within(g, bytes, n_bytes, GGUF_MAX_METADATA_BYTES, err);
}

void gguf_free(struct gguf *g)
{
    arena_free(&g->arena);
    *g = (struct gguf){ 0 };
}
