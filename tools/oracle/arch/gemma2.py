"""gemma2: Gemma 2. The file's norms have 1 added; embeddings are scaled by sqrt(width) in the program, not in the file.

Traps: scores are capped before they are masked, logits at the end; even layers have the window (no key says which);
the 27B scales attention by 1 / sqrt(width / heads), which llama.cpp tells by its 46 layers; no key of rope at all."""

from transformers import Gemma2Config, Gemma2ForCausalLM

from form import GATED_FFN, MINUS_ONE, NORM, ONES, TINY, Case, attention_rows, decoder_metadata, decoder_rows

NORMS = [("attn_norm.weight", "input_layernorm.weight", NORM, MINUS_ONE),
         ("post_attention_norm.weight", "post_attention_layernorm.weight", NORM, MINUS_ONE),
         ("ffn_norm.weight", "pre_feedforward_layernorm.weight", NORM, MINUS_ONE),
         ("post_ffw_norm.weight", "post_feedforward_layernorm.weight", NORM, MINUS_ONE)]


def cases():
    c = Gemma2Config(**TINY | {"num_hidden_layers": 4, "head_dim": 32, "query_pre_attn_scalar": 32,
                               "sliding_window": 16, "attn_logit_softcapping": 5.0, "final_logit_softcapping": 5.0})
    yield Case("gemma2", Gemma2ForCausalLM, c, arch="gemma2",
               metadata=decoder_metadata("gemma2", c, vocab_size=None, rope__freq_base=None, attention__key_length=32,
                                         attention__value_length=32, attn_logit_softcapping=5.0,
                                         final_logit_softcapping=5.0, attention__sliding_window=16),
               rows=decoder_rows(tied=True, norm=MINUS_ONE), layer=NORMS + attention_rows(c) + GATED_FFN,
               flips={"window": {"metadata": {"gemma2.attention.sliding_window": 8}},
                      "cap of scores": {"metadata": {"gemma2.attn_logit_softcapping": 3.0}},
                      "cap of logits": {"metadata": {"gemma2.final_logit_softcapping": 4.0}},
                      "norm after attention": {"tensors": {"post_attention_norm.weight": ONES}}})
