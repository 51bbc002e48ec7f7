/* exaone4.c: EXAONE 4, 1.2B and 32B.
 *
 * Blocks read the residual stream as it is; norms are over what they add; norms of queries and keys by head. Trap: the
 * 32B has a window in three of four layers, and only these rotate; the 1.2B has none, and all do. */
#include "model/arch.h"

static const struct tensor_spec attention[] = {
    { "blk.%d.attn_q.weight", W_Q, D_EMBD, D_Q, false },
    { "blk.%d.attn_k.weight", W_K, D_EMBD, D_KV, false },
    { "blk.%d.attn_v.weight", W_V, D_EMBD, D_KV, false },
    { "blk.%d.attn_output.weight", W_O, D_Q, D_EMBD, false },
    { 0 },
};

const struct arch arch_exaone4 = {
    .name = "exaone4",
    .rope_halves = true,
    .windows = WINDOWS_BUT_FULL,
    .window_period = 4,
    .rotated = ROTATED_BUT_FULL,
    .global = tensors_global,
    .layer = { { attention }, { tensors_qk_norm }, { tensors_gated_matrices }, { tensors_post_norms } },
};
