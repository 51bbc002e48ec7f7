"""modern-bert: ModernBERT. Halves; layer norms without biases before attention and feed-forward; GELU (by erf) with a
gate, up and gate in one tensor (the part that goes through GELU first); Q, K and V in one.

Traps: layer 0 has no attn_norm; layers 0, 3, 6 ... see all, the others |i - j| <= sliding_window / 2, with
rope.freq_base_swa; sliding_window_pattern is a number here; the epsilon is written twice, as that of layer norms and of
RMS norms. llama.cpp's GELU is the one by tanh, of values rounded to f16: 2.6e-3 from here."""

from transformers import ModernBertConfig, ModernBertModel

from form import EMBEDDING, ENCODER, NORM, PLAIN, SAME, SHARP, Case, decoder_metadata

ROWS = [("token_embd.weight", "embeddings.tok_embeddings.weight", EMBEDDING, SAME),
        ("token_embd_norm.weight", "embeddings.norm.weight", NORM, SAME),
        ("output_norm.weight", "final_norm.weight", NORM, SAME)]
LAYER = [("attn_norm.weight", "attn_norm.weight", NORM, SAME), ("attn_qkv.weight", "attn.Wqkv.weight", SHARP, SAME),
         ("attn_output.weight", "attn.Wo.weight", PLAIN, SAME), ("ffn_norm.weight", "mlp_norm.weight", NORM, SAME),
         ("ffn_up.weight", "mlp.Wi.weight", PLAIN, SAME), ("ffn_down.weight", "mlp.Wo.weight", PLAIN, SAME)]


def cases():
    rope = {"full_attention": {"rope_type": "default", "rope_theta": 160000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}
    c = ModernBertConfig(**ENCODER | {"num_hidden_layers": 5, "local_attention": 16, "rope_parameters": rope,
                                   "pad_token_id": 0, "cls_token_id": 1, "sep_token_id": 2,
                                   "global_attn_every_n_layers": 3, "layer_norm_eps": 1e-5})
    keys = decoder_metadata("modern-bert", c, attention__layer_norm_epsilon=c.norm_eps, attention__causal=False,
                            attention__sliding_window=16, attention__sliding_window_pattern=3,
                            rope__freq_base_swa=10000.0, rope__scaling__type="none", hidden_activation="gelu",
                            attention__layer_norm_rms_epsilon=c.norm_eps, classifier__pooling_type=2)
    yield Case("modern-bert", ModernBertModel, c, arch="modern-bert", metadata=keys, rows=ROWS,
               layer=lambda i: LAYER[1:] if i == 0 else LAYER, output="hidden", prefix="layers.",
               flips={"window": {"metadata": {"modern-bert.attention.sliding_window": 8}},
                      "rope base of windows": {"metadata": {"modern-bert.rope.freq_base_swa": 160000.0}}})
