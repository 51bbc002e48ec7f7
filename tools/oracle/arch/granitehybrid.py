"""granitehybrid: Granite 4 H. Most layers are Mamba-2, few attention without rotation; granite's scales; experts with
one for all tokens, or a dense feed-forward.

Mamba-2: ssm_in gives a gate z and x (ssm.inner_size each), B and C (ssm.group_count * ssm.state_size each) and dt of
each head (ssm.time_step_rank of them); x, B and C go through a causal convolution of ssm.conv_kernel taps with bias,
and SiLU. Of a head: dt = softplus(dt + ssm_dt), S = S exp(dt ssm_a) + dt x B, y = S C + ssm_d x; then
ssm_norm(y SiLU(z)), ssm_out.

Traps: head_count_kv is a list, 0 where the layer is Mamba-2; rope.scaling.finetuned false says that attention does not
rotate; ssm_a (already -exp(A_log)) and ssm_d have no ".weight" and the shape [1, heads], ssm_norm [inner / groups,
groups]; rows of Q and K are in pairs although nothing rotates; context_length is 2^20 whatever the model's."""

from transformers import GraniteMoeHybridConfig, GraniteMoeHybridForCausalLM

from arch.granitemoe import SCALES, SHARED
from arch.qwen3next import CHANNEL
from form import (BIAS, GATE_UP, NORM, PLAIN, PRE_NORMS, SAME, TINY, ZEROS, Case, Of, Pairs, attention_rows,
                  decoder_metadata, decoder_rows, uniform)
from moe import expert_rows

KINDS = ["mamba", "attention", "mamba", "mamba", "attention"]
COLUMN = Of(lambda t: t.flatten(), lambda shape: [(*shape, 1)])
MAMBA = [("ssm_in.weight", "mamba.in_proj.weight", PLAIN, SAME),
         ("ssm_conv1d.weight", "mamba.conv1d.weight", uniform(1.0), CHANNEL),
         ("ssm_conv1d.bias", "mamba.conv1d.bias", BIAS, SAME), ("ssm_dt.bias", "mamba.dt_bias", BIAS, SAME),
         ("ssm_a", "mamba.A_log", uniform(0.9, -1.0), Of(lambda t: (-t).log().flatten(), lambda shape: [(*shape, 1)])),
         ("ssm_d", "mamba.D", uniform(1.0, 0.5), COLUMN),
         ("ssm_norm.weight", "mamba.norm.weight", NORM, Of(lambda t: t.flatten(), lambda shape: [(1, *shape)])),
         ("ssm_out.weight", "mamba.out_proj.weight", PLAIN, SAME)]
DENSE = [(["ffn_gate.weight", "ffn_up.weight"], "shared_mlp.input_linear.weight", PLAIN, GATE_UP),
         ("ffn_down.weight", "shared_mlp.output_linear.weight", PLAIN, SAME)]
SIZES = {"num_hidden_layers": 5, "layer_types": KINDS, "mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_state": 16,
         "mamba_n_groups": 1, "mamba_expand": 2, "mamba_d_conv": 4, "position_embedding_type": "nope"}


def case(name, c, ffn, flips, **more):
    keys = decoder_metadata("granitehybrid", c, context_length=1 << 20, rope__dimension_count=16, embedding_scale=3.0,
                            residual_scale=0.5, attention__scale=0.5, logit_scale=4.0,
                            attention__head_count_kv=[0, 2, 0, 0, 2], ssm__conv_kernel=4, ssm__state_size=16,
                            ssm__group_count=1, ssm__inner_size=128, ssm__time_step_rank=8,
                            rope__scaling__finetuned=False, **more)
    flips |= {"decay": {"tensors": {"ssm_a": {"scale": 0.0, "offset": -0.1}}}, "d": {"tensors": {"ssm_d": ZEROS}},
              "bias of taps": {"tensors": {"ssm_conv1d.bias": ZEROS}},
              "dt": {"tensors": {"ssm_dt.bias": {"scale": 0.0, "offset": 1.0}}}}
    return Case(name, GraniteMoeHybridForCausalLM, c, arch="granitehybrid", metadata=keys, flips=flips,
                rows=decoder_rows(tied=True),
                layer=lambda i: PRE_NORMS + (MAMBA if KINDS[i] == "mamba" else attention_rows(c, Pairs)) + ffn)


def cases():
    dense = {"num_local_experts": 0, "num_experts_per_tok": 0, "shared_intermediate_size": 96}
    yield case("granitehybrid", GraniteMoeHybridConfig(**TINY | SCALES | SIZES | dense), DENSE, {},
               expert_count=0, expert_used_count=0, expert_shared_feed_forward_length=96)
    c = GraniteMoeHybridConfig(**TINY | SCALES | SIZES | {"shared_intermediate_size": 64})
    experts = expert_rows(c, "block_sparse_moe.router.weight", "block_sparse_moe.experts")
    yield case("granitehybrid-moe", c, experts + SHARED,
               {"experts used": {"metadata": {"granitehybrid.expert_used_count": 1}}},
               expert_count=8, expert_used_count=3, expert_shared_feed_forward_length=64)
