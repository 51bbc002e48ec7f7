/* gemma4.c: Gemma 4 E2B, E4B, 31B and 26B-A4B (their text).
 *
 * As Gemma 3, with norms of values, heads of layers that see all wider than those with the window, and a number that
 * each layer's output is multiplied by. E: embeddings of each layer's own (layer/embd.c), and the last layers read keys
 * and values of the last before them of their kind. A4B: experts beside a dense block. Traps: scores are not scaled;
 * without attn_v values are keys, raw; rope_freqs holds for layers that see all, and a factor of 1e30 is a pair that
 * does not turn; what is called scale has no ".weight" but in layer_output_scale. */
#include "model/arch.h"

static void adjust(struct hparams *hp)
{
    if (!(hp->attention_scale > 0))
        hp->attention_scale = 1;
}

static const struct tensor_spec attention[] = {
    { "blk.%d.attn_norm.weight", W_ATTN_NORM, D_EMBD, D_NONE, false },
    { "blk.%d.attn_q.weight", W_Q, D_EMBD, D_Q, false },
    { "blk.%d.attn_q_norm.weight", W_Q_NORM, D_HEAD, D_NONE, false },
    { "blk.%d.attn_output.weight", W_O, D_Q, D_EMBD, false },
    { "blk.%d.layer_output_scale.weight", W_OUT_SCALE, D_ONE, D_NONE, true },
    { 0 },
};

static const struct tensor_spec keys[] = {
    { "blk.%d.attn_k.weight", W_K, D_EMBD, D_KV, false },
    { "blk.%d.attn_k_norm.weight", W_K_NORM, D_HEAD, D_NONE, false },
    { "blk.%d.attn_v.weight", W_V, D_EMBD, D_KV, true },
    { 0 },
};

static const struct tensor_spec embd[] = {
    { "blk.%d.inp_gate.weight", W_EMBD_GATE, D_EMBD, D_EMBD_LAYER, false },
    { "blk.%d.proj.weight", W_EMBD_PROJ, D_EMBD_LAYER, D_EMBD, false },
    { "blk.%d.post_norm.weight", W_EMBD_NORM, D_EMBD, D_NONE, false },
    { 0 },
};

static const struct tensor_spec experts[] = {
    { "blk.%d.ffn_gate_inp.weight", W_ROUTER, D_EMBD, D_EXPERTS, false },
    { "blk.%d.ffn_gate_inp.scale", W_ROUTER_NORM, D_EMBD, D_NONE, false },
    { "blk.%d.pre_ffw_norm_2.weight", W_EXPERT_NORM, D_EMBD, D_NONE, false },
    { "blk.%d.post_ffw_norm_2.weight", W_EXPERT_POST_NORM, D_EMBD, D_NONE, false },
    { "blk.%d.post_ffw_norm_1.weight", W_DENSE_POST_NORM, D_EMBD, D_NONE, false },
    { "blk.%d.ffn_gate_up_exps.weight", W_EXPERT_GATE_UP, D_EMBD, D_FF_EXPERT_TWICE, false, .mats = D_EXPERTS },
    { "blk.%d.ffn_down_exps.weight", W_EXPERT_DOWN, D_FF_EXPERT, D_EMBD, false, .mats = D_EXPERTS },
    { "blk.%d.ffn_down_exps.scale", W_EXPERT_SCALE, D_EXPERTS, D_NONE, true },
    { 0 },
};

const struct arch arch_gemma4 = {
    .name = "gemma4",
    .rope_halves = true,
    .activation = ACTIVATION_GELU_TANH,
    .windows = WINDOWS_BUT_FULL,
    .window_period = 6,
    .rope_local = true,
    .embedding_sqrt = true,
    .value_norm = true,
    .router = { .weights_norm = true },
    .adjust = adjust,
    .global = tensors_global,
    .layer = { { attention }, { keys, LAYERS_OWN_KV }, { tensors_post_norms }, { tensors_gated_ffn },
               { embd, LAYERS_EMBD }, { experts, LAYERS_EXPERTS } },
};
