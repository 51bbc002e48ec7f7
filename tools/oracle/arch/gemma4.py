"""gemma4: Gemma 4 (text): E2B and E4B, and the 26B-A4B with experts.

Halves; scores are not scaled (1); norms of Q and K by head, and of V without a weight; global layers have wider heads
(attention.key_length) than those with the window (key_length_swa), and heads of their own number (head_count_kv is a
list then). Without attn_v a layer's values are its keys before their norm and rotation. Global layers rotate by
rope_freqs.weight, where 1e30 is a pair that does not turn; embeddings times sqrt(width); tied.

E models: the last attention.shared_kv_layers read keys and values of the last layer before them that has the same
window or none (and feed_forward_length may be a list). Each layer adds post_norm(proj(gelu(inp_gate x) * p)) with p a
part of (per_layer_proj_norm(per_layer_model_proj x0 / sqrt(width)) + per_layer_token_embd * sqrt(its width)) / sqrt(2).
Then the layer's output times layer_output_scale.

With experts: post_ffw_norm(post_ffw_norm_1(ffn(ffn_norm x)) + post_ffw_norm_2(experts(pre_ffw_norm_2 x))); the router
reads x normed without a weight, times ffn_gate_inp.scale / sqrt(width); the best of a softmax, made to sum to 1, times
ffn_down_exps.scale of the expert; gate and up are one tensor (gate first).

Traps: norms have no 1 added here; "scale" tensors have no ".weight"; 1e30 must not overflow."""

from transformers import Gemma4ForCausalLM, Gemma4TextConfig

from form import (EMBEDDING, GATED_FFN, NORM, ONES, PLAIN, SAME, TINY, ZEROS, Case, attention_rows, decoder_metadata,
                  decoder_rows, qk_norm_rows, uniform)
from moe import ROUTER

KINDS = ["sliding_attention", "full_attention"] * 3
QK_NORM = uniform(0.4, 0.8)
NORMS = [("attn_norm.weight", "input_layernorm.weight", NORM, SAME),
         ("post_attention_norm.weight", "post_attention_layernorm.weight", NORM, SAME),
         ("ffn_norm.weight", "pre_feedforward_layernorm.weight", NORM, SAME),
         ("post_ffw_norm.weight", "post_feedforward_layernorm.weight", NORM, SAME)]
SCALE = [("layer_output_scale.weight", "layer_scalar", uniform(0.3, 0.8), SAME)]
PER_LAYER = [("inp_gate.weight", "per_layer_input_gate.weight", PLAIN, SAME),
             ("proj.weight", "per_layer_projection.weight", PLAIN, SAME),
             ("post_norm.weight", "post_per_layer_input_norm.weight", NORM, SAME)]
PER_LAYER_ROWS = [("per_layer_token_embd.weight", "model.embed_tokens_per_layer.weight", EMBEDDING, SAME),
                  ("per_layer_model_proj.weight", "model.per_layer_model_projection.weight", PLAIN, SAME),
                  ("per_layer_proj_norm.weight", "model.per_layer_projection_norm.weight", NORM, SAME)]
EXPERTS = [("ffn_gate_inp.weight", "router.proj.weight", ROUTER, SAME),
           ("ffn_gate_inp.scale", "router.scale", uniform(4.0, 8.0), SAME),
           ("ffn_gate_up_exps.weight", "experts.gate_up_proj", PLAIN, SAME),
           ("ffn_down_exps.weight", "experts.down_proj", PLAIN, SAME),
           ("ffn_down_exps.scale", "router.per_expert_scale", uniform(0.5, 1.0), SAME),
           ("post_ffw_norm_1.weight", "post_feedforward_layernorm_1.weight", NORM, SAME),
           ("pre_ffw_norm_2.weight", "pre_feedforward_layernorm_2.weight", NORM, SAME),
           ("post_ffw_norm_2.weight", "post_feedforward_layernorm_2.weight", NORM, SAME)]
FREQS = [("rope_freqs.weight", [16], {"values": [1.0] * 4 + [1e30] * 12})]


def attention(c, without=()):
    """Rows of a layer's attention that the layer has."""
    rows = attention_rows(c, fill=PLAIN) + qk_norm_rows(fill=QK_NORM)
    return [row for row in rows if row[0].split(".")[0] not in without]


def case(name, c, rows, layer, flips, **more):
    keys = {"vocab_size": None, "rope__freq_base_swa": 10000.0, "attention__key_length": 32,
            "attention__value_length": 32, "attention__key_length_swa": 16, "attention__value_length_swa": 16,
            "rope__dimension_count": 32, "rope__dimension_count_swa": 16, "attention__sliding_window": 16,
            "attention__sliding_window_pattern": [k == "sliding_attention" for k in KINDS],
            "final_logit_softcapping": 5.0}
    flips |= {"window": {"metadata": {"gemma4.attention.sliding_window": 8}},
              "scale of layers": {"tensors": {"layer_output_scale.weight": ONES}},
              "pairs that do not turn": {"tensors": {"rope_freqs.weight": {"values": [1.0] * 16}}}}
    c.allow_global_per_layer_attribute_access = True  # those of the window layers
    return Case(name, Gemma4ForCausalLM, c, arch="gemma4", metadata=decoder_metadata("gemma4", c, **keys | more),
                rows=decoder_rows(tied=True) + rows, layer=layer, extra=FREQS, flips=flips)


def cases():
    tiny = TINY | {"num_hidden_layers": 6, "head_dim": 16, "global_head_dim": 32, "layer_types": KINDS,
                   "sliding_window": 16, "final_logit_softcapping": 5.0, "vocab_size_per_layer_input": 128}
    c = Gemma4TextConfig(**tiny | {"hidden_size_per_layer_input": 32, "num_kv_shared_layers": 2,
                                   "use_double_wide_mlp": True})
    shared = ("attn_k", "attn_v", "attn_k_norm")
    yield case("gemma4-e", c, PER_LAYER_ROWS,
               lambda i: NORMS + attention(c, shared if i >= 4 else ()) + GATED_FFN + PER_LAYER + SCALE,
               {"embedding of layers": {"tensors": {"per_layer_token_embd.weight": ZEROS}}},
               embedding_length_per_layer_input=32, attention__shared_kv_layers=2,
               feed_forward_length=[96] * 4 + [192] * 2)
    d = Gemma4TextConfig(**tiny | {"hidden_size_per_layer_input": 0, "attention_k_eq_v": True, "num_experts": 8,
                                   "num_global_key_value_heads": 1, "enable_moe_block": True, "top_k_experts": 3,
                                   "moe_intermediate_size": 32})
    yield case("gemma4-moe", d, [],
               lambda i: NORMS + attention(d, ("attn_v",) if i % 2 else ()) + GATED_FFN + EXPERTS + SCALE,
               {"scale of experts": {"tensors": {"ffn_down_exps.scale": ONES}},
                "experts used": {"metadata": {"gemma4.expert_used_count": 2}}},
               embedding_length_per_layer_input=0, attention__shared_kv_layers=0,
               attention__head_count_kv=[2, 1] * 3, expert_count=8, expert_used_count=3, expert_feed_forward_length=32)
