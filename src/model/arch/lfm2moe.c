/* lfm2moe.c: LFM2 with experts, 8B-A1B.
 *
 * lfm2's layers, and after the first few experts instead of one feed-forward.
 *
 * Traps: the router is a sigmoid with a bias for the choice alone; the weights of the chosen are made to sum to 1, and
 * no key says so. */
#include "model/arch.h"

static const struct tensor_spec choice[] = {
    { "blk.%d.exp_probs_b.bias", W_SELECT_BIAS, D_EXPERTS, D_NONE, false },
    { 0 },
};

const struct arch arch_lfm2moe = {
    .name = "lfm2moe",
    .rope_halves = true,
    .recurrence = RECURRENCE_SHORT_CONV,
    .router = { .gating = GATING_SIGMOID, .weights_norm = true },
    .global = tensors_lfm2_global,
    .layer = { { tensors_short_conv, LAYERS_RECURRENT },
               { tensors_attention, LAYERS_ATTENTION },
               { tensors_qk_norm, LAYERS_ATTENTION },
               { tensors_gated_ffn, LAYERS_DENSE },
               { tensors_experts, LAYERS_EXPERTS },
               { choice, LAYERS_EXPERTS } },
};
