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
    MAX_HEAD_DIM = 512, /* what the attention kernels take */
};

struct hparams {
    int n_layers, n_embd, n_heads, n_kv_heads, head_dim, n_rot, n_ff, n_vocab, n_ctx_train;
    float norm_eps;
    double rope_base;
    double rope_linear_factor; /* positions are divided by this; 1: none */
};

/* Read ARCH.* keys. HEARTH_ERR_FORMAT names key, value and range. */
bool hparams_read(struct hparams *hp, const struct gguf *g, const char *arch, hearth_error *err);
