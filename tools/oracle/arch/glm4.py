"""glm4: GLM-4 (9B, 32B of 2025). Pairs, of the first half of each head; a second norm after attention and after
feed-forward; gate and up in one tensor (gate first).

Trap: the reference rotates pairs too, so rows of Q and K are not reordered. Biases on Q, K, V in some."""

from transformers import Glm4Config, Glm4ForCausalLM

from form import NORM, ONES, PLAIN, SAME, TINY, Case, attention_rows, bias_rows, decoder_metadata, decoder_rows

NORMS = [("attn_norm.weight", "input_layernorm.weight", NORM, SAME),
         ("post_attention_norm.weight", "post_self_attn_layernorm.weight", NORM, SAME),
         ("ffn_norm.weight", "post_attention_layernorm.weight", NORM, SAME),
         ("post_ffw_norm.weight", "post_mlp_layernorm.weight", NORM, SAME)]
FFN = [("ffn_up.weight", "mlp.gate_up_proj.weight", PLAIN, SAME),
       ("ffn_down.weight", "mlp.down_proj.weight", PLAIN, SAME)]


def cases():
    c = Glm4Config(**TINY | {"head_dim": 32, "attention_bias": True,
                             "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0,
                                                 "partial_rotary_factor": 0.5}})
    yield Case("glm4", Glm4ForCausalLM, c, arch="glm4",
               metadata=decoder_metadata("glm4", c, vocab_size=None, rope__dimension_count=16, attention__key_length=32,
                                         attention__value_length=32),
               rows=decoder_rows(), layer=NORMS + attention_rows(c) + bias_rows(c) + FFN,
               flips={"rotated part": {"metadata": {"glm4.rope.dimension_count": 32}},
                      "bias of K": {"tensors": {"attn_k.bias": None, "attn_q.bias": None, "attn_v.bias": None}},
                      "norm after": {"tensors": {"post_ffw_norm.weight": ONES}}})
