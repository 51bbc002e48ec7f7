/* smollm3.c: SmolLM3.
 *
 * Llama. Trap: every fourth layer rotates nothing, and no key says so. */
#include "model/arch.h"

const struct arch arch_smollm3 = {
    .name = "smollm3",
    .rope_halves = false,
    .rotated = ROTATED_BUT_PERIOD,
    .rotated_period = 4,
    .global = tensors_global,
    .layer = { { tensors_attention }, { tensors_gated_ffn } },
};
