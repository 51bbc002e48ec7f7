#!/usr/bin/env python3
"""models_page.py: docs/models.md out of the architectures, their files' first lines, their goldens and the reports of
field tests.

    tools/models_page.py >PAGE && mv PAGE docs/models.md      after one of them was added
    tools/models_page.py --check                              1 when the page is not what it would be
"""

import glob
import json
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAGE = os.path.join(ROOT, "docs", "models.md")
FOLDER = os.path.join(ROOT, "docs", "fieldtests")
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

A *real file* is untested where nobody has compared it yet on a machine with network. If you have a model's GGUF file
and a llama-server that runs it, `hearth dev fieldtest MODEL.gguf --peer http://127.0.0.1:8081` compares tokens,
rendered templates and log-probabilities on 50 prompts, and prints a report to attach to an issue;
[fieldtests](fieldtests/README.md) says how and by which limits, and keeps the reports (`--json`), out of which that
column is made; where one failed because the server was wrong, it says so, too. Rows come from `tools/models_page.py`.

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


def follows(report):
    """The verdict that a report's own counts allow."""
    kinds = [k for k in report["kinds"].values() if k["verdict"] is not None]
    computed = any(report["kinds"][k]["verdict"] for k in ("log_probabilities", "vectors"))
    if any(k["n_different"] or k["beyond"] for k in kinds):
        return "failed"
    whole = all(k["n"] > 0 and k["n_equal"] == k["n"] for k in kinds)
    return "passed" if whole and computed and report["kinds"]["tokens"]["verdict"] else "incomplete"


def read_report(path, known):
    """(architecture, file, date, verdict) of a report that can be one."""
    with open(path, encoding="utf-8") as f:
        report = json.load(f)
    name = os.path.basename(path)
    model = report["model"]
    if report["fieldtest"] != 1:
        raise ValueError(f"{name}: a report of form {report['fieldtest']}, and this tool reads form 1")
    if model["architecture"] not in known:
        raise ValueError(f"{name}: {model['architecture']!r} is no architecture of src/model/arch.def")
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", report["date"]) or not re.fullmatch(r"[\w.+-]+", model["file"]):
        raise ValueError(f"{name}: date {report['date']!r} or file {model['file']!r} does not go into a table")
    if model["template"] not in ("", "file"):
        raise ValueError(f"{name}: it is of the chat template {model['template']!r}, not of the file's own")
    if report["verdict"] != follows(report):
        raise ValueError(f"{name}: it says {report['verdict']!r}, and its counts {follows(report)!r}")
    return model["architecture"], model["file"], report["date"], report["verdict"]


def real_files(known, folder=FOLDER):
    """{architecture: what the newest report on each of its files says}"""
    newest = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.json"))):
        architecture, file, date, verdict = read_report(path, known)
        rows = newest.setdefault(architecture, {})
        if file not in rows or rows[file][0] <= date:
            rows[file] = date, verdict, os.path.basename(path)
    return {a: ", ".join(f"{verdict} ({date}, [{file}](fieldtests/{name}))"
                         for file, (date, verdict, name) in sorted(rows.items())) for a, rows in newest.items()}


def page(folder=FOLDER):
    of, rows, sources = goldens(), [], {}
    for stem in re.findall(r"^ARCH\( (\w+) \)", read("src", "model", "arch.def"), re.MULTILINE):
        text = read("src", "model", "arch", stem + ".c")
        sources[re.search(r'^    \.name = "([^"]+)"', text, re.MULTILINE)[1]] = text
    real = real_files(sources, folder)
    for name, text in sources.items():
        people = re.match(r"/\* \w+\.c: ([^\n]*?)\.?\n", text)[1]
        cases = of.get(name, [])
        made_by = sorted({g["made_by"].split(", ")[-1] for _, g in cases})
        switches = sorted({flip for _, g in cases for flip in g["flips"]})
        rows.append(f"| `{name}` | {people} | {', '.join(made_by) or 'none yet'} | {', '.join(n for n, _ in cases)} | "
                    f"{', '.join(switches)} | {real.get(name, 'untested')} |\n")
    return HEAD + "".join(rows)


def main():
    try:
        made = page()
    except (ValueError, KeyError) as why:
        sys.exit(f"models_page.py: {why}")
    if sys.argv[1:] == ["--check"]:
        return 0 if os.path.exists(PAGE) and read("docs", "models.md") == made else 1
    sys.stdout.write(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
