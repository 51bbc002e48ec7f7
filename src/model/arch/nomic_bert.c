/* nomic_bert.c: nomic-embed-text v1 and v1.5.
 *
 * bert that rotates (halves) instead of learning positions, with SwiGLU, Q, K and V in one matrix, and no biases but
 * those of norms; older conversions have them where the model has. */
#include "model/arch.h"

static const struct tensor_spec global[] = {
    { "token_embd.weight", G_TOKEN_EMBD, D_EMBD, D_VOCAB, false },
    { "token_types.weight", G_TOKEN_TYPES, D_EMBD, D_TOKEN_TYPES, true },
    { "token_embd_norm.weight", G_EMBD_NORM, D_EMBD, D_NONE, false },
    { "token_embd_norm.bias", G_EMBD_NORM_BIAS, D_EMBD, D_NONE, false },
    { 0 },
};

static const struct tensor_spec layer[] = {
    { "blk.%d.attn_qkv.weight", W_QKV, D_EMBD, D_QKV, false },
    { "blk.%d.attn_qkv.bias", W_QKV_BIAS, D_QKV, D_NONE, true },
    { "blk.%d.attn_output.weight", W_O, D_Q, D_EMBD, false },
    { "blk.%d.attn_output.bias", W_O_BIAS, D_EMBD, D_NONE, true },
    { "blk.%d.ffn_gate.weight", W_GATE, D_EMBD, D_FF, false },
    { "blk.%d.ffn_up.weight", W_UP, D_EMBD, D_FF, false },
    { "blk.%d.ffn_down.weight", W_DOWN, D_FF, D_EMBD, false },
    { 0 },
};

const struct arch arch_nomic_bert = {
    .name = "nomic-bert",
    .encoder = true,
    .rope_halves = true,
    .norm = NORM_LAYER,
    .activation = ACTIVATION_SILU,
    .global = global,
    .layer = { { layer }, { tensors_sum_norms } },
};
