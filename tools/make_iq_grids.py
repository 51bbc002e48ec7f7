#!/usr/bin/env python3
"""make_iq_grids.py: src/dtype/iq_grids.c, the grids of the IQ formats, from PyPI gguf.

    python3 -m venv VENV && VENV/bin/pip install gguf numpy
    VENV/bin/python tools/make_iq_grids.py          write the file
    VENV/bin/python tools/make_iq_grids.py --check  exit 1 when the file is not what this makes

The grids were found by search and cannot be computed; docs/decisions/0006-iq-grids.md says why they are
carried. The licence in the file is the package's own, read from its metadata.
"""

import importlib.metadata
import os
import sys

import numpy as np
from gguf import quants

PATH = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "src/dtype/iq_grids.c")
TABLES = [("iq1_grid", quants.IQ1_S), ("iq2_xxs_grid", quants.IQ2_XXS), ("iq2_xs_grid", quants.IQ2_XS),
          ("iq2_s_grid", quants.IQ2_S), ("iq3_xxs_grid", quants.IQ3_XXS), ("iq3_s_grid", quants.IQ3_S)]
PER_LINE = 14


def licence():
    package = importlib.metadata.distribution("gguf")
    for name in package.files:
        if name.name == "LICENSE":
            return package.version, name.read_text().strip()
    sys.exit("the package gguf brings no LICENSE file; take another version of it")


def packed(grid):
    """One number an entry: the place of each value in the format's list of values, first value lowest."""
    grid.init_grid()
    entries = grid.grid.reshape(grid.grid_shape)
    places = np.searchsorted(np.array(grid.grid_map, dtype=np.float32), entries)
    assert (np.array(grid.grid_map, dtype=np.float32)[places] == entries).all()
    bits = 2 if len(grid.grid_map) == 3 else 3
    return (places << (bits * np.arange(grid.grid_shape[1]))).sum(axis=1), bits


def text():
    version, words = licence()
    out = ["/* iq_grids.c: the grids of the IQ formats: constants of the file format, found by search, that cannot be",
           " * computed. Made by tools/make_iq_grids.py; iq.h says how entries are packed.",
           " *",
           " * The numbers are those of the ggml authors (https://ggml.ai, https://github.com/ggml-org/llama.cpp),",
           f" * taken from their package gguf {version} (gguf/quants.py on PyPI), whose licence is:",
           " *"]
    out += [(" * " + line).rstrip() for line in words.splitlines()]
    out += [" */", '#include "dtype/iq.h"']
    for name, grid in TABLES:
        numbers, bits = packed(grid)
        out += ["", f"/* {grid.grid_shape[1]} values of {bits} bits each */",
                f"const uint16_t {name}[{len(numbers)}] = {{"]
        for i in range(0, len(numbers), PER_LINE):
            out.append("    " + " ".join(f"0x{n:04x}," for n in numbers[i:i + PER_LINE]))
        out.append("};")
    return "\n".join(out) + "\n"


def main():
    if sys.argv[1:] == ["--check"]:
        with open(PATH, encoding="utf-8") as f:
            if f.read() != text():
                sys.exit(f"{PATH} is not what {os.path.basename(__file__)} makes of this version of gguf")
        return
    if sys.argv[1:]:
        sys.exit(__doc__)
    with open(PATH, "w", encoding="utf-8") as f:
        f.write(text())


if __name__ == "__main__":
    main()
