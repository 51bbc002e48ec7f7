"""glm4moe: GLM-4.5, 4.6, Air. Halves, of the first half of each head; biases on Q, K and V; norms of Q and K in the
larger ones; the first layers dense, then experts and one for all tokens.

Router: sigmoids; the best of sigmoid + exp_probs_b (a bias for the choice alone); made to sum to 1
(expert_weights_norm), times expert_weights_scale. Traps: the norm before feed-forward is called post_attention_norm;
block_count counts nextn_predict_layers more layers at the end (with nextn.* tensors), which take no part in a pass."""

from transformers import Glm4MoeConfig, Glm4MoeForCausalLM

from arch.seed_oss import NORMS
from form import (BIAS, GATED_FFN, NORM, PLAIN, SAME, TINY, ZEROS, Case, attention_rows, bias_rows, decoder_metadata,
                  decoder_rows, qk_norm_rows)
from moe import CHOICE_BIAS, SIGMOID_ROUTER, expert_rows, shared_rows

CHOICE = [("exp_probs_b.bias", "mlp.gate.e_score_correction_bias", CHOICE_BIAS, SAME)]


def nextn(c, layer):
    """Tensors of a layer that predicts another token: those of a layer, and its own."""
    n, vectors = c.hidden_size, ("enorm", "hnorm", "shared_head_norm")
    of = f"blk.{c.num_hidden_layers}."
    shapes = {"attn_q": [n, n], "attn_k": [n, n // 2], "attn_v": [n, n // 2], "attn_output": [n, n],
              "ffn_gate_inp": [n, 8], "ffn_gate_exps": [n, 32, 8], "ffn_up_exps": [n, 32, 8],
              "ffn_down_exps": [32, n, 8], "ffn_gate_shexp": [n, 32], "ffn_up_shexp": [n, 32],
              "ffn_down_shexp": [32, n], "attn_norm": [n], "post_attention_norm": [n]}
    found = [(of + "nextn.eh_proj.weight", [2 * n, n], PLAIN([2 * n]))]
    found += [(f"{of}nextn.{v}.weight", [n], NORM([n])) for v in vectors]
    for name, *_ in layer:
        for name in [name] if isinstance(name, str) else name:
            stem, kind = name.rsplit(".", 1)
            shape = [8] if stem == "exp_probs_b" else shapes[stem][-1:] if kind == "bias" else shapes[stem]
            found.append((of + name, shape, BIAS(shape) if kind == "bias" else PLAIN(shape)))
    return found


def case(name, flips, qk_norm, n_nextn=0):
    rope = {"rope_type": "default", "rope_theta": 100000.0, "partial_rotary_factor": 0.5}
    c = Glm4MoeConfig(**TINY | {"head_dim": 16, "attention_bias": True, "use_qk_norm": qk_norm, "n_routed_experts": 8,
                                "num_experts_per_tok": 3, "moe_intermediate_size": 32, "n_shared_experts": 1,
                                "first_k_dense_replace": 1, "routed_scaling_factor": 1.5, "norm_topk_prob": True,
                                "num_mtp_layers": n_nextn, "rope_parameters": rope})
    attention = NORMS + attention_rows(c) + bias_rows(c) + (qk_norm_rows() if qk_norm else [])
    experts = attention + expert_rows(c, router_fill=SIGMOID_ROUTER) + CHOICE + shared_rows("mlp.shared_experts")
    keys = decoder_metadata("glm4moe", c, vocab_size=None, block_count=3 + n_nextn, attention__key_length=16,
                            attention__value_length=16, rope__dimension_count=8, expert_count=8, expert_used_count=3,
                            expert_group_count=1, expert_group_used_count=1, expert_feed_forward_length=32,
                            expert_shared_count=1, leading_dense_block_count=1, expert_gating_func=2,
                            expert_weights_scale=1.5, expert_weights_norm=True, nextn_predict_layers=n_nextn)
    return Case(name, Glm4MoeForCausalLM, c, arch="glm4moe", metadata=keys, rows=decoder_rows(),
                layer=lambda i: attention + GATED_FFN if i == 0 else experts, flips=flips,
                extra=nextn(c, experts) if n_nextn else [])


def cases():
    yield case("glm4moe", {"scale of experts": {"metadata": {"glm4moe.expert_weights_scale": 1.0}},
                           "bias of the choice": {"tensors": {"exp_probs_b.bias": ZEROS}},
                           "sum of 1": {"metadata": {"glm4moe.expert_weights_norm": False}},
                           "rotated part": {"metadata": {"glm4moe.rope.dimension_count": 16}}}, qk_norm=True)
    yield case("glm4moe-nextn", {"experts used": {"metadata": {"glm4moe.expert_used_count": 2}}},
               qk_norm=False, n_nextn=1)
