#!/usr/bin/env python3
"""models_page.py: docs/models.md out of the architectures, their files' first lines and their goldens.

    tools/models_page.py >PAGE && mv PAGE docs/models.md      after an architecture or a golden was added
    tools/models_page.py --check                              1 when the page is not what it would be

The column of real files is written by hand, in the page: it is taken over from there.
"""

import glob
import json
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAGE = os.path.join(ROOT, "docs", "models.md")
HEAD = """# Models

What runs, by the name that files have in `general.architecture`, and what says that it is computed rightly. Each
architecture has tiny models with random f32 weights, made so that attention is far from uniform; what the reference
implementation (PyPI `transformers`, f32, on the CPU) computes of them is in
[tests/golden/arch](../tests/golden/arch), and the everyday suite holds hearth to it: no logit further off than a
thousandth of their standard deviation (observed: 0.00003), the same bits over instruction sets, threads, chunks and
batches. For each *switch* of a golden, such as a window, a scale or a bias, it sees that another setting moves the
logits at least a hundred times as far as the tolerance: what could be wrong would be seen. Names, shapes and
meanings of keys are llama.cpp's where it computes the same of those files (`tools/oracle/peer.py`). How goldens are
made: [tools/oracle](../tools/oracle/README.md).

A *real file* is untested where nobody has compared it yet on a machine with network. Rows come from
`tools/models_page.py`; that column alone is written by hand.

| architecture | models | reference | tiny models | switches | real file |
|---|---|---|---|---|---|
"""


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as f:
        return f.read()


def goldens():
    """{architecture: [(golden's name, golden)]}"""
    of = {}
    for path in sorted(glob.glob(os.path.join(ROOT, "tests", "golden", "arch", "*.json"))):
        with open(path, encoding="utf-8") as f:
            golden = json.load(f)
        of.setdefault(golden["metadata"]["general.architecture"], []).append((os.path.basename(path)[:-5], golden))
    return of


def real_files():
    """{architecture: the last column as it is}"""
    if not os.path.exists(PAGE):
        return {}
    rows = re.findall(r"^\| `([^`]+)` \|.*\| ([^|]*) \|$", read("docs", "models.md"), re.MULTILINE)
    return dict(rows)


def page():
    of, real, rows = goldens(), real_files(), []
    for stem in re.findall(r"^ARCH\( (\w+) \)", read("src", "model", "arch.def"), re.MULTILINE):
        text = read("src", "model", "arch", stem + ".c")
        name = re.search(r'^    \.name = "([^"]+)"', text, re.MULTILINE)[1]
        people = re.match(r"/\* \w+\.c: ([^\n]*?)\.?\n", text)[1]
        cases = of.get(name, [])
        made_by = sorted({g["made_by"].split(", ")[-1] for _, g in cases})
        switches = sorted({flip for _, g in cases for flip in g["flips"]})
        rows.append(f"| `{name}` | {people} | {', '.join(made_by) or 'none yet'} | {', '.join(n for n, _ in cases)} | "
                    f"{', '.join(switches)} | {real.get(name, 'untested')} |\n")
    return HEAD + "".join(rows)


def main():
    if sys.argv[1:] == ["--check"]:
        return 0 if os.path.exists(PAGE) and read("docs", "models.md") == page() else 1
    sys.stdout.write(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
