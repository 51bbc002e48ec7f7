/* qwen3moe.c: Qwen3-30B-A3B, 235B-A22B and Qwen3-Coder.
 *
 * qwen3 with experts in every layer. Trap: the weights of the chosen are made to sum to 1, where those of qwen2moe are
 * not, and no key says so. */
#include "model/arch.h"

const struct arch arch_qwen3moe = {
    .name = "qwen3moe",
    .rope_halves = true,
    .router = { .weights_norm = true },
    .global = tensors_global,
    .layer = { { tensors_attention }, { tensors_qk_norm }, { tensors_experts, LAYERS_EXPERTS } },
};
