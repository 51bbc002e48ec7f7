"""stablelm: StableLM 2. Halves, of a part of each head; layer norms with biases; SwiGLU; biases on Q, K, V in some.

The 12B has norms of Q and K with weights of their own for each head ([head size, heads] in the file, layer norms) and
no ffn_norm: attention and feed-forward read the same normed input. Trap: use_parallel_residual is written, but the
absence of ffn_norm is what says so."""

from transformers import StableLmConfig, StableLmForCausalLM

from arch.starcoder2 import LAYER_NORMS, OUTPUT_BIAS
from form import (GATED_FFN, ONES, SHARP_NORM, TINY, ZEROS, Case, Of, attention_rows, bias_rows, decoder_metadata,
                  decoder_rows)


def head(i, n_heads):
    """One head's weights out of those of all."""
    return Of(lambda t: t[i], lambda shape: [(n_heads, *shape)])


def case(name, flips, layer, parallel=False, **changes):
    rope = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25}
    c = StableLmConfig(**TINY | {"rope_parameters": rope, "head_dim": 32, "hidden_size": 128} | changes)
    keys = decoder_metadata("stablelm", c, vocab_size=None, rope__freq_base=None, rope__dimension_count=8,
                            attention__layer_norm_epsilon=c.layer_norm_eps, use_parallel_residual=parallel)
    return Case(name, StableLmForCausalLM, c, arch="stablelm", metadata=keys, rows=decoder_rows() + OUTPUT_BIAS,
                layer=layer(c), flips=flips)


def layer_of_12b(c):
    norms = []
    for what, n in (("q", c.num_attention_heads), ("k", c.num_key_value_heads)):
        norms += [(f"attn_{what}_norm.weight", f"self_attn.{what}_layernorm.norms.{i}.weight", SHARP_NORM, head(i, n))
                  for i in range(n)]
    return LAYER_NORMS[:2] + attention_rows(c) + norms + GATED_FFN


def cases():
    yield case("stablelm", {"rotated part": {"metadata": {"stablelm.rope.dimension_count": 32}},
                            "bias of Q": {"tensors": {"attn_q.bias": ZEROS}},
                            "bias of norm": {"tensors": {"ffn_norm.bias": ZEROS}}},
               lambda c: LAYER_NORMS + attention_rows(c) + bias_rows(c) + GATED_FFN, use_qkv_bias=True)
    yield case("stablelm-12b", {"norm of Q": {"tensors": {"attn_q_norm.weight": ONES}}},
               layer_of_12b, parallel=True, use_parallel_residual=True, qk_layernorm=True)
