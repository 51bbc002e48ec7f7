#!/usr/bin/env python3
"""golden_codes.py: why hearth is not where the same arithmetic in double precision is (docs/decisions/0003).

    VENV/bin/python tools/golden_codes.py FIXTURES build/tests/cross/products NAME...

With numpy and gguf in VENV, as for golden_logits.py. For each golden NAME it runs hearth and the contract's arithmetic
in double precision over the same tokens, and counts the ids of the five likeliest that are equal to 1e-4:

    own      each with its own codes of the activations
    hearth's the codes in double precision are those of hearth's activations, everything else stays double precision

    other's  the golden's values against double precision with what its engine rounds: scales of 32 activations and the
             sums beside them (q8_1) to half precision, queries and attention weights too; within 1e-3

and says how far from the middle between two codes the values were whose codes differed first in each text's first
prompt.
"""

import json
import os
import subprocess
import sys
import tempfile

import gguf
import numpy as np

from golden_logits import CHECKED, Model, attend, half, logprobs

CLOSE, NEAR = 1e-4, 1e-3
WITH_MINIMA = {"Q4_1": 20, "Q5_1": 24}  # bytes of a block of 32: scale, minimum, codes
PROMPTS_OF_TEXT = 8  # that begin with the first of them


def read_products(path):
    """For each prompt: tensor name -> rows of f32."""
    with open(path, "rb") as f:
        data = f.read()
    prompts, at = [{}], 0
    while at < len(data):
        name = data[at:at + 64].rstrip(b"\0").decode()
        rows, cols = np.frombuffer(data, np.int32, 2, at + 64)
        at += 72
        if name == "END":
            prompts.append({})
            continue
        prompts[-1][name] = np.frombuffer(data, np.float32, rows * cols, at).reshape(rows, cols)
        at += 4 * rows * cols
    return prompts[:-1]


class Both(Model):
    """Double precision beside hearth's activations of the same prompt."""

    def begin(self, products, use_hearths):
        self.products, self.use_hearths, self.first = products, use_hearths, None

    def product(self, x, name, quantize):
        block = self.block[name]
        if not block:
            return super().product(x, name, quantize)
        rows = x.reshape(-1, block)
        largest = np.abs(rows).max(1, keepdims=True)
        scaled = rows * 127 / np.where(largest == 0, 1, largest)
        theirs = self.products.get(name, self.products.get("token_embd.weight")).reshape(-1, block)
        most = np.abs(theirs).max(1, keepdims=True)
        hearths = np.rint(theirs * (np.float32(127) / np.where(most == 0, np.float32(1), most)))
        own = np.rint(scaled)
        differs = own != hearths
        if self.first is None and differs.any():
            self.first = f"{differs.sum()} of {name}, {np.abs(np.abs(scaled[differs]) % 1 - 0.5).max():.1e} from it"
        return ((hearths if self.use_hearths else own) * largest / 127).reshape(x.shape) @ self.w[name].T


class Other(Model):
    """The golden's engine, as far as its published formats tell: activations as q8_0, q8_1 or q8_K."""

    def __init__(self, path):
        super().__init__(path)
        self.minima = {}
        for t in gguf.GGUFReader(path).tensors:
            if t.tensor_type.name in WITH_MINIMA:
                raw = np.ascontiguousarray(t.data).reshape(-1, WITH_MINIMA[t.tensor_type.name])
                minima = raw[:, 2:4].copy().view(np.float16).astype(np.float64)
                self.minima[t.name] = minima.reshape(len(self.w[t.name]), -1)
        self.minima.setdefault("output.weight", self.minima.get("token_embd.weight"))

    def attend(self, q, k, v):
        return attend(half(q), k, v, weights=half)

    def product(self, x, name, quantize):
        block = self.block[name]
        if not block:
            return super().product(x, name, quantize)
        rows = x.reshape(-1, block)
        scale = np.abs(rows).max(1, keepdims=True) / 127
        codes = np.rint(rows / np.where(scale == 0, 1, scale))
        kept = half(scale) if block == 32 else scale
        y = (codes * kept).reshape(x.shape) @ self.w[name].T
        if self.minima.get(name) is not None:  # multiplied with a sum that is rounded by itself
            sums = codes.sum(1, keepdims=True)
            y += (half(sums * scale) - sums * kept).reshape(len(x), -1) @ self.minima[name].T
        return y


def near_golden(m, cases, quantize=True):
    """How many ids of the golden are near m's."""
    n = 0
    for case in cases:
        want = logprobs(m, case["tokens"], quantize)
        n += sum(abs(want[t] - p) < NEAR for t, p in case["top"][:CHECKED])
    return n


def main():
    fixtures, program, names = sys.argv[1], sys.argv[2], sys.argv[3:]
    for name in names:
        with open(os.path.join(fixtures, "goldens", name + ".top10.json"), encoding="utf-8") as f:
            cases = json.load(f)["cases"]
        path = os.path.join(fixtures, "models", name + ".gguf")
        lines = "".join(" ".join(map(str, c["tokens"])) + "\n" for c in cases)
        with tempfile.NamedTemporaryFile() as out:
            said = subprocess.run([program, path, out.name], input=lines, capture_output=True, text=True, check=True)
            products = read_products(out.name)
        m, firsts = Both(path), []
        close, worst = [0, 0], [0.0, 0.0]
        for case, line, seen in zip(cases, said.stdout.splitlines(), products):
            got = {int(i): float(p) for i, p in (pair.split(":") for pair in line.split())}
            for way in (0, 1):
                m.begin(seen, way == 1)
                want = logprobs(m, case["tokens"], True)
                apart = [abs(want[t] - got[t]) for t, _ in case["top"][:CHECKED]]
                close[way] += sum(a < CLOSE for a in apart)
                worst[way] = max(worst[way], *apart)
                firsts += [m.first] if way == 0 else []
        n_differ = sum(f is not None for f in firsts)
        print(f"{name}: own codes {close[0]} of {CHECKED * len(cases)} close, +-{worst[0]:.4f}; hearth's codes"
              f" {close[1]}, +-{worst[1]:.6f}; a code differs in {n_differ} of {len(cases)} prompts")
        plain = Model(path)
        near = near_golden(plain, cases, False), near_golden(plain, cases), near_golden(Other(path), cases)
        print("  golden: {} near exact arithmetic, {} near ours, {} near the other's".format(*near))
        for start in range(0, len(cases), PROMPTS_OF_TEXT):
            print(f"  text of prompt {start}: first {firsts[start]}", flush=True)


if __name__ == "__main__":
    main()
