"""arcee: AFM 4.5B. Llama, with rows of Q and K in pairs, but feed-forward has no gate: relu(up)^2; yarn as written."""

from transformers import ArceeConfig, ArceeForCausalLM

from form import PLAIN, PRE_NORMS, SAME, TINY, Case, Pairs, attention_rows, decoder_metadata, decoder_rows

FFN = [("ffn_up.weight", "mlp.up_proj.weight", PLAIN, SAME), ("ffn_down.weight", "mlp.down_proj.weight", PLAIN, SAME)]


def cases():
    c = ArceeConfig(**TINY | {"rope_parameters": {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0,
                                                  "original_max_position_embeddings": 64}})
    yield Case("arcee", ArceeForCausalLM, c, arch="arcee",
               metadata=decoder_metadata("arcee", c, rope__dimension_count=16, rope__scaling__type="yarn",
                                         rope__scaling__factor=4.0, rope__scaling__original_context_length=64),
               rows=decoder_rows(), layer=PRE_NORMS + attention_rows(c, Pairs) + FFN,
               flips={"yarn": {"metadata": {"arcee.rope.scaling.type": "none"}},
                      "rope base": {"metadata": {"arcee.rope.freq_base": 1000.0}}})
