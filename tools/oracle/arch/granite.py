"""granite: Granite 3. llama (pairs) with four scales: of the embedding, of what is added to the residual, of scores
(instead of 1 / sqrt(head size)), and of logits, which are divided by logit_scale."""

from transformers import GraniteConfig, GraniteForCausalLM

from form import GATED_FFN, PRE_NORMS, TINY, Case, Pairs, attention_rows, decoder_metadata, decoder_rows


def cases():
    c = GraniteConfig(**TINY | {"embedding_multiplier": 3.0, "residual_multiplier": 0.5, "attention_multiplier": 0.5,
                                "logits_scaling": 4.0, "tie_word_embeddings": True,
                                "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}})
    yield Case("granite", GraniteForCausalLM, c, arch="granite",
               metadata=decoder_metadata("granite", c, rope__dimension_count=16, embedding_scale=3.0,
                                         residual_scale=0.5, attention__scale=0.5, logit_scale=4.0),
               rows=decoder_rows(tied=True), layer=PRE_NORMS + attention_rows(c, Pairs) + GATED_FFN,
               flips={key: {"metadata": {"granite." + key: 1.0}}
                      for key in ("embedding_scale", "residual_scale", "attention.scale", "logit_scale")})
