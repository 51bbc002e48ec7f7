/* granite.c: Granite 3 and 4 without state.
 *
 * Llama with four scales: of embeddings, of what blocks add, of scores (in the place of the head size's), and of
 * logits. Trap: that one divides. */
#include "model/arch.h"

const struct arch arch_granite = {
    .name = "granite",
    .rope_halves = false,
    .logits_divided = true,
    .global = tensors_global,
    .layer = { { tensors_attention }, { tensors_optional_biases }, { tensors_gated_ffn } },
};
