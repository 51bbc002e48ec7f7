#!/usr/bin/env python3
"""generate.py: goldens of architectures from their reference implementation, for tests/golden/arch.

    tools/oracle/setup.sh VENV                       once: PyTorch and transformers, pinned
    VENV/bin/python tools/oracle/generate.py NAME... or all

NAME is a file of arch/, which means all goldens that it describes, or one golden.

Each golden describes a tiny model whose weights anybody can make again (tests/model/golden.py), and holds what
transformers computes from them in f32 on the CPU. Says how sharp the reference's attention is: the mean weight of
the key that gets most, of queries that see at least 8.
"""

import glob
import importlib
import json
import os
import random
import sys

import torch
import transformers

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, "..", "..", "tests", "model"))
import golden  # noqa: E402

# Tokens of a run, and after which of them the reference is asked: pages of the cache hold 64.
RUNS = {5: (0, 2, 4), 40: (17, 39), 90: (63, 64, 75, 89)}


def cases_of(description):
    return list(importlib.import_module("arch." + description).cases())


def chosen(names):
    """Cases of descriptions and goldens by these names. A description is imported only when it is asked for: what the
    reference says of its configuration is about nothing else."""
    descriptions = sorted(os.path.basename(path)[:-3] for path in glob.glob(os.path.join(HERE, "arch", "*.py")))
    found, others = [], {}
    for name in descriptions if names == ["all"] else names:
        if name in descriptions:
            found += cases_of(name)
            continue
        others = others or {case.name: case for each in descriptions for case in cases_of(each)}
        if name not in others:
            sys.exit(f"neither a file of arch/ nor a golden is called {name}; there are {' '.join(descriptions)} and, "
                     f"of them, {' '.join(others)}")
        found.append(others[name])
    return found


def as_tensor(seed, name, shape, fill):
    made = torch.tensor(golden.values(seed, name, shape, fill), dtype=torch.float32)
    return made.reshape(list(reversed(shape)))


def fill_reference(model, case, tensors, into):
    """The reference with the file's values; every parameter must come from the file."""
    values = {name: as_tensor(case.seed or case.name, name, shape, fill) for name, shape, fill in tensors}
    state = {of: form.join([values[n] for n in names]) for names, of, form in into}
    missing, unexpected = model.load_state_dict(state, strict=False)
    tied = set(getattr(model, "all_tied_weights_keys", {}) or {}) if case.tied() else set()
    left = [name for name in missing if name not in tied]
    if left or unexpected:
        sys.exit(f"{case.name}: the reference also has {left}, and has no {unexpected}")
    model.tie_weights()
    return model


def sharpness(attentions):
    """Mean of the largest weight of queries from the 8th on."""
    most = [a[0, :, 8:].amax(-1).mean().item() for a in attentions or () if a is not None and a.dim() == 4]
    return sum(most) / len(most) if most else None


def floats(row):
    return [float(f"{v:.7g}") for v in row.tolist()]


def answers(model, case, tokens):
    with torch.no_grad():
        done = model(torch.tensor([tokens]), output_attentions=True, return_dict=True)
    found = done.logits if case.output == "logits" else done.last_hidden_state
    return found[0], sharpness(getattr(done, "attentions", None))


def make(case):
    tensors, into = case.tensors()
    model = fill_reference(case.reference(), case, tensors, into)
    chance, runs, sharp = random.Random(case.name), [], None
    for n in case.lengths or RUNS:
        rows = RUNS[n]
        tokens = [chance.randrange(3, case.config.vocab_size) for _ in range(n)]
        found, sharp = answers(model, case, tokens)
        runs.append({"tokens": tokens, "rows": [{"after": r, case.output: floats(found[r])} for r in rows]})
    said = {"made_by": f"tools/oracle/generate.py, transformers {transformers.__version__}, "
                       f"torch {torch.__version__.split('+')[0]}, {type(model).__name__}",
            "seed": case.seed or case.name, "attention": sharp and float(f"{sharp:.3g}"),
            "vocabulary": case.vocabulary,
            "metadata": {"general.architecture": case.arch, "general.name": case.name, **case.metadata},
            "tensors": tensors, "flips": case.flips, "runs": runs}
    return said


def lines(said):
    """JSON that a person can read: a line for each key, tensor and row."""
    out = []
    for key, value in said.items():
        if isinstance(value, dict) and value:
            body = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items())
            out.append(f' {json.dumps(key)}: {{\n{body}\n }}')
        elif key == "tensors":
            out.append(' "tensors": [\n' + ",\n".join("  " + json.dumps(t) for t in value) + "\n ]")
        elif key == "runs":
            runs = []
            for run in value:
                rows = ",\n".join("   " + json.dumps(r, separators=(",", ":")) for r in run["rows"])
                runs.append(f'  {{"tokens": {json.dumps(run["tokens"])},\n   "rows": [\n{rows}]}}')
            out.append(' "runs": [\n' + ",\n".join(runs) + "\n ]")
        else:
            out.append(f" {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(out) + "\n}\n"


def main():
    torch.set_num_threads(1)
    if not sys.argv[1:]:
        sys.exit("usage: generate.py NAME... or all")
    for case in chosen(sys.argv[1:]):
        said = make(case)
        text = lines(said)
        assert json.loads(text) == json.loads(json.dumps(said))
        with open(os.path.join(golden.FOLDER, case.name + ".json"), "w", encoding="utf-8") as f:
            f.write(text)
        std = torch.tensor(said["runs"][-1]["rows"][-1][case.output]).std().item()
        print(f"{case.name}: attention {said['attention']}, std of {case.output} {std:.3g}, {len(text)} bytes")


if __name__ == "__main__":
    main()
