/* glm4moe.c: GLM-4.5, 4.6 and Air.
 *
 * RoPE on halves of a part of each head, biases on Q, K and V, norms of Q and K in the larger ones. The first layers
 * are dense; then sigmoids choose experts, with a bias that counts for the choice alone, beside one that all tokens
 * have. Traps: the norm before feed-forward is called post_attention_norm; block_count has layers at the end that
 * predict further tokens (hparams.c leaves them out). */
#include "model/arch.h"

static const struct tensor_spec tensors_maybe_qk_norm[] = {
    { "blk.%d.attn_q_norm.weight", W_Q_NORM, D_HEAD, D_NONE, true },
    { "blk.%d.attn_k_norm.weight", W_K_NORM, D_HEAD, D_NONE, true },
    { "blk.%d.post_attention_norm.weight", W_FFN_NORM, D_EMBD, D_NONE, false },
    { 0 },
};

static const struct tensor_spec tensors_dense[] = {
    { "blk.%d.ffn_gate.weight", W_GATE, D_EMBD, D_FF, false },
    { "blk.%d.ffn_up.weight", W_UP, D_EMBD, D_FF, false },
    { "blk.%d.ffn_down.weight", W_DOWN, D_FF, D_EMBD, false },
    { 0 },
};

static const struct tensor_spec tensors_chosen_experts[] = {
    { "blk.%d.ffn_gate_inp.weight", W_ROUTER, D_EMBD, D_EXPERTS, false },
    { "blk.%d.exp_probs_b.bias", W_SELECT_BIAS, D_EXPERTS, D_NONE, false },
    { "blk.%d.ffn_gate_exps.weight", W_EXPERT_GATE, D_EMBD, D_FF_EXPERT, false, .mats = D_EXPERTS },
    { "blk.%d.ffn_up_exps.weight", W_EXPERT_UP, D_EMBD, D_FF_EXPERT, false, .mats = D_EXPERTS },
    { "blk.%d.ffn_down_exps.weight", W_EXPERT_DOWN, D_FF_EXPERT, D_EMBD, false, .mats = D_EXPERTS },
    { 0 },
};

const struct arch arch_glm4moe = {
    .name = "glm4moe",
    .rope_halves = true,
    .router = { .gating = GATING_SIGMOID, .weights_norm = true },
    .global = tensors_global,
    .layer = { { tensors_attention }, { tensors_qkv_biases }, { tensors_maybe_qk_norm },
               { tensors_dense, LAYERS_DENSE }, { tensors_chosen_experts, LAYERS_EXPERTS },
               { tensors_shared_expert, LAYERS_EXPERTS } },
};
