/* qwen35moe.c: Qwen3.5 and 3.6 with experts, A3B and larger (their text).
 *
 * qwen35's layers, each with experts and one for all tokens, times the sigmoid of a row of its own.
 *
 * Traps: the weights of the chosen sum to 1, and no key says so; files have no feed_forward_length. */
#include "model/arch.h"

const struct arch arch_qwen35moe = {
    .name = "qwen35moe",
    .rope_halves = true,
    .recurrence = RECURRENCE_DELTA,
    .keys_in_turn = true,
    .query_gates = true,
    .router = { .weights_norm = true },
    .global = tensors_global,
    .layer = { { tensors_delta, LAYERS_RECURRENT },
               { tensors_delta_numbers, LAYERS_RECURRENT },
               { tensors_gated_attention, LAYERS_ATTENTION },
               { tensors_qk_norm, LAYERS_ATTENTION },
               { tensors_delta_experts, LAYERS_EXPERTS } },
};
