/* command_r.c: Command R and R+ of 2024, Aya 23.
 *
 * Layer norms without biases; attention and feed-forward read the same norm; logits are multiplied by a small scale.
 * Trap: R+ has layer norms of queries and keys with weights of their own for each head; R has none. */
#include "model/arch.h"

const struct arch arch_command_r = {
    .name = "command-r",
    .rope_halves = false,
    .norm = NORM_LAYER,
    .parallel = true,
    .global = tensors_global,
    .layer = { { tensors_attention }, { tensors_qk_norm_by_head }, { tensors_gated_matrices } },
};
