"""qwen3: Qwen3. Halves; a norm over each head of Q and K before they are rotated; head size apart from the width."""

from transformers import Qwen3Config, Qwen3ForCausalLM

from form import GATED_FFN, ONES, PRE_NORMS, TINY, Case, attention_rows, decoder_metadata, decoder_rows, qk_norm_rows


def cases():
    c = Qwen3Config(**TINY | {"head_dim": 32, "rms_norm_eps": 1e-6,
                              "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0}})
    yield Case("qwen3", Qwen3ForCausalLM, c, arch="qwen3",
               metadata=decoder_metadata("qwen3", c, vocab_size=None, attention__key_length=32,
                                         attention__value_length=32),
               rows=decoder_rows(), layer=PRE_NORMS + attention_rows(c) + qk_norm_rows() + GATED_FFN,
               flips={"norm of Q": {"tensors": {"attn_q_norm.weight": ONES}},
                      "rope base": {"metadata": {"qwen3.rope.freq_base": 10000.0}}})
