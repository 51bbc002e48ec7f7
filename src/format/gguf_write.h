/* gguf_write.h: GGUF files out of values and tensors, for tools and tests.
 *
 * Usage: open, put every value (each key once), declare every tensor, then write the tensors'
 * data, then commit. Errors are sticky and reported by gguf_write_commit(). Version 3,
 * alignment 32. */
#pragma once
#include <stdatomic.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "format/gguf.h"

struct gguf_writer {
    struct buf values, tensors; /* the two directory parts being built */
    uint64_t n_values, n_tensors;
    uint64_t data_bytes; /* declared so far, with padding */
    uint64_t data_start; /* in the file; known after the first data call */
    bool directory_written;
    atomic_bool out_of_range; /* data was offered that belongs to no tensor */
    struct file_writer file;
    hearth_error error;
};

bool gguf_write_open(struct gguf_writer *w, const char *path, hearth_error *err);
void gguf_put_u32(struct gguf_writer *w, const char *key, uint32_t v);
void gguf_put_u64(struct gguf_writer *w, const char *key, uint64_t v);
void gguf_put_f32(struct gguf_writer *w, const char *key, float v);
void gguf_put_bool(struct gguf_writer *w, const char *key, bool v);
void gguf_put_str(struct gguf_writer *w, const char *key, struct str v);
void gguf_put_str_array(struct gguf_writer *w, const char *key, const struct str *v, size_t n);
void gguf_put_f32_array(struct gguf_writer *w, const char *key, const float *v, size_t n);
void gguf_put_i32_array(struct gguf_writer *w, const char *key, const int32_t *v, size_t n);
/* Copy a value as it stands from another file. */
void gguf_put_value(struct gguf_writer *w, const struct gguf_value *v);
/* dim[0] is the row length. Returns the tensor's offset in the data part. */
uint64_t gguf_declare_tensor(struct gguf_writer *w, const char *name, uint32_t type, uint32_t n_dims,
                             const uint64_t *dim);
/* Positioned data: any order, any piece; what is never written reads as zeros. offset: in the data
 * part, which begins with the first tensor. The first call writes the directory; after it has
 * returned, any number of threads may call. False: it failed, and gguf_write_commit() says why. */
bool gguf_write_data(struct gguf_writer *w, uint64_t offset, const void *bytes, size_t n);
bool gguf_write_commit(struct gguf_writer *w, hearth_error *err); /* ends the writer either way */
void gguf_write_abort(struct gguf_writer *w);
