"""deepseek2: DeepSeek V2, V3, R1, Kimi K2, GLM-4.7-Flash. Latent attention (MLA).

Keys and values come out of a latent vector (kv_lora_rank, normed); a head's query and key have a part without rotation
and one with (pairs), whose key all heads share. The file has kv_b_proj in two, of each head: attn_k_b turns the query
(transposed), attn_v_b the sum of latents; so a cache keeps the latent and the rotated key. head_count_kv is 1,
attention.key_length latent + rotated, value_length the latent; what a head really has is in *_length_mla.

Traps: yarn_log_multiplier is 0.1 times mscale_all_dim here (elsewhere it is that itself); scores are scaled by
1 / sqrt(key_length_mla) times (1 + 0.1 mscale_all_dim ln factor)^2, and cosines are not (mscale = mscale_all_dim).
Router: V3 sigmoids with a bias for the choice, from the best groups by the sum of their best two; V2 a softmax, whose
weights do not sum to 1. Files older than 2025-04 have attn_kv_b in one. Lite has attn_q in one; llama.cpp tells it by
26 or 27 layers (with 27, the golden's form is within 1.6e-4 there)."""

import torch
from transformers import DeepseekV2Config, DeepseekV2ForCausalLM, DeepseekV3Config, DeepseekV3ForCausalLM

from arch.glm4moe import CHOICE
from form import GATED_FFN, NORM, PLAIN, PRE_NORMS, SAME, SHARP, TINY, ZEROS, Case, Of, decoder_metadata, decoder_rows
from moe import ROUTER, SIGMOID_ROUTER, expert_rows, shared_rows

N_HEADS, LATENT, ROTATED, PLAIN_PART, VALUE = 4, 32, 16, 24, 16
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 8.0, "original_max_position_embeddings": 32,
        "beta_fast": 32.0, "beta_slow": 1.0}
SIZES = {"kv_lora_rank": LATENT, "qk_rope_head_dim": ROTATED, "qk_nope_head_dim": PLAIN_PART, "v_head_dim": VALUE,
         "num_key_value_heads": N_HEADS, "n_routed_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 32,
         "n_shared_experts": 2, "first_k_dense_replace": 1}


def joined(k_b, v_b):
    """kv_b_proj: of each head its rows for the key, then those for the value."""
    return torch.cat([k_b.transpose(1, 2), v_b], 1).flatten(0, 1)


def parts(shape):
    n_heads = shape[0] // (PLAIN_PART + VALUE)
    return [(n_heads, LATENT, PLAIN_PART), (n_heads, VALUE, LATENT)]


KV_B = Of(joined, parts)
LATENT_ROWS = [("attn_kv_a_mqa.weight", "self_attn.kv_a_proj_with_mqa.weight", SHARP, SAME),
               ("attn_kv_a_norm.weight", "self_attn.kv_a_layernorm.weight", NORM, SAME),
               (["attn_k_b.weight", "attn_v_b.weight"], "self_attn.kv_b_proj.weight", SHARP, KV_B),
               ("attn_output.weight", "self_attn.o_proj.weight", PLAIN, SAME)]
WHOLE_Q = [("attn_q.weight", "self_attn.q_proj.weight", SHARP, SAME)]
LOW_RANK_Q = [("attn_q_a.weight", "self_attn.q_a_proj.weight", PLAIN, SAME),
              ("attn_q_a_norm.weight", "self_attn.q_a_layernorm.weight", NORM, SAME),
              ("attn_q_b.weight", "self_attn.q_b_proj.weight", SHARP, SAME)]


def case(name, model, c, queries, experts, flips, **metadata):
    attention = PRE_NORMS + queries + LATENT_ROWS
    keys = decoder_metadata("deepseek2", c, attention__head_count_kv=1, attention__kv_lora_rank=LATENT,
                            attention__key_length=LATENT + ROTATED, attention__value_length=LATENT,
                            attention__key_length_mla=PLAIN_PART + ROTATED, attention__value_length_mla=VALUE,
                            rope__dimension_count=ROTATED, expert_count=8, expert_used_count=3,
                            expert_feed_forward_length=32, expert_shared_count=2, leading_dense_block_count=1,
                            rope__scaling__type="yarn", rope__scaling__factor=8.0,
                            rope__scaling__original_context_length=32, rope__scaling__yarn_beta_fast=32.0,
                            rope__scaling__yarn_beta_slow=1.0, **metadata)
    return Case(name, model, c, arch="deepseek2", metadata=keys, rows=decoder_rows(),
                layer=lambda i: attention + (GATED_FFN if i == 0 else experts + shared_rows("mlp.shared_experts")),
                flips=flips)


def cases():
    c = DeepseekV3Config(**TINY | SIZES | {"q_lora_rank": 32, "n_group": 4, "topk_group": 2, "norm_topk_prob": True,
                                           "routed_scaling_factor": 1.5, "scoring_func": "sigmoid",
                                           "rope_parameters": YARN | {"mscale": 1.0, "mscale_all_dim": 1.0}})
    yield case("deepseek2", DeepseekV3ForCausalLM, c, LOW_RANK_Q, expert_rows(c, router_fill=SIGMOID_ROUTER) + CHOICE,
               {"multiplier": {"metadata": {"deepseek2.rope.scaling.yarn_log_multiplier": 0.01}},
                "groups": {"metadata": {"deepseek2.expert_group_used_count": 3}},
                "bias of the choice": {"tensors": {"exp_probs_b.bias": ZEROS}},
                "scale of experts": {"metadata": {"deepseek2.expert_weights_scale": 1.0}},
                "sum of 1": {"metadata": {"deepseek2.expert_weights_norm": False}}},
               attention__q_lora_rank=32, expert_group_count=4, expert_group_used_count=2, expert_gating_func=2,
               expert_weights_scale=1.5, expert_weights_norm=True, rope__scaling__yarn_log_multiplier=0.1)
    c = DeepseekV2Config(**TINY | SIZES | {"q_lora_rank": None, "norm_topk_prob": False, "routed_scaling_factor": 1.0,
                                           "topk_method": "greedy", "scoring_func": "softmax",
                                           "rope_parameters": YARN | {"mscale": 0.707, "mscale_all_dim": 0.707}})
    yield case("deepseek2-lite", DeepseekV2ForCausalLM, c, WHOLE_Q, expert_rows(c, router_fill=ROUTER),
               {"multiplier": {"metadata": {"deepseek2.rope.scaling.yarn_log_multiplier": 0.01}}}, expert_gating_func=1,
               expert_weights_scale=1.0, rope__scaling__yarn_log_multiplier=0.0707)
    c = DeepseekV2Config(**TINY | SIZES | {"num_attention_heads": 2 * N_HEADS, "num_key_value_heads": 2 * N_HEADS,
                                           "q_lora_rank": 32, "n_group": 4, "topk_group": 2, "norm_topk_prob": False,
                                           "routed_scaling_factor": 4.0, "topk_method": "group_limited_greedy",
                                           "scoring_func": "softmax",
                                           "rope_parameters": YARN | {"mscale": 0.707, "mscale_all_dim": 0.707}})
    yield case("deepseek2-v2", DeepseekV2ForCausalLM, c, LOW_RANK_Q, expert_rows(c, router_fill=ROUTER),
               {"groups": {"metadata": {"deepseek2.expert_group_used_count": 3}},
                "scale of experts": {"metadata": {"deepseek2.expert_weights_scale": 1.0}},
                "sigmoids": {"metadata": {"deepseek2.expert_gating_func": 2}}},
               attention__q_lora_rank=32, expert_group_count=4, expert_group_used_count=2, expert_gating_func=1,
               expert_weights_scale=4.0, rope__scaling__yarn_log_multiplier=0.0707)
