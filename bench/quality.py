#!/usr/bin/env python3
"""quality.py: what each fixture model loses to its number format, by this build.

    bench/quality.py [--build build] [--only TEXT] [--limit WINDOWS] [--csv FILE | --no-csv]

One row for each model of HEARTH_FIXTURES/goldens/perplexity.json: its perplexity on the golden's text, the golden
(another engine's), their ratio, and the mean Kullback-Leibler divergence from the f32 file of its family, with its
99th percentile and the share of positions where both find the same token likeliest. Models of a format that this build
cannot compute with are listed and get no row. bench/results/quality.csv is written anew: the figures do not depend on
the machine, so there is one row for a model and not one for a run.
"""
import argparse
import csv
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
COLUMNS = ("model", "perplexity", "standard_error", "golden", "ratio", "within", "kld_reference", "kld_mean",
           "kld_p99", "same_top", "n_scored_tokens", "arithmetic_revision")
TOLERANCE, OUTLIER_TOLERANCE = 0.003, 0.005


def revision(hearth):
    out = subprocess.run([hearth, "version"], capture_output=True, text=True, check=True).stdout
    return next(line.split()[-1] for line in out.splitlines() if line.startswith("arithmetic revision"))


def runs(hearth, path):
    return subprocess.run([hearth, "inspect", path], capture_output=True, check=False).returncode == 0


def reference_of(name):
    return ("tolstoy-outlier" if name.startswith("tolstoy-outlier") else "tolstoy-4m") + "-f32"


def measure(hearth, fixtures, name, golden, text, limit):
    def path(model):
        return os.path.join(fixtures, "models", model + ".gguf")
    reference = reference_of(name)
    argv = [hearth, "perplexity", path(name), text, "--json", "--kld", path(reference)]
    argv += ["--limit", str(limit)] if limit else []
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{name}: {done.stderr}")
    got = json.loads(done.stdout)
    kld, ratio = got["kld"], got["perplexity"] / golden["perplexity"]
    tolerance = OUTLIER_TOLERANCE if name.startswith("tolstoy-outlier") else TOLERANCE
    within = "yes" if abs(ratio - 1) <= tolerance else "NO"
    return (name, f"{got['perplexity']:.4f}", f"{got['standard_error']:.4f}", f"{golden['perplexity']:.4f}",
            f"{ratio:.5f}", within, reference, f"{kld['mean']:.3e}", f"{kld['p99']:.3e}", f"{kld['same_top']:.4f}",
            got["n_scored_tokens"])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", default="build", help="the build folder")
    p.add_argument("--only", default="", help="only models with this in their name (no CSV unless --csv)")
    p.add_argument("--limit", type=int, help="only so many windows (no CSV unless --csv; goldens are of all)")
    p.add_argument("--csv", help="write here instead of bench/results/quality.csv")
    p.add_argument("--no-csv", action="store_true", help="write nowhere")
    options = p.parse_args()
    fixtures, hearth = os.environ.get("HEARTH_FIXTURES"), os.path.join(options.build, "hearth")
    if not fixtures:
        sys.exit("HEARTH_FIXTURES is not set")
    with open(os.path.join(fixtures, "goldens", "perplexity.json"), encoding="utf-8") as f:
        goldens = json.load(f)
    text, rows, rev = os.path.join(fixtures, goldens["text"]), [], revision(hearth)
    print("  ".join(f"{c:>12}" for c in COLUMNS[:-1]))
    for name, golden in goldens["models"].items():
        if options.only not in name:
            continue
        if not runs(hearth, os.path.join(fixtures, "models", name + ".gguf")):
            print(f"{name}: not in this build")
            continue
        rows.append((*measure(hearth, fixtures, name, golden, text, options.limit), rev))
        print("  ".join(f"{str(v):>12}" for v in rows[-1][:-1]), flush=True)
    if not options.no_csv and (options.csv or not (options.only or options.limit)):
        path = options.csv or os.path.join(HERE, "results", "quality.csv")
        with open(path, "w", encoding="ascii", newline="") as f:
            w = csv.writer(f, lineterminator="\n")
            w.writerow(COLUMNS)
            w.writerows(rows)
        print(f"written: {os.path.relpath(path)}")
    return 1 if any(row[5] == "NO" for row in rows) and not options.limit else 0


if __name__ == "__main__":
    sys.exit(main())
