/* granitemoe.c: Granite 3 with experts (1B-A400M, 3B-A800M).
 *
 * llama with four scales that are keys: of embeddings, of what is added to the residual stream, of scores, and of
 * logits, which are divided by theirs. Experts in every layer; a shared one is there in some. The reference takes the
 * softmax over the chosen alone, which is that over all, made to sum to 1. */
#include "model/arch.h"

static const struct tensor_spec tensors_maybe_shared[] = {
    { "blk.%d.ffn_gate_shexp.weight", W_SHARED_GATE, D_EMBD, D_FF_SHARED, true },
    { "blk.%d.ffn_up_shexp.weight", W_SHARED_UP, D_EMBD, D_FF_SHARED, true },
    { "blk.%d.ffn_down_shexp.weight", W_SHARED_DOWN, D_FF_SHARED, D_EMBD, true },
    { 0 },
};

const struct arch arch_granitemoe = {
    .name = "granitemoe",
    .rope_halves = false,
    .logits_divided = true,
    .router = { .weights_norm = true },
    .global = tensors_global,
    .layer = { { tensors_attention }, { tensors_experts, LAYERS_EXPERTS }, { tensors_maybe_shared, LAYERS_EXPERTS } },
};
