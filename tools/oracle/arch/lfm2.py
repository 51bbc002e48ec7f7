"""lfm2, lfm2moe: LFM2. Most layers are gated short convolutions: in_proj gives B, C and x of the width each; x times B
goes through a causal convolution of shortconv.l_cache taps of each channel, times C, out_proj. The others are
attention: halves, norms of Q and K by head.

Traps: head_count_kv is a list, 0 where the layer is a convolution; the last norm is called token_embd_norm and stands
after the layers; a tap's last value is the newest token's. lfm2moe: sigmoids, exp_probs_b for the choice, made to sum
to 1 (no key says so)."""

from transformers import Lfm2Config, Lfm2ForCausalLM, Lfm2MoeConfig, Lfm2MoeForCausalLM

from form import (EMBEDDING, NORM, PLAIN, SAME, SHARP, SHARP_NORM, TINY, ZEROS, Case, Of, decoder_metadata, uniform)
from moe import CHOICE_BIAS, SIGMOID_ROUTER, expert_rows

KINDS = ["conv", "full_attention", "conv", "full_attention", "conv"]
TAPS = Of(lambda t: t.unsqueeze(1), lambda shape: [(shape[0], shape[2])])
NORMS = [("attn_norm.weight", "operator_norm.weight", NORM, SAME), ("ffn_norm.weight", "ffn_norm.weight", NORM, SAME)]
CONV = [("shortconv.in_proj.weight", "conv.in_proj.weight", PLAIN, SAME),
        ("shortconv.conv.weight", "conv.conv.weight", uniform(1.0), TAPS),
        ("shortconv.out_proj.weight", "conv.out_proj.weight", PLAIN, SAME)]
ATTENTION = [("attn_q.weight", "self_attn.q_proj.weight", SHARP, SAME),
             ("attn_k.weight", "self_attn.k_proj.weight", SHARP, SAME),
             ("attn_v.weight", "self_attn.v_proj.weight", PLAIN, SAME),
             ("attn_output.weight", "self_attn.out_proj.weight", PLAIN, SAME),
             ("attn_q_norm.weight", "self_attn.q_layernorm.weight", SHARP_NORM, SAME),
             ("attn_k_norm.weight", "self_attn.k_layernorm.weight", SHARP_NORM, SAME)]
FFN = [("ffn_gate.weight", "feed_forward.w1.weight", PLAIN, SAME),
       ("ffn_up.weight", "feed_forward.w3.weight", PLAIN, SAME),
       ("ffn_down.weight", "feed_forward.w2.weight", PLAIN, SAME)]
ROWS = [("token_embd.weight", "model.embed_tokens.weight", EMBEDDING, SAME),
        ("token_embd_norm.weight", "model.embedding_norm.weight", NORM, SAME)]
SIZES = {"num_hidden_layers": 5, "layer_types": KINDS, "conv_L_cache": 3, "tie_word_embeddings": True,
         "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0}}
N_KV = [0, 2, 0, 2, 0]


def layer(ffn):
    return lambda i: NORMS + (CONV if KINDS[i] == "conv" else ATTENTION) + ffn(i)


def cases():
    c = Lfm2Config(**TINY | SIZES | {"block_auto_adjust_ff_dim": False})
    yield Case("lfm2", Lfm2ForCausalLM, c, arch="lfm2",
               metadata=decoder_metadata("lfm2", c, attention__head_count_kv=N_KV, shortconv__l_cache=3,
                                         attention__layer_norm_rms_epsilon=c.norm_eps),
               rows=ROWS, layer=layer(lambda i: FFN),
               flips={"taps": {"tensors": {"shortconv.conv.weight": {"scale": 0.5}}},
                      "rope base": {"metadata": {"lfm2.rope.freq_base": 1000.0}}})
    c = Lfm2MoeConfig(**TINY | SIZES | {"num_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 32,
                                        "num_dense_layers": 2, "use_expert_bias": True, "norm_topk_prob": True,
                                        "routed_scaling_factor": 1.0})
    experts = expert_rows(c, "feed_forward.gate.weight", "feed_forward.experts", SIGMOID_ROUTER)
    experts += [("exp_probs_b.bias", "feed_forward.expert_bias", CHOICE_BIAS, SAME)]
    yield Case("lfm2moe", Lfm2MoeForCausalLM, c, arch="lfm2moe",
               metadata=decoder_metadata("lfm2moe", c, attention__head_count_kv=N_KV, shortconv__l_cache=3,
                                         attention__layer_norm_rms_epsilon=c.norm_eps, expert_count=8,
                                         expert_used_count=3, expert_feed_forward_length=32, expert_gating_func=2,
                                         leading_dense_block_count=2),
               rows=ROWS, layer=layer(lambda i: FFN if i < 2 else experts),
               flips={"bias of the choice": {"tensors": {"exp_probs_b.bias": ZEROS}},
                      "experts used": {"metadata": {"lfm2moe.expert_used_count": 2}}})
