/* qwen35.c: Qwen3.5 and 3.6 dense models (their text).
 *
 * 3 of 4 layers are gated delta nets, the others attention whose output has a gate of its own in attn_q. Traps: value
 * heads are reordered in the file, so that head i goes with keys of group i mod n; the norm before feed-forward is
 * called post_attention_norm; ssm_a is -exp(A_log) already and has no ".weight"; sections of
 * rotation matter for images only. */
#include "model/arch.h"

const struct tensor_spec tensors_gated_attention[] = {
    { "blk.%d.attn_norm.weight", W_ATTN_NORM, D_EMBD, D_NONE, false },
    { "blk.%d.attn_q.weight", W_Q, D_EMBD, D_Q_TWICE, false },
    { "blk.%d.attn_k.weight", W_K, D_EMBD, D_KV, false },
    { "blk.%d.attn_v.weight", W_V, D_EMBD, D_KV, false },
    { "blk.%d.attn_output.weight", W_O, D_Q, D_EMBD, false },
    { 0 },
};

const struct tensor_spec tensors_delta[] = {
    { "blk.%d.attn_norm.weight", W_ATTN_NORM, D_EMBD, D_NONE, false },
    { "blk.%d.attn_qkv.weight", W_MIX_IN, D_EMBD, D_CONV, false },
    { "blk.%d.attn_gate.weight", W_MIX_GATE, D_EMBD, D_INNER, false },
    { "blk.%d.ssm_conv1d.weight", W_TAPS, D_TAPS, D_NONE, false, .mats = D_CONV },
    { "blk.%d.ssm_dt.bias", W_STEP_BIAS, D_STATE_HEADS, D_NONE, false },
    { "blk.%d.ssm_a", W_DECAY, D_STATE_HEADS, D_NONE, false },
    { "blk.%d.ssm_norm.weight", W_STATE_NORM, D_STATE_VALUES, D_NONE, false },
    { "blk.%d.ssm_out.weight", W_MIX_OUT, D_INNER, D_EMBD, false },
    { 0 },
};

const struct tensor_spec tensors_delta_numbers[] = {
    { "blk.%d.ssm_beta.weight", W_BETA, D_EMBD, D_STATE_HEADS, false },
    { "blk.%d.ssm_alpha.weight", W_ALPHA, D_EMBD, D_STATE_HEADS, false },
    { 0 },
};

const struct tensor_spec tensors_delta_experts[] = {
    { "blk.%d.post_attention_norm.weight", W_FFN_NORM, D_EMBD, D_NONE, false },
    { "blk.%d.ffn_gate_inp.weight", W_ROUTER, D_EMBD, D_EXPERTS, false },
    { "blk.%d.ffn_gate_exps.weight", W_EXPERT_GATE, D_EMBD, D_FF_EXPERT, false, .mats = D_EXPERTS },
    { "blk.%d.ffn_up_exps.weight", W_EXPERT_UP, D_EMBD, D_FF_EXPERT, false, .mats = D_EXPERTS },
    { "blk.%d.ffn_down_exps.weight", W_EXPERT_DOWN, D_FF_EXPERT, D_EMBD, false, .mats = D_EXPERTS },
    { "blk.%d.ffn_gate_shexp.weight", W_SHARED_GATE, D_EMBD, D_FF_SHARED, false },
    { "blk.%d.ffn_up_shexp.weight", W_SHARED_UP, D_EMBD, D_FF_SHARED, false },
    { "blk.%d.ffn_down_shexp.weight", W_SHARED_DOWN, D_FF_SHARED, D_EMBD, false },
    { "blk.%d.ffn_gate_inp_shexp.weight", W_SHARED_ROUTER, D_EMBD, D_ONE, false },
    { 0 },
};

static const struct tensor_spec gated_ffn[] = {
    { "blk.%d.post_attention_norm.weight", W_FFN_NORM, D_EMBD, D_NONE, false },
    { "blk.%d.ffn_gate.weight", W_GATE, D_EMBD, D_FF, false },
    { "blk.%d.ffn_up.weight", W_UP, D_EMBD, D_FF, false },
    { "blk.%d.ffn_down.weight", W_DOWN, D_FF, D_EMBD, false },
    { 0 },
};

const struct arch arch_qwen35 = {
    .name = "qwen35",
    .rope_halves = true,
    .recurrence = RECURRENCE_DELTA,
    .keys_in_turn = true,
    .query_gates = true,
    .global = tensors_global,
    .layer = { { tensors_delta, LAYERS_RECURRENT },
               { tensors_delta_numbers, LAYERS_RECURRENT },
               { tensors_gated_attention, LAYERS_ATTENTION },
               { tensors_qk_norm, LAYERS_ATTENTION },
               { gated_ffn } },
};
