/* qwen3.c: Qwen3 dense models, 0.6B to 32B.
 *
 * Llama with RoPE on halves, no biases, and an RMS norm over each query and key head before
 * RoPE. Trap: the head size is independent of the width (attention.key_length). */
#include "model/arch.h"

const struct arch arch_qwen3 = {
    .name = "qwen3",
    .rope_halves = true,
    .global = tensors_global,
    .layer = { { tensors_attention }, { tensors_qk_norm }, { tensors_gated_ffn } },
};
