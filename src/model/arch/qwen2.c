/* qwen2.c: Qwen2 and 2.5, the R1 distills on them, Qwen coder models.
 *
 * Llama with RoPE on halves and biases on Q, K and V. Trap: the K biases are large (hundreds),
 * which is why KV quantization needs care on these models. */
#include "model/arch.h"

static const struct tensor_spec biases[] = {
    { "blk.%d.attn_q.bias", W_Q_BIAS, D_Q, D_NONE, false },
    { "blk.%d.attn_k.bias", W_K_BIAS, D_KV, D_NONE, false },
    { "blk.%d.attn_v.bias", W_V_BIAS, D_KV, D_NONE, false },
    { 0 },
};

const struct arch arch_qwen2 = {
    .name = "qwen2",
    .rope_halves = true,
    .global = tensors_global,
    .layer = { tensors_attention, biases, tensors_gated_ffn },
};
