/* synth_shapes.c: published dimensions, one line a model. */
#include "cli/synth.h"

/* The numbers of merges: Llama 3's list names every pair that makes a token (280,147 of them for
 * 127,744 tokens), Qwen's one pair for each of its 151,387 tokens. */
const struct synth_shape synth_shapes[] = {
    { .name = "llama-3.2-1b", .family = SYNTH_LLAMA3, .n_layers = 16, .n_embd = 2048, .n_heads = 32, .n_kv_heads = 8,
      .head_dim = 64, .n_ff = 8192, .n_ctx_train = 131072, .rope_base = 500000, .rope_factor = 32, .rms_eps = 1e-5,
      .tied = true, .n_vocab = 128256, .n_base = 128000, .n_merges = 280147 },
    { .name = "qwen3-0.6b", .family = SYNTH_QWEN3, .n_layers = 28, .n_embd = 1024, .n_heads = 16, .n_kv_heads = 8,
      .head_dim = 128, .n_ff = 3072, .n_ctx_train = 40960, .rope_base = 1e6, .rms_eps = 1e-6,
      .tied = true, .n_vocab = 151936, .n_base = 151643, .n_merges = 151387 },
    { .name = "qwen3-1.7b", .family = SYNTH_QWEN3, .n_layers = 28, .n_embd = 2048, .n_heads = 16, .n_kv_heads = 8,
      .head_dim = 128, .n_ff = 6144, .n_ctx_train = 40960, .rope_base = 1e6, .rms_eps = 1e-6,
      .tied = true, .n_vocab = 151936, .n_base = 151643, .n_merges = 151387 },
    { .name = "qwen3-4b", .family = SYNTH_QWEN3, .n_layers = 36, .n_embd = 2560, .n_heads = 32, .n_kv_heads = 8,
      .head_dim = 128, .n_ff = 9728, .n_ctx_train = 40960, .rope_base = 1e6, .rms_eps = 1e-6,
      .tied = true, .n_vocab = 151936, .n_base = 151643, .n_merges = 151387 },
    /* 48 layers as published; these are so many that a benchmark has room for them. */
    { .name = "qwen3-30b-a3b-8l", .family = SYNTH_QWEN3, .n_layers = 8, .n_embd = 2048, .n_heads = 32, .n_kv_heads = 4,
      .head_dim = 128, .n_ff = 6144, .n_experts = 128, .n_experts_used = 8, .n_ff_expert = 768, .n_ctx_train = 40960,
      .rope_base = 1e6, .rms_eps = 1e-6, .tied = false, .n_vocab = 151936, .n_base = 151643, .n_merges = 151387 },
    { .name = "llama-3.1-8b", .family = SYNTH_LLAMA3, .n_layers = 32, .n_embd = 4096, .n_heads = 32, .n_kv_heads = 8,
      .head_dim = 128, .n_ff = 14336, .n_ctx_train = 131072, .rope_base = 500000, .rope_factor = 8, .rms_eps = 1e-5,
      .tied = false, .n_vocab = 128256, .n_base = 128000, .n_merges = 280147 },
    /* Nobody published this one: the smallest that K-quants (rows of 256) and tests want. */
    { .name = "tiny", .family = SYNTH_LLAMA3, .n_layers = 2, .n_embd = 256, .n_heads = 4, .n_kv_heads = 2,
      .head_dim = 64, .n_ff = 512, .n_ctx_train = 2048, .rope_base = 10000, .rms_eps = 1e-5,
      .tied = true, .n_vocab = 1280, .n_base = 1024, .n_merges = 1100 },
    { .name = NULL },
};

/* As users' files mix them: the tied embedding is the output matrix and gets its type. */
const struct synth_type synth_types[] = {
    { "Q4_K_M", 15, .matrix = "q4_K", .more_bits = "q6_K", .output = "q6_K", .embedding = "q4_K" },
    { "Q6_K", 18, .matrix = "q6_K", .more_bits = "q6_K", .output = "q6_K", .embedding = "q6_K" },
    { "Q8_0", 7, .matrix = "q8_0", .more_bits = "q8_0", .output = "q8_0", .embedding = "q8_0" },
    { "Q4_0", 2, .matrix = "q4_0", .more_bits = "q4_0", .output = "q6_K", .embedding = "q4_0" },
    { "F16", 1, .matrix = "f16", .more_bits = "f16", .output = "f16", .embedding = "f16" },
    { NULL },
};
