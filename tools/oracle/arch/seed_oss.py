"""seed_oss: Seed-OSS. Halves; biases on Q, K and V; a head wider than width / heads.

Trap: the norm before feed-forward is called post_attention_norm in the file, and is no norm after attention."""

from transformers import SeedOssConfig, SeedOssForCausalLM

from form import (GATED_FFN, NORM, ONES, SAME, TINY, ZEROS, Case, attention_rows, bias_rows, decoder_metadata,
                  decoder_rows)

NORMS = [("attn_norm.weight", "input_layernorm.weight", NORM, SAME),
         ("post_attention_norm.weight", "post_attention_layernorm.weight", NORM, SAME)]


def cases():
    c = SeedOssConfig(**TINY | {"head_dim": 32, "rope_parameters": {"rope_type": "default", "rope_theta": 100000.0}})
    yield Case("seed_oss", SeedOssForCausalLM, c, arch="seed_oss",
               metadata=decoder_metadata("seed_oss", c, vocab_size=None, attention__key_length=32,
                                         attention__value_length=32),
               rows=decoder_rows(), layer=NORMS + attention_rows(c) + bias_rows(c) + GATED_FFN,
               flips={"bias of V": {"tensors": {"attn_v.bias": ZEROS}},
                      "norm": {"tensors": {"post_attention_norm.weight": ONES}}})
