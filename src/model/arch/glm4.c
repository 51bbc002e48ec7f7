/* glm4.c: GLM-4, 9B and 32B of 2025.
 *
 * Norms before and after each block; RoPE on adjacent pairs of the first part of each head; gate and up in one tensor;
 * biases of queries, keys and values in some. */
#include "model/arch.h"

static const struct tensor_spec ffn[] = {
    { "blk.%d.ffn_norm.weight", W_FFN_NORM, D_EMBD, D_NONE, false },
    { "blk.%d.ffn_up.weight", W_GATE_UP, D_EMBD, D_FF_TWICE, false },
    { "blk.%d.ffn_down.weight", W_DOWN, D_FF, D_EMBD, false },
    { 0 },
};

const struct arch arch_glm4 = {
    .name = "glm4",
    .rope_halves = false,
    .global = tensors_global,
    .layer = { { tensors_attention }, { tensors_optional_biases }, { tensors_post_norms }, { ffn } },
};
