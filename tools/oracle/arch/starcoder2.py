"""starcoder2: StarCoder 2. Halves; layer norms with biases; biases everywhere; GELU (by tanh) without a gate.

Trap: attention.layer_norm_epsilon, not ..._rms_epsilon; some of the family have a window, which llama.cpp ignores."""

from transformers import Starcoder2Config, Starcoder2ForCausalLM

from form import BIAS, NORM, PLAIN, SAME, TINY, ZEROS, Case, attention_rows, bias_rows, decoder_metadata, decoder_rows

LAYER_NORMS = [("attn_norm.weight", "input_layernorm.weight", NORM, SAME),
               ("attn_norm.bias", "input_layernorm.bias", BIAS, SAME),
               ("ffn_norm.weight", "post_attention_layernorm.weight", NORM, SAME),
               ("ffn_norm.bias", "post_attention_layernorm.bias", BIAS, SAME)]
FFN = [("ffn_up.weight", "mlp.c_fc.weight", PLAIN, SAME), ("ffn_up.bias", "mlp.c_fc.bias", BIAS, SAME),
       ("ffn_down.weight", "mlp.c_proj.weight", PLAIN, SAME), ("ffn_down.bias", "mlp.c_proj.bias", BIAS, SAME)]
OUTPUT_BIAS = [("output_norm.bias", "model.norm.bias", BIAS, SAME)]


def cases():
    c = Starcoder2Config(**TINY | {"rope_parameters": {"rope_type": "default", "rope_theta": 100000.0}})
    yield Case("starcoder2", Starcoder2ForCausalLM, c, arch="starcoder2",
               metadata=decoder_metadata("starcoder2", c, vocab_size=None,
                                         attention__layer_norm_epsilon=c.norm_epsilon),
               rows=decoder_rows(tied=True) + OUTPUT_BIAS,
               layer=LAYER_NORMS + attention_rows(c) + bias_rows(c, output=True) + FFN,
               flips={"bias of norm": {"tensors": {"attn_norm.bias": ZEROS}},
                      "bias of up": {"tensors": {"ffn_up.bias": ZEROS}},
                      "bias of down": {"tensors": {"ffn_down.bias": ZEROS}},
                      "bias of O": {"tensors": {"attn_output.bias": ZEROS}},
                      "bias of the last norm": {"tensors": {"output_norm.bias": ZEROS}}})
