/* gguf.c: bytes to a directory. Order of work: magic and counts, values, tensor records, then
 * the checks that need all of them (alignment, ranges, overlaps). */
#include "format/gguf.h"

#include <stdlib.h>

#include "format/gguf_index.h"
#include "format/gguf_limits.h"
#include "format/gguf_read.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "GGUF files are read in place: a little-endian host is needed"
#endif

typedef unsigned long long ull;

/* ---- is it GGUF at all ---- */

/* What people really pass by mistake, recognised by its first bytes. */
static const struct {
    const char *start;
    size_t n;
    const char *what;
} strangers[] = {
    { "version https://git-lfs", 23, "a git-lfs pointer, not the file itself; run `git lfs pull`" },
    { "<!DOCTYPE", 9, "an HTML page, not a model; download the file itself, not its web page" },
    { "<!doctype", 9, "an HTML page, not a model; download the file itself, not its web page" },
    { "<html", 5, "an HTML page, not a model; download the file itself, not its web page" },
    { "PK\3\4", 4, "a zip archive (a PyTorch checkpoint?); hearth reads GGUF files, so convert it or download a .gguf" },
    { "\x80\2", 2, "a Python pickle; hearth reads GGUF files, so convert it or download a .gguf" },
    { "ggjt", 4, "a model file from before GGUF (2023); download a current .gguf" },
    { "lmgg", 4, "a model file from before GGUF (2023); download a current .gguf" },
    { "tjgg", 4, "a model file from before GGUF (2023); download a current .gguf" },
    { "\x1f\x8b", 2, "gzip-compressed; unpack it first" },
    { "FUGG", 4, "a GGUF file in big-endian byte order; download the little-endian one" },
};

static bool check_magic(struct reader *r, hearth_error *err)
{
    const uint8_t *magic = read_bytes(r, 4);
    if (magic && memcmp(magic, "GGUF", 4) == 0)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(strangers); i++)
        if (r->n >= strangers[i].n && memcmp(r->bytes, strangers[i].start, strangers[i].n) == 0)
            return fail(err, HEARTH_ERR_FORMAT, "this is %s", strangers[i].what);
    if (r->n >= 10 && r->bytes[8] == '{' && r->bytes[9] == '"')
        return fail(err, HEARTH_ERR_FORMAT,
                    "this is a safetensors file; hearth reads GGUF files, so convert it or download a .gguf");
    if (!magic)
        return fail(err, HEARTH_ERR_FORMAT, "the file has %llu bytes, too few for a GGUF header; download it again", (ull)r->n);
    return fail(err, HEARTH_ERR_FORMAT, "this is no GGUF file: it starts with bytes %02x %02x %02x %02x instead of \"GGUF\"",
                magic[0], magic[1], magic[2], magic[3]);
}

static bool check_version(struct gguf *g, struct reader *r, hearth_error *err)
{
    g->version = read_u32(r);
    if (r->cut_off)
        return fail(err, HEARTH_ERR_FORMAT, "the file ends inside its header, at byte %llu; download it again", (ull)r->n);
    if (g->version == 1)
        return fail(err, HEARTH_ERR_FORMAT, "GGUF version 1 (2023) is no longer read; download a current .gguf");
    if (g->version >= GGUF_MIN_VERSION && g->version <= GGUF_MAX_VERSION)
        return true;
    if (__builtin_bswap32(g->version) >= GGUF_MIN_VERSION && __builtin_bswap32(g->version) <= GGUF_MAX_VERSION)
        return fail(err, HEARTH_ERR_FORMAT, "this is a GGUF file in big-endian byte order; download the little-endian one");
    return fail(err, HEARTH_ERR_FORMAT, "GGUF version %u is not supported (2 and 3 are); a newer hearth may read it", g->version);
}

/* A count is believed only if the rest of the file could hold that many records. */
static bool check_count(const char *what, uint64_t n, uint64_t most, uint64_t least_bytes, const struct reader *r,
                        hearth_error *err)
{
    if (n > most)
        return fail(err, HEARTH_ERR_FORMAT, "the header promises %llu %s, at most %llu are allowed; not a model file",
                    (ull)n, what, (ull)most);
    if (n > read_left(r) / least_bytes)
        return fail(err, HEARTH_ERR_FORMAT,
                    "the header promises %llu %s, but only %llu bytes follow; the file is cut short: download it again", (ull)n,
                    what, (ull)read_left(r));
    return true;
}

/* ---- names ---- */

static bool good_key(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
        if (!ok)
            return false;
    }
    return true;
}

/* Strict UTF-8 without NUL: no overlong forms, no surrogates, nothing above U+10FFFF. */
static bool good_utf8(struct str s)
{
    const uint8_t *p = (const uint8_t *)s.ptr, *end = p + s.len;
    while (p < end) {
        int n = *p < 0x80 ? 0 : *p >= 0xc2 && *p <= 0xdf ? 1 : (*p & 0xf0) == 0xe0 ? 2 : *p >= 0xf0 && *p <= 0xf4 ? 3 : -1;
        if (n < 0 || *p == 0 || end - p <= n)
            return false;
        if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) || (*p == 0xf0 && p[1] < 0x90)
            || (*p == 0xf4 && p[1] > 0x8f))
            return false;
        for (int i = 1; i <= n; i++)
            if ((p[i] & 0xc0) != 0x80)
                return false;
        p += n + 1;
    }
    return true;
}

/* ---- values ---- */

uint64_t gguf_value_width(uint32_t type)
{
    static const uint8_t width[GGUF_N_TYPES] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };
    return type < GGUF_N_TYPES ? width[type] : 0;
}

static bool cut_off(const struct reader *r, struct str key, hearth_error *err)
{
    return fail(err, HEARTH_ERR_FORMAT, "the file ends inside the value of " STR_FMT ", at byte %llu; download it again",
                STR_ARG(key), (ull)r->n);
}

static bool read_string(struct reader *r, const struct gguf_value *v, hearth_error *err)
{
    uint64_t most = str_starts(v->key, STR("tokenizer.chat_template")) ? GGUF_MAX_TEMPLATE_BYTES : GGUF_MAX_STRING_BYTES;
    uint64_t at = r->at, n = read_u64(r);
    if (!r->cut_off && n > most)
        return fail(err, HEARTH_ERR_FORMAT, STR_FMT " has a text of %llu bytes at byte %llu, at most %llu are allowed; the file is damaged",
                    STR_ARG(v->key), (ull)n, (ull)at, (ull)most);
    read_bytes(r, n);
    return r->cut_off ? cut_off(r, v->key, err) : true;
}

static bool check_bools(const struct gguf_value *v, hearth_error *err)
{
    for (uint64_t i = 0; i < v->bytes; i++)
        if (v->data[i] > 1)
            return fail(err, HEARTH_ERR_FORMAT, STR_FMT " is %u where only 0 and 1 are allowed; the file is damaged",
                        STR_ARG(v->key), v->data[i]);
    return true;
}

static bool read_array(struct reader *r, struct gguf_value *v, hearth_error *err)
{
    uint64_t at = r->at;
    uint32_t elem = read_u32(r);
    v->n = read_u64(r);
    if (r->cut_off)
        return cut_off(r, v->key, err);
    if (elem == GGUF_ARRAY)
        return fail(err, HEARTH_ERR_FORMAT, STR_FMT " is an array of arrays, at byte %llu; these are not allowed", STR_ARG(v->key),
                    (ull)at);
    if (elem >= GGUF_N_TYPES)
        return fail(err, HEARTH_ERR_FORMAT, STR_FMT " is an array of type %u, at byte %llu; types are 0 to %d; the file is damaged",
                    STR_ARG(v->key), elem, (ull)at, GGUF_N_TYPES - 1);
    v->elem = (enum gguf_type)elem;
    if (v->n > GGUF_MAX_ARRAY_ITEMS)
        return fail(err, HEARTH_ERR_FORMAT, STR_FMT " promises %llu items, at most %d are allowed; the file is damaged",
                    STR_ARG(v->key), (ull)v->n, GGUF_MAX_ARRAY_ITEMS);
    uint64_t width = elem == GGUF_STRING ? 8 : gguf_value_width(elem);
    if (v->n > read_left(r) / width)
        return fail(err, HEARTH_ERR_FORMAT, STR_FMT " promises %llu items, but only %llu bytes follow; the file is cut short",
                    STR_ARG(v->key), (ull)v->n, (ull)read_left(r));
    v->data = r->bytes + r->at;
    uint64_t start = r->at;
    if (elem == GGUF_STRING) {
        for (uint64_t i = 0; i < v->n; i++)
            if (!read_string(r, v, err))
                return false;
    } else {
        read_bytes(r, v->n * width);
    }
    v->bytes = r->at - start;
    return elem == GGUF_BOOL ? check_bools(v, err) : true;
}

static bool read_value(struct reader *r, struct gguf_value *v, hearth_error *err)
{
    uint64_t at = r->at;
    v->key = read_str(r);
    uint32_t type = read_u32(r);
    if (r->cut_off)
        return fail(err, HEARTH_ERR_FORMAT, "the file ends inside its metadata, at byte %llu; download it again", (ull)r->n);
    if (v->key.len < 1 || v->key.len > GGUF_MAX_NAME_BYTES)
        return fail(err, HEARTH_ERR_FORMAT, "a key of %zu bytes stands at byte %llu; keys have 1 to %d; the file is damaged",
                    v->key.len, (ull)at, GGUF_MAX_NAME_BYTES);
    if (!good_key(v->key))
        return fail(err, HEARTH_ERR_FORMAT, "key \"" STR_FMT "\" at byte %llu has characters other than letters, digits, _ . -",
                    STR_ARG(v->key), (ull)at);
    if (type >= GGUF_N_TYPES)
        return fail(err, HEARTH_ERR_FORMAT, STR_FMT " has value type %u, types are 0 to %d; the file is damaged or too new",
                    STR_ARG(v->key), type, GGUF_N_TYPES - 1);
    v->type = (enum gguf_type)type;
    v->n = 1;
    if (type == GGUF_ARRAY)
        return read_array(r, v, err);
    v->data = r->bytes + r->at;
    uint64_t start = r->at;
    if (type == GGUF_STRING) {
        if (!read_string(r, v, err))
            return false;
    } else if (!read_bytes(r, gguf_value_width(type))) {
        return cut_off(r, v->key, err);
    }
    v->bytes = r->at - start;
    return type == GGUF_BOOL ? check_bools(v, err) : true;
}

static bool read_values(struct gguf *g, struct reader *r, hearth_error *err)
{
    for (uint32_t i = 0; i < g->n_values; i++) {
        if (!read_value(r, &g->values[i], err))
            return err_context(err, "metadata value %u", i);
        if (!gguf_index_value(g, i))
            return fail(err, HEARTH_ERR_FORMAT, "key " STR_FMT " stands twice in the metadata; the file is damaged",
                        STR_ARG(g->values[i].key));
        if (r->at > GGUF_MAX_METADATA_BYTES)
            return fail(err, HEARTH_ERR_FORMAT, "the metadata is longer than %d MB, the most that is read", GGUF_MAX_METADATA_BYTES >> 20);
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
            return fail(err, HEARTH_ERR_FORMAT, STR_FMT " has dimension %u of %llu; dimensions are 1 to 2^40; the file is damaged",
                        STR_ARG(t->name), i, (ull)t->dim[i]);
        if (!mul_ok(t->n_values, t->dim[i], &t->n_values) || t->n_values > INT64_MAX)
            return fail(err, HEARTH_ERR_FORMAT, STR_FMT " has more values than 64 bits can count; the file is damaged", STR_ARG(t->name));
    }
    if (!gguf_type_info(t->type, &info))
        return true; /* bytes stay 0: described, never read */
    if (t->dim[0] % info.block_values)
        return fail(err, HEARTH_ERR_FORMAT, STR_FMT " has rows of %llu values, but %s comes in blocks of %u; the file is damaged",
                    STR_ARG(t->name), (ull)t->dim[0], info.name, info.block_values);
    if (!mul_ok(t->n_values / info.block_values, info.block_bytes, &t->bytes))
        return fail(err, HEARTH_ERR_FORMAT, STR_FMT " has more bytes than 64 bits can count; the file is damaged", STR_ARG(t->name));
    return true;
}

static bool read_tensor(struct reader *r, struct gguf_tensor *t, hearth_error *err)
{
    uint64_t at = r->at;
    t->name = read_str(r);
    t->n_dims = read_u32(r);
    if (!r->cut_off && (t->name.len < 1 || t->name.len > GGUF_MAX_NAME_BYTES))
        return fail(err, HEARTH_ERR_FORMAT, "a name of %zu bytes stands at byte %llu; names have 1 to %d; the file is damaged",
                    t->name.len, (ull)at, GGUF_MAX_NAME_BYTES);
    if (!r->cut_off && !good_utf8(t->name))
        return fail(err, HEARTH_ERR_FORMAT, "the name at byte %llu is not UTF-8 text; the file is damaged", (ull)at);
    if (t->n_dims < 1 || t->n_dims > GGUF_MAX_DIMS) {
        if (r->cut_off)
            return fail(err, HEARTH_ERR_FORMAT, "the file ends inside the tensor list, at byte %llu; download it again", (ull)r->n);
        return fail(err, HEARTH_ERR_FORMAT, STR_FMT " has %u dimensions, 1 to %d are allowed; the file is damaged",
                    STR_ARG(t->name), t->n_dims, GGUF_MAX_DIMS);
    }
    for (uint32_t i = 0; i < GGUF_MAX_DIMS; i++)
        t->dim[i] = i < t->n_dims ? read_u64(r) : 1;
    t->type = read_u32(r);
    t->offset = read_u64(r);
    if (r->cut_off)
        return fail(err, HEARTH_ERR_FORMAT, "the file ends inside the tensor list, at byte %llu; download it again", (ull)r->n);
    return measure(t, err);
}

static bool read_tensors(struct gguf *g, uint32_t first, uint32_t n, struct reader *r, hearth_error *err)
{
    for (uint32_t i = first; i < first + n; i++) {
        if (!read_tensor(r, &g->tensors[i], err))
            return err_context(err, "tensor %u", i);
        if (!gguf_index_tensor(g, i))
            return fail(err, HEARTH_ERR_FORMAT, "tensor " STR_FMT " stands twice in the directory; the file is damaged",
                        STR_ARG(g->tensors[i].name));
        if (r->at > GGUF_MAX_METADATA_BYTES)
            return fail(err, HEARTH_ERR_FORMAT, "the metadata is longer than %d MB, the most that is read", GGUF_MAX_METADATA_BYTES >> 20);
    }
    return true;
}

/* ---- data ranges ---- */

static bool read_alignment(const struct gguf *g, uint64_t *alignment, hearth_error *err)
{
    const struct gguf_value *v = gguf_find(g, "general.alignment");
    *alignment = GGUF_DEFAULT_ALIGNMENT;
    if (!v)
        return true;
    if (v->type != GGUF_U32)
        return fail(err, HEARTH_ERR_FORMAT, "general.alignment has value type %d, it must be a 32-bit number (type %d)", v->type, GGUF_U32);
    uint32_t a;
    memcpy(&a, v->data, sizeof a);
    *alignment = a;
    if (a < GGUF_MIN_ALIGNMENT || a > GGUF_MAX_ALIGNMENT || (a & (a - 1)))
        return fail(err, HEARTH_ERR_FORMAT, "general.alignment is %u; it must be a power of two from %d to %d", a,
                    GGUF_MIN_ALIGNMENT, GGUF_MAX_ALIGNMENT);
    return true;
}

static bool place_tensor(struct gguf_tensor *t, const struct reader *r, uint64_t data_start, uint64_t alignment,
                         hearth_error *err)
{
    uint64_t end;
    if (t->offset % alignment)
        return fail(err, HEARTH_ERR_FORMAT, STR_FMT " starts at offset %llu, which is no multiple of the alignment %llu; the file is damaged",
                    STR_ARG(t->name), (ull)t->offset, (ull)alignment);
    if (!add_ok(data_start, t->offset, &t->offset) || !add_ok(t->offset, t->bytes, &end) || end > r->n || t->offset > r->n)
        return fail(err, HEARTH_ERR_FORMAT,
                    STR_FMT " needs %llu bytes from byte %llu on, but the file has %llu; it is cut short: download it again",
                    STR_ARG(t->name), (ull)t->bytes, (ull)t->offset, (ull)r->n);
    t->data = r->bytes + t->offset;
    return true;
}

static int by_offset(const void *a, const void *b)
{
    const struct gguf_tensor *x = *(const struct gguf_tensor *const *)a, *y = *(const struct gguf_tensor *const *)b;
    return x->offset < y->offset ? -1 : x->offset > y->offset ? 1 : x < y ? -1 : 1;
}

static bool check_overlaps(struct gguf *g, uint32_t first, uint32_t n, uint64_t alignment, hearth_error *err)
{
    const struct gguf_tensor **order = arena_array(&g->arena, const struct gguf_tensor *, n);
    if (!order)
        return fail_memory(err, "the tensor directory");
    for (uint32_t i = 0; i < n; i++)
        order[i] = &g->tensors[first + i];
    qsort(order, n, sizeof(*order), by_offset);
    for (uint32_t i = 1; i < n; i++) {
        uint64_t end = order[i - 1]->offset + order[i - 1]->bytes;
        if (order[i]->offset < end)
            return fail(err, HEARTH_ERR_FORMAT, STR_FMT " and " STR_FMT " overlap at byte %llu; the file is damaged",
                        STR_ARG(order[i - 1]->name), STR_ARG(order[i]->name), (ull)order[i]->offset);
        if (order[i]->offset - end >= alignment)
            g->has_gaps = true;
    }
    return true;
}

static bool place_tensors(struct gguf *g, uint32_t part, uint32_t first, uint32_t n, const struct reader *r, uint64_t alignment,
                          hearth_error *err)
{
    uint64_t data_start;
    g->header_bytes[part] = r->at;
    g->part_bytes[part] = r->bytes;
    g->part_n_bytes[part] = r->n;
    if (!align_ok(r->at, alignment, &data_start))
        return fail(err, HEARTH_ERR_FORMAT, "the metadata ends beyond any file size; the file is damaged");
    for (uint32_t i = first; i < first + n; i++) {
        g->tensors[i].part = part;
        if (!place_tensor(&g->tensors[i], r, data_start, alignment, err))
            return false;
        if (!add_ok(g->data_bytes, g->tensors[i].bytes, &g->data_bytes))
            return fail(err, HEARTH_ERR_FORMAT, "the tensors have more bytes than 64 bits can count; the file is damaged");
    }
    return check_overlaps(g, first, n, alignment, err);
}

/* ---- the whole ---- */

static bool read_header(struct gguf *g, struct reader *r, uint64_t *n_tensors, uint64_t *n_values, hearth_error *err)
{
    if (!check_magic(r, err) || !check_version(g, r, err))
        return false;
    *n_tensors = read_u64(r);
    *n_values = read_u64(r);
    if (r->cut_off)
        return fail(err, HEARTH_ERR_FORMAT, "the file ends inside its header, at byte %llu; download it again", (ull)r->n);
    return check_count("tensors", *n_tensors, GGUF_MAX_TENSORS, GGUF_MIN_TENSOR_RECORD_BYTES, r, err)
        && check_count("metadata values", *n_values, GGUF_MAX_VALUES, GGUF_MIN_VALUE_RECORD_BYTES, r, err);
}

static bool parse(struct gguf *g, struct reader *r, hearth_error *err)
{
    uint64_t n_tensors, n_values, alignment;
    if (!read_header(g, r, &n_tensors, &n_values, err))
        return false;
    g->values = arena_array(&g->arena, struct gguf_value, n_values);
    g->tensors = arena_array(&g->arena, struct gguf_tensor, n_tensors);
    if (!g->values || !g->tensors || !gguf_index_make(g, n_values, n_tensors))
        return fail_memory(err, "the file's directory");
    g->n_values = (uint32_t)n_values;
    if (!read_values(g, r, err) || !read_alignment(g, &alignment, err))
        return false;
    if (!read_tensors(g, 0, (uint32_t)n_tensors, r, err))
        return false;
    g->n_tensors = (uint32_t)n_tensors;
    g->n_parts = 1;
    return place_tensors(g, 0, 0, g->n_tensors, r, alignment, err);
}

/* Room for the directory of a file: a small multiple of its metadata (reliability row 1). */
static size_t arena_limit(size_t n_bytes)
{
    return min_size(n_bytes, GGUF_MAX_METADATA_BYTES) * 4 + ((size_t)48 << 20);
}

bool gguf_parse(struct gguf *g, const uint8_t *bytes, size_t n_bytes, hearth_error *err)
{
    *g = (struct gguf){ 0 };
    arena_init(&g->arena, arena_limit(n_bytes));
    struct reader r = { .bytes = bytes, .n = n_bytes };
    if (parse(g, &r, err))
        return true;
    gguf_free(g);
    return false;
}

void gguf_free(struct gguf *g)
{
    arena_free(&g->arena);
    *g = (struct gguf){ 0 };
}

/* ---- split sets ---- */

bool gguf_split_count(const struct gguf *g, uint32_t *count, hearth_error *err)
{
    uint64_t n, number;
    if (!gguf_uint_or(g, "split.count", 0, GGUF_MAX_PARTS, 1, &n, err)
        || !gguf_uint_or(g, "split.no", 0, GGUF_MAX_PARTS - 1, 0, &number, err))
        return false;
    if (n > 1 && number != 0)
        return fail(err, HEARTH_ERR_FORMAT, "this is part %llu of a set of %llu files; open the first part", (ull)number + 1, (ull)n);
    *count = n > 1 ? (uint32_t)n : 1;
    return true;
}

static bool check_part(const struct gguf *g, const struct gguf *other, uint32_t part, hearth_error *err)
{
    uint64_t count, own_count, number;
    if (!gguf_uint_or(g, "split.count", 0, GGUF_MAX_PARTS, 1, &count, err)
        || !gguf_need_uint(other, "split.count", 0, GGUF_MAX_PARTS, &own_count, err)
        || !gguf_need_uint(other, "split.no", 0, GGUF_MAX_PARTS - 1, &number, err))
        return false;
    if (number != part || own_count != count)
        return fail(err, HEARTH_ERR_FORMAT, "this file says it is part %llu of %llu, but part %u of %llu is needed; the set is mixed up",
                    (ull)number + 1, (ull)own_count, part + 1, (ull)count);
    return true;
}

/* Move the other file's tensors behind ours, in tables made anew. */
static bool join(struct gguf *g, const struct gguf *other, uint32_t part, hearth_error *err)
{
    uint32_t n = g->n_tensors + other->n_tensors;
    if (n > GGUF_MAX_TENSORS)
        return fail(err, HEARTH_ERR_FORMAT, "the set has more than %d tensors; not a model", GGUF_MAX_TENSORS);
    struct gguf_tensor *all = arena_array(&g->arena, struct gguf_tensor, n);
    if (!all || !gguf_index_make(g, g->n_values, n))
        return fail_memory(err, "the set's directory");
    if (g->n_tensors)
        memcpy(all, g->tensors, g->n_tensors * sizeof *all);
    if (other->n_tensors)
        memcpy(all + g->n_tensors, other->tensors, other->n_tensors * sizeof *all);
    uint32_t first = g->n_tensors;
    g->tensors = all;
    g->n_tensors = n;
    for (uint32_t i = 0; i < g->n_values; i++)
        gguf_index_value(g, i);
    for (uint32_t i = 0; i < n; i++) {
        if (i >= first)
            all[i].part = part;
        if (!gguf_index_tensor(g, i))
            return fail(err, HEARTH_ERR_FORMAT, "tensor " STR_FMT " stands in two parts of the set; the set is mixed up",
                        STR_ARG(all[i].name));
    }
    return true;
}

bool gguf_add_part(struct gguf *g, uint32_t part, const uint8_t *bytes, size_t n_bytes, hearth_error *err)
{
    struct gguf other;
    if (part == 0 || part >= GGUF_MAX_PARTS)
        return fail(err, HEARTH_ERR_FORMAT, "part number %u is out of range (2 to %d)", part + 1, GGUF_MAX_PARTS);
    if (!gguf_parse(&other, bytes, n_bytes, err))
        return false;
    g->arena.limit_bytes += arena_limit(n_bytes);
    bool ok = check_part(g, &other, part, err) && join(g, &other, part, err);
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
