/* hunyuan_dense.c: Hunyuan dense models, 0.5B to 7B, and Hunyuan-MT 7B.
 *
 * Llama with RoPE on halves and an RMS norm over each query and key head. Traps: these norms come after RoPE; its base
 * is what the converter made of the model's base and alpha, a factor for long contexts. */
#include "model/arch.h"

const struct arch arch_hunyuan_dense = {
    .name = "hunyuan-dense",
    .rope_halves = true,
    .qk_norm_rotated = true,
    .global = tensors_global,
    .layer = { { tensors_attention }, { tensors_qk_norm }, { tensors_gated_ffn } },
};
