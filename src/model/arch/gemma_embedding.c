/* gemma_embedding.c: EmbeddingGemma.
 *
 * gemma3's body as an encoder: norms before and after the blocks, norms of Q and K, GELU by tanh with a gate,
 * embeddings times sqrt(n_embd). Traps: every 6th layer sees all, the others half a window on either side, by a rope
 * base of their own; no key says that tokens see both ways; the dense layers of real files act after
 * pooling (model_dense()). */
#include "model/arch.h"

static const struct tensor_spec global[] = {
    { "token_embd.weight", G_TOKEN_EMBD, D_EMBD, D_VOCAB, false },
    { "output_norm.weight", G_OUTPUT_NORM, D_EMBD, D_NONE, false },
    { "dense_2.weight", G_DENSE_2, D_EMBD, D_DENSE, true },
    { "dense_3.weight", G_DENSE_3, D_DENSE, D_EMBD, true },
    { 0 },
};

const struct arch arch_gemma_embedding = {
    .name = "gemma-embedding",
    .encoder = true,
    .rope_halves = true,
    .activation = ACTIVATION_GELU_TANH,
    .windows = WINDOWS_BUT_FULL,
    .window_period = 6,
    .rope_local = true,
    .embedding_sqrt = true,
    .global = global,
    .layer = { { tensors_attention }, { tensors_qk_norm }, { tensors_gated_ffn }, { tensors_post_norms } },
};
