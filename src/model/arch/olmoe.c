/* olmoe.c: OLMoE-1B-7B.
 *
 * Experts in every layer, and norms of queries and keys over the whole row, not over each head. Trap: the weights of
 * the chosen are those of the softmax over all; they do not sum to 1. */
#include "model/arch.h"

static const struct tensor_spec tensors_row_norms[] = {
    { "blk.%d.attn_q_norm.weight", W_Q_NORM, D_Q, D_NONE, false },
    { "blk.%d.attn_k_norm.weight", W_K_NORM, D_KV, D_NONE, false },
    { 0 },
};

const struct arch arch_olmoe = {
    .name = "olmoe",
    .rope_halves = true,
    .global = tensors_global,
    .layer = { { tensors_attention }, { tensors_row_norms }, { tensors_experts, LAYERS_EXPERTS } },
};
