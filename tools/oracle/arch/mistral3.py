"""mistral3: Ministral 3 and newer Mistral. llama's layout (pairs) with yarn, and queries that grow with position.

Traps: with mscale equal to mscale_all_dim, cosines and sines are not multiplied (rope.scaling.yarn_log_multiplier
says so); queries are multiplied with 1 + scale * ln(1 + floor(position / original context)), scale being
attention.temperature_scale; a head may be wider than width / heads."""

from transformers import Ministral3Config, Ministral3ForCausalLM

from form import GATED_FFN, PRE_NORMS, TINY, Case, Pairs, attention_rows, decoder_metadata, decoder_rows


def cases():
    rope = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 8.0, "original_max_position_embeddings": 32,
            "beta_fast": 2.0, "beta_slow": 0.5, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.4}
    c = Ministral3Config(**TINY | {"head_dim": 32, "rope_parameters": rope})
    keys = decoder_metadata("mistral3", c, rope__dimension_count=32, attention__key_length=32,
                            attention__value_length=32,
                            rope__scaling__type="yarn", rope__scaling__factor=8.0,
                            rope__scaling__original_context_length=32, rope__scaling__yarn_beta_fast=2.0,
                            rope__scaling__yarn_beta_slow=0.5, rope__scaling__yarn_log_multiplier=1.0,
                            attention__temperature_scale=0.4)
    yield Case("mistral3", Ministral3ForCausalLM, c, arch="mistral3", metadata=keys, rows=decoder_rows(),
               layer=PRE_NORMS + attention_rows(c, Pairs) + GATED_FFN,
               flips={"temperature": {"metadata": {"mistral3.attention.temperature_scale": 0.0}},
                      "multiplier": {"metadata": {"mistral3.rope.scaling.yarn_log_multiplier": None}},
                      "fast": {"metadata": {"mistral3.rope.scaling.yarn_beta_fast": 32.0}},
                      "slow": {"metadata": {"mistral3.rope.scaling.yarn_beta_slow": 1.0}},
                      "factor": {"metadata": {"mistral3.rope.scaling.factor": 4.0}}})
