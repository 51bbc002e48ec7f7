"""gemma3: Gemma 3 (text). Like gemma2 without caps, with norms of Q and K; every 6th layer is global.

Traps: window layers rotate with rope.freq_base_swa (10000 where the key is absent, as in older files) and without the
global layers' linear scaling; which layers have the window is no key; the 27B (62 layers) scales attention by
1 / sqrt(width / heads)."""

from transformers import Gemma3ForCausalLM, Gemma3TextConfig

from arch.gemma2 import NORMS
from form import GATED_FFN, MINUS_ONE, ONES, TINY, Case, attention_rows, decoder_metadata, decoder_rows, qk_norm_rows


def case(name, metadata=None, flips=None, swa_key=True, **scaling):
    rope = {"full_attention": {"rope_type": "default", "rope_theta": 1000000.0, **scaling},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}
    c = Gemma3TextConfig(**TINY | {"num_hidden_layers": 7, "head_dim": 32, "query_pre_attn_scalar": 32,
                                   "sliding_window": 16, "rope_parameters": rope})
    keys = decoder_metadata("gemma3", c, vocab_size=None, attention__key_length=32, attention__value_length=32,
                            attention__sliding_window=16, rope__freq_base_swa=10000.0 if swa_key else None,
                            **(metadata or {}))
    return Case(name, Gemma3ForCausalLM, c, arch="gemma3", metadata=keys,
                rows=decoder_rows(tied=True, norm=MINUS_ONE),
                layer=NORMS + attention_rows(c) + qk_norm_rows(MINUS_ONE) + GATED_FFN, flips=flips or {})


def cases():
    yield case("gemma3", flips={"window": {"metadata": {"gemma3.attention.sliding_window": 8}},
                                "rope base of windows": {"metadata": {"gemma3.rope.freq_base_swa": 1000000.0}},
                                "rope base": {"metadata": {"gemma3.rope.freq_base": 1000.0}},
                                "norm of Q": {"tensors": {"attn_q_norm.weight": ONES}}})
    yield case("gemma3-linear", swa_key=False, rope_type="linear", factor=8.0,
               metadata={"rope__scaling__type": "linear", "rope__scaling__factor": 8.0},
               flips={"factor": {"metadata": {"gemma3.rope.scaling.factor": 1.0}}})
