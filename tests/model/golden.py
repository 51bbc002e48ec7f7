"""golden.py: the models of tests/golden/arch, made from their descriptions.

A golden is JSON:

    metadata   key -> value of the GGUF file: a text, true, 7 (u32), 0.5 (f32), or a list of one kind of them
               (in lists 7 is an i32)
    tensors    [name, shape as in the file (innermost first), fill]
    runs       token ids, and what the reference gives after some of them

A fill is {"values": [...]}, or {"scale": s, "offset": o}: value i is o + s * u, where u = k / 2^15 and k is the i-th
16-bit integer (signed, little-endian) of SHAKE-128 over the golden's seed and the tensor's name. Computed in double
and rounded to f32 once, so that whoever makes the file makes the same file.
"""

import array
import functools
import hashlib
import json
import math
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "cli"))
import gguf_writer  # noqa: E402

FOLDER = os.path.join(ROOT, "tests", "golden", "arch")
BOOL, U32, F32 = 7, 4, 6


def names():
    return sorted(name[:-5] for name in os.listdir(FOLDER) if name.endswith(".json"))


def read(name):
    with open(os.path.join(FOLDER, name + ".json"), encoding="utf-8") as f:
        return json.load(f)


def integers(seed, name, n):
    """n integers of -32768 .. 32767."""
    found = array.array("h", hashlib.shake_128(f"{seed}/{name}".encode()).digest(2 * n))
    if sys.byteorder == "big":
        found.byteswap()
    return found


def values(seed, name, shape, fill):
    """An array of f32, in the file's order."""
    if "values" in fill:
        return array.array("f", fill["values"])
    scale, offset = fill["scale"] / 32768, fill.get("offset", 0.0)
    return array.array("f", [offset + scale * k for k in integers(seed, name, math.prod(shape))])


@functools.lru_cache(maxsize=1024)  # one golden after the other, and each is written for every switch that it has
def bytes_of(seed, name, shape, fill):
    made = values(seed, name, shape, json.loads(fill))
    assert len(made) == math.prod(shape), name
    if sys.byteorder == "big":
        made.byteswap()
    return made.tobytes()


def data(seed, name, shape, fill):
    return bytes_of(seed, name, tuple(shape), json.dumps(fill))


def pair(key, value):
    kind = BOOL if isinstance(value, bool) else U32 if isinstance(value, int) else F32
    return gguf_writer.pair(key, value, kind)


def spm_vocabulary(n):
    """A vocabulary that loads; the runs are token ids, so that no text ever meets it."""
    special = ["<unk>", "<s>", "</s>", "<0x0A>", "<|endoftext|>"]
    return {"tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": special + [f"t{i}" for i in range(5, n)],
            "tokenizer.ggml.scores": [-float(i) for i in range(n)],
            "tokenizer.ggml.token_type": [2, 3, 3, 6, 3] + [1] * (n - 5),
            "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2}


def wpm_vocabulary(n):
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return {"tokenizer.ggml.model": "bert", "tokenizer.ggml.pre": "jina-v2-en",
            "tokenizer.ggml.tokens": special + [f"\u2581t{i}" for i in range(5, n)],
            "tokenizer.ggml.token_type": [3] * 5 + [1] * (n - 5), "tokenizer.ggml.token_type_count": 2,
            "tokenizer.ggml.bos_token_id": 2, "tokenizer.ggml.eos_token_id": 3, "tokenizer.ggml.unknown_token_id": 1,
            "tokenizer.ggml.seperator_token_id": 3, "tokenizer.ggml.padding_token_id": 0,
            "tokenizer.ggml.mask_token_id": 4}


VOCABULARIES = {"spm": spm_vocabulary, "wpm": wpm_vocabulary}


def write(golden, path):
    """The GGUF file of a golden."""
    n_vocab = next(shape[1] for name, shape, _ in golden["tensors"] if name == "token_embd.weight")
    metadata = golden["metadata"] | VOCABULARIES[golden.get("vocabulary", "spm")](n_vocab)
    tensors = [(name, shape, gguf_writer.F32, data(golden["seed"], name, shape, fill))
               for name, shape, fill in golden["tensors"]]
    gguf_writer.write(path, [pair(*item) for item in metadata.items()], tensors)


def flipped(golden, flip):
    """The golden with a switch otherwise: flip is {"metadata": {key: value, null: without it}, "tensors": {end of
    their names: fill, null: without them}}."""
    changed, fills = flip.get("metadata", {}), flip.get("tensors", {})
    metadata = {k: v for k, v in (golden["metadata"] | changed).items() if v is not None}
    tensors = []
    for name, shape, fill in golden["tensors"]:
        fill = next((v for k, v in fills.items() if name.endswith(k)), fill)
        if fill is not None:
            tensors.append([name, shape, fill])
    return golden | {"metadata": metadata, "tensors": tensors}
