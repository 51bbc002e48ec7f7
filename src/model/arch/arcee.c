/* arcee.c: AFM 4.5B.
 *
 * Llama without a gate in feed-forward: what is up is activated, by the square of what is positive. Its context is
 * stretched by YaRN. */
#include "model/arch.h"

const struct arch arch_arcee = {
    .name = "arcee",
    .rope_halves = false,
    .activation = ACTIVATION_RELU2,
    .global = tensors_global,
    .layer = { { tensors_attention }, { tensors_plain_ffn } },
};
