/* lfm2.c: LFM2 dense models, 350M to 2.6B.
 *
 * Most layers are gated short convolutions, the others attention as Qwen3 has it. Traps: which layer is which stands in
 * the list attention.head_count_kv (0: a convolution); the last norm is called token_embd_norm; a channel's last tap is
 * the newest token's; in_proj gives B, C and x, in this order. */
#include "model/arch.h"

const struct tensor_spec tensors_lfm2_global[] = {
    { "token_embd.weight", G_TOKEN_EMBD, D_EMBD, D_VOCAB, false },
    { "token_embd_norm.weight", G_OUTPUT_NORM, D_EMBD, D_NONE, false },
    { "output.weight", G_OUTPUT, D_EMBD, D_VOCAB, true }, /* absent: tied to the embedding */
    { 0 },
};

const struct tensor_spec tensors_short_conv[] = {
    { "blk.%d.attn_norm.weight", W_ATTN_NORM, D_EMBD, D_NONE, false },
    { "blk.%d.shortconv.in_proj.weight", W_MIX_IN, D_EMBD, D_MIX, false },
    { "blk.%d.shortconv.conv.weight", W_TAPS, D_TAPS, D_NONE, false, .mats = D_CONV },
    { "blk.%d.shortconv.out_proj.weight", W_MIX_OUT, D_INNER, D_EMBD, false },
    { 0 },
};

const struct arch arch_lfm2 = {
    .name = "lfm2",
    .rope_halves = true,
    .recurrence = RECURRENCE_SHORT_CONV,
    .global = tensors_lfm2_global,
    .layer = { { tensors_short_conv, LAYERS_RECURRENT },
               { tensors_attention, LAYERS_ATTENTION },
               { tensors_qk_norm, LAYERS_ATTENTION },
               { tensors_gated_ffn } },
};
