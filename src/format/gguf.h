/* gguf.h: GGUF files as bytes.
 *
 * A pure parser: bytes in, a directory or one sentence of error out. Nothing is copied but
 * the directory itself; strings, arrays and tensors point into the caller's bytes, which
 * must outlive the struct. Every limit stands in format/gguf_limits.h. Memory: at most 4 times
 * the metadata plus 48 MB; time: linear in the metadata, whatever the names are.
 *
 * Format: the GGUF description, versions 2 and 3, little endian. */
#pragma once
#include "base/arena.h"
#include "base/base.h"
#include "base/err.h"

enum gguf_type {
    GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL,
    GGUF_STRING, GGUF_ARRAY, GGUF_U64, GGUF_I64, GGUF_F64,
    GGUF_N_TYPES
};

enum { GGUF_MAX_DIMS = 4, GGUF_MAX_PARTS = 512 };

struct gguf_tensor {
    struct str name;
    uint32_t n_dims;
    uint64_t dim[GGUF_MAX_DIMS]; /* dim[0] is the row length (innermost); unused ones are 1 */
    uint32_t type;               /* GGUF type number; may be one this build has no kernels for */
    uint64_t n_values;
    uint64_t bytes;              /* 0 when the type's layout is unknown to us */
    const uint8_t *data;         /* into the mapped bytes */
    uint32_t part;               /* of a split set */
    uint64_t offset;             /* of the data in that part's file */
};

struct gguf_value {
    struct str key;
    enum gguf_type type;
    enum gguf_type elem;  /* arrays: type of an item */
    uint64_t n;           /* arrays: items; else 1 */
    const uint8_t *data;  /* first byte of the value (strings: of the length field) */
    uint64_t bytes;
};

struct gguf {
    uint32_t version;
    uint32_t n_values, n_tensors, n_parts;
    struct gguf_value *values;
    struct gguf_tensor *tensors;
    uint64_t header_bytes[GGUF_MAX_PARTS]; /* metadata + tensor directory of each part */
    const uint8_t *part_bytes[GGUF_MAX_PARTS];
    uint64_t part_n_bytes[GGUF_MAX_PARTS];
    uint64_t data_bytes;        /* of all tensors */
    bool has_gaps; /* unused bytes before, between or after tensors, beyond the alignment: legal, worth a warning */
    struct arena arena;
    uint32_t tensor_room;                 /* items that `tensors` has room for */
    uint32_t *value_index, *tensor_index; /* open-addressing hash tables over the names */
    uint32_t value_mask, tensor_mask;
    uint64_t hash_key[2];                 /* drawn at parse; no result depends on it */
};

/* Parse one file. On failure *g is already freed and err names the thing, the value, the
 * offset or tensor, and what to do. */
bool gguf_parse(struct gguf *g, const uint8_t *bytes, size_t n_bytes, hearth_error *err);
/* How many parts the set has that this (first) part belongs to: split.count, 1 when absent. */
bool gguf_split_count(const struct gguf *g, uint32_t *count, hearth_error *err);
/* Add the next part of a split set; its tensors join g's. part: its index, 1 for the second file,
 * and equal to g->n_parts. With the last part the set's own count of tensors is checked.
 * On failure g is as before and still to be freed. */
bool gguf_add_part(struct gguf *g, uint32_t part, const uint8_t *bytes, size_t n_bytes, hearth_error *err);
void gguf_free(struct gguf *g); /* fine on a zeroed struct */

const struct gguf_value *gguf_find(const struct gguf *g, const char *key);         /* or NULL */
const struct gguf_tensor *gguf_find_tensor(const struct gguf *g, struct str name); /* or NULL */

/* Typed getters. A value of the wrong type or out of [least, most] is an error that names
 * key, value and range. `_or`: an absent key gives the default; `need`: it is an error.
 * Integers of every width are accepted for uint; f32 and f64 for float (finite only). */
bool gguf_uint_or(const struct gguf *g, const char *key, uint64_t least, uint64_t most, uint64_t dflt,
                  uint64_t *out, hearth_error *err);
bool gguf_need_uint(const struct gguf *g, const char *key, uint64_t least, uint64_t most, uint64_t *out,
                    hearth_error *err);
bool gguf_float_or(const struct gguf *g, const char *key, double least, double most, double dflt, double *out,
                   hearth_error *err);
bool gguf_need_float(const struct gguf *g, const char *key, double least, double most, double *out,
                     hearth_error *err);
bool gguf_bool_or(const struct gguf *g, const char *key, bool dflt, bool *out, hearth_error *err);
bool gguf_str_or(const struct gguf *g, const char *key, struct str dflt, struct str *out, hearth_error *err);
bool gguf_need_str(const struct gguf *g, const char *key, struct str *out, hearth_error *err);

/* Arrays. Absent: n = 0 and data NULL, no error. Wrong item type or more than most items: error.
 * The readers below it take i < n, and at most n strings: the parser has checked that these lie
 * inside the bytes. Floats of an array may be NaN or Inf: its reader decides. */
struct gguf_array {
    enum gguf_type elem;
    uint64_t n;
    const uint8_t *data; /* unaligned, little endian */
    uint64_t bytes;
};
bool gguf_array_or_none(const struct gguf *g, const char *key, enum gguf_type elem, uint64_t most,
                        struct gguf_array *out, hearth_error *err);
float gguf_array_f32(const struct gguf_array *a, uint64_t i);
int32_t gguf_array_i32(const struct gguf_array *a, uint64_t i); /* elem I32 or U32 */
/* String arrays are walked in order: *cursor starts at 0. */
struct str gguf_array_next_str(const struct gguf_array *a, uint64_t *cursor);

/* Name and layout of a GGUF tensor type number; false for a number we do not know at all. */
struct gguf_type_info {
    const char *name;
    uint32_t block_values, block_bytes;
};
bool gguf_type_info(uint32_t type, struct gguf_type_info *out);
