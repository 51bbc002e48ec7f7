"""smollm3: SmolLM3. llama (pairs) where every 4th layer rotates nothing; no key says which."""

from transformers import SmolLM3Config, SmolLM3ForCausalLM

from form import GATED_FFN, PRE_NORMS, TINY, Case, Pairs, attention_rows, decoder_metadata, decoder_rows


def cases():
    c = SmolLM3Config(**TINY | {"num_hidden_layers": 5, "rope_parameters": {"rope_type": "default", "rope_theta": 1e5}})
    yield Case("smollm3", SmolLM3ForCausalLM, c, arch="smollm3",
               metadata=decoder_metadata("smollm3", c, rope__dimension_count=16), rows=decoder_rows(tied=True),
               layer=PRE_NORMS + attention_rows(c, Pairs) + GATED_FFN,
               flips={"rope base": {"metadata": {"smollm3.rope.freq_base": 1000.0}}})
