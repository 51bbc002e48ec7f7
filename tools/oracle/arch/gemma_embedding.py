"""gemma-embedding: EmbeddingGemma. gemma3's body where every token sees every other; window layers
|i - j| <= sliding_window / 2. Real files also have dense_2.weight and dense_3.weight, which act after pooling: no part
of this golden."""

from transformers import Gemma3TextConfig, Gemma3TextModel

from arch.gemma2 import NORMS
from form import GATED_FFN, MINUS_ONE, TINY, Case, attention_rows, decoder_metadata, decoder_rows, qk_norm_rows


def cases():
    rope = {"full_attention": {"rope_type": "default", "rope_theta": 1000000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}
    c = Gemma3TextConfig(**TINY | {"num_hidden_layers": 7, "head_dim": 32, "query_pre_attn_scalar": 32,
                                   "sliding_window": 16, "use_bidirectional_attention": True,
                                   "rope_parameters": rope})
    keys = decoder_metadata("gemma-embedding", c, vocab_size=None, attention__key_length=32,
                            attention__value_length=32, attention__sliding_window=16, rope__freq_base_swa=10000.0)
    yield Case("gemma-embedding", Gemma3TextModel, c, arch="gemma-embedding", metadata=keys,
               rows=decoder_rows(tied=True, norm=MINUS_ONE, prefix=""), output="hidden", prefix="layers.",
               layer=NORMS + attention_rows(c) + qk_norm_rows(MINUS_ONE) + GATED_FFN,
               flips={"window": {"metadata": {"gemma-embedding.attention.sliding_window": 8}},
                      "rope base": {"metadata": {"gemma-embedding.rope.freq_base": 1000.0}}})
