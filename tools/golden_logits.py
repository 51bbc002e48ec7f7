#!/usr/bin/env python3
"""golden_logits.py: what a file's weights give in double precision, for tests/golden/logits.

    python3 -m venv VENV && VENV/bin/pip install gguf numpy
    VENV/bin/python tools/golden_logits.py FIXTURES NAME...

An implementation of its own (NumPy, float64, PyPI gguf for reading and unpacking) of the llama
forward pass with KV in f16. For each case of FIXTURES/goldens/NAME.top10.json it gives, for
the five likeliest tokens, the log-probability

    exact     with activations as they are
    contract  with activations in the integer codes that docs/kernels.md prescribes: per 32 or
              per 256 values, scale = largest / 127, rounded to nearest even

The first says how far another engine's golden is from the truth, the second is what hearth
must compute but for the rounding of f32.
"""

import json
import os
import sys

import gguf
import numpy as np
from gguf.quants import dequantize

CHECKED = 5
# Values under one scale of the activations, by the weights' format; of others the activations stay floats.
BLOCK = dict.fromkeys(("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "IQ4_NL", "MXFP4"), 32) | dict.fromkeys(
    ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS", "TQ1_0", "TQ2_0"), 256)


class Model:
    def __init__(self, path):
        reader = gguf.GGUFReader(path)
        self.w, self.block = {}, {}
        for t in reader.tensors:
            shape = tuple(int(n) for n in reversed(t.shape))
            self.w[t.name] = dequantize(t.data, t.tensor_type).astype(np.float64).reshape(shape)
            self.block[t.name] = BLOCK.get(t.tensor_type.name)
        if "output.weight" not in self.w:
            self.w["output.weight"] = self.w["token_embd.weight"]
            self.block["output.weight"] = self.block["token_embd.weight"]
        self.value = lambda key, default=None: (
            reader.fields["llama." + key].parts[-1][0] if "llama." + key in reader.fields else default)

    def attend(self, q, k, v):
        return attend(q, k, v)

    def product(self, x, name, quantize):
        block = self.block[name]
        return (codes(x, block) if quantize and block else x) @ self.w[name].T


def codes(x, block):
    rows = x.reshape(-1, block)
    scale = np.abs(rows).max(1, keepdims=True) / 127
    scale = np.where(scale == 0, 1, scale)
    return (np.rint(rows / scale) * scale).reshape(x.shape)


def half(x):
    return x.astype(np.float16).astype(np.float64)


def rope(x, n_heads, angle):
    x = x.reshape(len(x), n_heads, -1)
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    out = np.empty_like(x)
    out[..., 0::2] = x[..., 0::2] * cos - x[..., 1::2] * sin
    out[..., 1::2] = x[..., 0::2] * sin + x[..., 1::2] * cos
    return out


def attend(q, k, v, weights=lambda p: p):
    n, n_heads, head_dim = q.shape
    share = n_heads // k.shape[1]
    out = np.zeros_like(q)
    for h in range(n_heads):
        s = q[:, h] @ k[:, h // share].T / np.sqrt(head_dim)
        p = np.exp(np.where(np.tril(np.ones((n, n))) > 0, s, -np.inf) - s.max(-1, keepdims=True))
        out[:, h] = weights(p / p.sum(-1, keepdims=True)) @ v[:, h // share]
    return out.reshape(n, -1)


def logprobs(m, ids, quantize):
    n_heads = int(m.value("attention.head_count"))
    n_kv = int(m.value("attention.head_count_kv", n_heads))
    head_dim = int(m.value("embedding_length")) // n_heads
    eps, base = float(m.value("attention.layer_norm_rms_epsilon")), float(m.value("rope.freq_base", 10000))
    angle = np.arange(len(ids))[:, None] * base ** (-2 * np.arange(head_dim // 2) / head_dim)

    def norm(x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * m.w[name]

    x = m.w["token_embd.weight"][ids]
    for i in range(int(m.value("block_count"))):
        part = f"blk.{i}.{{}}.weight".format
        h = norm(x, part("attn_norm"))
        q, k, v = (m.product(h, part(name), quantize) for name in ("attn_q", "attn_k", "attn_v"))
        a = m.attend(rope(q, n_heads, angle), half(rope(k, n_kv, angle)), half(v).reshape(len(ids), n_kv, head_dim))
        x = x + m.product(a, part("attn_output"), quantize)
        h = norm(x, part("ffn_norm"))
        gate, up = m.product(h, part("ffn_gate"), quantize), m.product(h, part("ffn_up"), quantize)
        x = x + m.product(gate / (1 + np.exp(-gate)) * up, part("ffn_down"), quantize)
    logits = m.product(norm(x[-1:], "output_norm.weight"), "output.weight", quantize)[0]
    return logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())


def main():
    fixtures, names = sys.argv[1], sys.argv[2:]
    out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "golden", "logits")
    os.makedirs(out, exist_ok=True)
    for name in names:
        with open(os.path.join(fixtures, "goldens", name + ".top10.json"), encoding="utf-8") as f:
            golden = json.load(f)
        m = Model(os.path.join(fixtures, "models", name + ".gguf"))
        cases = []
        for case in golden["cases"]:
            ids = [token for token, _ in case["top"][:CHECKED]]
            exact, contract = (logprobs(m, case["tokens"], q) for q in (False, True))
            cases.append({"exact": [round(exact[t], 5) for t in ids],
                          "contract": [round(contract[t], 5) for t in ids]})
        head = {"made_by": f"tools/golden_logits.py, NumPy {np.__version__} in double precision",
                "what": "log-probabilities of the five likeliest tokens of each case of the fixture's golden",
                "arithmetic_revision": 1}
        with open(os.path.join(out, name + ".json"), "w", encoding="utf-8") as f:
            rows = ",\n  ".join(json.dumps(c) for c in cases)
            f.write(json.dumps(head)[:-1] + ',\n "cases": [\n  ' + rows + "\n ]}\n")
        print(name)


if __name__ == "__main__":
    main()
