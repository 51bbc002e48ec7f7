/* arch.h: an architecture is a description, not a copy of the forward pass.
 *
 * It names its tensors with their exact shapes and sets the switches in which families of
 * models differ. model/forward.c runs all of them. Where a tensor that is there says it all
 * there is no switch: a norm or a bias acts when the file has it. */
#pragma once
#include "kernel/kernel.h"
#include "model/recurrence.h"

/* Shapes are written in these, so that a file can be checked before it runs. */
enum dim {
    D_NONE, /* no such dimension: the tensor is a vector */
    D_EMBD, /* model width */
    D_VOCAB,
    D_CTX,  /* positions, of a model that has learned each */
    D_TOKEN_TYPES,
    D_EMBD_LAYER, /* a piece of an embedding that is one layer's */
    D_EMBD_LAYERS, /* those of all layers */
    D_DENSE, /* between the two layers after pooling */
    D_LABELS,
    D_Q,    /* n_heads * head_dim */
    D_Q_TWICE, /* a query and its gate, head by head */
    D_KV,   /* n_kv_heads * head_dim */
    D_QKV,  /* D_Q + 2 * D_KV: the three in one */
    D_HEAD, /* head_dim */
    D_HEADS,
    D_LATENT,      /* latent attention: the vector that keys and values come out of, without the rotated part */
    D_Q_RANK,      /* the one that queries do */
    D_HEAD_PLAIN,  /* of a head's query, what is not rotated */
    D_HEAD_VALUE,  /* of a head, what comes out of attention */
    D_HEAD_KEYS,   /* queries of all heads */
    D_HEAD_VALUES, /* values of all */
    D_KV_HEADS,
    D_FF,
    D_FF_TWICE, /* gate and up in one */
    D_ROT, /* n_rot / 2 */
    D_EXPERTS,
    D_FF_EXPERT,
    D_FF_EXPERT_TWICE,
    D_FF_SHARED,
    D_MIX,     /* all that a recurrent layer makes of a token (recurrence.h) */
    D_CONV,    /* channels of it that go through the convolution */
    D_TAPS,
    D_STATE_HEADS,
    D_STATE_HEADS_TWICE,
    D_STATE_GROUPS,
    D_GROUP_VALUES, /* of the heads of a group */
    D_STATE_VALUES, /* of one of them */
    D_INNER,   /* what a recurrent layer gives its output matrix */
    D_ONE,
};

/* Tensors that exist once. */
enum global_slot {
    G_TOKEN_EMBD,
    G_POSITION_EMBD, /* added to a token's embedding; there: no position beyond its rows */
    G_TOKEN_TYPES,   /* row 0 is added: all tokens are of the first type */
    G_EMBD_NORM,     /* over the sum */
    G_EMBD_NORM_BIAS,
    G_OUTPUT_NORM,
    G_OUTPUT_NORM_BIAS,
    G_OUTPUT,
    G_OUTPUT_BIAS,
    G_ROPE_FREQS, /* a factor of every frequency */
    G_ROPE_SHORT, /* the same, within the original context and beyond it */
    G_ROPE_LONG,
    G_LAYER_EMBD, /* of each token a piece for every layer (layer/embd.c) */
    G_LAYER_PROJ, /* pieces that its embedding makes */
    G_LAYER_PROJ_NORM,
    G_DENSE_2, /* two matrices that a text's vector goes through after pooling; model_dense() */
    G_DENSE_3,
    G_CLS, /* what ranks documents: a matrix and tanh, then one row for each label; either may be there alone */
    G_CLS_BIAS,
    G_CLS_OUT,
    G_CLS_OUT_BIAS,
    N_GLOBAL_SLOTS
};

/* Tensors that layers have. */
enum layer_slot {
    W_ATTN_NORM, /* absent: the block reads the residual stream as it is */
    W_ATTN_NORM_BIAS,
    W_QKV, /* three matrices in one, one after the other; split when the file is bound */
    W_Q,
    W_K,
    W_V, /* absent: values are what keys are before their norm and rotation */
    W_O,
    W_Q_A, /* latent attention: what W_Q is multiplied with instead of the row */
    W_Q_A_NORM,
    W_KV_A, /* the latent, and the rotated part of the key */
    W_KV_A_NORM,
    W_K_B, /* of each head: its queries into the space of the latent */
    W_V_B, /* a sum of latents out of it */
    W_QKV_BIAS,
    W_Q_BIAS,
    W_K_BIAS,
    W_V_BIAS,
    W_O_BIAS,
    W_Q_NORM, /* as long as a head: over each; as long as the row: over all of it */
    W_K_NORM,
    W_SINKS,
    W_ATTN_POST_NORM, /* over what attention adds */
    W_ATTN_SUM_NORM,  /* over the residual stream after attention is added, which goes on from there */
    W_ATTN_SUM_NORM_BIAS,
    W_MIX_IN,  /* recurrent layers: all they make of a token, or what goes through the convolution */
    W_TAPS,    /* [channels][taps], the newest last */
    W_TAPS_BIAS,
    W_MIX_GATE, /* gates of what comes out of the heads */
    W_BETA,     /* two numbers of each head; both in one: of each group, first those for beta */
    W_ALPHA,
    W_BETA_ALPHA,
    W_STEP_BIAS,
    W_DECAY,    /* below 0 */
    W_SKIP,     /* what goes by the matrix */
    W_STATE_NORM,
    W_MIX_OUT,
    W_FFN_NORM,
    W_FFN_NORM_BIAS,
    W_GATE_UP, /* gate, then up, in one matrix; split as W_QKV is */
    W_GATE,    /* absent: the block has no gate, and what is up is activated */
    W_UP,
    W_DOWN,
    W_GATE_BIAS,
    W_UP_BIAS,
    W_DOWN_BIAS,
    W_FFN_POST_NORM,
    W_FFN_SUM_NORM, /* the same after feed-forward */
    W_FFN_SUM_NORM_BIAS,
    W_EMBD_GATE, /* there: the layer has a piece of the embedding (layer/embd.c) */
    W_EMBD_PROJ,
    W_EMBD_NORM,
    W_OUT_SCALE, /* what the layer leaves in the residual stream times this number */
    W_ROUTER, /* there: the layer has experts */
    W_ROUTER_NORM, /* there: the router reads the residual stream under this norm, and its logits are divided by
                    * sqrt(n_embd) */
    W_ROUTER_BIAS,
    W_SELECT_BIAS, /* added to a router's weights for choosing, not for weighing */
    W_EXPERT_NORM, /* there: experts run beside a dense block, and each has a norm before it and after it */
    W_EXPERT_POST_NORM,
    W_DENSE_POST_NORM,
    W_EXPERT_GATE_UP, /* of each expert gate, then up; split as W_QKV is */
    W_EXPERT_GATE,
    W_EXPERT_UP,
    W_EXPERT_DOWN,
    W_EXPERT_GATE_BIAS,
    W_EXPERT_UP_BIAS,
    W_EXPERT_DOWN_BIAS,
    W_EXPERT_SCALE, /* a token's weight of each expert times this */
    W_SHARED_GATE, /* an expert that every token has */
    W_SHARED_UP,
    W_SHARED_DOWN,
    W_SHARED_ROUTER, /* its weight is the sigmoid of this */
    N_LAYER_SLOTS
};

struct tensor_spec {
    const char *name; /* "%d" stands for the layer */
    int slot;
    enum dim row, rows; /* row length, number of rows (D_NONE: a vector) */
    bool optional;
    enum dim mats;      /* so many matrices behind one another; D_NONE: one */
    enum dim row_else;  /* the row may be as long as this instead; D_NONE: no */
};

/* In which layers the tensors of a list are. OWN_KV: those that do not read keys and values of a layer before them. */
enum layers { LAYERS_ALL, LAYERS_DENSE, LAYERS_EXPERTS, LAYERS_ATTENTION, LAYERS_RECURRENT, LAYERS_OWN_KV,
              LAYERS_EMBD /* where embeddings have pieces for layers */,
              LAYERS_WHOLE_Q, LAYERS_LOW_RANK_Q /* latent attention: as hparams say, all layers or none */ };

struct layer_part {
    const struct tensor_spec *list; /* ends with a NULL name */
    enum layers in;
};

enum { ARCH_MAX_PARTS = 8 };
enum norm_kind { NORM_RMS, NORM_LAYER };

/* Which layers a window's width, and no rotation, belong to. A layer is full when the file says so
 * (attention.sliding_window_pattern), else when it is the last of window_period; WINDOWS_BUT_FIRST: the first. */
enum windows { WINDOWS_NONE, WINDOWS_BUT_FULL, WINDOWS_BUT_FIRST, WINDOWS_ALL };
enum rotated { ROTATED_ALL, ROTATED_BUT_FULL /* not where everything is seen */, ROTATED_BUT_PERIOD,
               ROTATED_AS_SAID /* rope.scaling.finetuned false: none */, ROTATED_NONE };

struct router {
    enum gating gating;   /* where metadata say nothing; GATING_DEFAULT: sigmoid with W_SELECT_BIAS, else softmax */
    bool weights_norm;    /* the same: the weights of the chosen are made to sum to 1 */
    float weights_scale;  /* the same; 0: 1 */
};

struct arch {
    const char *name;          /* general.architecture */
    bool encoder;              /* tokens see what comes after them, too; there is no output */
    bool rope_halves;          /* rotate (i, i + n/2); else (2i, 2i + 1) */
    enum norm_kind norm;
    enum activation activation;
    bool xielu;                /* ... is xIELU instead (xielu.h), of feed-forward without a gate */
    bool parallel;             /* where layers have no norm before feed-forward, it reads what attention read */
    enum windows windows;
    int window_period;         /* of so many layers one is full, where no key says otherwise */
    enum rotated rotated;
    int rotated_period;        /* ROTATED_BUT_PERIOD: of so many layers the last is not rotated */
    bool rope_local;           /* layers with a window rotate by a base of their own, and without scaling */
    bool rope_local_same_base; /* ... where the file states none: that of the others; else 10000 */
    bool yarn_fractional;      /* YaRN's borders between pairs are not rounded to whole pairs */
    bool embedding_sqrt;       /* embeddings times sqrt(n_embd) */
    bool logits_divided;       /* logit_scale divides; else it multiplies */
    enum recurrence recurrence; /* what layers do that have no attention */
    bool keys_in_turn;         /* delta nets: value head i has keys of group i mod n; else neighbours have the same */
    bool value_norm;           /* each head's values are normed, without a weight */
    bool qk_norm_rotated;      /* norms of queries and keys come after rotation; else before it */
    bool latent;               /* attention is latent: layer/latent.c */
    bool query_gates;          /* each head's query is followed by gates, whose sigmoid its output is multiplied by */
    struct router router;
    void (*adjust)(struct hparams *hp);             /* what no key says; may be NULL */
    const struct tensor_spec *global;               /* ends with a NULL name */
    struct layer_part layer[ARCH_MAX_PARTS];        /* lists; the first without one ends them */
};

/* Shared by decoders of the Llama form; in arch.c. */
extern const struct tensor_spec tensors_global[];
extern const struct tensor_spec tensors_global_biased[]; /* the last norm has a bias */
extern const struct tensor_spec tensors_attention[];     /* with a norm before it; Q, K and V apart */
extern const struct tensor_spec tensors_qkv_biases[];    /* all of them there */
extern const struct tensor_spec tensors_optional_biases[]; /* of Q, K, V and the output */
extern const struct tensor_spec tensors_qk_norm[];       /* of each head */
extern const struct tensor_spec tensors_qk_norm_by_head[]; /* each with weights of its own; in some models */
extern const struct tensor_spec tensors_gated_ffn[];     /* with a norm before it */
extern const struct tensor_spec tensors_gated_matrices[]; /* the same without a norm */
extern const struct tensor_spec tensors_plain_ffn[];     /* with a norm before it, and no gate */
extern const struct tensor_spec tensors_post_norms[];    /* after attention and feed-forward */
extern const struct tensor_spec tensors_experts[];       /* with a norm before them */
extern const struct tensor_spec tensors_shared_expert[];
/* In arch/lfm2.c. */
extern const struct tensor_spec tensors_lfm2_global[];
extern const struct tensor_spec tensors_short_conv[];
/* In arch/qwen35.c; of a delta net all but the numbers of its heads. */
extern const struct tensor_spec tensors_delta[];
extern const struct tensor_spec tensors_delta_numbers[];
extern const struct tensor_spec tensors_gated_attention[];
extern const struct tensor_spec tensors_delta_experts[]; /* with their norm, and one for all tokens */
/* By all that have them. */
extern const struct tensor_spec tensors_classifier[];
extern const struct tensor_spec tensors_layer_embd[];
/* By encoders of the BERT form. */
extern const struct tensor_spec tensors_sum_norms[]; /* after attention and feed-forward, with biases */

/* NULL when unknown. */
const struct arch *arch_find(struct str name);
/* NULL-terminated. */
extern const struct arch *const arch_all[];
/* "bert, llama, qwen2"; "bert, llama and more" where there is no room for all; returns out. room: at least 64. */
const char *arch_names(char *out, size_t room);
