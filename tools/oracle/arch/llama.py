"""llama: Llama 2 and 3.x. transformers rotates halves, the file adjacent pairs: the converter reorders rows of Q and K.

Llama 3.1's scaling is no key of the file but a tensor, rope_freqs.weight: what to divide each frequency by."""

import math

from transformers import LlamaConfig, LlamaForCausalLM

from form import (GATED_FFN, PRE_NORMS, TINY, ZEROS, Case, Pairs, attention_rows, bias_rows, decoder_metadata,
                  decoder_rows)


def case(name, flips=None, extra=(), metadata=None, biases=False, **changes):
    c = LlamaConfig(**TINY | changes)
    layer = PRE_NORMS + attention_rows(c, Pairs) + (bias_rows(c, Pairs, output=True) if biases else []) + GATED_FFN
    return Case(name, LlamaForCausalLM, c, arch="llama", flips=flips or {}, extra=list(extra),
                metadata=decoder_metadata("llama", c, rope__dimension_count=c.head_dim,
                                          attention__key_length=c.head_dim,
                                          attention__value_length=c.head_dim, **(metadata or {})),
                rows=decoder_rows(c.tie_word_embeddings), layer=layer)


def llama3_factors(base, n_rot, factor, low, high, n_ctx):
    """What frequencies are divided by: 1 for short waves, factor for long ones, a ramp between (arXiv 2407.21783)."""
    found = []
    for i in range(0, n_rot, 2):
        wavelength = 2 * math.pi * base ** (i / n_rot)
        ramp = min(max((n_ctx / wavelength - low) / (high - low), 0.0), 1.0)
        found.append(1 / ((1 - ramp) / factor + ramp))
    return found


def cases():
    yield case("llama", num_hidden_layers=4, rope_parameters={"rope_type": "default", "rope_theta": 1000.0},
               flips={"rope base": {"metadata": {"llama.rope.freq_base": 500.0}},
                      "norm epsilon": {"metadata": {"llama.attention.layer_norm_rms_epsilon": 0.09}}})
    yield case("llama-tied-biases", tie_word_embeddings=True, attention_bias=True, biases=True, head_dim=32,
               flips={"bias of Q": {"tensors": {"attn_q.bias": ZEROS}},
                      "bias of O": {"tensors": {"attn_output.bias": ZEROS}}})
    yield case("llama-linear", rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0},
               metadata={"rope__scaling__type": "linear", "rope__scaling__factor": 4.0},
               flips={"factor": {"metadata": {"llama.rope.scaling.factor": 2.0}}})
    scaling = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    yield case("llama-llama3", rope_parameters={"rope_type": "llama3", "rope_theta": 10000.0, **scaling,
                                                "original_max_position_embeddings": 32},
               extra=[("rope_freqs.weight", [8], {"values": llama3_factors(10000.0, 16, 8.0, 1.0, 4.0, 32)})],
               flips={"factors": {"tensors": {"rope_freqs.weight": None}}})
