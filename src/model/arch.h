/* arch.h: an architecture is a description, not a copy of the forward pass.
 *
 * It names its tensors with their exact shapes and sets the switches in which families of
 * decoders differ. model/forward.c runs all of them. */
#pragma once
#include "model/hparams.h"

/* Shapes are written in these, so that a file can be checked before it runs. */
enum dim {
    D_NONE, /* no such dimension: the tensor is a vector */
    D_EMBD, /* model width */
    D_VOCAB,
    D_Q,    /* n_heads * head_dim */
    D_KV,   /* n_kv_heads * head_dim */
    D_HEAD, /* head_dim */
    D_FF,
    D_ROT, /* n_rot / 2 */
};

/* Tensors that exist once. */
enum global_slot { G_TOKEN_EMBD, G_OUTPUT_NORM, G_OUTPUT, G_ROPE_FREQS, N_GLOBAL_SLOTS };

/* Tensors that every layer has. */
enum layer_slot {
    W_ATTN_NORM,
    W_Q,
    W_K,
    W_V,
    W_O,
    W_Q_BIAS,
    W_K_BIAS,
    W_V_BIAS,
    W_O_BIAS,
    W_Q_NORM,
    W_K_NORM,
    W_FFN_NORM,
    W_GATE,
    W_UP,
    W_DOWN,
    N_LAYER_SLOTS
};

struct tensor_spec {
    const char *name; /* "%d" stands for the layer */
    int slot;
    enum dim row, rows; /* row length, number of rows (D_NONE: a vector) */
    bool optional;
};

enum { ARCH_MAX_PARTS = 4 };

struct arch {
    const char *name;                                /* general.architecture */
    bool rope_halves;                                /* rotate (i, i + n/2); else (2i, 2i + 1) */
    const struct tensor_spec *global;                /* ends with a NULL name */
    const struct tensor_spec *layer[ARCH_MAX_PARTS]; /* lists, NULL-terminated */
};

/* Shared by every decoder of the Llama form; in arch.c. */
extern const struct tensor_spec tensors_global[];
extern const struct tensor_spec tensors_attention[];
extern const struct tensor_spec tensors_gated_ffn[];

/* NULL when unknown. */
const struct arch *arch_find(struct str name);
/* NULL-terminated. */
extern const struct arch *const arch_all[];
/* "llama, qwen2, qwen3". Static. */
const char *arch_names(void);
