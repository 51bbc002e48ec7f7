"""granitemoe: Granite 3 with experts. granite's scales; a softmax over the logits of the chosen experts (which is the
softmax over all, made to sum to 1). The shared form adds an expert for all tokens, without a gate."""

from transformers import (GraniteMoeConfig, GraniteMoeForCausalLM, GraniteMoeSharedConfig, GraniteMoeSharedForCausalLM)

from form import (GATE_UP, PLAIN, PRE_NORMS, SAME, TINY, ZEROS, Case, Pairs, attention_rows, decoder_metadata,
                  decoder_rows)
from moe import expert_rows

SCALES = {"embedding_multiplier": 3.0, "residual_multiplier": 0.5, "attention_multiplier": 0.5, "logits_scaling": 4.0,
          "num_local_experts": 8, "num_experts_per_tok": 3, "tie_word_embeddings": True,
          "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}
SHARED = [(["ffn_gate_shexp.weight", "ffn_up_shexp.weight"], "shared_mlp.input_linear.weight", PLAIN, GATE_UP),
          ("ffn_down_shexp.weight", "shared_mlp.output_linear.weight", PLAIN, SAME)]


def case(name, model, c, rows, flips, **metadata):
    experts = expert_rows(c, "block_sparse_moe.router.weight", "block_sparse_moe.experts")
    return Case(name, model, c, arch="granitemoe",
                metadata=decoder_metadata("granitemoe", c, rope__dimension_count=16, embedding_scale=3.0,
                                          residual_scale=0.5, attention__scale=0.5, logit_scale=4.0, expert_count=8,
                                          expert_used_count=3, **metadata),
                rows=decoder_rows(tied=True), layer=PRE_NORMS + attention_rows(c, Pairs) + experts + rows, flips=flips)


def cases():
    yield case("granitemoe", GraniteMoeForCausalLM, GraniteMoeConfig(**TINY | SCALES), [],
               {"experts used": {"metadata": {"granitemoe.expert_used_count": 1}},
                "residual": {"metadata": {"granitemoe.residual_scale": 1.0}}})
    yield case("granitemoe-shared", GraniteMoeSharedForCausalLM,
               GraniteMoeSharedConfig(**TINY | SCALES | {"shared_intermediate_size": 64}), SHARED,
               {"shared": {"tensors": {"ffn_down_shexp.weight": ZEROS}}},
               expert_shared_feed_forward_length=64)
