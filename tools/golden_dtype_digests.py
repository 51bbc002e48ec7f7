#!/usr/bin/env python3
"""golden_dtype_digests.py: what an independent dequantizer makes of random blocks, for tests/golden/dtype_digests.tsv.

    python3 -m venv VENV && VENV/bin/pip install gguf numpy
    VENV/bin/python tools/golden_dtype_digests.py          write the file
    VENV/bin/python tools/golden_dtype_digests.py --check  exit 1 when the file is not what this makes

For every format that PyPI gguf dequantizes: BLOCKS blocks of random bytes (byte i of the format with number t
in GGUF is the low byte of rng_at(t, i), base/rng.h) and the SHA-256 of their values as little-endian f32, every
NaN as 0x7fc00000. tests/kernel/check_dtypes.c makes the same blocks and hashes what the plain definitions say.
"""

import hashlib
import os
import sys

import gguf
import numpy as np
from gguf.quants import dequantize

PATH = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests/golden/dtype_digests.tsv")
BLOCKS = 4096
TYPES = "Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ2_XXS IQ2_XS IQ3_XXS IQ1_S IQ4_NL IQ3_S IQ2_S IQ4_XS " \
        "IQ1_M TQ1_0 TQ2_0 MXFP4 NVFP4".split()


def mix(x):
    x = x + np.uint64(0x9e3779b97f4a7c15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xbf58476d1ce4e5b9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94d049bb133111eb)
    return x ^ (x >> np.uint64(31))


def random_bytes(key, n):
    """The low bytes of rng_at(key, 0..n-1)."""
    counter = np.arange(n, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    return mix(mix(np.array([key], dtype=np.uint64)) ^ mix(counter)).astype(np.uint8)


def line(name):
    kind = gguf.GGMLQuantizationType[name]
    n_values, n_bytes = gguf.GGML_QUANT_SIZES[kind]
    blocks = random_bytes(int(kind), BLOCKS * n_bytes).reshape(BLOCKS, n_bytes)
    with np.errstate(all="ignore"):
        values = dequantize(blocks, kind).astype("<f4").reshape(-1)
    assert values.size == BLOCKS * n_values
    bits = values.view("<u4").copy()
    bits[np.isnan(values)] = 0x7fc00000
    return f"{int(kind)}\t{name}\t{BLOCKS}\t{hashlib.sha256(bits.tobytes()).hexdigest()}"


def text():
    tools = f"PyPI gguf {gguf_version()}, NumPy {np.__version__}"
    head = [f"# Values of random blocks: tools/golden_dtype_digests.py, {tools}.",
            "# number in GGUF, format, blocks, SHA-256 of the values"]
    return "\n".join(head + [line(name) for name in TYPES]) + "\n"


def gguf_version():
    from importlib.metadata import version
    return version("gguf")


def main():
    if sys.argv[1:] == ["--check"]:
        with open(PATH, encoding="utf-8") as f:
            rows = [row for row in f.read().splitlines() if not row.startswith("#")]
        if rows != [line(name) for name in TYPES]:
            sys.exit(f"{PATH} is not what {os.path.basename(__file__)} makes with this version of gguf")
        return
    if sys.argv[1:]:
        sys.exit(__doc__)
    with open(PATH, "w", encoding="utf-8") as f:
        f.write(text())


if __name__ == "__main__":
    main()
