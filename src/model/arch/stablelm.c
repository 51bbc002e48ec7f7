/* stablelm.c: StableLM 2, 1.6B and 12B.
 *
 * Layer norms, SwiGLU, RoPE on halves of a part of each head. Traps: the 12B has norms of queries and keys with weights
 * of their own for each head; and no norm before feed-forward, which then reads what attention read. */
#include "model/arch.h"

static const struct tensor_spec norms[] = {
    { "blk.%d.attn_norm.bias", W_ATTN_NORM_BIAS, D_EMBD, D_NONE, true },
    { "blk.%d.ffn_norm.weight", W_FFN_NORM, D_EMBD, D_NONE, true },
    { "blk.%d.ffn_norm.bias", W_FFN_NORM_BIAS, D_EMBD, D_NONE, true },
    { 0 },
};

const struct arch arch_stablelm = {
    .name = "stablelm",
    .rope_halves = true,
    .norm = NORM_LAYER,
    .parallel = true,
    .global = tensors_global_biased,
    .layer = { { tensors_attention }, { tensors_optional_biases }, { norms }, { tensors_qk_norm_by_head },
               { tensors_gated_matrices } },
};
