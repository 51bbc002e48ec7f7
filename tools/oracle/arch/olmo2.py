"""olmo2: OLMo 2 and 3. Halves; norms only after attention and feed-forward; Q and K normed over the whole row.

OLMo 3 has a window on 3 of 4 layers (attention.sliding_window_pattern, a list of bools), and its yarn on the global
layers only: window layers rotate without scaling and without its factor of cosines."""

from transformers import Olmo2Config, Olmo2ForCausalLM, Olmo3Config, Olmo3ForCausalLM

from form import GATED_FFN, NORM, ONES, SAME, TINY, Case, attention_rows, decoder_metadata, decoder_rows, qk_norm_rows

FACTOR = 1.2079441541679836  # of cosines and sines: 1 + 0.1 ln 8, which such files state
NORMS = [("post_attention_norm.weight", "post_attention_layernorm.weight", NORM, SAME),
         ("post_ffw_norm.weight", "post_feedforward_layernorm.weight", NORM, SAME)]


def case(name, model, c, flips, **metadata):
    return Case(name, model, c, arch="olmo2", metadata=decoder_metadata("olmo2", c, vocab_size=None, **metadata),
                rows=decoder_rows(), layer=attention_rows(c) + qk_norm_rows() + NORMS + GATED_FFN, flips=flips)


def cases():
    c = Olmo2Config(**TINY | {"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}})
    yield case("olmo2", Olmo2ForCausalLM, c,
               {"rope base": {"metadata": {"olmo2.rope.freq_base": 1000.0}},
                "norm of K": {"tensors": {"attn_k_norm.weight": ONES}}})
    rope = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 8.0, "original_max_position_embeddings": 32,
            "beta_fast": 32.0, "beta_slow": 1.0, "attention_factor": FACTOR}
    ropes = {"full_attention": rope, "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}
    c = Olmo3Config(**TINY | {"num_hidden_layers": 5, "sliding_window": 16, "rope_parameters": ropes})
    yield case("olmo3", Olmo3ForCausalLM, c,
               {"window": {"metadata": {"olmo2.attention.sliding_window": 8}},
                "pattern": {"metadata": {"olmo2.attention.sliding_window_pattern": [True] * 4 + [False]}},
                "factor": {"metadata": {"olmo2.rope.scaling.factor": 1.0}}},
               attention__sliding_window=16, attention__sliding_window_pattern=[True, True, True, False, True],
               rope__freq_base_swa=10000.0, rope__scaling__type="yarn", rope__scaling__factor=8.0,
               rope__scaling__original_context_length=32, rope__scaling__yarn_attn_factor=FACTOR,
               rope__scaling__yarn_beta_fast=32.0, rope__scaling__yarn_beta_slow=1.0)
