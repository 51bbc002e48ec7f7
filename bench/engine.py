#!/usr/bin/env python3
"""engine.py: the program beside what the machine can do, measured in the same run.

    bench/engine.py [--build build] [--runs 7] [--only TEXT] [--csv FILE | --no-csv]

On synthetic models of full size (made once, in BUILD/bench):

  start    process start to the first byte of the answer. Warm: the file is in the page cache, read there by an
           earlier start. Cold: evicted, beside the time the disk needs for the file (the fastest of 1, 2 and 4
           readers, measured right before). Peak resident memory of both.
  decode   64 tokens after a short prompt, beside the read roof over the bytes of a token
  prefill  512 tokens (fewer where the model holds fewer), beside the int8 roof over the multiply-adds; one fresh
           process each, so mapping the weights is inside
  kernel   bench_kernel's figures (short windows)
  sampler  bench_sampler's: one token chosen from 2,048, 32,000 and 152,000 logits
  chat     bench_chat's: a conversation of 20,000 tokens through each template of HEARTH_FIXTURES (left out without it)

Figures and roofs alternate, because shared machines drift. What others use of the machine is measured with every
run; runs in which they use more than 5 % are repeated (up to three times as many in all), and the quietest count.
Rows are appended to bench/results/MACHINE.csv: median, quartiles, number of runs, the median of the bound beside
it (0: none), and the percentage others used.
"""
import argparse
import csv
import datetime
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

import measure
from measure import Figure, Others

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
SHAPE, TYPES = "llama-3.2-1b", ("Q4_K_M", "Q8_0", "Q4_0")
KERNEL_FORMATS = ("q4_K", "q6_K", "q8_0", "q4_0")
COLUMNS = ("commit", "date", "benchmark", "value", "unit", "low", "high", "runs", "roof", "others")
QUIET_PERCENT, DECODE_TOKENS, PREFILL_TOKENS = 5.0, 64, 512
SHORT = ["--raw", "-p", "Hello there", "--temp", "0"]


class Model:
    """A file (or the built-in model: path None), its shape, and a prompt of the wanted length."""

    def __init__(self, hearth, label, path):
        self.label, self.path, self.hearth = label, path, hearth
        about = measure.json.loads(measure.output_of([hearth, "inspect", "--json"] + self.words()))
        s = about["shape"]
        n_q, n_kv = s["n_heads"] * s["head_dim"], s["n_kv_heads"] * s["head_dim"]
        self.layer_macs = s["n_layers"] * s["n_embd"] * (2 * n_q + 2 * n_kv + 3 * s["n_ff"])
        self.attention_macs = 2 * s["n_layers"] * n_q  # per token and key
        self.output_macs = s["n_embd"] * s["n_vocab"]
        self.n_ctx = about["n_ctx_train_tokens"]
        self.n_decode = min(DECODE_TOKENS, self.n_ctx // 2) + 1
        self.prompt = self.make_prompt(min(PREFILL_TOKENS, self.n_ctx - 8))

    def words(self):
        return [self.path] if self.path else []

    def run(self, *more):
        return [self.hearth, "run"] + self.words() + list(more)

    def make_prompt(self, n_tokens):
        """Random words, cut so that it is exactly n_tokens with BOS, or a few less."""
        rng = random.Random(1)
        letters = "etaoinshrdlu"
        text = " ".join("".join(rng.choice(letters) for _ in range(rng.randint(2, 8))) for _ in range(n_tokens))
        argv = [self.hearth, "tokenize", "--ids", "--bos"] + (["--model", self.path] if self.path else [])

        def count(n):
            return len(measure.output_of(argv, text[:n]).split())

        low, high = 0, len(text)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if count(middle) <= n_tokens else (low, middle)
        return text[:low]

    def prefill_macs(self, n):
        return n * self.layer_macs + self.attention_macs * n * (n + 1) / 2 + self.output_macs


def make_models(hearth, folder):
    os.makedirs(folder, exist_ok=True)
    models = []
    for t in TYPES:
        path = os.path.join(folder, f"{SHAPE}-{t}.gguf")
        if not os.path.exists(path):
            print(f"making {path}", flush=True)
            subprocess.run([hearth, "dev", "synth", "--shape", SHAPE, "--type", t, path], check=True)
        models.append(Model(hearth, f"{SHAPE} {t}", path))
    return models + [Model(hearth, "built-in", None)]


class Bench:
    def __init__(self, options):
        self.runs, self.only = options.runs, options.only
        self.hearth = os.path.join(options.build, "hearth")
        self.kernel = os.path.join(options.build, "bench", "bench_kernel")
        self.threads = sorted({1, len(os.sched_getaffinity(0))})
        self.figures = {}

    def wanted(self, name):
        return self.only in name

    def wants_models(self):
        labels = [f"{SHAPE} {t}" for t in TYPES] + ["built-in"]
        return self.wanted("start") or any(self.wanted(f"speed {label}") for label in labels)

    def add(self, name, unit, value, roof, others):
        self.figures.setdefault(name + unit, Figure(name, unit)).add(value, roof, others)

    def repeat(self, name, measure_once):
        """At least `runs` times, and up to three times as many until enough were quiet."""
        before = set(self.figures)
        for i in range(3 * self.runs):
            measure_once()
            new = [f for key, f in self.figures.items() if key not in before]
            if i + 1 >= self.runs and all(f.n_quiet(QUIET_PERCENT) >= self.runs for f in new):
                break
            print(f"\r{name}: run {i + 1}", end="   ", file=sys.stderr, flush=True)
        print(f"\r{' ' * 70}\r", end="", file=sys.stderr)

    # --- start ---

    def start_once(self, m):
        size = os.path.getsize(m.path)
        argv = m.run(*SHORT, "-n", "1")
        others = Others()
        disk = measure.disk_seconds(m.path)
        measure.evict(m.path)
        cold, cold_bytes = measure.first_byte(argv)
        self.add(f"start cold {m.label}", "s", cold, disk, others.percent())
        others = Others()
        time.sleep(0.2)  # so that the clock's ticks of 10 ms say enough about the others
        warm, warm_bytes = measure.first_byte(argv)
        self.add(f"start warm {m.label}", "s", warm, 0, others.percent())
        self.add(f"peak memory {m.label}", "MB", max(cold_bytes, warm_bytes) / 1e6, size / 1e6, 0)

    # --- decode and prefill ---

    def speed_once(self, m):
        for t in self.threads:
            argv = m.run(*SHORT, "--ignore-eos", "--speculate", "off", "-n", str(m.n_decode), "-t", str(t))
            before, others = measure.roofs(self.kernel), Others()
            d, between = measure.receipt(argv)["decode"], None
            others_decode, between = others.percent(), measure.roofs(self.kernel)
            roof = (before["read", t] + between["read", t]) / 2
            self.add(f"decode {m.label} {t} threads", "GB/s", d["gb_per_s"], roof, others_decode)
            self.add(f"decode {m.label} {t} threads", "tok/s", d["tokens_per_s"],
                     roof * 1e9 / d["bytes_per_token"], others_decode)
            others = Others()
            p = measure.receipt(m.run("--raw", "-p", m.prompt, "--temp", "0", "-n", "1", "-t", str(t)))["prefill"]
            others_prefill, after = others.percent(), measure.roofs(self.kernel)
            n, seconds = p["n_computed_tokens"], p["ms"] / 1e3
            roof = (between["int8", t] + after["int8", t]) / 2
            macs = m.prefill_macs(n)
            self.add(f"prefill {n} {m.label} {t} threads", "GMAC/s", macs / seconds / 1e9, roof, others_prefill)
            self.add(f"prefill {n} {m.label} {t} threads", "tok/s", n / seconds, roof * 1e9 * n / macs,
                     others_prefill)
            self.add(f"read roof {t} threads", "GB/s", (before["read", t] + between["read", t] + after["read", t]) / 3,
                     0, others_decode)
            self.add(f"int8 roof {t} threads", "GMAC/s", roof, 0, others_prefill)

    # --- all ---

    def kernel_rows(self):
        """bench_kernel's own rows, with what others used meanwhile."""
        with tempfile.NamedTemporaryFile(mode="r", suffix=".csv") as f:
            others = Others()
            argv = [self.kernel, "--windows", "5", "--mib", "256", "--csv", f.name, *KERNEL_FORMATS]
            subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
            used = others.percent()
            rows = [r for r in csv.reader(f) if "gem" in r[0]]
        return [(f"kernel {r[0]}", float(r[1]), r[2], float(r[3]), float(r[4]), int(r[5]), float(r[6]), used)
                for r in rows]

    def chat_rows(self):
        """bench_chat's own rows, of every template in the fixtures."""
        fixtures = os.environ.get("HEARTH_FIXTURES")
        if not fixtures:
            print("chat: left out, HEARTH_FIXTURES is not set")
            return []
        vocabulary = os.path.join(fixtures, "vocab", "ggml-vocab-llama-bpe.gguf")
        text = os.path.join(fixtures, "text", "tolstoy-val.txt")
        folder = os.path.join(fixtures, "templates")
        templates = sorted(os.path.join(folder, f) for f in os.listdir(folder) if f.endswith(".jinja"))
        with tempfile.NamedTemporaryFile(mode="r", suffix=".csv") as f:
            others = Others()
            chat = os.path.join(os.path.dirname(self.kernel), "bench_chat")
            subprocess.run([chat, "--csv", f.name, vocabulary, text, *templates], check=True,
                           stdout=subprocess.DEVNULL)
            used = others.percent()
            return [(r[0], float(r[1]), r[2], float(r[3]), float(r[4]), int(r[5]), 0, used) for r in csv.reader(f)]

    def sampler_rows(self):
        """bench_sampler's own rows."""
        with tempfile.NamedTemporaryFile(mode="r", suffix=".csv") as f:
            others = Others()
            sampler = os.path.join(os.path.dirname(self.kernel), "bench_sampler")
            subprocess.run([sampler, "--csv", f.name], check=True, stdout=subprocess.DEVNULL)
            used = others.percent()
            return [(r[0], float(r[1]), r[2], float(r[3]), float(r[4]), int(r[5]), 0, used) for r in csv.reader(f)]

    def measure_all(self, models):
        if models and self.wanted("start"):
            self.repeat(f"start {models[0].label}", lambda: self.start_once(models[0]))
        for m in models:
            if self.wanted(f"speed {m.label}"):
                self.repeat(f"speed {m.label}", lambda m=m: self.speed_once(m))
        rows = []
        for f in self.figures.values():
            f = f.quietest(self.runs)
            rows.append((f.name, f.value(), f.unit, *f.spread(), len(f.all), f.roof(), f.others()))
        rows += self.kernel_rows() if self.wanted("kernel") else []
        rows += self.sampler_rows() if self.wanted("sampler") else []
        return rows + (self.chat_rows() if self.wanted("chat") else [])

    def limits(self, label):
        """(what, measured, limit, met) of the start."""
        found = {}
        for f in self.figures.values():
            found[f.name] = f.quietest(self.runs)
        warm, cold, memory = (found.get(f"{what} {label}") for what in ("start warm", "start cold", "peak memory"))
        if not warm:
            return []
        return [(f"first token, warm: {warm.value():.3f} s, at most 0.15 s", warm.value() <= 0.15),
                (f"first token, cold: {cold.share():.2f} times what the disk needs ({cold.roof():.3f} s), at most 1.15",
                 cold.share() <= 1.15),
                (f"peak resident memory: {memory.share():.2f} times the file, at most 1.10", memory.share() <= 1.10)]


def commit():
    """Short id; a + when what is measured differs from it."""
    def git(*words):
        return subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True, check=False).stdout.strip()
    name = git("rev-parse", "--short=10", "HEAD") or "unknown"
    return name + ("+" if git("status", "--porcelain", "--", "src", "include", "models", "meson.build") else "")


def append(path, measured, rows):
    """measured: commit() from before the first run; the tree may have moved on since."""
    new = not os.path.exists(path)
    head = (measured, datetime.date.today().isoformat())
    with open(path, "a", encoding="ascii", newline="") as f:
        w = csv.writer(f, lineterminator="\n")
        if new:
            w.writerow(COLUMNS)
        for name, value, unit, low, high, n, roof, others in rows:
            w.writerow((*head, name, f"{value:.4g}", unit, f"{low:.4g}", f"{high:.4g}", n, f"{roof:.4g}",
                        f"{others:.0f}"))


def show(rows):
    print(f"{'':44} {'median':>9} {'quartiles':>19}  {'unit':7} {'bound':>8}  share  others")
    for name, value, unit, low, high, _, roof, others in rows:
        bound = f"{roof:8.4g}  {value / roof:5.2f}" if roof > 0 else f"{'':8}  {'':5}"
        print(f"{name:44} {value:9.4g} {low:9.4g} {high:9.4g}  {unit:7} {bound}  {others:4.0f} %")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", default="build", help="the build folder")
    p.add_argument("--models", help="where the synthetic models are kept (default: BUILD/bench)")
    p.add_argument("--runs", type=int, default=7)
    p.add_argument("--only", default="",
                   help="only what has this in its name: start, speed, kernel, sampler, chat, a type")
    p.add_argument("--csv", help="append here instead of bench/results/MACHINE.csv")
    p.add_argument("--no-csv", action="store_true", help="append nowhere")
    options = p.parse_args()
    folder = options.models or os.path.join(options.build, "bench")
    os.makedirs(folder, exist_ok=True)
    if shutil.disk_usage(folder).free < 6 << 30 and not os.path.exists(os.path.join(folder, f"{SHAPE}-Q4_0.gguf")):
        sys.exit(f"{folder} has less than 6 GB free, and the models need 3; name another folder with --models")
    bench, measured = Bench(options), commit()
    models = make_models(bench.hearth, folder) if bench.wants_models() else []
    rows = bench.measure_all(models)
    show(rows)
    limits = bench.limits(models[0].label) if models else []
    for what, met in limits:
        print(f"{'met    ' if met else 'NOT MET'}  {what}")
    if not options.no_csv:
        path = options.csv or os.path.join(HERE, "results", f"{measure.machine_name()}.csv")
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        append(path, measured, rows)
        print(f"appended to {os.path.relpath(path)}")


if __name__ == "__main__":
    main()
