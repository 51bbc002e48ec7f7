/* llama.c: Llama 2 and 3.x, Mistral, SmolLM2, Yi and their many finetunes.
 *
 * The plain decoder: RMS norms before attention and feed-forward, grouped KV heads, RoPE on
 * adjacent pairs, SwiGLU. Traps: Llama 3.1 and later carry per-frequency factors in
 * rope_freqs.weight; some finetunes have biases; small ones tie the output to the embedding. */
#include "model/arch.h"

static const struct tensor_spec biases[] = {
    { "blk.%d.attn_q.bias", W_Q_BIAS, D_Q, D_NONE, true },
    { "blk.%d.attn_k.bias", W_K_BIAS, D_KV, D_NONE, true },
    { "blk.%d.attn_v.bias", W_V_BIAS, D_KV, D_NONE, true },
    { "blk.%d.attn_output.bias", W_O_BIAS, D_EMBD, D_NONE, true },
    { 0 },
};

const struct arch arch_llama = {
    .name = "llama",
    .rope_halves = false,
    .global = tensors_global,
    .layer = { tensors_attention, biases, tensors_gated_ffn },
};
