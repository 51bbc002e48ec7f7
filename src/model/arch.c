#include "model/arch.h"

#define ARCH(name) extern const struct arch arch_##name;
#include "model/arch.def"

const struct arch *const arch_all[] = {
#define ARCH(name) &arch_##name,
#include "model/arch.def"
    NULL,
};

const struct arch *arch_find(struct str name)
{
    for (int i = 0; arch_all[i]; i++)
        if (str_eq_z(name, arch_all[i]->name))
            return arch_all[i];
    return NULL;
}

const char *arch_names(void)
{
#define ARCH(name) ", " #name
    static const char names[] =
#include "model/arch.def"
        ;
    return names + 2; /* without the first comma */
}

const struct tensor_spec tensors_global[] = {
    { "token_embd.weight", G_TOKEN_EMBD, D_EMBD, D_VOCAB, false },
    { "output_norm.weight", G_OUTPUT_NORM, D_EMBD, D_NONE, false },
    { "output.weight", G_OUTPUT, D_EMBD, D_VOCAB, true }, /* absent: tied to the embedding */
    { "rope_freqs.weight", G_ROPE_FREQS, D_ROT, D_NONE, true },
    { 0 },
};

const struct tensor_spec tensors_attention[] = {
    { "blk.%d.attn_norm.weight", W_ATTN_NORM, D_EMBD, D_NONE, false },
    { "blk.%d.attn_q.weight", W_Q, D_EMBD, D_Q, false },
    { "blk.%d.attn_k.weight", W_K, D_EMBD, D_KV, false },
    { "blk.%d.attn_v.weight", W_V, D_EMBD, D_KV, false },
    { "blk.%d.attn_output.weight", W_O, D_Q, D_EMBD, false },
    { 0 },
};

const struct tensor_spec tensors_gated_ffn[] = {
    { "blk.%d.ffn_norm.weight", W_FFN_NORM, D_EMBD, D_NONE, false },
    { "blk.%d.ffn_gate.weight", W_GATE, D_EMBD, D_FF, false },
    { "blk.%d.ffn_up.weight", W_UP, D_EMBD, D_FF, false },
    { "blk.%d.ffn_down.weight", W_DOWN, D_FF, D_EMBD, false },
    { 0 },
};
