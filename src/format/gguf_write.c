#include "format/gguf_write.h"

#include <string.h>

#include "format/gguf_limits.h"

enum { ALIGNMENT = GGUF_DEFAULT_ALIGNMENT };

bool gguf_write_open(struct gguf_writer *w, const char *path, hearth_error *err)
{
    *w = (struct gguf_writer){ 0 };
    return file_writer_open(&w->file, path, err);
}

/* ---- values ---- */

static void put_u32(struct buf *b, uint32_t v) { buf_put(b, &v, sizeof v); }
static void put_u64(struct buf *b, uint64_t v) { buf_put(b, &v, sizeof v); }

static void put_text(struct buf *b, struct str s)
{
    put_u64(b, s.len);
    buf_put(b, s.ptr, s.len);
}

/* What our own parser would refuse is not written. Duplicates are the caller's to avoid. */
static bool good_key(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!memchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-", s.ptr[i], 65))
            return false;
    return s.len >= 1 && s.len <= GGUF_MAX_NAME_BYTES;
}

static void put_key(struct gguf_writer *w, struct str key, enum gguf_type type)
{
    bool ok = good_key(key) && !w->directory_written && w->n_values < GGUF_MAX_VALUES;
    if (!ok && !w->error.status)
        fail(&w->error, HEARTH_ERR_USAGE,
             "key \"" STR_FMT "\" cannot be written: it has 1 to %d letters, digits, _ . -, comes before the data, "
             "and a file holds %d",
             STR_ARG(key), GGUF_MAX_NAME_BYTES, GGUF_MAX_VALUES);
    put_text(&w->values, key);
    put_u32(&w->values, (uint32_t)type);
    w->n_values++;
}

static void put_array_head(struct gguf_writer *w, const char *key, enum gguf_type elem, uint64_t n)
{
    put_key(w, str_z(key), GGUF_ARRAY);
    put_u32(&w->values, (uint32_t)elem);
    put_u64(&w->values, n);
}

void gguf_put_u32(struct gguf_writer *w, const char *key, uint32_t v)
{
    put_key(w, str_z(key), GGUF_U32);
    put_u32(&w->values, v);
}

void gguf_put_u64(struct gguf_writer *w, const char *key, uint64_t v)
{
    put_key(w, str_z(key), GGUF_U64);
    put_u64(&w->values, v);
}

void gguf_put_f32(struct gguf_writer *w, const char *key, float v)
{
    put_key(w, str_z(key), GGUF_F32);
    buf_put(&w->values, &v, sizeof v);
}

void gguf_put_bool(struct gguf_writer *w, const char *key, bool v)
{
    uint8_t byte = v;
    put_key(w, str_z(key), GGUF_BOOL);
    buf_put(&w->values, &byte, 1);
}

void gguf_put_str(struct gguf_writer *w, const char *key, struct str v)
{
    put_key(w, str_z(key), GGUF_STRING);
    put_text(&w->values, v);
}

void gguf_put_str_array(struct gguf_writer *w, const char *key, const struct str *v, size_t n)
{
    put_array_head(w, key, GGUF_STRING, n);
    for (size_t i = 0; i < n; i++)
        put_text(&w->values, v[i]);
}

void gguf_put_f32_array(struct gguf_writer *w, const char *key, const float *v, size_t n)
{
    put_array_head(w, key, GGUF_F32, n);
    buf_put(&w->values, v, n * sizeof *v);
}

void gguf_put_i32_array(struct gguf_writer *w, const char *key, const int32_t *v, size_t n)
{
    put_array_head(w, key, GGUF_I32, n);
    buf_put(&w->values, v, n * sizeof *v);
}

void gguf_put_value(struct gguf_writer *w, const struct gguf_value *v)
{
    put_key(w, v->key, v->type);
    if (v->type == GGUF_ARRAY) {
        put_u32(&w->values, (uint32_t)v->elem);
        put_u64(&w->values, v->n);
    }
    buf_put(&w->values, v->data, v->bytes);
}

/* ---- tensors ---- */

static bool measure(uint32_t type, uint32_t n_dims, const uint64_t *dim, uint64_t *bytes)
{
    struct gguf_type_info info;
    uint64_t n = 1;
    if (!gguf_type_info(type, &info) || n_dims < 1 || n_dims > GGUF_MAX_DIMS || dim[0] % info.block_values)
        return false;
    for (uint32_t i = 0; i < n_dims; i++)
        if (dim[i] < 1 || dim[i] > GGUF_MAX_DIM || !mul_ok(n, dim[i], &n))
            return false;
    return mul_ok(n / info.block_values, info.block_bytes, bytes);
}

uint64_t gguf_declare_tensor(struct gguf_writer *w, const char *name, uint32_t type, uint32_t n_dims,
                             const uint64_t *dim)
{
    struct str text = str_z(name);
    uint64_t bytes, end, offset = w->data_bytes;
    bool ok = text.len >= 1 && text.len <= GGUF_MAX_NAME_BYTES && measure(type, n_dims, dim, &bytes)
           && add_ok(offset, bytes, &end) && align_ok(end, ALIGNMENT, &end) && !w->directory_written
           && w->n_tensors < GGUF_MAX_TENSORS;
    if (!ok) {
        if (!w->error.status)
            fail(&w->error, HEARTH_ERR_USAGE,
                 "tensor " STR_FMT " cannot be written: type %u, %u dimensions, rows of %llu values, number %llu",
                 STR_ARG(text), type, n_dims, n_dims ? (unsigned long long)dim[0] : 0ull,
                 (unsigned long long)w->n_tensors);
        return 0;
    }
    w->data_bytes = end;
    put_text(&w->tensors, text);
    put_u32(&w->tensors, n_dims);
    for (uint32_t i = 0; i < n_dims; i++)
        put_u64(&w->tensors, dim[i]);
    put_u32(&w->tensors, type);
    put_u64(&w->tensors, offset);
    w->n_tensors++;
    return offset;
}

static void write_directory(struct gguf_writer *w)
{
    static const uint8_t zeros[ALIGNMENT];
    struct buf head = { 0 };
    if (w->directory_written)
        return;
    w->directory_written = true;
    buf_put(&head, "GGUF", 4);
    put_u32(&head, 3);
    put_u64(&head, w->n_tensors);
    put_u64(&head, w->n_values);
    if ((head.failed || w->values.failed || w->tensors.failed) && !w->error.status)
        fail_memory(&w->error, "the file's directory");
    const struct buf *const pieces[] = { &head, &w->values, &w->tensors };
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++)
        if (pieces[i]->len)
            file_write(&w->file, pieces[i]->ptr, pieces[i]->len);
    file_write(&w->file, zeros, (ALIGNMENT - w->file.written % ALIGNMENT) % ALIGNMENT);
    w->data_start = w->file.written;
    buf_free(&head);
    buf_free(&w->values);
    buf_free(&w->tensors);
}

bool gguf_write_data(struct gguf_writer *w, uint64_t offset, const void *bytes, size_t n)
{
    write_directory(w);
    if (offset > w->data_bytes || n > w->data_bytes - offset) {
        atomic_store(&w->out_of_range, true);
        return false;
    }
    return !w->error.status && file_write_at(&w->file, w->data_start + offset, bytes, n);
}

bool gguf_write_commit(struct gguf_writer *w, hearth_error *err)
{
    static const uint8_t zero;
    write_directory(w);
    if (atomic_load(&w->out_of_range) && !w->error.status)
        fail(&w->error, HEARTH_ERR_USAGE, "data was offered outside the %llu bytes of the declared tensors",
             (unsigned long long)w->data_bytes);
    /* The padding after the last tensor belongs to the file. */
    if (w->n_tensors && !w->error.status && file_size_below(&w->file, w->data_start + w->data_bytes))
        file_write_at(&w->file, w->data_start + w->data_bytes - 1, &zero, 1);
    if (w->error.status) {
        if (err)
            *err = w->error;
        gguf_write_abort(w);
        return false;
    }
    return file_writer_commit(&w->file, err);
}

void gguf_write_abort(struct gguf_writer *w)
{
    buf_free(&w->values);
    buf_free(&w->tensors);
    file_writer_abort(&w->file);
}
