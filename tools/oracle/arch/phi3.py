"""phi3: Phi-3, 3.5, Phi-4. Halves; Q, K and V in one tensor, gate and up in another (gate first).

Traps: rope_factors_long and _short divide frequencies, one or the other by whether the context that the program
chose is longer than the original one; cosines and sines are multiplied with rope.scaling.attn_factor then; there is no
rope.scaling.type. Some models rotate a part of each head only. The window of the metadata is not used."""

import math

from transformers import Phi3Config, Phi3ForCausalLM

from form import NORM, PLAIN, SAME, SHARP, TINY, Case, decoder_metadata, decoder_rows

LAYER = [("attn_norm.weight", "input_layernorm.weight", NORM, SAME),
         ("attn_qkv.weight", "self_attn.qkv_proj.weight", SHARP, SAME),
         ("attn_output.weight", "self_attn.o_proj.weight", PLAIN, SAME),
         ("ffn_norm.weight", "post_attention_layernorm.weight", NORM, SAME),
         ("ffn_up.weight", "mlp.gate_up_proj.weight", PLAIN, SAME),
         ("ffn_down.weight", "mlp.down_proj.weight", PLAIN, SAME)]


def case(name, n_rot, rope, n_ctx=256, n_ctx_orig=256, metadata=None, extra=(), flips=None, lengths=None, **changes):
    rope = {"rope_theta": 10000.0, "original_max_position_embeddings": n_ctx_orig, **rope}
    c = Phi3Config(**TINY | {"max_position_embeddings": n_ctx, "original_max_position_embeddings": n_ctx_orig,
                             "rope_parameters": rope} | changes)
    keys = decoder_metadata("phi3", c, vocab_size=None, rope__dimension_count=n_rot, attention__sliding_window=0,
                            rope__scaling__original_context_length=n_ctx_orig, **(metadata or {}))
    return Case(name, Phi3ForCausalLM, c, arch="phi3", metadata=keys, rows=decoder_rows(c.tie_word_embeddings),
                layer=LAYER, extra=list(extra), flips=flips or {}, lengths=lengths)


def cases():
    yield case("phi3", 16, {"rope_type": "default"}, flips={"rope base": {"metadata": {"phi3.rope.freq_base": 500.0}}})
    yield case("phi3-partial", 12, {"rope_type": "default", "partial_rotary_factor": 0.75}, tie_word_embeddings=True,
               flips={"rotated part": {"metadata": {"phi3.rope.dimension_count": 16}}})
    long, short = [1.0 + 0.75 * i for i in range(8)], [1.0 + 0.125 * i for i in range(8)]
    factors = [("rope_factors_long.weight", [8], {"values": long}),
               ("rope_factors_short.weight", [8], {"values": short})]
    rope = {"rope_type": "longrope", "long_factor": long, "short_factor": short, "factor": 8.0}
    flips = {"long factors": {"tensors": {"rope_factors_long.weight": {"values": [1.0] * 8}}},
             "factor of attention": {"metadata": {"phi3.rope.scaling.attn_factor": 1.0}}}
    factor = math.sqrt(1 + math.log(8) / math.log(32))
    yield case("phi3-longrope", 16, rope, 256, 32, {"rope__scaling__attn_factor": factor}, factors, flips,
               lengths=(40, 90))
    rope = {"rope_type": "longrope", "long_factor": long, "short_factor": short, "factor": 1.0}
    flips = {"short factors": {"tensors": {"rope_factors_short.weight": {"values": [1.0] * 8}}}}
    yield case("phi3-shortrope", 16, rope, 256, 256, {"rope__scaling__attn_factor": 1.0}, factors, flips)
