/* seed_oss.c: Seed-OSS 36B.
 *
 * Qwen2 with heads wider than their share of the width. Trap: the norm before feed-forward is called as a norm after
 * attention is elsewhere. */
#include "model/arch.h"

static const struct tensor_spec ffn[] = {
    { "blk.%d.post_attention_norm.weight", W_FFN_NORM, D_EMBD, D_NONE, false },
    { "blk.%d.ffn_gate.weight", W_GATE, D_EMBD, D_FF, false },
    { "blk.%d.ffn_up.weight", W_UP, D_EMBD, D_FF, false },
    { "blk.%d.ffn_down.weight", W_DOWN, D_FF, D_EMBD, false },
    { 0 },
};

const struct arch arch_seed_oss = {
    .name = "seed_oss",
    .rope_halves = true,
    .global = tensors_global,
    .layer = { { tensors_attention }, { tensors_optional_biases }, { ffn } },
};
