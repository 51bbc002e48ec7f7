"""apertus: Apertus 8B and 70B. Llama with halves, a norm of each head of Q and K before rotation, and no gate.

Traps: the activation is xIELU; its numbers are of each layer, in lists whose keys have no architecture before them, and
the alphas are written as the reference keeps them, before softplus; Llama 3.1's scaling, as rope_freqs.weight. Real
models have an eps of -1e-6, which hardly anything depends on; here it is large enough to be seen."""

import torch
from transformers import ApertusConfig, ApertusForCausalLM

from arch.llama import llama3_factors
from form import (NORM, PLAIN, SAME, TINY, Case, Of, attention_rows, decoder_metadata, decoder_rows, qk_norm_rows)

XIELU = {"alpha_p": [0.25, -0.5, 1.25], "alpha_n": [1.5, 0.5, -0.25], "beta": [0.5, 0.75, 0.25],
         "eps": [-0.5, -0.25, -0.125]}
SCALING = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}


def number(value, shape):
    """A parameter that is a number of the metadata and no tensor."""
    return Of(lambda: torch.tensor(value).reshape(shape), lambda _: [])


def layer(i):
    numbers = [([], f"mlp.act_fn.{name}", None, number(of[i], [1] if name.startswith("alpha") else []))
               for name, of in XIELU.items()]
    return [("attn_norm.weight", "attention_layernorm.weight", NORM, SAME),
            ("ffn_norm.weight", "feedforward_layernorm.weight", NORM, SAME), *attention_rows(CONFIG), *qk_norm_rows(),
            ("ffn_up.weight", "mlp.up_proj.weight", PLAIN, SAME),
            ("ffn_down.weight", "mlp.down_proj.weight", PLAIN, SAME), *numbers]


CONFIG = ApertusConfig(**TINY | {"rope_parameters": {"rope_type": "llama3", "rope_theta": 10000.0, **SCALING,
                                                     "original_max_position_embeddings": 32}})


def cases():
    keys = decoder_metadata("apertus", CONFIG, rope__dimension_count=16)
    yield Case("apertus", ApertusForCausalLM, CONFIG, arch="apertus",
               metadata=keys | {f"xielu.{name}": of for name, of in XIELU.items()}, rows=decoder_rows(), layer=layer,
               extra=[("rope_freqs.weight", [8], {"values": llama3_factors(10000.0, 16, 8.0, 1.0, 4.0, 32)})],
               flips={**{f"{name} of xIELU": {"metadata": {f"xielu.{name}": [0.0 - x for x in of]}}
                         for name, of in XIELU.items()},
                      "factors": {"tensors": {"rope_freqs.weight": None}}})
