/* olmo2.c: OLMo 2, and OLMo 3, which has the same name in files.
 *
 * Blocks read the residual stream as it is; norms are over what they add. Queries and keys are normed over the whole
 * row. Trap: OLMo 3 has a window in three of four layers, which rotate without the YaRN of the others. */
#include "model/arch.h"

static const struct tensor_spec layers[] = {
    { "blk.%d.attn_q.weight", W_Q, D_EMBD, D_Q, false },
    { "blk.%d.attn_k.weight", W_K, D_EMBD, D_KV, false },
    { "blk.%d.attn_v.weight", W_V, D_EMBD, D_KV, false },
    { "blk.%d.attn_output.weight", W_O, D_Q, D_EMBD, false },
    { "blk.%d.attn_q_norm.weight", W_Q_NORM, D_Q, D_NONE, false },
    { "blk.%d.attn_k_norm.weight", W_K_NORM, D_KV, D_NONE, false },
    { "blk.%d.ffn_gate.weight", W_GATE, D_EMBD, D_FF, false },
    { "blk.%d.ffn_up.weight", W_UP, D_EMBD, D_FF, false },
    { "blk.%d.ffn_down.weight", W_DOWN, D_FF, D_EMBD, false },
    { 0 },
};

const struct arch arch_olmo2 = {
    .name = "olmo2",
    .rope_halves = true,
    .windows = WINDOWS_BUT_FULL,
    .window_period = 4,
    .rope_local = true,
    .rope_local_same_base = true,
    .global = tensors_global,
    .layer = { { layers }, { tensors_post_norms } },
};
