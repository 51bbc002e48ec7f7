"""llama with experts: Mixtral. The best of a softmax over all experts, made to sum to 1.

Traps: the experts' width is feed_forward_length itself (no expert_feed_forward_length); files older than 2024-04 have
a tensor for each expert."""

from transformers import MixtralConfig, MixtralForCausalLM

from form import PRE_NORMS, TINY, Case, Pairs, attention_rows, decoder_metadata, decoder_rows
from moe import expert_rows


def cases():
    c = MixtralConfig(**TINY | {"num_local_experts": 8, "num_experts_per_tok": 3, "head_dim": 16,
                                "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0}})
    yield Case("llama-moe", MixtralForCausalLM, c, arch="llama",
               metadata=decoder_metadata("llama", c, rope__dimension_count=16, attention__key_length=16,
                                         attention__value_length=16, expert_count=8, expert_used_count=3),
               rows=decoder_rows(), layer=PRE_NORMS + attention_rows(c, Pairs) + expert_rows(c),
               flips={"experts used": {"metadata": {"llama.expert_used_count": 2}}})
