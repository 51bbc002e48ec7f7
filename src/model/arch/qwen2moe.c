/* qwen2moe.c: Qwen1.5-MoE and Qwen2-57B-A14B.
 *
 * qwen2 with experts, and one that all tokens have, times the sigmoid of a row of its own. Trap: the weights of the
 * chosen are those of the softmax over all; they do not sum to 1, and no key says so. */
#include "model/arch.h"

static const struct tensor_spec tensors_shared_router[] = {
    { "blk.%d.ffn_gate_inp_shexp.weight", W_SHARED_ROUTER, D_EMBD, D_ONE, false },
    { 0 },
};

const struct arch arch_qwen2moe = {
    .name = "qwen2moe",
    .rope_halves = true,
    .global = tensors_global,
    .layer = { { tensors_attention }, { tensors_qkv_biases }, { tensors_experts, LAYERS_EXPERTS },
               { tensors_shared_expert, LAYERS_EXPERTS }, { tensors_shared_router, LAYERS_EXPERTS } },
};
