/* synth.h: full-size models with random weights, for benchmarks and tests without downloads.
 *
 * Every dimension, the size of the vocabulary and of the merge list, the tensor names and
 * types are those of the published model; only the numbers are random. They are pure functions
 * of (seed, tensor, index), so a file's bytes do not depend on the number of threads. */
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "format/gguf_write.h"

enum synth_family { SYNTH_LLAMA3, SYNTH_QWEN3 };

struct synth_shape {
    const char *name; /* as in --shape */
    enum synth_family family;
    int n_layers, n_embd, n_heads, n_kv_heads, head_dim, n_ff;
    int n_experts, n_experts_used, n_ff_expert; /* 0: the layers are dense */
    int n_ctx_train;
    double rope_base;
    double rope_factor; /* of llama-3's frequency scaling; 0: none */
    double rms_eps;
    bool tied;          /* the output matrix is the embedding */
    int n_vocab;        /* with control tokens and padding */
    int n_base;         /* tokens below the control tokens: 256 bytes and what merges make */
    int n_merges;
};
extern const struct synth_shape synth_shapes[]; /* name NULL ends it */

/* File types by the names that files carry. */
struct synth_type {
    const char *name;       /* "Q4_K_M" */
    uint32_t file_type;     /* general.file_type */
    const char *matrix;     /* dtype names (dtype.def) */
    const char *more_bits;  /* attn_v and ffn_down in half of the layers */
    const char *output;     /* the output matrix, or the embedding where it is tied */
    const char *embedding;  /* where it is not tied */
};
extern const struct synth_type synth_types[]; /* name NULL ends it */

/* ---- vocabulary (synth_vocab.c) ---- */

struct synth_merge {
    int32_t left, right;
};

struct synth_vocab {
    int n_tokens;
    int n_base;
    struct str *raw;     /* [n_tokens] bytes of the token; control tokens: their text */
    int32_t *type;       /* [n_tokens] as in tokenizer.ggml.token_type */
    struct synth_merge *merges;
    int n_merges;
    struct arena arena;
};
/* Byte-level BPE: 256 bytes, then each token made of two earlier ones, then the family's control
 * tokens at their published ids. Free with synth_vocab_free(), after a failure too. */
bool synth_vocab_make(struct synth_vocab *v, const struct synth_shape *shape, uint64_t seed, hearth_error *err);
void synth_vocab_free(struct synth_vocab *v);
/* tokenizer.* of the file. */
bool synth_vocab_write(struct gguf_writer *w, const struct synth_vocab *v, const struct synth_shape *shape,
                       hearth_error *err);

/* Control tokens of a family (synth_control.c): calls add(arg, id relative to n_base, text, type). */
void synth_control_tokens(const struct synth_shape *shape,
                          void (*add)(void *arg, int index, const char *text, int32_t type), void *arg);
/* Ids and the template of a family: tokenizer.ggml.*_token_id, add_bos_token, chat_template. */
void synth_control_write(struct gguf_writer *w, const struct synth_shape *shape);

/* ---- tensors (synth_tensors.c) ---- */

struct synth_tensor {
    char name[48];
    uint32_t dtype;    /* enum dtype */
    uint64_t dim[2];   /* dim[0] is the row length; dim[1] is 1 for vectors */
    uint64_t n_mats;   /* experts: so many matrices behind one another; else 1 */
    float mean, std;
    bool is_rope;      /* rope_freqs.weight: computed, not random */
    uint64_t offset;   /* in the data part */
};

/* What makes one tensor list: shape and types. */
struct synth_tensors {
    const struct synth_shape *shape;
    struct synth_tensor *tensors; /* in the arena */
    int n;
    uint64_t bytes, n_values; /* of all of them */
    struct arena arena;
};
bool synth_tensors_make(struct synth_tensors *t, const struct synth_shape *shape, const struct synth_type *type,
                        hearth_error *err);
void synth_tensors_free(struct synth_tensors *t);

/* ---- the whole file (synth_file.c) ---- */

struct synth_options {
    const struct synth_shape *shape;
    const struct synth_type *type;
    uint64_t seed;
    int n_threads;
    /* Called on the calling thread while writing; false stops: HEARTH_ERR_CANCELLED. May be NULL. */
    bool (*progress)(void *arg, uint64_t done_bytes, uint64_t total_bytes);
    void *progress_arg;
};
/* Write PATH (through PATH.part). Memory: the vocabulary and one tile per thread. n_values (may
 * be NULL): parameters written. */
bool synth_write(const char *path, const struct synth_options *o, uint64_t *n_values, hearth_error *err);
