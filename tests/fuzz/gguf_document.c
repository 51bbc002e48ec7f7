#include "gguf_document.h"

#include <string.h>

#include "format/gguf.h"

enum { HEADER_BYTES = 24 };

uint32_t doc_u32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

uint64_t doc_u64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

void doc_set_u32(uint8_t *p, uint32_t v) { memcpy(p, &v, sizeof v); }
void doc_set_u64(uint8_t *p, uint64_t v) { memcpy(p, &v, sizeof v); }

size_t doc_width(uint32_t value_type)
{
    static const uint8_t width[] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };
    return value_type < sizeof width ? width[value_type] : 0;
}

/* ---- the pool ---- */

static uint8_t *pool_take(struct document *d, size_t n)
{
    if (n > sizeof d->pool - d->used)
        return NULL;
    uint8_t *p = d->pool + d->used;
    d->used += n;
    return p;
}

bool doc_new(struct document *d, struct record *r, const void *bytes, size_t n)
{
    uint8_t *p = pool_take(d, n);
    if (!p)
        return false;
    if (n && bytes)
        memcpy(p, bytes, n);
    else if (n)
        memset(p, 0, n);
    *r = (struct record){ p, n };
    return true;
}

bool doc_splice(struct document *d, struct record *r, size_t at, size_t n_away, const void *bytes, size_t n)
{
    if (at > r->n || n_away > r->n - at || n > sizeof d->pool)
        return false;
    uint8_t *p = pool_take(d, r->n - n_away + n);
    if (!p)
        return false;
    memcpy(p, r->p, at);
    if (n && bytes)
        memcpy(p + at, bytes, n);
    else if (n)
        memset(p + at, 0, n);
    memcpy(p + at + n, r->p + at + n_away, r->n - at - n_away);
    *r = (struct record){ p, r->n - n_away + n };
    return true;
}

/* ---- records ---- */

/* A length and as many bytes, at *at. */
static bool pass_string(const uint8_t *p, size_t n, size_t *at)
{
    if (n - *at < 8 || doc_u64(p + *at) > n - *at - 8)
        return false;
    *at += 8 + (size_t)doc_u64(p + *at);
    return true;
}

static bool pass_array(const uint8_t *p, size_t n, struct value_at *v, size_t *at)
{
    if (n - *at < 12)
        return false;
    v->elem = *at;
    v->count = *at + 4;
    v->payload = *at += 12;
    v->elem_number = doc_u32(p + v->elem);
    v->n = doc_u64(p + v->count);
    size_t width = doc_width(v->elem_number);
    if (v->elem_number == GGUF_STRING) {
        for (uint64_t i = 0; i < v->n; i++)
            if (!pass_string(p, n, at))
                return false;
        return true;
    }
    if (width == 0 || v->n > (n - *at) / width)
        return false;
    *at += (size_t)v->n * width;
    return true;
}

/* The value at the beginning of n bytes, and its length. */
static bool pass_value(const uint8_t *p, size_t n, struct value_at *v, size_t *length)
{
    size_t at = 0;
    *v = (struct value_at){ .key = 8, .n = 1 };
    if (!pass_string(p, n, &at) || n - at < 4)
        return false;
    v->n_key = at - 8;
    v->type = at;
    v->type_number = doc_u32(p + at);
    v->payload = at += 4;
    if (v->type_number == GGUF_ARRAY) {
        if (!pass_array(p, n, v, &at))
            return false;
    } else if (v->type_number == GGUF_STRING) {
        if (!pass_string(p, n, &at))
            return false;
    } else {
        size_t width = doc_width(v->type_number);
        if (width == 0 || width > n - at)
            return false;
        at += width;
    }
    *length = at;
    return true;
}

static bool pass_tensor(const uint8_t *p, size_t n, struct tensor_at *t, size_t *length)
{
    size_t at = 0;
    *t = (struct tensor_at){ .name = 8 };
    if (!pass_string(p, n, &at) || n - at < 4)
        return false;
    t->n_name = at - 8;
    t->n_dims = at;
    t->dim_count = doc_u32(p + at);
    t->dims = at += 4;
    if (t->dim_count > 8 || n - at < 8 * (size_t)t->dim_count + 12)
        return false;
    t->type = t->dims + 8 * (size_t)t->dim_count;
    t->offset = t->type + 4;
    *length = t->offset + 8;
    return true;
}

bool doc_value_at(const struct record *r, struct value_at *at)
{
    size_t length;
    return pass_value(r->p, r->n, at, &length) && length == r->n;
}

bool doc_tensor_at(const struct record *r, struct tensor_at *at)
{
    size_t length;
    return pass_tensor(r->p, r->n, at, &length) && length == r->n;
}

bool doc_string_item(const struct record *r, const struct value_at *at, uint64_t i, size_t *offset)
{
    *offset = at->payload;
    if (at->type_number != GGUF_ARRAY || at->elem_number != GGUF_STRING || i > at->n)
        return false;
    for (; i > 0; i--)
        if (!pass_string(r->p, r->n, offset))
            return false;
    return true;
}

struct record *doc_find(struct document *d, const char *key)
{
    struct value_at at;
    for (size_t i = 0; i < d->n_values; i++)
        if (doc_value_at(&d->value[i], &at) && at.n_key == strlen(key)
            && memcmp(d->value[i].p + at.key, key, at.n_key) == 0)
            return &d->value[i];
    return NULL;
}

/* ---- the file ---- */

uint64_t doc_alignment(const struct document *d)
{
    struct value_at at;
    static const char key[] = "general.alignment";
    for (size_t i = 0; i < d->n_values; i++) {
        const struct record *r = &d->value[i];
        if (!doc_value_at(r, &at) || at.n_key != sizeof key - 1 || memcmp(r->p + at.key, key, at.n_key) != 0)
            continue;
        uint32_t a = at.type_number == GGUF_U32 ? doc_u32(r->p + at.payload) : 0;
        if (a >= 1 && a <= 4096 && (a & (a - 1)) == 0)
            return a;
    }
    return 32;
}

static size_t needed_padding(const struct document *d, size_t n)
{
    size_t over = n % (size_t)doc_alignment(d);
    return over ? (size_t)doc_alignment(d) - over : 0;
}

/* Takes records as long as they make sense; false: they did not to the end. */
static bool take_records(struct document *d, const uint8_t *bytes, size_t n, size_t *at, uint64_t n_values,
                         uint64_t n_tensors)
{
    struct value_at v;
    struct tensor_at t;
    size_t length;
    d->n_more_values = n_values;
    d->n_more_tensors = n_tensors;
    for (; d->n_more_values > 0; d->n_more_values--, d->n_values++, *at += length)
        if (d->n_values == DOC_MOST_RECORDS || !pass_value(bytes + *at, n - *at, &v, &length)
            || !doc_new(d, &d->value[d->n_values], bytes + *at, length))
            return false;
    for (; d->n_more_tensors > 0; d->n_more_tensors--, d->n_tensors++, *at += length)
        if (d->n_tensors == DOC_MOST_RECORDS || !pass_tensor(bytes + *at, n - *at, &t, &length)
            || !doc_new(d, &d->tensor[d->n_tensors], bytes + *at, length))
            return false;
    return true;
}

bool doc_read(struct document *d, const uint8_t *bytes, size_t n)
{
    size_t at = HEADER_BYTES;
    if (n < HEADER_BYTES || n > DOC_MOST_BYTES || memcmp(bytes, "GGUF", 4) != 0)
        return false;
    d->version = doc_u32(bytes + 4);
    d->n_values = d->n_tensors = d->used = 0;
    d->padding = (struct record){ 0 };
    d->torn = !take_records(d, bytes, n, &at, doc_u64(bytes + 16), doc_u64(bytes + 8));
    if (!d->torn) {
        size_t pad = min_size(needed_padding(d, at), n - at);
        if (!doc_new(d, &d->padding, bytes + at, pad))
            return false;
        at += pad;
    }
    return doc_new(d, &d->tail, bytes + at, n - at);
}

static bool put(uint8_t *out, size_t room, size_t *at, const void *bytes, size_t n)
{
    if (n > room - *at)
        return false;
    if (n && bytes)
        memcpy(out + *at, bytes, n);
    else if (n)
        memset(out + *at, 0, n);
    *at += n;
    return true;
}

static uint64_t promised(size_t n, uint64_t n_more) { return n_more > UINT64_MAX - n ? UINT64_MAX : n + n_more; }

size_t doc_write(const struct document *d, uint8_t *out, size_t room)
{
    uint8_t header[HEADER_BYTES] = "GGUF";
    size_t at = 0;
    doc_set_u32(header + 4, d->version);
    doc_set_u64(header + 8, promised(d->n_tensors, d->n_more_tensors));
    doc_set_u64(header + 16, promised(d->n_values, d->n_more_values));
    bool ok = put(out, room, &at, header, sizeof header);
    for (size_t i = 0; ok && i < d->n_values; i++)
        ok = put(out, room, &at, d->value[i].p, d->value[i].n);
    for (size_t i = 0; ok && i < d->n_tensors; i++)
        ok = put(out, room, &at, d->tensor[i].p, d->tensor[i].n);
    if (ok && !d->torn) {
        size_t pad = d->tail.n ? needed_padding(d, at) : d->padding.n, old = min_size(pad, d->padding.n);
        ok = put(out, room, &at, d->padding.p, old) && put(out, room, &at, NULL, pad - old);
    }
    return ok && put(out, room, &at, d->tail.p, d->tail.n) ? at : 0;
}

/* ---- layout ---- */

/* 0: not to be known. */
static uint64_t tensor_bytes(const struct record *r, const struct tensor_at *t)
{
    struct gguf_type_info info;
    uint64_t n = 1;
    for (uint32_t i = 0; i < t->dim_count; i++)
        if (!mul_ok(n, doc_u64(r->p + t->dims + 8 * i), &n))
            return 0;
    if (!gguf_type_info(doc_u32(r->p + t->type), &info) || !mul_ok(n / info.block_values, info.block_bytes, &n))
        return 0;
    return n;
}

void doc_lay_out(struct document *d, size_t most_data)
{
    struct tensor_at t;
    uint64_t at = 0, end = 0, alignment = doc_alignment(d);
    for (size_t i = 0; i < d->n_tensors; i++) {
        struct record *r = &d->tensor[i];
        if (!doc_tensor_at(r, &t))
            continue;
        uint64_t bytes = tensor_bytes(r, &t);
        if (bytes > most_data || at > most_data)
            continue;
        doc_set_u64(r->p + t.offset, at);
        end = at + bytes;
        at = (end + alignment - 1) / alignment * alignment;
    }
    if (end > d->tail.n && end <= most_data)
        (void)doc_splice(d, &d->tail, d->tail.n, 0, NULL, (size_t)end - d->tail.n);
    else if (end < d->tail.n)
        d->tail.n = (size_t)end;
}
