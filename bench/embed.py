#!/usr/bin/env python3
"""embed.py: an embedder against its reference implementation: are its vectors the same, and how many texts a second.

    bench/embed.py --folder FOLDER --python V/bin/python --models A.gguf... [--build build] [--runs 7] [--threads 2]
                   [--texts 200] [--csv FILE | --no-csv]

FOLDER is what its makers publish, A.gguf what tools/convert_bert.py makes of it, V has torch and transformers
(tools/oracle/setup.sh). Texts are sentences of HEARTH_FIXTURES/text/tolstoy-val.txt, and lines of mixed.txt, which has
other scripts. The reference encodes them one by one and in batches of 32, bench_embed packs them; all in turns,
--runs times, with tokenizing and without loading. The smallest cosine between the vectors of a text stands beside each
file. Rows of bench/results/MACHINE.csv: texts a second, and as bound those of the reference, so that the share says how
many times as fast; texts one by one, and batches.
"""
import argparse
import array
import json
import math
import os
import re
import subprocess
import tempfile

import engine
import measure

HERE = os.path.dirname(os.path.abspath(__file__))
BATCHES = {1: "one by one", 32: "batches of 32"}


def sentences(n):
    folder = os.path.join(os.environ["HEARTH_FIXTURES"], "text")
    with open(os.path.join(folder, "tolstoy-val.txt"), encoding="utf-8") as f:
        prose = [" ".join(s.split()) for s in re.split(r"(?<=[.!?])\s+", f.read())]
    with open(os.path.join(folder, "mixed.txt"), encoding="utf-8") as f:
        mixed = [" ".join(s.split()) for s in f]
    found = [s for s in mixed if 12 <= len(s) <= 400][:n // 4]
    return found + [s for s in prose if 12 <= len(s) <= 400][:n - len(found)]


class Reference:
    def __init__(self, python, folder, threads, texts):
        self.process = subprocess.Popen([python, os.path.join(HERE, "embed_reference.py"), folder, str(threads)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.say(texts)

    def say(self, what):
        self.process.stdin.write(json.dumps(what).encode() + b"\n")
        self.process.stdin.flush()

    def ask(self, size):
        self.say(size)
        return json.loads(self.process.stdout.readline())


def packed(o, path, texts):
    """(vectors, seconds)."""
    with tempfile.TemporaryDirectory() as folder:
        lines, vectors = os.path.join(folder, "texts"), array.array("f")
        with open(lines, "w", encoding="utf-8") as f:
            f.write("".join(text + "\n" for text in texts))
        words = [os.path.join(o.build, "bench", "bench_embed"), path, str(o.threads), lines, lines + ".f32"]
        done = subprocess.run(words, stdout=subprocess.PIPE, check=True)
        with open(lines + ".f32", "rb") as f:
            vectors.frombytes(f.read())
    n = len(vectors) // len(texts)
    return [vectors[i:i + n] for i in range(0, len(vectors), n)], float(done.stdout)


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


def label(path):
    return os.path.splitext(os.path.basename(path))[0]


def measure_all(o, texts):
    """(rows, [(model, smallest cosine)])."""
    reference = Reference(o.python, o.folder, o.threads, texts)
    want, least = reference.ask(0), []
    for path in o.models:
        have, _ = packed(o, path, texts)
        least.append((label(path), min(map(cosine, want, have))))
    figures = {(path, size): measure.Figure(f"embed {label(path)} against {what}", "texts/s")
               for path in o.models for size, what in BATCHES.items()}
    for _ in range(o.runs):
        others, speed = measure.Others(), {}
        for size in BATCHES:
            speed[size] = len(texts) / reference.ask(size)
        for path in o.models:
            mine = len(texts) / packed(o, path, texts)[1]
            for size in BATCHES:
                figures[path, size].add(mine, speed[size], others.percent())
    reference.process.stdin.close()
    reference.process.wait()
    return [(f.name, f.value(), f.unit, *f.spread(), len(f.all), f.roof(), f.others()) for f in figures.values()], least


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--folder", required=True)
    p.add_argument("--python", required=True)
    p.add_argument("--models", nargs="+", required=True)
    p.add_argument("--build", default="build")
    p.add_argument("--runs", type=int, default=7)
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--texts", type=int, default=200)
    p.add_argument("--csv", help="append here instead of bench/results/MACHINE.csv")
    p.add_argument("--no-csv", action="store_true", help="append nowhere")
    o = p.parse_args()
    measured, texts = engine.commit(), sentences(o.texts)
    rows, least = measure_all(o, texts)
    engine.show(rows)
    for name, cos in least:
        print(f"{name}: cosine of {len(texts)} texts at least {cos:.9f}")
    if not o.no_csv:
        engine.append(o.csv or os.path.join(HERE, "results", f"{measure.machine_name()}.csv"), measured, rows)


if __name__ == "__main__":
    main()
