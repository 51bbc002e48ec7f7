"""qwen35, qwen35moe: Qwen3.5 and 3.6 (text). qwen3next's layers with other tensors.

Traps: value heads are reordered in the file, so that value head i belongs to key head i mod group_count (in qwen3next
to key head i / (time_step_rank / group_count)): in attn_qkv's values, attn_gate, ssm_alpha, ssm_beta, ssm_a, ssm_dt,
ssm_conv1d's values and the columns of ssm_out. b and a have matrices of their own (ssm_beta, ssm_alpha). Sections of
rotation (rope.dimension_sections) matter for images only: positions of text are the same in all. Files of qwen35moe
have no feed_forward_length."""

import torch
from transformers import Qwen3_5ForCausalLM, Qwen3_5MoeForCausalLM, Qwen3_5MoeTextConfig, Qwen3_5TextConfig

from arch.qwen3next import (CHANNEL, DECAY, EXPERTS, N_K, N_V, NORMS, RECURRENT, SIZES, STATE, attention_layer,
                            expert_layer, expert_metadata, flips, metadata)
from form import BIAS, GATED_FFN, MINUS_ONE, NORM, PLAIN, SAME, TINY, Case, Of, decoder_rows, uniform


def grouped(t, size):
    """Rows of value heads of that size each: neighbours in the reference share a key head."""
    return t.reshape(N_V // N_K, N_K, size, -1).transpose(0, 1).reshape(t.shape)


def grouped_after(t):
    """Rows of queries and keys, then of values."""
    return torch.cat([t[:2 * N_K * STATE], grouped(t[2 * N_K * STATE:], STATE)])


HEADS, ROWS_OF_HEADS = Of(lambda t: grouped(t, 1)), Of(lambda t: grouped(t, STATE))
DELTA = [("attn_qkv.weight", "linear_attn.in_proj_qkv.weight", PLAIN, Of(grouped_after)),
         ("attn_gate.weight", "linear_attn.in_proj_z.weight", PLAIN, ROWS_OF_HEADS),
         ("ssm_beta.weight", "linear_attn.in_proj_b.weight", PLAIN, HEADS),
         ("ssm_alpha.weight", "linear_attn.in_proj_a.weight", PLAIN, HEADS),
         ("ssm_conv1d.weight", "linear_attn.conv1d.weight", uniform(1.0),
          Of(lambda t: grouped_after(t).unsqueeze(1), lambda shape: [(shape[0], shape[2])])),
         ("ssm_dt.bias", "linear_attn.dt_bias", BIAS, HEADS),
         ("ssm_a", "linear_attn.A_log", DECAY, Of(lambda t: (-grouped(t, 1)).log())),
         ("ssm_norm.weight", "linear_attn.norm.weight", NORM, SAME),
         ("ssm_out.weight", "linear_attn.out_proj.weight", PLAIN, Of(lambda t: grouped(t.T.contiguous(), STATE).T))]
ROPE = {"rope_type": "default", "rope_theta": 1000000.0, "partial_rotary_factor": 0.5, "mrope_section": [3, 3, 2],
        "mrope_interleaved": True}


def case(arch, model, c, ffn, **more):
    keys = metadata(arch, c, 16, rope__dimension_sections=[3, 3, 2, 0], **more)
    return Case(arch, model, c, arch=arch, metadata=keys, rows=decoder_rows(norm=MINUS_ONE),
                layer=lambda i: NORMS + (DELTA if RECURRENT[i] else attention_layer(c)) + ffn, flips=flips(arch))


def cases():
    c = Qwen3_5TextConfig(**TINY | SIZES | {"rope_parameters": dict(ROPE)})
    yield case("qwen35", Qwen3_5ForCausalLM, c, GATED_FFN)
    c = Qwen3_5MoeTextConfig(**TINY | SIZES | EXPERTS | {"rope_parameters": dict(ROPE)})
    yield case("qwen35moe", Qwen3_5MoeForCausalLM, c, expert_layer(c), **expert_metadata(), feed_forward_length=None)
