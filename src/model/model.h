/* model.h: the weights of one file, found, checked and named. Immutable after loading.
 *
 * Nothing is copied: every matrix and vector points into the mapped file. */
#pragma once
#include "base/arena.h"
#include "kernel/attention.h"
#include "kernel/gemm.h"
#include "model/arch.h"
#include "model/rope.h"
#include "model/xielu.h"

/* A matrix, or a vector of f32 (then mat.n_rows is 1 and vec is set). Experts are matrices, or vectors, behind one
 * another: mat is the first. */
struct weight {
    struct mat mat; /* data NULL: the optional tensor is absent */
    const float *vec;
    int n_mats;     /* so many behind one another */
    size_t mat_bytes; /* from one to the next */
    struct str name; /* as in the file */
};

/* The i-th of matrices behind one another; and of vectors. */
static inline struct mat weight_mat(const struct weight *w, int i)
{
    struct mat m = w->mat;
    m.data += (size_t)i * w->mat_bytes;
    if (m.bias)
        m.bias += (size_t)i * (size_t)m.n_rows;
    return m;
}
static inline const float *weight_vec(const struct weight *w, int i)
{
    return w->vec ? w->vec + (size_t)i * (size_t)w->mat.n_cols : NULL;
}

enum { ROPE_SCALED, ROPE_LOCAL, N_ROPE_TABLES, ROPE_NONE = -1 };

struct layer {
    struct weight w[N_LAYER_SLOTS];
    int window; /* positions it sees; 0: all */
    int rope;   /* which table; ROPE_NONE: keys and queries are not rotated */
    bool parallel; /* feed-forward reads what attention read, and both are added after it */
    bool recurrent; /* it keeps a state (recurrence.h) instead of keys and values */
    int state_place; /* among the layers that keep one */
    struct layer_shape shape; /* hparams' */
    struct kv_place kv[HEARTH_N_KV_TYPES]; /* where its keys and values are in a page */
    struct xielu xielu; /* where the architecture has it */
    float attention_scale; /* of query-key products: 1 / sqrt(head_dim) where metadata say nothing */
};

struct model {
    const struct arch *arch;
    struct hparams hp;
    struct weight global[N_GLOBAL_SLOTS];
    struct layer *layers;     /* [n_layers] */
    struct router router;     /* metadata first, then the architecture's; weights_scale 1: as they are */
    float embedding_scale, residual_scale, logit_scale; /* 1: as it is */
    struct rope_table rope[N_ROPE_TABLES];
    int n_ropes;              /* that layers use */
    unsigned act_kinds;       /* bit k: some weight multiplies activations of kind k */
    uint64_t weight_bytes;    /* of all tensors in use */
    uint64_t decode_bytes;    /* read for one token: every matrix once, one row of the embedding unless tied */
    uint64_t layer_macs;      /* multiply-adds of one token in the matrices of all layers */
    int n_unused_tensors;     /* tensors of the file that this architecture does not use */
    struct str unused_tensor; /* the first of them */
    struct arena arena;
};

/* Bind a parsed file. HEARTH_ERR_FORMAT for an unknown architecture, a missing tensor, a wrong
 * shape or a type without kernels, each by name and with what is supported. g's bytes must
 * outlive the model. */
bool model_load(struct model *m, const struct gguf *g, hearth_error *err);
void model_free(struct model *m); /* fine on a zeroed struct */

/* HEARTH_ERR_USAGE where a sequence may not be so long: learned positions end. */
bool model_check_context(const struct model *m, int n_ctx, hearth_error *err);
/* A text's vector is not what pooling gives, but what model_dense() makes of it. */
bool model_has_dense(const struct model *m);
/* HEARTH_ERR_USAGE for a model without a classifier that ranks. */
bool model_check_ranks(const struct model *m, hearth_error *err);
/* HEARTH_ERR_USAGE for a model without logits. */
bool model_check_writes(const struct model *m, hearth_error *err);

/* Bytes of a page of keys and values: of 64 positions of one sequence, all layers. */
size_t model_kv_page_bytes(const struct hparams *hp, hearth_kv_type type);
/* Bytes of keys and values for one position of one sequence. */
uint64_t model_kv_bytes_per_token(const struct hparams *hp, hearth_kv_type type);
/* What a later token reads of it: more, where layers read keys and values of others. */
uint64_t model_kv_read_bytes(const struct hparams *hp, hearth_kv_type type);
/* Bytes of what one sequence has in layers that keep a state; 0: there are none. */
size_t model_state_bytes(const struct hparams *hp);
/* Multiply-adds of one token with one position that it sees, in all layers: scores, and the sum of values. */
uint64_t model_attention_macs(const struct hparams *hp);
