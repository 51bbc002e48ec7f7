"""qwen3next: Qwen3-Next 80B-A3B. 3 of 4 layers are gated delta nets, the others attention with a gate.

Delta net: attn_qkv gives queries and keys of ssm.group_count heads and values of ssm.time_step_rank heads, all of
ssm.state_size; they go through a causal convolution of ssm.conv_kernel taps and SiLU; queries and keys are divided by
sqrt(sum of squares + 1e-6), queries by sqrt(state_size) more; a key head serves time_step_rank / group_count
neighbouring value heads. Of a value head, with b and a of ssm_ba: g = exp(ssm_a softplus(a + dt)),
beta = sigmoid(b), state S: S *= g; S += k (beta (v - k S)); out = q S. That is normed by head (ssm_norm, without 1
added), times SiLU(attn_gate x), ssm_out. Attention: attn_q has of each head its query, then its gate; the output
times sigmoid(gate) goes into attn_output.

Traps: ssm_a has no ".weight" and is -exp(A_log) already; ssm_ba has of each key head its b's, then its a's; norms have
1 added in the file, but for ssm_norm; the norm before feed-forward is called post_attention_norm; which layers are
recurrent: attention.recurrent_layers, or all but every full_attention_interval-th where the key is absent (files
before 2026)."""

import torch
from transformers import Qwen3NextConfig, Qwen3NextForCausalLM

from form import (BIAS, MINUS_ONE, NORM, ONES, PLAIN, SAME, TINY, Case, Of, attention_rows, decoder_metadata,
                  decoder_rows, qk_norm_rows, uniform)
from moe import expert_rows, shared_rows

N_K, N_V, STATE, TAPS = 2, 4, 16, 4
SIZES = {"num_hidden_layers": 5, "head_dim": 32, "linear_num_key_heads": N_K, "linear_num_value_heads": N_V,
         "linear_key_head_dim": STATE, "linear_value_head_dim": STATE, "linear_conv_kernel_dim": TAPS}
EXPERTS = {"num_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 32,
           "shared_expert_intermediate_size": 64, "norm_topk_prob": True}
NORMS = [("attn_norm.weight", "input_layernorm.weight", NORM, MINUS_ONE),
         ("post_attention_norm.weight", "post_attention_layernorm.weight", NORM, MINUS_ONE)]
LOG_OF_MINUS = Of(lambda t: (-t).log())
CHANNEL = Of(lambda t: t.unsqueeze(1), lambda shape: [(shape[0], shape[2])])
DECAY = uniform(0.9, -1.0)


def by_key_head(qkv, z):
    """in_proj_qkvz: of each key head its query, its key, its values, their gates."""
    parts = [t.reshape(N_K, t.shape[0] // N_K, -1) for t in (*qkv.split([N_K * STATE, N_K * STATE, N_V * STATE]), z)]
    return torch.cat(parts, 1).flatten(0, 1)


QKVZ = Of(by_key_head, lambda shape: [(2 * N_K * STATE + N_V * STATE, shape[1]), (N_V * STATE, shape[1])])
DELTA = [(["attn_qkv.weight", "attn_gate.weight"], "linear_attn.in_proj_qkvz.weight", PLAIN, QKVZ),
         ("ssm_ba.weight", "linear_attn.in_proj_ba.weight", PLAIN, SAME),
         ("ssm_conv1d.weight", "linear_attn.conv1d.weight", uniform(1.0), CHANNEL),
         ("ssm_dt.bias", "linear_attn.dt_bias", BIAS, SAME), ("ssm_a", "linear_attn.A_log", DECAY, LOG_OF_MINUS),
         ("ssm_norm.weight", "linear_attn.norm.weight", NORM, SAME),
         ("ssm_out.weight", "linear_attn.out_proj.weight", PLAIN, SAME)]
RECURRENT = [True, True, True, False, True]


def metadata(arch, c, n_rot, **more):
    return decoder_metadata(arch, c, vocab_size=None, attention__key_length=32, attention__value_length=32,
                            ssm__conv_kernel=TAPS, ssm__state_size=STATE, ssm__group_count=N_K,
                            ssm__time_step_rank=N_V, ssm__inner_size=N_V * STATE, full_attention_interval=4,
                            attention__recurrent_layers=RECURRENT, rope__dimension_count=n_rot, **more)


def expert_metadata():
    return {"expert_count": 8, "expert_used_count": 3, "expert_feed_forward_length": 32,
            "expert_shared_feed_forward_length": 64}


def expert_layer(c):
    gate = [("ffn_gate_inp_shexp.weight", "mlp.shared_expert_gate.weight", PLAIN, SAME)]
    return expert_rows(c) + shared_rows("mlp.shared_expert") + gate


def flips(arch):
    return {"decay": {"tensors": {"ssm_a": {"scale": 0.0, "offset": -0.1}}},
            "taps": {"tensors": {"ssm_conv1d.weight": {"scale": 0.5}}},
            "dt": {"tensors": {"ssm_dt.bias": {"scale": 0.0, "offset": 1.0}}},
            "norm of states": {"tensors": {"ssm_norm.weight": ONES}},
            "rotated part": {"metadata": {arch + ".rope.dimension_count": 32}}}


def attention_layer(c):
    return attention_rows(c) + qk_norm_rows(MINUS_ONE)


def cases():
    rope = {"rope_type": "default", "rope_theta": 1000000.0, "partial_rotary_factor": 0.25}
    c = Qwen3NextConfig(**TINY | SIZES | EXPERTS | {"rope_parameters": rope})
    yield Case("qwen3next", Qwen3NextForCausalLM, c, arch="qwen3next",
               metadata=metadata("qwen3next", c, 8, **expert_metadata()), rows=decoder_rows(norm=MINUS_ONE),
               layer=lambda i: NORMS + (DELTA if RECURRENT[i] else attention_layer(c)) + expert_layer(c),
               flips=flips("qwen3next"))
