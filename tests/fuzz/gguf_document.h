/* gguf_document.h: a GGUF file in pieces that can be changed and put together again, for the mutator.
 *
 * Reading is lenient and ends at the first record that makes no sense: what follows is kept as it is. What was
 * read and is written unchanged has the bytes it had. Nothing of the library is used but
 * the sizes of tensor types: a mutator that believed the parser could not show where the parser is wrong. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DOC_MOST_RECORDS = 512,      /* of either kind; those behind belong to the tail */
    DOC_POOL_BYTES = 4 << 20,
    DOC_MOST_BYTES = 1 << 20,    /* of a file that is taken apart */
};

struct record {
    uint8_t *p; /* in the pool */
    size_t n;
};

struct document {
    uint32_t version;
    struct record value[DOC_MOST_RECORDS], tensor[DOC_MOST_RECORDS];
    size_t n_values, n_tensors;
    uint64_t n_more_values, n_more_tensors; /* promised by the header beyond those */
    struct record tail; /* the data, or all that makes no sense */
    bool torn;          /* the directory does not end where it should: the tail is not aligned */
    struct record padding; /* before the data */
    size_t used;
    uint8_t pool[DOC_POOL_BYTES];
};

/* Where things are in a record of the directory. */
struct value_at {
    size_t key, n_key, type, elem, count, payload; /* elem and count: 0 where it is no array */
    uint32_t type_number, elem_number;
    uint64_t n; /* items; 1 */
};
struct tensor_at {
    size_t name, n_name, n_dims, dims, type, offset;
    uint32_t dim_count;
};

uint32_t doc_u32(const uint8_t *p);
uint64_t doc_u64(const uint8_t *p);
void doc_set_u32(uint8_t *p, uint32_t v);
void doc_set_u64(uint8_t *p, uint64_t v);
/* 0: strings, arrays and what does not exist. */
size_t doc_width(uint32_t value_type);

/* False: no GGUF header, or too large. */
bool doc_read(struct document *d, const uint8_t *bytes, size_t n);
/* Bytes written; 0: it does not fit. */
size_t doc_write(const struct document *d, uint8_t *out, size_t room);
uint64_t doc_alignment(const struct document *d);

/* False: damaged by an edit before. */
bool doc_value_at(const struct record *r, struct value_at *at);
bool doc_tensor_at(const struct record *r, struct tensor_at *at);
/* Item i of an array of strings: offset of its length; item n is the end. False: there is none. */
bool doc_string_item(const struct record *r, const struct value_at *at, uint64_t i, size_t *offset);

/* Put n bytes (NULL: zeros) where n_away are. False: the pool is full. */
bool doc_splice(struct document *d, struct record *r, size_t at, size_t n_away, const void *bytes, size_t n);
bool doc_new(struct document *d, struct record *r, const void *bytes, size_t n);
struct record *doc_find(struct document *d, const char *key); /* or NULL */
/* Tensors one behind the other and data of their size, at most most_data bytes; what goes beyond stays as it is. */
void doc_lay_out(struct document *d, size_t most_data);
