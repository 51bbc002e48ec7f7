"""hunyuan-dense: Hunyuan dense models. Llama with halves, and a norm of each head of Q and K.

Traps: these norms come after rotation; where the model's scaling is "dynamic" with an alpha, the converter writes
base * alpha ^ (d / (d - 2)) as the base, and a context of 256k; tied or not."""

from transformers import HunYuanDenseV1Config, HunYuanDenseV1ForCausalLM

from form import (GATED_FFN, ONES, PRE_NORMS, SAME, SHARP_NORM, TINY, Case, attention_rows, decoder_metadata,
                  decoder_rows)

QK_NORM = [("attn_q_norm.weight", "self_attn.query_layernorm.weight", SHARP_NORM, SAME),
           ("attn_k_norm.weight", "self_attn.key_layernorm.weight", SHARP_NORM, SAME)]


def case(name, flips, tied=False, rope=None, **more):
    c = HunYuanDenseV1Config(**TINY | {"head_dim": 32, "tie_word_embeddings": tied,
                                       "rope_parameters": rope or {"rope_type": "default", "rope_theta": 10000.0}})
    keys = decoder_metadata("hunyuan-dense", c, vocab_size=None, attention__key_length=32, attention__value_length=32,
                            **more)
    return Case(name, HunYuanDenseV1ForCausalLM, c, arch="hunyuan-dense", metadata=keys, rows=decoder_rows(tied=tied),
                layer=PRE_NORMS + attention_rows(c) + QK_NORM + GATED_FFN, flips=flips)


def cases():
    yield case("hunyuan-dense", {"norm of Q": {"tensors": {"attn_q_norm.weight": ONES}},
                                 "norm of K": {"tensors": {"attn_k_norm.weight": ONES}}})
    base = 10000.0 * 50.0 ** (32 / 30)
    yield case("hunyuan-dense-alpha", {"rope base": {"metadata": {"hunyuan-dense.rope.freq_base": 10000.0}}}, tied=True,
               rope={"rope_type": "dynamic", "rope_theta": 10000.0, "alpha": 50.0, "factor": 1.0},
               rope__freq_base=base, rope__scaling__type="none", rope__scaling__factor=1.0, context_length=262144,
               rope__scaling__original_context_length=262144)
