"""nomic-bert: nomic-embed-text v1 and v1.5. bert with rotation (halves) instead of learned positions, SwiGLU, no biases
but those of norms; Q, K and V in one tensor. Not compared with the converter, which wants the older configuration."""

from transformers import NomicBertConfig, NomicBertModel

from form import BIAS, EMBEDDING, ENCODER, GATED_FFN, NORM, PLAIN, SAME, SHARP, ZEROS, Case, Of, decoder_metadata

ROWS = [("token_embd.weight", "embeddings.word_embeddings.weight", EMBEDDING, SAME),
        ("token_types.weight", "embeddings.token_type_embeddings.weight", EMBEDDING, SAME),
        ("token_embd_norm.weight", "embeddings.LayerNorm.weight", NORM, SAME),
        ("token_embd_norm.bias", "embeddings.LayerNorm.bias", BIAS, SAME)]


def third(i):
    return Of(lambda t: t.chunk(3)[i], lambda shape: [(3 * shape[0], shape[1])])


LAYER = [("attn_qkv.weight", f"self_attn.{what}_proj.weight", SHARP, third(i)) for i, what in enumerate("qkv")] + [
    ("attn_output.weight", "self_attn.o_proj.weight", PLAIN, SAME),
    ("attn_output_norm.weight", "post_attention_layernorm.weight", NORM, SAME),
    ("attn_output_norm.bias", "post_attention_layernorm.bias", BIAS, SAME), *GATED_FFN,
    ("layer_output_norm.weight", "post_mlp_layernorm.weight", NORM, SAME),
    ("layer_output_norm.bias", "post_mlp_layernorm.bias", BIAS, SAME)]


def cases():
    c = NomicBertConfig(**ENCODER | {"pad_token_id": 0, "type_vocab_size": 2,
                                  "rope_parameters": {"rope_type": "default", "rope_theta": 1000.0}})
    keys = decoder_metadata("nomic-bert", c, vocab_size=None, attention__causal=False,
                            attention__layer_norm_epsilon=c.layer_norm_eps)
    yield Case("nomic-bert", NomicBertModel, c, arch="nomic-bert", metadata=keys, rows=ROWS, layer=LAYER,
               output="hidden", vocabulary="wpm", prefix="layers.",
               flips={"rope base": {"metadata": {"nomic-bert.rope.freq_base": 100000.0}},
                      "types": {"tensors": {"token_types.weight": ZEROS}}})
