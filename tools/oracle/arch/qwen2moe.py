"""qwen2moe: Qwen1.5-MoE, Qwen2-57B. The best of a softmax over all experts, as they are (their sum is not 1), and an
expert for all tokens, times the sigmoid of a row (ffn_gate_inp_shexp.weight, [width, 1] in the file).

Trap: norm_topk_prob has no key; llama.cpp takes it as false for qwen2moe and as true for qwen3moe."""

from transformers import Qwen2MoeConfig, Qwen2MoeForCausalLM

from form import PLAIN, PRE_NORMS, SAME, TINY, ZEROS, Case, attention_rows, bias_rows, decoder_metadata, decoder_rows
from moe import expert_rows, shared_rows


def cases():
    c = Qwen2MoeConfig(**TINY | {"num_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 32,
                                 "shared_expert_intermediate_size": 64, "norm_topk_prob": False,
                                 "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0}})
    gate = [("ffn_gate_inp_shexp.weight", "mlp.shared_expert_gate.weight", PLAIN, SAME)]
    yield Case("qwen2moe", Qwen2MoeForCausalLM, c, arch="qwen2moe",
               metadata=decoder_metadata("qwen2moe", c, vocab_size=None, expert_count=8, expert_used_count=3,
                                         expert_feed_forward_length=32, expert_shared_feed_forward_length=64),
               rows=decoder_rows(), layer=PRE_NORMS + attention_rows(c) + bias_rows(c) + expert_rows(c)
               + shared_rows("mlp.shared_expert") + gate,
               flips={"experts used": {"metadata": {"qwen2moe.expert_used_count": 2}},
                      "gate of the shared": {"tensors": {"ffn_gate_inp_shexp.weight": ZEROS}}})
