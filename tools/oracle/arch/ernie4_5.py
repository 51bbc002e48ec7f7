"""ernie4_5: ERNIE 4.5 (dense). Pairs, and the reference rotates pairs too: rows of Q and K are not reordered."""

from transformers import Ernie4_5Config, Ernie4_5ForCausalLM

from form import GATED_FFN, PRE_NORMS, TINY, Case, attention_rows, decoder_metadata, decoder_rows


def cases():
    c = Ernie4_5Config(**TINY | {"head_dim": 32, "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}})
    yield Case("ernie4_5", Ernie4_5ForCausalLM, c, arch="ernie4_5",
               metadata=decoder_metadata("ernie4_5", c, vocab_size=None, attention__key_length=32,
                                         attention__value_length=32),
               rows=decoder_rows(tied=True), layer=PRE_NORMS + attention_rows(c) + GATED_FFN,
               flips={"rope base": {"metadata": {"ernie4_5.rope.freq_base": 1000.0}}})
