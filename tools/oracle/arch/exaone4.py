"""exaone4: EXAONE 4. Halves; norms of Q and K by head; norms only after attention and feed-forward.

Traps: where there is a window (32B), 3 of 4 layers have it and only they rotate; without one (1.2B) all rotate, with
llama3's factors as rope_freqs.weight. llama.cpp gives both forms the factors, and takes the window only in a model of
64 layers (or more: whatever has its key)."""

from transformers import Exaone4Config, Exaone4ForCausalLM

from arch.llama import llama3_factors
from form import GATED_FFN, NORM, ONES, SAME, TINY, Case, attention_rows, decoder_metadata, decoder_rows, qk_norm_rows

NORMS = [("post_attention_norm.weight", "post_attention_layernorm.weight", NORM, SAME),
         ("post_ffw_norm.weight", "post_feedforward_layernorm.weight", NORM, SAME)]
ROPE = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32}
FACTORS = [("rope_freqs.weight", [8], {"values": llama3_factors(10000.0, 16, 8.0, 1.0, 4.0, 32)})]


def case(name, flips, window=None, pattern=None, **changes):
    c = Exaone4Config(**TINY | {"rope_parameters": ROPE, "sliding_window": window} | changes)
    keys = decoder_metadata("exaone4", c, attention__sliding_window=window, attention__sliding_window_pattern=pattern)
    return Case(name, Exaone4ForCausalLM, c, arch="exaone4", metadata=keys, rows=decoder_rows(c.tie_word_embeddings),
                layer=attention_rows(c) + qk_norm_rows() + NORMS + GATED_FFN, extra=FACTORS, flips=flips)


def cases():
    yield case("exaone4", {"window": {"metadata": {"exaone4.attention.sliding_window": 8}},
                           "factors": {"tensors": {"rope_freqs.weight": None}},
                           "norm of K": {"tensors": {"attn_k_norm.weight": ONES}}},
               16, [True, True, True, False, True], num_hidden_layers=5)
    yield case("exaone4-full", {"factors": {"tensors": {"rope_freqs.weight": None}}}, tie_word_embeddings=True,
               layer_types=["full_attention"] * 3)
