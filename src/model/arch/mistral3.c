/* mistral3.c: Ministral 3 and the Mistral models after it.
 *
 * Llama with YaRN. Traps: attention undoes YaRN's factor of cosines (rope.scaling.yarn_log_multiplier); queries grow
 * with their position (attention.temperature_scale); a head may be wider than its share of the width. */
#include "model/arch.h"

const struct arch arch_mistral3 = {
    .name = "mistral3",
    .rope_halves = false,
    .global = tensors_global,
    .layer = { { tensors_attention }, { tensors_gated_ffn } },
};
