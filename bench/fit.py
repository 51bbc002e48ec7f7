#!/usr/bin/env python3
"""fit.py: what `hearth fit` forecasts beside what `hearth bench` measures, on models that no coefficient comes from.

    bench/fit.py [--build build] [--csv FILE] [--keep DIR]

Random models of these shapes and types are made and removed one after the other (at most 1.6 GB). Forecasts use the
roofs that `hearth bench` read beside its runs, so that what a shared machine gives is the same for both. Memory: the
peak of `hearth run` with a context that is full at the end. Rows: shape, type, isa, processors, what, measured,
forecast, error in percent, and the share of the machine that others used. --keep: figures of bench that are there are
not measured again.
"""
import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
TOKENS, CONTEXT = 16, 256
# Frozen coefficients come from qwen3-1.7b (src/cli/fit_coefficients.def). cpus "0": one processor, as by a quota.
RUNS = [
    ("qwen3-0.6b", "Q8_0", "avx512vnni", "0,1", "1,4,8", "0,2048"),
    ("llama-3.2-1b", "Q4_K_M", "avx512vnni", "0,1", "1,4,8", "0,2048"),
    ("qwen3-0.6b", "Q4_0", "avx512vnni", "0,1", "1,4,8", "0,2048"),
    ("llama-3.2-1b", "Q4_K_M", "avx2", "0,1", "4", "0,2048"),
    ("qwen3-0.6b", "F16", "avx512vnni", "0,1", "4,8", "0"),
    ("qwen3-0.6b", "Q8_0", "avx2", "0,1", "4", "0"),
    ("llama-3.2-1b", "Q6_K", "avx512vnni", "0,1", "1,4,8", "0"),
    ("tiny", "Q8_0", "avx512vnni", "0,1", "1,4", "0"),
    ("qwen3-0.6b", "Q4_0", "avx512vnni", "0", "4", "0"),
]
COLUMNS = ("shape", "type", "isa", "cpus", "what", "measured", "forecast", "unit", "error_percent", "band_percent",
           "others_percent")


class Machine:
    def __init__(self, hearth, isa, cpus):
        self.hearth, self.cpus = hearth, cpus
        self.env = {**os.environ, "HEARTH_ISA": isa, "HEARTH_CONFIG": "none"}

    def run(self, *words):
        argv = ["taskset", "-c", self.cpus, self.hearth, *words]
        done = subprocess.run(argv, env=self.env, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 1) or not done.stdout:
            sys.exit(f"{' '.join(argv)}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def first_token_ms(self, path, cold):
        """From the start of the program to its end after one token, the file out of the page cache or in it."""
        fd = os.open(path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED if cold else os.POSIX_FADV_WILLNEED)
        os.close(fd)
        begun = time.monotonic()
        subprocess.run(["taskset", "-c", self.cpus, self.hearth, "run", path, "--ctx", str(CONTEXT), "--raw", "-p",
                        "Hello", "-n", "1", "--temp", "0"], env=self.env, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, check=True)
        return 1e3 * (time.monotonic() - begun)

    def peak_bytes(self, path):
        """Of a run whose context is full at the end."""
        argv = ["taskset", "-c", self.cpus, self.hearth, "run", path, "--ctx", str(CONTEXT), "--raw", "-p", "Hello",
                "--ignore-eos", "--temp", "0"]
        child = subprocess.Popen(argv, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, use = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        return use.ru_maxrss * 1024


def measured(machine, path, name, run, keep):
    at = os.path.join(keep, name) if keep else None
    if at and os.path.isfile(at) and os.path.getsize(at):
        with open(at, encoding="utf-8") as f:
            return json.load(f)
    got = machine.run("bench", path, "--json", "--runs", "3", "--tokens", str(TOKENS), "--prefill", "512", "--decode",
                      run[5], "--batch", run[4])
    if at:
        with open(at, "w", encoding="utf-8") as f:
            json.dump(got, f)
    return got


def rows_of(machine, path, name, run, keep):
    bench = measured(machine, path, name, run, keep)

    def forecast(beside, prompt, users, context=None):
        """By the roof that was read beside that figure, for it changes from minute to minute."""
        roof = {**bench["roof"], **({"read_gb_s": beside["roof_gb_s"]} if "roof_gb_s" in beside else {})}
        roofs = ",".join(str(roof[k]) for k in ("read_gb_s", "int8_gmac_s", "f32_gmac_s"))
        return machine.run("fit", path, "--json", "--roofs", roofs, "--threads", str(bench["n_threads"]), "--prompt",
                           str(prompt), "--users", str(users), "--context", str(context or prompt))["models"][0]

    def row(what, value, figure, unit="tok/s"):
        return [*run[:4], what, f"{value:.5g}", f"{figure['value']:.5g}", unit,
                f"{100 * (figure['value'] / value - 1):.1f}", f"{100 * (figure['high'] / figure['value'] - 1):.0f}",
                f"{bench['others_percent']:.0f}"]

    for p in bench["prefill"]:
        yield row(f"prefill {p['n']}", p["tok_s"], forecast(p, p["n"], 1)["prompt_tok_s"])
    for d in bench["decode"]:
        yield row(f"decode {d['ctx']}", d["tok_s"], forecast(d, max(1, d["ctx"]) + TOKENS // 2, 1)["tok_s"])
    for b in bench["batch"]:
        yield row(f"users {b['n']}", b["tok_s"], forecast(b, 16 + TOKENS // 2, b["n"])["tok_s_all_users"])
    if run[2] == "avx512vnni" and run[3] == "0,1":
        fresh = machine.run("fit", path, "--json", "--record-dir", "/nonexistent", "--context", str(CONTEXT))
        fresh = fresh["models"][0]
        for name, cold in ("cold", True), ("warm", False):
            took = statistics.median(machine.first_token_ms(path, cold) for _ in range(3))
            if fresh[f"load_{name}_ms"]:
                yield row(f"load {name}", took, fresh[f"load_{name}_ms"], "ms")
    total = forecast({}, CONTEXT, 1)["memory"]["total_bytes"] / 1e6
    yield row("memory", machine.peak_bytes(path) / 1e6, {"value": total, "high": 1.05 * total}, "MB")


def summary(rows):
    for kind, most in (("prefill", 30), ("decode", 30), ("users", 30), ("memory", 5), ("load", 50)):
        off = sorted(abs(float(r[8])) for r in rows if r[4].startswith(kind))
        if not off:
            continue
        print(f"{kind:8}{len(off):4} rows, error {statistics.median(off):5.1f} % in the median, {off[-1]:5.1f} % at "
              f"worst, {sum(o > most for o in off)} above {most} %")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--csv", help="write the rows there, anew")
    parser.add_argument("--keep", help="a folder for the figures of bench")
    options = parser.parse_args()
    hearth = os.path.join(options.build, "hearth")
    folder = os.path.join(options.build, "bench-fit")
    os.makedirs(folder, exist_ok=True)
    rows, left = [], [run[:2] for run in RUNS]
    for run in RUNS:
        shape, kind, isa, cpus = run[:4]
        path = os.path.join(folder, f"{shape}-{kind}.gguf")
        machine = Machine(hearth, isa, cpus)
        if not os.path.exists(path):
            subprocess.run([hearth, "dev", "synth", path, "--shape", shape, "--type", kind], check=True,
                           stderr=subprocess.DEVNULL)
        for row in rows_of(machine, path, f"held-{shape}-{kind}-{isa}-{cpus}.json", run, options.keep):
            rows.append(row)
            print("  ".join(row), flush=True)
        left.remove(run[:2])
        if run[:2] not in left:
            os.remove(path)
    if options.csv:
        with open(options.csv, "w", encoding="utf-8", newline="") as f:
            csv.writer(f, lineterminator="\n").writerows([COLUMNS, *rows])
    summary(rows)


if __name__ == "__main__":
    main()
