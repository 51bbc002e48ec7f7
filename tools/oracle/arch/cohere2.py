"""cohere2: Command R7B, A. Layer norms without bias; attention and feed-forward of the same normed input, both added.

Traps: every 4th layer sees all and rotates nothing, the others have the window (no key says which); pairs, and the
reference rotates pairs too; logits are multiplied with logit_scale; output tied."""

from transformers import Cohere2Config, Cohere2ForCausalLM

from form import GATED_FFN, NORM, SAME, TINY, Case, attention_rows, decoder_metadata, decoder_rows


def cases():
    c = Cohere2Config(**TINY | {"num_hidden_layers": 5, "sliding_window": 16, "logit_scale": 0.25, "rotary_pct": 1.0,
                                "rope_parameters": {"rope_type": "default", "rope_theta": 50000.0}})
    yield Case("cohere2", Cohere2ForCausalLM, c, arch="cohere2",
               metadata=decoder_metadata("cohere2", c, attention__layer_norm_epsilon=c.layer_norm_eps, logit_scale=0.25,
                                         attention__sliding_window=16, rope__dimension_count=16,
                                         rope__scaling__type="none", attention__key_length=16,
                                         attention__value_length=16),
               rows=decoder_rows(tied=True),
               layer=[("attn_norm.weight", "input_layernorm.weight", NORM, SAME)] + attention_rows(c) + GATED_FFN,
               flips={"window": {"metadata": {"cohere2.attention.sliding_window": 8}},
                      "scale of logits": {"metadata": {"cohere2.logit_scale": 1.0}}})
