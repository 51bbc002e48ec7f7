"""qwen3moe: Qwen3-30B-A3B, 235B, Coder. qwen3's attention; the best of a softmax over all experts, made to sum to 1
(no key says so)."""

from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

from form import PRE_NORMS, TINY, Case, attention_rows, decoder_metadata, decoder_rows, qk_norm_rows
from moe import expert_rows


def cases():
    c = Qwen3MoeConfig(**TINY | {"num_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 32,
                                 "head_dim": 32, "norm_topk_prob": True,
                                 "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0}})
    yield Case("qwen3moe", Qwen3MoeForCausalLM, c, arch="qwen3moe",
               metadata=decoder_metadata("qwen3moe", c, vocab_size=None, expert_count=8, expert_used_count=3,
                                         expert_feed_forward_length=32, attention__key_length=32,
                                         attention__value_length=32),
               rows=decoder_rows(), layer=PRE_NORMS + attention_rows(c) + qk_norm_rows() + expert_rows(c),
               flips={"experts used": {"metadata": {"qwen3moe.expert_used_count": 2}}})
