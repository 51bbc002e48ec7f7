/* qwen2.c: Qwen2 and 2.5, the R1 distills on them, Qwen coder models.
 *
 * Llama with RoPE on halves and biases on Q, K and V. Trap: the K biases are large (hundreds),
 * which is why KV quantization needs care on these models. */
#include "model/arch.h"

const struct arch arch_qwen2 = {
    .name = "qwen2",
    .rope_halves = true,
    .global = tensors_global,
    .layer = { { tensors_attention }, { tensors_qkv_biases }, { tensors_gated_ffn } },
};
