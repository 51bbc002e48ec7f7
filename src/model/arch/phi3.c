/* phi3.c: Phi-3, Phi-3.5, Phi-4 and their minis.
 *
 * Llama with RoPE on halves; queries, keys and values are one tensor, gate and up another. Traps: files of long
 * contexts have two lists of factors (rope.h); a part of each head is rotated in some; the window that metadata state
 * is used by no program that runs these files, and their answers are better without. */
#include "model/arch.h"

static const struct tensor_spec globals[] = {
    { "token_embd.weight", G_TOKEN_EMBD, D_EMBD, D_VOCAB, false },
    { "output_norm.weight", G_OUTPUT_NORM, D_EMBD, D_NONE, false },
    { "output.weight", G_OUTPUT, D_EMBD, D_VOCAB, true },
    { "rope_factors_long.weight", G_ROPE_LONG, D_ROT, D_NONE, true },
    { "rope_factors_short.weight", G_ROPE_SHORT, D_ROT, D_NONE, true },
    { 0 },
};

static const struct tensor_spec layers[] = {
    { "blk.%d.attn_norm.weight", W_ATTN_NORM, D_EMBD, D_NONE, false },
    { "blk.%d.attn_qkv.weight", W_QKV, D_EMBD, D_QKV, false },
    { "blk.%d.attn_output.weight", W_O, D_Q, D_EMBD, false },
    { "blk.%d.ffn_norm.weight", W_FFN_NORM, D_EMBD, D_NONE, false },
    { "blk.%d.ffn_up.weight", W_GATE_UP, D_EMBD, D_FF_TWICE, false },
    { "blk.%d.ffn_down.weight", W_DOWN, D_FF, D_EMBD, false },
    { 0 },
};

const struct arch arch_phi3 = {
    .name = "phi3",
    .rope_halves = true,
    .global = globals,
    .layer = { { layers } },
};
