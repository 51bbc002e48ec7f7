/* llama.c: Llama 2 and 3.x, Mistral, Mixtral, SmolLM2, Yi and their many finetunes.
 *
 * The plain decoder: RMS norms before attention and feed-forward, grouped KV heads, RoPE on
 * adjacent pairs, SwiGLU. Traps: Llama 3.1 and later carry per-frequency factors in
 * rope_freqs.weight; some finetunes have biases; small ones tie the output to the embedding; with
 * experts, files older than 2024-04 have a tensor for each expert. */
#include "model/arch.h"

const struct arch arch_llama = {
    .name = "llama",
    .rope_halves = false,
    .router = { .weights_norm = true },
    .global = tensors_global,
    .layer = { { tensors_attention }, { tensors_optional_biases }, { tensors_gated_ffn, LAYERS_DENSE },
               { tensors_experts, LAYERS_EXPERTS } },
};
