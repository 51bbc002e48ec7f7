"""command-r: Command R, R+ of 2024, Aya 23. Layer norms without bias; attention and feed-forward of the same normed
input, both added.

Traps: R+ has layer norms of Q and K with weights of their own for each head ([head size, heads] in the file); pairs,
and the reference rotates pairs too; logits are multiplied with logit_scale; output tied."""

from transformers import CohereConfig, CohereForCausalLM

from form import GATED_FFN, NORM, ONES, SAME, TINY, Case, attention_rows, decoder_metadata, decoder_rows, qk_norm_rows


def case(name, norms, flips, **changes):
    c = CohereConfig(**TINY | {"logit_scale": 0.25, "rope_parameters": {"rope_type": "default", "rope_theta": 50000.0}}
                     | changes)
    keys = decoder_metadata("command-r", c, vocab_size=None, attention__layer_norm_epsilon=c.layer_norm_eps,
                            logit_scale=0.25, rope__scaling__type="none")
    return Case(name, CohereForCausalLM, c, arch="command-r", metadata=keys, rows=decoder_rows(tied=True),
                layer=[("attn_norm.weight", "input_layernorm.weight", NORM, SAME)] + attention_rows(c) + norms
                + GATED_FFN,
                flips=flips)


def cases():
    yield case("command-r", [], {"scale of logits": {"metadata": {"command-r.logit_scale": 1.0}},
                                 "rope base": {"metadata": {"command-r.rope.freq_base": 1000.0}}})
    yield case("command-r-plus", qk_norm_rows(), {"norm of Q": {"tensors": {"attn_q_norm.weight": ONES}},
                                                  "norm of K": {"tensors": {"attn_k_norm.weight": ONES}}},
               use_qk_norm=True)
