"""form.py: what a description in arch/ is made of.

A Case names a reference model (a transformers class and its tiny configuration), the metadata that llama.cpp's
converter writes for it, and how each of the reference's parameters comes out of tensors of the file. A row of that
table is

    (GGUF name or names, reference's name, kind of fill, form)

where names of a layer's rows lack the part that counts layers, and the form says how the reference's parameter is made
of the file's tensors. Shapes are the reference's own.
"""

import dataclasses
import math
import sys
import typing

import torch

# --- fills: values of the file ---


def uniform(scale, offset=0.0):
    """Values of offset - scale .. offset + scale."""
    return lambda shape: {"scale": float(f"{scale:.4g}"), **({"offset": offset} if offset else {})}


def matrix(gain=1.0):
    """A product with rows of unit variance has a standard deviation of gain."""
    return lambda shape: {"scale": float(f"{gain * math.sqrt(3 / shape[0]):.4g}")}


# Queries and keys are large, so that attention is far from uniform.
SHARP, PLAIN = matrix(1.7), matrix(1.0)
NORM = uniform(0.5, 1.0)  # 0.5 .. 1.5: 1 can be taken off and added without rounding
SHARP_NORM = uniform(0.8, 1.6)  # of queries and keys
BIAS = uniform(0.8)
ONES, ZEROS = {"scale": 0.0, "offset": 1.0}, {"scale": 0.0}  # for switches
EMBEDDING = uniform(1.7)


# --- forms: the reference's parameter out of the file's tensors, and their shapes out of its own ---


class Same:
    """The tensor itself."""

    def shapes(self, shape):
        return [shape]

    def join(self, tensors):
        return tensors[0]


class Pairs(Same):
    """Rows of each head in pairs (2i, 2i + 1) in the file, as halves (i, i + n / 2) in the reference."""

    def __init__(self, n_heads, n_rot=None):
        self.n_heads, self.n_rot = n_heads, n_rot

    def join(self, tensors):
        t = tensors[0]
        heads = t.reshape(self.n_heads, t.shape[0] // self.n_heads, -1)
        n_rot = self.n_rot or heads.shape[1]
        halves = heads[:, :n_rot].reshape(self.n_heads, n_rot // 2, 2, -1).transpose(1, 2).flatten(1, 2)
        return torch.cat([halves, heads[:, n_rot:]], 1).reshape(t.shape)


class MinusOne(Same):
    """The reference multiplies with 1 + its parameter."""

    def join(self, tensors):
        return tensors[0] - 1


class Stacked:
    """Several tensors below each other (dimension -2, or the only one)."""

    def __init__(self, n=2, rows=None):
        self.n, self.rows = n, rows

    def shapes(self, shape):
        at = max(len(shape) - 2, 0)
        rows = self.rows or [shape[at] // self.n] * self.n
        return [shape[:at] + (r,) + shape[at + 1:] for r in rows]

    def join(self, tensors):
        return torch.cat(tensors, max(tensors[0].dim() - 2, 0))


class Of(Same):
    """Any function of the tensors, and of the reference's shape for those of the file."""

    def __init__(self, join, shapes=None):
        self._join, self._shapes = join, shapes

    def shapes(self, shape):
        return self._shapes(shape) if self._shapes else [shape]

    def join(self, tensors):
        return self._join(*tensors)


SAME, MINUS_ONE, GATE_UP = Same(), MinusOne(), Stacked(2)


@dataclasses.dataclass
class Case:
    name: str
    model: typing.Any  # class of transformers
    config: typing.Any
    metadata: dict  # without general.architecture
    arch: str
    rows: list  # of tensors that exist once
    layer: typing.Any  # rows of a layer, or a function of its number that gives them
    extra: list = dataclasses.field(default_factory=list)  # (name, shape, fill) of tensors that no parameter shows
    flips: dict = dataclasses.field(default_factory=dict)  # see golden.py
    output: str = "logits"  # or "hidden"
    vocabulary: str = "spm"
    seed: str = ""  # the name
    lengths: typing.Any = None  # of the runs; None: generate.RUNS
    prefix: str = "model.layers."  # of the reference's layers

    def tied(self):
        return bool(getattr(self.config, "tie_word_embeddings", False))

    def all_rows(self):
        yield from self.rows
        for i in range(self.config.num_hidden_layers):
            for names, of, fill, form in self.layer(i) if callable(self.layer) else self.layer:
                names = [names] if isinstance(names, str) else names
                yield [f"blk.{i}.{n}" for n in names], f"{self.prefix}{i}.{of}", fill, form

    def tensors(self):
        """[(name, shape in the file's order, fill)], and [(names, reference's name, form)] to fill the reference."""
        shapes = {k: tuple(v.shape) for k, v in self.reference().state_dict().items()}
        found, into = [], []
        for names, of, fill, form in self.all_rows():
            names = [names] if isinstance(names, str) else names
            if of not in shapes:
                sys.exit(f"{self.name}: the reference has no {of}; it has {', '.join(shapes)}")
            for name, shape in zip(names, form.shapes(shapes[of]), strict=True):
                shape = list(reversed(shape))
                if name not in {n for n, *_ in found}:
                    found.append((name, shape, fill(shape)))
            into.append((names, of, form))
        return found + self.extra, into

    def reference(self):
        torch.manual_seed(0)
        self.config._attn_implementation = "eager"
        return self.model(self.config).float().eval()


def decoder_rows(tied=False, norm=SAME, prefix="model."):
    """What exists once in nearly every decoder."""
    rows = [("token_embd.weight", prefix + "embed_tokens.weight", EMBEDDING, SAME),
            ("output_norm.weight", prefix + "norm.weight", NORM, norm)]
    return rows if tied else [*rows, ("output.weight", "lm_head.weight", PLAIN, SAME)]


def attention_rows(c, form=None, fill=SHARP):
    """Projections; form(n_heads) is that of queries and keys."""
    form = form or (lambda n_heads: SAME)
    return [("attn_q.weight", "self_attn.q_proj.weight", fill, form(c.num_attention_heads)),
            ("attn_k.weight", "self_attn.k_proj.weight", fill, form(c.num_key_value_heads)),
            ("attn_v.weight", "self_attn.v_proj.weight", PLAIN, SAME),
            ("attn_output.weight", "self_attn.o_proj.weight", PLAIN, SAME)]


def bias_rows(c, form=None, output=False):
    form = form or (lambda n_heads: SAME)
    rows = [("attn_q.bias", "self_attn.q_proj.bias", BIAS, form(c.num_attention_heads)),
            ("attn_k.bias", "self_attn.k_proj.bias", BIAS, form(c.num_key_value_heads)),
            ("attn_v.bias", "self_attn.v_proj.bias", BIAS, SAME)]
    return [*rows, ("attn_output.bias", "self_attn.o_proj.bias", BIAS, SAME)] if output else rows


def qk_norm_rows(form=SAME, fill=SHARP_NORM):
    return [("attn_q_norm.weight", "self_attn.q_norm.weight", fill, form),
            ("attn_k_norm.weight", "self_attn.k_norm.weight", fill, form)]


GATED_FFN = [("ffn_gate.weight", "mlp.gate_proj.weight", PLAIN, SAME),
             ("ffn_up.weight", "mlp.up_proj.weight", PLAIN, SAME),
             ("ffn_down.weight", "mlp.down_proj.weight", PLAIN, SAME)]
PRE_NORMS = [("attn_norm.weight", "input_layernorm.weight", NORM, SAME),
             ("ffn_norm.weight", "post_attention_layernorm.weight", NORM, SAME)]


def decoder_metadata(arch, c, **more):
    """Keys of every decoder of the usual form; more: rest of the key, with __ for dots, and its value."""
    keys = {"block_count": c.num_hidden_layers, "context_length": c.max_position_embeddings,
            "embedding_length": c.hidden_size, "feed_forward_length": c.intermediate_size,
            "attention.head_count": c.num_attention_heads,
            "attention.head_count_kv": getattr(c, "num_key_value_heads", None),
            "vocab_size": c.vocab_size}
    if getattr(c, "rms_norm_eps", None) is not None:
        keys["attention.layer_norm_rms_epsilon"] = c.rms_norm_eps
    rope = getattr(c, "rope_parameters", None) or {}
    rope = rope.get("full_attention", rope)
    if rope.get("rope_theta"):
        keys["rope.freq_base"] = float(rope["rope_theta"])
    keys |= {k.replace("__", "."): v for k, v in more.items()}
    return {f"{arch}.{k}": v for k, v in keys.items() if v is not None}


# Sizes of the tiny models; every description changes what its architecture needs otherwise.
TINY = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": 128, "max_position_embeddings": 256, "pad_token_id": None,
        "bos_token_id": 1, "eos_token_id": 2}
ENCODER = {k: v for k, v in TINY.items() if k != "num_key_value_heads"}
