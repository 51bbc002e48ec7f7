/* starcoder2.c: StarCoder 2, 3B to 15B.
 *
 * Layer norms and biases everywhere, GELU without a gate. Trap: some of the family were trained with a window, which
 * files do not state. */
#include "model/arch.h"

static const struct tensor_spec norms_and_ffn[] = {
    { "blk.%d.attn_norm.bias", W_ATTN_NORM_BIAS, D_EMBD, D_NONE, false },
    { "blk.%d.ffn_norm.weight", W_FFN_NORM, D_EMBD, D_NONE, false },
    { "blk.%d.ffn_norm.bias", W_FFN_NORM_BIAS, D_EMBD, D_NONE, false },
    { "blk.%d.ffn_up.weight", W_UP, D_EMBD, D_FF, false },
    { "blk.%d.ffn_up.bias", W_UP_BIAS, D_FF, D_NONE, false },
    { "blk.%d.ffn_down.weight", W_DOWN, D_FF, D_EMBD, false },
    { "blk.%d.ffn_down.bias", W_DOWN_BIAS, D_EMBD, D_NONE, false },
    { 0 },
};

const struct arch arch_starcoder2 = {
    .name = "starcoder2",
    .rope_halves = true,
    .norm = NORM_LAYER,
    .activation = ACTIVATION_GELU_TANH,
    .global = tensors_global_biased,
    .layer = { { tensors_attention }, { tensors_optional_biases }, { norms_and_ffn } },
};
