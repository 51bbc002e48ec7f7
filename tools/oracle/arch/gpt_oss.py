"""gpt-oss: halves with yarn; biases on everything; a sink of each head that joins the sum of the softmax; even layers
have the window (no key says which).

Experts: the best of the router's logits (with bias), then a softmax over those alone. An expert is
(up' + 1) * gate' * sigmoid(1.702 gate') with gate' = min(gate, 7) and up' held within -7 .. 7; neither number is a key.
The reference's gates and ups alternate; the file has them apart. Here the experts are f32, in real files mxfp4, in the
order of nibbles of other types. Traps: the norm before the experts is called post_attention_norm. The ends of yarn's
ramp are not rounded to whole dimensions ("truncate": false), for which there is no key; llama.cpp rounds them, as all
other models here do, so it is far from this golden and near one with truncate true (1.3e-5)."""

from transformers import GptOssConfig, GptOssForCausalLM

from arch.seed_oss import NORMS
from form import (BIAS, PLAIN, SAME, TINY, ZEROS, Case, attention_rows, bias_rows, decoder_metadata, decoder_rows,
                  matrix, uniform)
from moe import ROUTER, TRANSPOSED, interleaved

LARGE = matrix(4.0)  # so that the clamps act
EXPERTS = [("ffn_gate_inp.weight", "mlp.router.weight", ROUTER, SAME),
           ("ffn_gate_inp.bias", "mlp.router.bias", BIAS, SAME),
           (["ffn_gate_exps.weight", "ffn_up_exps.weight"], "mlp.experts.gate_up_proj", LARGE, interleaved(True)),
           (["ffn_gate_exps.bias", "ffn_up_exps.bias"], "mlp.experts.gate_up_proj_bias", BIAS, interleaved(False)),
           ("ffn_down_exps.weight", "mlp.experts.down_proj", PLAIN, TRANSPOSED),
           ("ffn_down_exps.bias", "mlp.experts.down_proj_bias", BIAS, SAME)]


def cases():
    rope = {"rope_type": "yarn", "rope_theta": 150000.0, "factor": 8.0, "beta_fast": 32.0, "beta_slow": 1.0,
            "truncate": False, "original_max_position_embeddings": 32}
    c = GptOssConfig(**TINY | {"num_hidden_layers": 4, "num_local_experts": 8, "num_experts_per_tok": 3, "head_dim": 32,
                               "sliding_window": 16, "rope_parameters": rope})
    keys = decoder_metadata("gpt-oss", c, vocab_size=None, attention__key_length=32, attention__value_length=32,
                            attention__sliding_window=16, expert_count=8, expert_used_count=3,
                            expert_feed_forward_length=96, rope__scaling__type="yarn", rope__scaling__factor=8.0,
                            rope__scaling__original_context_length=32, rope__scaling__yarn_beta_fast=32.0,
                            rope__scaling__yarn_beta_slow=1.0)
    sinks = [("attn_sinks.weight", "self_attn.sinks", uniform(2.0, 2.0), SAME)]
    yield Case("gpt-oss", GptOssForCausalLM, c, arch="gpt-oss", metadata=keys, rows=decoder_rows(),
               layer=NORMS + attention_rows(c) + bias_rows(c, output=True) + sinks + EXPERTS,
               flips={"sinks": {"tensors": {"attn_sinks.weight": {"scale": 0.0, "offset": -30.0}}},
                      "window": {"metadata": {"gpt-oss.attention.sliding_window": 8}},
                      "bias of the router": {"tensors": {"ffn_gate_inp.bias": ZEROS}},
                      "bias of down": {"tensors": {"ffn_down_exps.bias": ZEROS}},
                      "bias of gate": {"tensors": {"ffn_gate_exps.bias": ZEROS}},
                      "experts used": {"metadata": {"gpt-oss.expert_used_count": 2}},
                      "yarn": {"metadata": {"gpt-oss.rope.scaling.factor": 1.0}}})
