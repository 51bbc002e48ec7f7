#!/usr/bin/env python3
"""golden_dtypes.py: what blocks of random bytes mean, for tests/unit/test_dtype.c, by PyPI gguf.

    python3 -m venv V && V/bin/pip install gguf
    V/bin/python tools/golden_dtypes.py tests/golden/dtypes

Writes NAME.tsv for every number format of src/dtype/dtype.def that the package can unpack: a block a line,
in hexadecimal its bytes as in a file, TAB, the bits of its values as f32. Scales are drawn like the rest, so
some are denormal, infinite or NaN; a NaN's bits are written as 7fc00000. Not known there: q1_0 and q2_0.
"""
import importlib.metadata
import os
import re
import sys

import gguf
import numpy as np
from gguf.quants import dequantize

N_BLOCKS = {1: 64, 32: 16, 64: 8, 128: 4, 256: 6}
LINE = re.compile(r"^DTYPE\(\s*(\w+),\s*(\d+),\s*(\d+),\s*(\d+),", re.MULTILINE)


def bits(values):
    out = values.astype(np.float32).view(np.uint32).copy()
    out[np.isnan(values)] = 0x7FC00000
    return "".join(f"{b:08x}" for b in out)


def main():
    folder = sys.argv[1]
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    with open(os.path.join(root, "src", "dtype", "dtype.def"), encoding="utf-8") as f:
        rows = [(name, int(a), int(b), int(c)) for name, a, b, c in LINE.findall(f.read())]
    os.makedirs(folder, exist_ok=True)
    for name, number, n_values, block_bytes in rows:
        random = np.random.default_rng(number)
        blocks = random.integers(0, 256, (N_BLOCKS[n_values], block_bytes), dtype=np.uint8)
        try:
            with np.errstate(all="ignore"):
                values = dequantize(blocks, gguf.GGMLQuantizationType(number)).reshape(len(blocks), n_values)
        except (NotImplementedError, ValueError):
            print(f"{name}: not known to gguf")
            continue
        with open(os.path.join(folder, name + ".tsv"), "w", encoding="utf-8") as f:
            f.write(f"# tools/golden_dtypes.py, gguf {importlib.metadata.version('gguf')}\n")
            for block, value in zip(blocks, values):
                f.write(f"{block.tobytes().hex()}\t{bits(value)}\n")


if __name__ == "__main__":
    main()
