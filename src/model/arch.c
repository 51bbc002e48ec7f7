#include "model/arch.h"

#include <stdio.h>
#include <string.h>

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

const char *arch_names(char *out, size_t room)
{
    static const char more[] = " and more";
    out[0] = '\0';
    for (size_t i = 0, n = 0; arch_all[i]; i++) {
        size_t bytes = strlen(arch_all[i]->name) + (i ? 2 : 0);
        if (n + bytes + (arch_all[i + 1] ? sizeof more : 1) > room) {
            snprintf(out + n, room - n, "%s", more);
            break;
        }
        n += (size_t)snprintf(out + n, room - n, "%s%s", i ? ", " : "", arch_all[i]->name);
    }
    return out;
}

const struct tensor_spec tensors_global[] = {
    { "token_embd.weight", G_TOKEN_EMBD, D_EMBD, D_VOCAB, false },
    { "output_norm.weight", G_OUTPUT_NORM, D_EMBD, D_NONE, false },
    { "output.weight", G_OUTPUT, D_EMBD, D_VOCAB, true }, /* absent: tied to the embedding */
    { "rope_freqs.weight", G_ROPE_FREQS, D_ROT, D_NONE, true },
    { 0 },
};

const struct tensor_spec tensors_global_biased[] = {
    { "token_embd.weight", G_TOKEN_EMBD, D_EMBD, D_VOCAB, false },
    { "output_norm.weight", G_OUTPUT_NORM, D_EMBD, D_NONE, false },
    { "output_norm.bias", G_OUTPUT_NORM_BIAS, D_EMBD, D_NONE, true },
    { "output.weight", G_OUTPUT, D_EMBD, D_VOCAB, true },
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

const struct tensor_spec tensors_qkv_biases[] = {
    { "blk.%d.attn_q.bias", W_Q_BIAS, D_Q, D_NONE, false },
    { "blk.%d.attn_k.bias", W_K_BIAS, D_KV, D_NONE, false },
    { "blk.%d.attn_v.bias", W_V_BIAS, D_KV, D_NONE, false },
    { 0 },
};

const struct tensor_spec tensors_optional_biases[] = {
    { "blk.%d.attn_q.bias", W_Q_BIAS, D_Q, D_NONE, true },
    { "blk.%d.attn_k.bias", W_K_BIAS, D_KV, D_NONE, true },
    { "blk.%d.attn_v.bias", W_V_BIAS, D_KV, D_NONE, true },
    { "blk.%d.attn_output.bias", W_O_BIAS, D_EMBD, D_NONE, true },
    { 0 },
};

const struct tensor_spec tensors_qk_norm[] = {
    { "blk.%d.attn_q_norm.weight", W_Q_NORM, D_HEAD, D_NONE, false },
    { "blk.%d.attn_k_norm.weight", W_K_NORM, D_HEAD, D_NONE, false },
    { 0 },
};

const struct tensor_spec tensors_qk_norm_by_head[] = {
    { "blk.%d.attn_q_norm.weight", W_Q_NORM, D_HEAD, D_NONE, true, .mats = D_HEADS },
    { "blk.%d.attn_k_norm.weight", W_K_NORM, D_HEAD, D_NONE, true, .mats = D_KV_HEADS },
    { 0 },
};

const struct tensor_spec tensors_gated_ffn[] = {
    { "blk.%d.ffn_norm.weight", W_FFN_NORM, D_EMBD, D_NONE, false },
    { "blk.%d.ffn_gate.weight", W_GATE, D_EMBD, D_FF, false },
    { "blk.%d.ffn_up.weight", W_UP, D_EMBD, D_FF, false },
    { "blk.%d.ffn_down.weight", W_DOWN, D_FF, D_EMBD, false },
    { 0 },
};

const struct tensor_spec tensors_gated_matrices[] = {
    { "blk.%d.ffn_gate.weight", W_GATE, D_EMBD, D_FF, false },
    { "blk.%d.ffn_up.weight", W_UP, D_EMBD, D_FF, false },
    { "blk.%d.ffn_down.weight", W_DOWN, D_FF, D_EMBD, false },
    { 0 },
};

const struct tensor_spec tensors_plain_ffn[] = {
    { "blk.%d.ffn_norm.weight", W_FFN_NORM, D_EMBD, D_NONE, false },
    { "blk.%d.ffn_up.weight", W_UP, D_EMBD, D_FF, false },
    { "blk.%d.ffn_down.weight", W_DOWN, D_FF, D_EMBD, false },
    { 0 },
};

const struct tensor_spec tensors_post_norms[] = {
    { "blk.%d.post_attention_norm.weight", W_ATTN_POST_NORM, D_EMBD, D_NONE, false },
    { "blk.%d.post_ffw_norm.weight", W_FFN_POST_NORM, D_EMBD, D_NONE, false },
    { 0 },
};

const struct tensor_spec tensors_classifier[] = {
    { "cls.weight", G_CLS, D_EMBD, D_EMBD, true },
    { "cls.bias", G_CLS_BIAS, D_EMBD, D_NONE, true },
    { "cls.output.weight", G_CLS_OUT, D_EMBD, D_LABELS, true },
    { "cls.output.bias", G_CLS_OUT_BIAS, D_LABELS, D_NONE, true },
    { 0 },
};

const struct tensor_spec tensors_layer_embd[] = {
    { "per_layer_token_embd.weight", G_LAYER_EMBD, D_EMBD_LAYERS, D_VOCAB, false },
    { "per_layer_model_proj.weight", G_LAYER_PROJ, D_EMBD, D_EMBD_LAYERS, false },
    { "per_layer_proj_norm.weight", G_LAYER_PROJ_NORM, D_EMBD_LAYER, D_NONE, false },
    { 0 },
};

const struct tensor_spec tensors_sum_norms[] = {
    { "blk.%d.attn_output_norm.weight", W_ATTN_SUM_NORM, D_EMBD, D_NONE, false },
    { "blk.%d.attn_output_norm.bias", W_ATTN_SUM_NORM_BIAS, D_EMBD, D_NONE, false },
    { "blk.%d.layer_output_norm.weight", W_FFN_SUM_NORM, D_EMBD, D_NONE, false },
    { "blk.%d.layer_output_norm.bias", W_FFN_SUM_NORM_BIAS, D_EMBD, D_NONE, false },
    { 0 },
};

const struct tensor_spec tensors_experts[] = {
    { "blk.%d.ffn_norm.weight", W_FFN_NORM, D_EMBD, D_NONE, false },
    { "blk.%d.ffn_gate_inp.weight", W_ROUTER, D_EMBD, D_EXPERTS, false },
    { "blk.%d.ffn_gate_exps.weight", W_EXPERT_GATE, D_EMBD, D_FF_EXPERT, false, .mats = D_EXPERTS },
    { "blk.%d.ffn_up_exps.weight", W_EXPERT_UP, D_EMBD, D_FF_EXPERT, false, .mats = D_EXPERTS },
    { "blk.%d.ffn_down_exps.weight", W_EXPERT_DOWN, D_FF_EXPERT, D_EMBD, false, .mats = D_EXPERTS },
    { 0 },
};

const struct tensor_spec tensors_shared_expert[] = {
    { "blk.%d.ffn_gate_shexp.weight", W_SHARED_GATE, D_EMBD, D_FF_SHARED, false },
    { "blk.%d.ffn_up_shexp.weight", W_SHARED_UP, D_EMBD, D_FF_SHARED, false },
    { "blk.%d.ffn_down_shexp.weight", W_SHARED_DOWN, D_FF_SHARED, D_EMBD, false },
    { 0 },
};
