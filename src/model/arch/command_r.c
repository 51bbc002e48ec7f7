/* command_r.c: Command R and R+ of 2024, Aya 23.
 *
 * Layer norms without biases; attention and feed-forward read the same norm; logits are multiplied by a small scale.
 * Trap: R+ has layer norms of queries and keys with weights of their own for each head; R has none. */
#include "model/arch.h"

static const struct tensor_spec layers[] = {
    { "blk.%d.attn_q_norm.weight", W_Q_NORM, D_HEAD, D_NONE, true, .mats = D_HEADS },
    { "blk.%d.attn_k_norm.weight", W_K_NORM, D_HEAD, D_NONE, true, .mats = D_KV_HEADS },
    { "blk.%d.ffn_gate.weight", W_GATE, D_EMBD, D_FF, false },
    { "blk.%d.ffn_up.weight", W_UP, D_EMBD, D_FF, false },
    { "blk.%d.ffn_down.weight", W_DOWN, D_FF, D_EMBD, false },
    { 0 },
};

const struct arch arch_command_r = {
    .name = "command-r",
    .rope_halves = false,
    .norm = NORM_LAYER,
    .parallel = true,
    .global = tensors_global,
    .layer = { { tensors_attention }, { layers } },
};
