/* modern_bert.c: ModernBERT and the embedders made of it.
 *
 * An encoder with norms before the blocks (layer norms without biases), rotation on halves, GELU with a gate. Traps:
 * the first layer has no norm before attention, for the embedding has one; layers 0, 3, 6 ... see all, the others half
 * a window on either side, by a rope base of their own; ffn_up holds gate and up, the gate first. */
#include "model/arch.h"

static const struct tensor_spec global[] = {
    { "token_embd.weight", G_TOKEN_EMBD, D_EMBD, D_VOCAB, false },
    { "token_embd_norm.weight", G_EMBD_NORM, D_EMBD, D_NONE, false },
    { "output_norm.weight", G_OUTPUT_NORM, D_EMBD, D_NONE, false },
    { 0 },
};

static const struct tensor_spec layer[] = {
    { "blk.%d.attn_norm.weight", W_ATTN_NORM, D_EMBD, D_NONE, true },
    { "blk.%d.attn_qkv.weight", W_QKV, D_EMBD, D_QKV, false },
    { "blk.%d.attn_output.weight", W_O, D_Q, D_EMBD, false },
    { "blk.%d.ffn_norm.weight", W_FFN_NORM, D_EMBD, D_NONE, false },
    { "blk.%d.ffn_up.weight", W_GATE_UP, D_EMBD, D_FF_TWICE, false },
    { "blk.%d.ffn_down.weight", W_DOWN, D_FF, D_EMBD, false },
    { 0 },
};

const struct arch arch_modern_bert = {
    .name = "modern-bert",
    .encoder = true,
    .rope_halves = true,
    .norm = NORM_LAYER,
    .activation = ACTIVATION_GELU_ERF,
    .windows = WINDOWS_BUT_FIRST,
    .window_period = 3,
    .rope_local = true,
    .global = global,
    .layer = { { layer } },
};
