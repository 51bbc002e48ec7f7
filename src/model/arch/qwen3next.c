/* qwen3next.c: Qwen3-Next 80B-A3B and Coder-Next.
 *
 * The layers of qwen35moe, which came after it.
 *
 * Traps: value heads stand as trained: neighbours have the keys of one group; ssm_ba has both numbers of each head,
 * group by group, those for beta first; files before 2026 say which layers have attention by full_attention_interval
 * only. */
#include "model/arch.h"

static const struct tensor_spec numbers_in_one[] = {
    { "blk.%d.ssm_ba.weight", W_BETA_ALPHA, D_EMBD, D_STATE_HEADS_TWICE, false },
    { 0 },
};

const struct arch arch_qwen3next = {
    .name = "qwen3next",
    .rope_halves = true,
    .recurrence = RECURRENCE_DELTA,
    .query_gates = true,
    .router = { .weights_norm = true },
    .global = tensors_global,
    .layer = { { tensors_delta, LAYERS_RECURRENT },
               { numbers_in_one, LAYERS_RECURRENT },
               { tensors_gated_attention, LAYERS_ATTENTION },
               { tensors_qk_norm, LAYERS_ATTENTION },
               { tensors_delta_experts, LAYERS_EXPERTS } },
};
