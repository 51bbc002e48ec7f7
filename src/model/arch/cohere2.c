/* cohere2.c: Command R7B, Command A, Aya of that generation.
 *
 * Layer norms without biases; attention and feed-forward read the same norm. Traps: every fourth layer sees all and
 * rotates nothing, the others have the window, and no key says which; logits are multiplied by a small scale. */
#include "model/arch.h"

const struct arch arch_cohere2 = {
    .name = "cohere2",
    .rope_halves = false,
    .norm = NORM_LAYER,
    .parallel = true,
    .windows = WINDOWS_BUT_FULL,
    .window_period = 4,
    .rotated = ROTATED_BUT_FULL,
    .global = tensors_global,
    .layer = { { tensors_attention }, { tensors_gated_matrices } },
};
