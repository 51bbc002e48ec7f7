/* hparams.h: the numbers that shape a model, read from metadata with a range for each. */
#pragma once
#include "base/err.h"
#include "format/gguf.h"

enum {
    MAX_LAYERS = 1024,
    MAX_HEADS = 1024,
    MAX_EMBD = 131072,
    MAX_FF = 1 << 20,
    MAX_VOCAB = 1 << 22,
    MAX_CTX = 1 << 24,
    MAX_HEAD_DIM = 512, MAX_LATENT_KEY = 576, /* what the attention kernels are checked with */
    MAX_EXPERTS = 4096,
};

enum rope_scaling { ROPE_PLAIN, ROPE_LINEAR, ROPE_YARN, ROPE_LONG };

/* How positions become angles (rope.h). */
struct rope_params {
    enum rope_scaling scaling;
    double base;
    double factor;         /* positions are divided by this; 1: none */
    int n_ctx_original;    /* the context that it was trained with before it was stretched */
    double beta_fast, beta_slow; /* YaRN: pairs that turn more often within that context are left alone, those that
                                  * turn less are stretched */
    double attn_factor;    /* cosines and sines times this; 0: not stated */
    double yarn_factor;    /* ... times this with YaRN; 0: not stated, what the factor asks for */
    double log_multiplier; /* how much of that attention undoes with a scale of its own: 0 to 1 */
};

/* How a router's logits become weights of experts. */
enum gating { GATING_DEFAULT, GATING_SOFTMAX = 1, GATING_SIGMOID = 2, GATING_SOFTMAX_CHOSEN = 3 };

/* What layers may have of their own. */
struct layer_shape {
    int n_kv_heads, head_dim; /* of attention */
    int n_ff;
    bool windowed;            /* it sees `window` positions; model.c says which do */
    int kv_layer;             /* whose keys and values it reads; itself, or one before it */
};

struct hparams {
    int n_layers, n_embd, n_heads, n_vocab, n_ctx_train, n_token_types, n_dense;
    int n_embd_layer;                      /* of a piece of the embedding that is one layer's; 0: there are none */
    int n_shared_kv_layers;                /* the last so many read keys and values of layers before them */
    int n_kv_heads, n_ff;                  /* the most of a layer */
    int head_dim, n_rot;                   /* of layers that see all */
    int head_dim_window, n_rot_window;     /* of layers with a window */
    int n_latent;                /* latent attention: a key's first values are the latent, of which all heads' keys and
                                  * values are made, n_rot rotated ones follow; 0: attention is another */
    int n_head_key, n_head_value; /* ... of a head before and after the latent */
    int n_q_rank;                /* ... of the vector that queries come out of; 0: they come out of the row */
    struct layer_shape layer[MAX_LAYERS];  /* [n_layers] */
    int n_labels;                /* of a classifier */
    bool causal;                 /* tokens see only what came before them; else the model writes no text */
    float norm_eps;
    struct rope_params rope;
    bool unrotated;              /* rope.scaling.finetuned is there and false */
    double rope_local_base;      /* of layers with a window, where the architecture has two; 0: not stated */
    int window;                  /* positions a layer with a window sees */
    int window_period;           /* 0: not stated */
    float embedding_scale, residual_scale, logit_scale, attention_scale; /* 0: not stated */
    float score_cap, logit_cap;  /* cap * tanh(x / cap); 0: none */
    float temperature_scale;     /* queries times 1 + this * log(1 + floor(position / n_ctx_original)); 0: none */
    uint64_t recurrent[MAX_LAYERS / 64]; /* bit i: layer i keeps a state and has no keys and values */
    int n_kv_layers;             /* that have them */
    int n_taps;                  /* of their convolution, the token itself among them */
    int n_mix, n_conv, n_inner;  /* values of a token: what such a layer makes, of them convolved, before its output */
    int n_state_heads, n_state, n_state_groups; /* heads have a matrix of n_state rows; those of a group share keys */
    int n_experts, n_experts_used, n_ff_expert, n_ff_shared, n_shared_experts;
    int n_dense_layers;          /* of a model with experts: the first layers that have none */
    int n_expert_groups, n_expert_groups_used;
    enum gating gating;
    int expert_weights_norm;     /* -1: not stated */
    float expert_weights_scale;  /* 0: not stated */
};

static inline bool hparams_is_recurrent(const struct hparams *hp, int layer)
{
    return hp->recurrent[layer / 64] >> (layer % 64) & 1;
}
/* It has keys and values, and they are its own. */
static inline bool hparams_has_kv(const struct hparams *hp, int layer)
{
    return !hparams_is_recurrent(hp, layer) && hp->layer[layer].kv_layer == layer;
}

/* Read ARCH.* keys; causal: what holds where the file does not say. HEARTH_ERR_FORMAT names key, value and range. */
bool hparams_read(struct hparams *hp, const struct gguf *g, const char *arch, bool causal, hearth_error *err);
