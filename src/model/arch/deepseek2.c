/* deepseek2.c: DeepSeek V2, V3 and R1, Kimi K2, GLM-4.7-Flash.
 *
 * Attention is latent (layer/latent.c). The first layers are dense; then experts, beside one that all tokens have.
 * V3's are chosen by sigmoids with a bias for the choice, from the groups whose best two are the best; V2's by a
 * softmax, from the groups with the best one, and their weights are left as they are (layer/moe.c). Lite models have
 * attn_q in one.
 *
 * Traps: yarn_log_multiplier is 0.1 times what papers and configs call mscale_all_dim (elsewhere it is that itself),
 * it lengthens scores by its square, and cosines stay as they are, since both mscales are the same; head_count_kv and
 * key_length are those of what is kept, *_length_mla those of heads; the norm of the latent leaves the rotated part
 * alone. */
#include <math.h>

#include "kernel/num.h"
#include "model/arch.h"

static void adjust(struct hparams *hp)
{
    struct rope_params *r = &hp->rope;
    double longer = 1;
    if (r->scaling == ROPE_YARN && r->factor > 1 && r->log_multiplier > 0) {
        longer += r->log_multiplier * num_log(r->factor);
        if (!(r->yarn_factor > 0))
            r->yarn_factor = 1;
    }
    if (!(hp->attention_scale > 0))
        hp->attention_scale = (float)(longer * longer / sqrt((double)hp->n_head_key));
}

static const struct tensor_spec tensors_latent[] = {
    { "blk.%d.attn_norm.weight", W_ATTN_NORM, D_EMBD, D_NONE, false },
    { "blk.%d.attn_kv_a_mqa.weight", W_KV_A, D_EMBD, D_KV, false },
    { "blk.%d.attn_kv_a_norm.weight", W_KV_A_NORM, D_LATENT, D_NONE, false },
    { "blk.%d.attn_k_b.weight", W_K_B, D_HEAD_PLAIN, D_LATENT, false, .mats = D_HEADS },
    { "blk.%d.attn_v_b.weight", W_V_B, D_LATENT, D_HEAD_VALUE, false, .mats = D_HEADS },
    { "blk.%d.attn_output.weight", W_O, D_HEAD_VALUES, D_EMBD, false },
    { 0 },
};

static const struct tensor_spec tensors_whole_q[] = {
    { "blk.%d.attn_q.weight", W_Q, D_EMBD, D_HEAD_KEYS, false },
    { 0 },
};

static const struct tensor_spec tensors_low_rank_q[] = {
    { "blk.%d.attn_q_a.weight", W_Q_A, D_EMBD, D_Q_RANK, false },
    { "blk.%d.attn_q_a_norm.weight", W_Q_A_NORM, D_Q_RANK, D_NONE, false },
    { "blk.%d.attn_q_b.weight", W_Q, D_Q_RANK, D_HEAD_KEYS, false },
    { 0 },
};

static const struct tensor_spec tensors_maybe_choice[] = {
    { "blk.%d.exp_probs_b.bias", W_SELECT_BIAS, D_EXPERTS, D_NONE, true },
    { 0 },
};

const struct arch arch_deepseek2 = {
    .name = "deepseek2",
    .latent = true,
    .adjust = adjust,
    .global = tensors_global,
    .layer = { { tensors_latent },
               { tensors_whole_q, LAYERS_WHOLE_Q },
               { tensors_low_rank_q, LAYERS_LOW_RANK_Q },
               { tensors_gated_ffn, LAYERS_DENSE },
               { tensors_experts, LAYERS_EXPERTS },
               { tensors_shared_expert, LAYERS_EXPERTS },
               { tensors_maybe_choice, LAYERS_EXPERTS } },
};
