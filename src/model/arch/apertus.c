/* apertus.c: Apertus, 8B and 70B.
 *
 * Llama with RoPE on halves, an RMS norm over each query and key head before it, and no gate: what is up is activated.
 * Trap: the activation is xIELU, with numbers of each layer, whose keys have no architecture before them. */
#include "model/arch.h"

const struct arch arch_apertus = {
    .name = "apertus",
    .rope_halves = true,
    .xielu = true,
    .global = tensors_global,
    .layer = { { tensors_attention }, { tensors_qk_norm }, { tensors_plain_ffn } },
};
