/* bert.c: BERT, and most embedders and rerankers made of it: MiniLM, bge, e5, gte, mxbai; XLM-RoBERTa too.
 *
 * An encoder: each token sees all others. Positions are learned, so there are no more; all tokens are of type 0.
 * Layer norms stand behind the sum of residual stream and block, none before a block and none at the end.
 * Trap: GELU by erf, where llama.cpp takes the one by tanh. */
#include "model/arch.h"

static const struct tensor_spec global[] = {
    { "token_embd.weight", G_TOKEN_EMBD, D_EMBD, D_VOCAB, false },
    { "position_embd.weight", G_POSITION_EMBD, D_EMBD, D_CTX, false },
    { "token_types.weight", G_TOKEN_TYPES, D_EMBD, D_TOKEN_TYPES, true },
    { "token_embd_norm.weight", G_EMBD_NORM, D_EMBD, D_NONE, false },
    { "token_embd_norm.bias", G_EMBD_NORM_BIAS, D_EMBD, D_NONE, false },
    { 0 },
};

static const struct tensor_spec layer[] = {
    { "blk.%d.attn_q.weight", W_Q, D_EMBD, D_Q, false },
    { "blk.%d.attn_k.weight", W_K, D_EMBD, D_KV, false },
    { "blk.%d.attn_v.weight", W_V, D_EMBD, D_KV, false },
    { "blk.%d.attn_output.weight", W_O, D_Q, D_EMBD, false },
    { "blk.%d.attn_output.bias", W_O_BIAS, D_EMBD, D_NONE, false },
    { "blk.%d.ffn_up.weight", W_UP, D_EMBD, D_FF, false },
    { "blk.%d.ffn_up.bias", W_UP_BIAS, D_FF, D_NONE, false },
    { "blk.%d.ffn_down.weight", W_DOWN, D_FF, D_EMBD, false },
    { "blk.%d.ffn_down.bias", W_DOWN_BIAS, D_EMBD, D_NONE, false },
    { 0 },
};

const struct arch arch_bert = {
    .name = "bert",
    .encoder = true,
    .norm = NORM_LAYER,
    .activation = ACTIVATION_GELU_ERF,
    .rotated = ROTATED_NONE,
    .global = global,
    .layer = { { layer }, { tensors_qkv_biases }, { tensors_sum_norms } },
};
