#include "format/gguf_write.h"

#include <string.h>

enum { ALIGNMENT = 32 };

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

static void put_key(struct gguf_writer *w, const char *key, enum gguf_type type)
{
    put_text(&w->values, str_z(key));
    put_u32(&w->values, (uint32_t)type);
    w->n_values++;
}

static void put_array_head(struct gguf_writer *w, const char *key, enum gguf_type elem, uint64_t n)
{
    put_key(w, key, GGUF_ARRAY);
    put_u32(&w->values, (uint32_t)elem);
    put_u64(&w->values, n);
}

void gguf_put_u32(struct gguf_writer *w, const char *key, uint32_t v)
{
    put_key(w, key, GGUF_U32);
    put_u32(&w->values, v);
}

void gguf_put_u64(struct gguf_writer *w, const char *key, uint64_t v)
{
    put_key(w, key, GGUF_U64);
    put_u64(&w->values, v);
}

void gguf_put_f32(struct gguf_writer *w, const char *key, float v)
{
    put_key(w, key, GGUF_F32);
    buf_put(&w->values, &v, sizeof v);
}

void gguf_put_bool(struct gguf_writer *w, const char *key, bool v)
{
    uint8_t byte = v;
    put_key(w, key, GGUF_BOOL);
    buf_put(&w->values, &byte, 1);
}

void gguf_put_str(struct gguf_writer *w, const char *key, struct str v)
{
    put_key(w, key, GGUF_STRING);
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
    put_text(&w->values, v->key);
    put_u32(&w->values, (uint32_t)v->type);
    w->n_values++;
    if (v->type == GGUF_ARRAY) {
        put_u32(&w->values, (uint32_t)v->elem);
        put_u64(&w->values, v->n);
    }
    buf_put(&w->values, v->data, v->bytes);
}

/* ---- tensors ---- */

uint64_t gguf_declare_tensor(struct gguf_writer *w, const char *name, uint32_t type, uint32_t n_dims, const uint64_t *dim)
{
    struct gguf_type_info info = { 0 };
    uint64_t n = 1, bytes = 0, offset = w->data_bytes;
    bool ok = gguf_type_info(type, &info) && n_dims >= 1 && n_dims <= GGUF_MAX_DIMS && dim[0] % info.block_values == 0
           && !w->directory_written;
    for (uint32_t i = 0; ok && i < n_dims; i++)
        ok = mul_ok(n, dim[i], &n);
    ok = ok && mul_ok(n / info.block_values, info.block_bytes, &bytes) && add_ok(offset, bytes, &w->data_bytes)
      && align_ok(w->data_bytes, ALIGNMENT, &w->data_bytes);
    if (!ok) {
        if (!w->error.status)
            fail(&w->error, HEARTH_ERR_USAGE, "tensor %s cannot be written: type %u with rows of %llu values", name, type,
                 n_dims ? (unsigned long long)dim[0] : 0ull);
        return 0;
    }
    put_text(&w->tensors, str_z(name));
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
    file_write(&w->file, head.ptr, head.len);
    file_write(&w->file, w->values.ptr, w->values.len);
    file_write(&w->file, w->tensors.ptr, w->tensors.len);
    file_write(&w->file, zeros, (ALIGNMENT - w->file.written % ALIGNMENT) % ALIGNMENT);
    w->data_start = w->file.written;
    buf_free(&head);
    buf_free(&w->values);
    buf_free(&w->tensors);
}

bool gguf_write_data(struct gguf_writer *w, uint64_t offset, const void *bytes, size_t n)
{
    write_directory(w);
    if (w->error.status || offset > w->data_bytes || n > w->data_bytes - offset)
        return false;
    return file_write_at(&w->file, w->data_start + offset, bytes, n);
}

bool gguf_write_commit(struct gguf_writer *w, hearth_error *err)
{
    static const uint8_t zero;
    write_directory(w);
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
