/* granitehybrid.c: Granite 4 H, dense and with experts.
 *
 * Mostly Mamba-2 layers and a few of attention, with Granite's scales.
 *
 * Traps: attention.head_count_kv is a list, 0 where the layer is Mamba-2; rope.scaling.finetuned false says that
 * nothing is rotated; ssm_a (-exp(A_log) already) and ssm_d have no ".weight" and a row for each head; dense files
 * have expert_count 0. */
#include "model/arch.h"

static const struct tensor_spec mamba[] = {
    { "blk.%d.attn_norm.weight", W_ATTN_NORM, D_EMBD, D_NONE, false },
    { "blk.%d.ssm_in.weight", W_MIX_IN, D_EMBD, D_MIX, false },
    { "blk.%d.ssm_conv1d.weight", W_TAPS, D_TAPS, D_NONE, false, .mats = D_CONV },
    { "blk.%d.ssm_conv1d.bias", W_TAPS_BIAS, D_CONV, D_NONE, false },
    { "blk.%d.ssm_dt.bias", W_STEP_BIAS, D_STATE_HEADS, D_NONE, false },
    { "blk.%d.ssm_a", W_DECAY, D_ONE, D_NONE, false, .mats = D_STATE_HEADS },
    { "blk.%d.ssm_d", W_SKIP, D_ONE, D_NONE, false, .mats = D_STATE_HEADS },
    { "blk.%d.ssm_norm.weight", W_STATE_NORM, D_GROUP_VALUES, D_NONE, false, .mats = D_STATE_GROUPS },
    { "blk.%d.ssm_out.weight", W_MIX_OUT, D_INNER, D_EMBD, false },
    { 0 },
};

const struct arch arch_granitehybrid = {
    .name = "granitehybrid",
    .rope_halves = false,
    .rotated = ROTATED_AS_SAID,
    .logits_divided = true,
    .recurrence = RECURRENCE_MAMBA,
    .router = { .weights_norm = true },
    .global = tensors_global,
    .layer = { { mamba, LAYERS_RECURRENT },
               { tensors_attention, LAYERS_ATTENTION },
               { tensors_gated_ffn, LAYERS_DENSE },
               { tensors_experts, LAYERS_EXPERTS },
               { tensors_shared_expert, LAYERS_EXPERTS } },
};
