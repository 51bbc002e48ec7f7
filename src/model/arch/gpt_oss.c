/* gpt_oss.c: gpt-oss 20B and 120B.
 *
 * Biases on every product, a sink of each head in the softmax of attention, a window in every other layer (the first
 * has it; no key says which), and experts in MXFP4 with a clamped SwiGLU. Traps: the softmax is over the chosen experts
 * alone; the norm before the experts is called post_attention_norm; YaRN's borders are not rounded. */
#include "model/arch.h"

static const struct tensor_spec tensors_more_of_attention[] = {
    { "blk.%d.attn_q.bias", W_Q_BIAS, D_Q, D_NONE, false },
    { "blk.%d.attn_k.bias", W_K_BIAS, D_KV, D_NONE, false },
    { "blk.%d.attn_v.bias", W_V_BIAS, D_KV, D_NONE, false },
    { "blk.%d.attn_output.bias", W_O_BIAS, D_EMBD, D_NONE, false },
    { "blk.%d.attn_sinks.weight", W_SINKS, D_HEADS, D_NONE, false },
    { 0 },
};

static const struct tensor_spec tensors_biased_experts[] = {
    { "blk.%d.post_attention_norm.weight", W_FFN_NORM, D_EMBD, D_NONE, false },
    { "blk.%d.ffn_gate_inp.weight", W_ROUTER, D_EMBD, D_EXPERTS, false },
    { "blk.%d.ffn_gate_inp.bias", W_ROUTER_BIAS, D_EXPERTS, D_NONE, false },
    { "blk.%d.ffn_gate_exps.weight", W_EXPERT_GATE, D_EMBD, D_FF_EXPERT, false, .mats = D_EXPERTS },
    { "blk.%d.ffn_up_exps.weight", W_EXPERT_UP, D_EMBD, D_FF_EXPERT, false, .mats = D_EXPERTS },
    { "blk.%d.ffn_down_exps.weight", W_EXPERT_DOWN, D_FF_EXPERT, D_EMBD, false, .mats = D_EXPERTS },
    { "blk.%d.ffn_gate_exps.bias", W_EXPERT_GATE_BIAS, D_FF_EXPERT, D_NONE, false, .mats = D_EXPERTS },
    { "blk.%d.ffn_up_exps.bias", W_EXPERT_UP_BIAS, D_FF_EXPERT, D_NONE, false, .mats = D_EXPERTS },
    { "blk.%d.ffn_down_exps.bias", W_EXPERT_DOWN_BIAS, D_EMBD, D_NONE, false, .mats = D_EXPERTS },
    { 0 },
};

const struct arch arch_gpt_oss = {
    .name = "gpt-oss",
    .rope_halves = true,
    .activation = ACTIVATION_SWIGLU_CLAMPED,
    .windows = WINDOWS_BUT_FULL,
    .window_period = 2,
    .yarn_fractional = true,
    .router = { .gating = GATING_SOFTMAX_CHOSEN },
    .global = tensors_global,
    .layer = { { tensors_attention }, { tensors_more_of_attention }, { tensors_biased_experts, LAYERS_EXPERTS } },
};
