/* ernie4_5.c: ERNIE 4.5 without experts.
 *
 * Llama: RoPE on adjacent pairs, as the model was trained. */
#include "model/arch.h"

const struct arch arch_ernie4_5 = {
    .name = "ernie4_5",
    .rope_halves = false,
    .global = tensors_global,
    .layer = { { tensors_attention }, { tensors_optional_biases }, { tensors_gated_ffn } },
};
