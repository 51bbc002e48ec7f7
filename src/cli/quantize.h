/* quantize.h: a model file with its matrices in other formats. */
#pragma once
#include "base/err.h"
#include "cli/model_bytes.h"
#include "dtype/dtype.h"
#include "format/gguf_write.h"

/* ---- which tensor gets which type (quantize_choose.c, from quantize_mix.def) ---- */

struct quantize_mix {
    const char *name;
    int file_type;      /* general.file_type; -1: none */
    const char *matrix; /* name in dtype.def */
};
extern const struct quantize_mix quantize_mixes[]; /* name NULL ends it */
#define QUANTIZE_MIX_CHOICES                                                                                       \
    "F32|F16|BF16|Q4_0|Q4_1|Q5_0|Q5_1|Q8_0|Q2_K|Q3_K_S|Q3_K_M|Q3_K_L|Q4_K_S|Q4_K_M|Q5_K_S|Q5_K_M|Q6_K|IQ4_NL|" \
    "IQ4_XS|TQ1_0|TQ2_0|MXFP4|Q1_0|Q2_0"

struct quantize_options {
    const struct quantize_mix *mix;
    const char *const *tensor_types; /* [n_tensor_types] of "PATTERN=TYPE,PATTERN=TYPE" */
    int n_tensor_types;
    const char *output_type, *embedding_type; /* NULL: as the mix has it */
    const char *imatrix_path;   /* NULL: none */
    bool requantize, dry_run, force;
    int n_threads;
    /* Called on the calling thread; false stops: HEARTH_ERR_CANCELLED. May be NULL. */
    bool (*progress)(void *arg, const char *doing, uint64_t done_bytes, uint64_t total_bytes);
    void *progress_arg;
};

struct quantize_tensor {
    const struct gguf_tensor *in;
    uint32_t type;              /* GGUF number it is written with */
    enum dtype from, to;        /* when it is converted */
    bool converted;             /* false: its bytes are copied as they are */
    bool has_importance;
    const char *why;            /* static */
    uint64_t bytes, offset;     /* written; offset in the data part */
    double error, verified;     /* root mean square, while writing and read back */
    double size;                /* root mean square of the values */
};

/* Types by name (quantize_overrides.c). '*' in a pattern is any text, '?' any character. */
struct quantize_override {
    struct str pattern; /* of the text it was read from */
    char type[32];
    uint32_t n_fits;
};
struct quantize_overrides {
    struct quantize_override *item;
    size_t n;
};
/* HEARTH_ERR_USAGE names what is no PATTERN=TYPE, or a pattern that is there twice. Free it in any case. */
bool quantize_overrides_read(struct quantize_overrides *all, const char *const *lists, int n, hearth_error *err);
/* The type of the last pattern that fits, or NULL. Counts the fits of all. */
const char *quantize_override_of(struct quantize_overrides *all, struct str name);
/* HEARTH_ERR_USAGE names a pattern that fitted nothing. */
bool quantize_overrides_used(const struct quantize_overrides *all, hearth_error *err);
void quantize_overrides_free(struct quantize_overrides *all);

/* Fill type, converted and why of every tensor. HEARTH_ERR_USAGE names a tensor that cannot have what was asked. */
bool quantize_choose(struct quantize_tensor *t, uint32_t n, const struct gguf *g, const struct quantize_options *o,
                     hearth_error *err);

/* The type that a tensor of this name would have in a file of the mix, by dimensions alone: there need be no
 * file. False: no type's blocks divide its rows. */
struct quantize_mix_shape {
    uint64_t n_layers, n_share; /* query heads of a KV head */
    bool tied;                  /* the embedding is the output matrix */
};
bool quantize_mix_type(enum dtype *out, const struct quantize_mix *mix, struct str name, uint64_t n_rows,
                       uint64_t n_columns, const struct quantize_mix_shape *shape);

/* ---- importance of columns (quantize_importance.c) ---- */

/* HEARTH_ERR_FORMAT when g is no importance matrix, or says nothing about any tensor of the model. */
bool quantize_importance_check(const struct gguf *g, const struct gguf *model, const char *path, hearth_error *err);
/* *out: [experts][columns] of mean squares, to be given to mem_free(); NULL when g says nothing about the tensor. */
bool quantize_importance_of(const struct gguf *g, const struct gguf_tensor *t, float **out, hearth_error *err);
/* quantize.imatrix.file (without folders), .dataset, .entries_count and .chunks_count, as clients know them. */
void quantize_importance_record(const struct gguf *g, const char *path, struct gguf_writer *w);

/* ---- all of it (quantize_file.c) ---- */

struct quantize_result {
    struct quantize_tensor *tensors; /* [n]; in point into the input, which is open until quantize_free() */
    uint32_t n;
    uint64_t bytes_in, bytes_out, values;
    uint32_t n_converted, n_without_importance;
    struct model_bytes model, imatrix;
};
/* Write OUT from IN: one tensor at a time, in tiles on all threads, to OUT.new, which is read back and compared before
 * it gets its name. Memory: the directory and a tile for each thread. With dry_run nothing is written. The result is
 * to be freed in any case. */
bool quantize_file(struct quantize_result *r, const char *in, const char *out, const struct quantize_options *o,
                   hearth_error *err);
void quantize_free(struct quantize_result *r);
