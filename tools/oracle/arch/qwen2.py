"""qwen2: Qwen2 and 2.5. Halves; biases on Q, K and V; yarn as written for longer contexts."""

from transformers import Qwen2Config, Qwen2ForCausalLM

from form import GATED_FFN, PRE_NORMS, TINY, ZEROS, Case, attention_rows, bias_rows, decoder_metadata, decoder_rows


def case(name, metadata=None, flips=None, **changes):
    c = Qwen2Config(**TINY | changes)
    return Case(name, Qwen2ForCausalLM, c, arch="qwen2", flips=flips or {},
                metadata=decoder_metadata("qwen2", c, vocab_size=None, **(metadata or {})),
                rows=decoder_rows(c.tie_word_embeddings),
                layer=PRE_NORMS + attention_rows(c) + bias_rows(c) + GATED_FFN)


def cases():
    yield case("qwen2", tie_word_embeddings=True, rms_norm_eps=1e-6,
               rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
               flips={"bias of Q": {"tensors": {"attn_q.bias": ZEROS}},
                      "bias of V": {"tensors": {"attn_v.bias": ZEROS}},
                      "rope base": {"metadata": {"qwen2.rope.freq_base": 10000.0}}})
    yield case("qwen2-yarn", rms_norm_eps=1e-6,
               rope_parameters={"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0,
                                "original_max_position_embeddings": 32},
               metadata={"rope__scaling__type": "yarn", "rope__scaling__factor": 4.0,
                         "rope__scaling__original_context_length": 32},
               flips={"yarn": {"metadata": {"qwen2.rope.scaling.type": "none"}},
                      "original context": {"metadata": {"qwen2.rope.scaling.original_context_length": 64}}})
