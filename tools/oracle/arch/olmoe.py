"""olmoe: OLMoE. Halves; Q and K normed over the whole row; the best of a softmax over all experts, as they are: their
weights do not sum to 1."""

from transformers import OlmoeConfig, OlmoeForCausalLM

from form import ONES, PRE_NORMS, TINY, Case, attention_rows, decoder_metadata, decoder_rows, qk_norm_rows
from moe import expert_rows


def cases():
    c = OlmoeConfig(**TINY | {"num_experts": 8, "num_experts_per_tok": 3, "num_key_value_heads": 4,
                              "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}})
    yield Case("olmoe", OlmoeForCausalLM, c, arch="olmoe",
               metadata=decoder_metadata("olmoe", c, vocab_size=None, expert_count=8, expert_used_count=3),
               rows=decoder_rows(), layer=PRE_NORMS + attention_rows(c) + qk_norm_rows() + expert_rows(c),
               flips={"experts used": {"metadata": {"olmoe.expert_used_count": 2}},
                      "norm of K": {"tensors": {"attn_k_norm.weight": ONES}}})
