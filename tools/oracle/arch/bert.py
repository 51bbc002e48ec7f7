"""bert: BERT and MiniLM embedders. Every token sees every other; layer norms with biases after attention and after
feed-forward; learned positions; all tokens of type 0 (the first row of token_types).

Trap: GELU by erf; llama.cpp takes the one by tanh, which is near, but farther than f32 is."""

from transformers import BertConfig, BertModel

from form import BIAS, EMBEDDING, ENCODER, NORM, ONES, PLAIN, SAME, SHARP, ZEROS, Case, decoder_metadata

ROWS = [("token_embd.weight", "embeddings.word_embeddings.weight", EMBEDDING, SAME),
        ("position_embd.weight", "embeddings.position_embeddings.weight", EMBEDDING, SAME),
        ("token_types.weight", "embeddings.token_type_embeddings.weight", EMBEDDING, SAME),
        ("token_embd_norm.weight", "embeddings.LayerNorm.weight", NORM, SAME),
        ("token_embd_norm.bias", "embeddings.LayerNorm.bias", BIAS, SAME)]
PARTS = (("attn_q", "attention.self.query", SHARP), ("attn_k", "attention.self.key", SHARP),
         ("attn_v", "attention.self.value", PLAIN), ("attn_output", "attention.output.dense", PLAIN),
         ("attn_output_norm", "attention.output.LayerNorm", NORM), ("ffn_up", "intermediate.dense", PLAIN),
         ("ffn_down", "output.dense", PLAIN), ("layer_output_norm", "output.LayerNorm", NORM))


def cases():
    c = BertConfig(**ENCODER | {"pad_token_id": 0, "type_vocab_size": 2})
    layer = [(name + ".weight", of + ".weight", fill, SAME) for name, of, fill in PARTS]
    layer += [(name + ".bias", of + ".bias", BIAS, SAME) for name, of, _ in PARTS]
    keys = decoder_metadata("bert", c, vocab_size=None, attention__layer_norm_epsilon=c.layer_norm_eps,
                            attention__causal=False)
    yield Case("bert", lambda c: BertModel(c, add_pooling_layer=False), c, arch="bert", metadata=keys, rows=ROWS,
               layer=layer, output="hidden", vocabulary="wpm", prefix="encoder.layer.",
               flips={"positions": {"tensors": {"position_embd.weight": ZEROS}},
                      "types": {"tensors": {"token_types.weight": ZEROS}},
                      "norm after attention": {"tensors": {"attn_output_norm.weight": ONES}},
                      "bias of up": {"tensors": {"ffn_up.bias": ZEROS}}})
