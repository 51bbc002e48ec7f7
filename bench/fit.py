#!/usr/bin/env python3
"""fit.py: what `hearth fit` forecasts beside what `hearth bench` measures, on models that no coefficient comes from.

    bench/fit.py [--build build] [--csv FILE] [--keep DIR] [--models DIR] [--only TEXT] [--seconds S]

Random models of these shapes and types are made and removed one after the other (at most 2.5 GB), and stories260K of
HEARTH_FIXTURES, where that is set, is another. Forecasts use the roofs that `hearth bench` read beside its runs, so
that what a shared machine gives is the same for both. A CPU quota is a control group of the run's own, where one can be
made. Memory: the peak of `hearth run` with a context that is full at the end. Rows: shape, type, isa, threads, quota
(processors), type of keys and values, what, measured, forecast, error in percent, and the share of the machine that
others used. --keep: figures that are there are not measured again; --models: models are not removed; --only: of
combinations with that in their name; --seconds: begin no combination after that long.
"""
import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import time
from typing import NamedTuple

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
GROUPS = "/sys/fs/cgroup"
TOKENS, CONTEXT = 16, 256


class Run(NamedTuple):
    shape: str
    type: str
    isa: str
    users: str
    contexts: str = "0"
    prompts: str = "512"
    kv_type: str = "f16"
    quota: float = 0  # processors; 0: none
    threads: int = 0  # 0: as many as hearth takes
    starts: bool = False

    def name(self):
        return "-".join(str(v) for v in self[:3]) + f"-{self.kv_type}-q{self.quota:g}-t{self.threads}"


A, B = "avx512vnni", "avx2"
# The coefficients come from qwen3-1.7b and tolstoy-4m (src/cli/fit_coefficients.def), and from no figure of these.
RUNS = [
    Run("qwen3-0.6b", "Q8_0", A, "1,4,8", "0,1024,2048", starts=True),
    Run("qwen3-0.6b", "Q8_0", B, "3,6", "0,1024", "256", kv_type="q8"),
    Run("qwen3-0.6b", "Q4_K_M", A, "6,16", "0,4096", "1024", starts=True),
    Run("qwen3-0.6b", "Q4_K_M", B, "2,4", "0,1024"),
    Run("qwen3-0.6b", "Q6_K", A, "2,5", "512", "384"),
    Run("qwen3-0.6b", "F16", B, "4", "0", "128"),
    Run("qwen3-0.6b", "Q4_0", A, "2", "0", quota=1.0),
    Run("qwen3-0.6b", "Q4_0", B, "4", "0", quota=0.5),
    Run("tiny", "Q8_0", A, "1,4", "0,1024"),
    Run("tiny", "Q4_K_M", A, "2,8", "512", "256"),
    Run("tiny", "F16", A, "1,4", "0"),
    Run("tiny", "Q8_0", B, "1,4", "0"),
    Run("stories260K", "F32", A, "1,4", "0,200", "200"),
    Run("llama-3.2-1b", "Q8_0", A, "2,6", "0", "384", starts=True),
    Run("llama-3.2-1b", "Q8_0", B, "4", "0", "256"),
    Run("llama-3.2-1b", "Q8_0", A, "4", "0", "256", quota=1.5, threads=2),
    Run("llama-3.2-1b", "Q4_K_M", A, "6", "1024", kv_type="q8"),
    Run("llama-3.2-1b", "Q4_K_M", B, "2,4,8", "0"),
    Run("llama-3.2-1b", "Q4_K_M", A, "4", "0", quota=1.0),
    Run("llama-3.2-1b", "Q4_K_M", A, "2", "0", "256", quota=0.5),
    Run("llama-3.2-1b", "Q4_0", A, "3,12", "0", "1024"),
    Run("llama-3.2-1b", "Q4_0", B, "4", "512"),
    Run("llama-3.2-1b", "F16", A, "4", "0", "256", starts=True),
    Run("llama-3.2-1b", "Q6_K", B, "4", "0"),
]
COLUMNS = ("shape", "type", "isa", "threads", "quota", "kv", "what", "measured", "forecast", "unit", "error_percent",
           "band_percent", "others_percent")


class Quota:
    """A control group of its own with so many processors' time, before others: version 1 or 2."""

    def __init__(self, processors):
        self.path, self.why_not = "", ""
        amount = int(processors * 100000)
        old = (("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", str(amount)), ("cpu.shares", "262144"))
        new = (("cpu.max", f"{amount} 100000"), ("cpu.weight", "10000"))
        for base, files in ((os.path.join(GROUPS, "cpu"), old), (GROUPS, new)):
            path = os.path.join(base, f"hearth-bench-{os.getpid()}")
            try:
                os.mkdir(path)
                self.path = path
                for name, value in files:
                    with open(os.path.join(path, name), "r+", encoding="ascii") as f:
                        f.write(value)
                return
            except OSError as e:
                self.close()
                self.why_not = str(e)

    def enter(self):
        """The process that calls this (preexec_fn)."""
        with open(os.path.join(self.path, "cgroup.procs"), "w", encoding="ascii") as f:
            f.write(str(os.getpid()))

    def close(self):
        for _ in range(100 if self.path else 0):  # who has ended leaves it a moment later
            try:
                os.rmdir(self.path)
                break
            except OSError:
                time.sleep(0.05)
        self.path = ""


class Machine:
    def __init__(self, hearth, run):
        self.hearth, self.isa = hearth, run.isa
        self.env = {**os.environ, "HEARTH_ISA": run.isa, "HEARTH_CONFIG": "none"}
        if run.threads:
            self.env["HEARTH_THREADS"] = str(run.threads)
        self.group = Quota(run.quota) if run.quota else None
        self.enter = self.group.enter if self.group and self.group.path else None

    def close(self):
        if self.group:
            self.group.close()

    def run(self, *words):
        argv = [self.hearth, *words]
        done = subprocess.run(argv, env=self.env, capture_output=True, text=True, check=False, preexec_fn=self.enter)
        if done.returncode not in (0, 1) or not done.stdout:
            sys.exit(f"{' '.join(argv)}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def first_token_ms(self, path, cold):
        """From the start of the program to its end after one token, the file out of the page cache or in it."""
        fd = os.open(path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED if cold else os.POSIX_FADV_WILLNEED)
        os.close(fd)
        begun = time.monotonic()
        subprocess.run([self.hearth, "run", path, "--ctx", str(CONTEXT), "--raw", "-p", "Hello", "-n", "1", "--temp",
                        "0"], env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        return 1e3 * (time.monotonic() - begun)

    def peak_bytes(self, path, kv_type):
        """Of a run whose context is full at the end; a token has a byte at least."""
        argv = [self.hearth, "run", path, "--ctx", str(CONTEXT), "--raw", "-p", "Hello, world" * (CONTEXT // 16),
                "--ignore-eos", "--temp", "0", "--kv-type", kv_type]
        with subprocess.Popen(argv, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
            _, status, use = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        return use.ru_maxrss * 1024


def kept(keep, name, make):
    """What make() gives, or what it gave before."""
    at = os.path.join(keep, name + ".json") if keep else None
    if at and os.path.isfile(at) and os.path.getsize(at):
        with open(at, encoding="utf-8") as f:
            return json.load(f)
    got = make()
    if at:
        with open(at, "w", encoding="utf-8") as f:
            json.dump(got, f)
    return got


def measure(machine, path, run):
    """All that is measured of a combination."""
    bench = machine.run("bench", path, "--json", "--runs", "2", "--tokens", str(TOKENS), "--prefill", run.prompts,
                        "--decode", run.contexts, "--batch", run.users, "--kv-type", run.kv_type)
    starts = {}
    for what, cold in (("cold", True), ("warm", False)) if run.starts else ():
        fresh = machine.run("fit", path, "--json", "--record-dir", "/nonexistent", "--context", str(CONTEXT))
        took = statistics.median(machine.first_token_ms(path, cold) for _ in range(3))
        starts[what] = {"ms": took, "disk": fresh["machine"].get("disk_mb_s")}
    peak = None if run.quota or run.isa != A else machine.peak_bytes(path, run.kv_type)
    return {"bench": bench, "starts": starts, "peak": peak}


def rows_of(machine, path, run, keep):
    got = kept(keep, run.name(), lambda: measure(machine, path, run))
    bench = got["bench"]

    def forecast(beside, prompt, users, context=None, disk=None):
        """By the roofs that were read beside that figure, for they change from minute to minute."""
        roof = {**bench["roof"], **({"read_gb_s": beside["roof_gb_s"]} if "roof_gb_s" in beside else {}),
                **({"int8_gmac_s": beside["roof_gmac_s"]} if "roof_gmac_s" in beside else {})}
        roofs = ",".join(str(roof[k]) for k in ("read_gb_s", "int8_gmac_s", "f32_gmac_s"))
        return machine.run("fit", path, "--json", "--roofs", roofs, "--threads", str(bench["n_threads"]), "--prompt",
                           str(prompt), "--users", str(users), "--context", str(context or prompt), "--kv-type",
                           run.kv_type, *(["--disk", str(disk)] if disk else []))["models"][0]

    def row(what, value, figure, unit="tok/s"):
        return [run.shape, run.type, run.isa, bench["n_threads"], f"{run.quota:g}", run.kv_type, what, f"{value:.5g}",
                f"{figure['value']:.5g}", unit, f"{100 * (figure['value'] / value - 1):.1f}",
                f"{100 * (figure['high'] / figure['value'] - 1):.0f}", f"{bench['others_percent']:.0f}"]

    for p in bench["prefill"]:
        yield row(f"prefill {p['n']}", p["tok_s"], forecast(p, p["n"], 1)["prompt_tok_s"])
    for d in bench["decode"]:
        yield row(f"decode {d['ctx']}", d["tok_s"], forecast(d, max(1, d["ctx"]) + TOKENS // 2, 1)["tok_s"])
    for b in bench["batch"]:
        yield row(f"users {b['n']}", b["tok_s"], forecast(b, 16 + TOKENS // 2, b["n"])["tok_s_all_users"])
    for what, start in got["starts"].items():
        said = forecast({}, 1, 1, CONTEXT, start["disk"])[f"load_{what}_ms"]
        if said:
            yield row(f"load {what}", start["ms"], said, "ms")
    if got["peak"]:
        total = forecast({}, CONTEXT, 1)["memory"]["total_bytes"] / 1e6
        yield row("memory", got["peak"] / 1e6, {"value": total, "high": 1.05 * total}, "MB")


def summary(rows):
    groups = [(kind, most, [r for r in rows if r[6].startswith(kind)])
              for kind, most in (("prefill", 30), ("decode", 30), ("users", 30), ("memory", 5), ("load", 50))]
    speeds = [r for r in rows if r[9] == "tok/s"]
    groups += [("avx2", 30, [r for r in speeds if r[2] == B]), ("quota", 30, [r for r in speeds if float(r[4])])]
    for kind, most, of in groups:
        off = sorted(abs(float(r[10])) for r in of)
        if off:
            print(f"{kind:8}{len(off):4} rows, error {statistics.median(off):5.1f} % in the median, {off[-1]:5.1f} % "
                  f"at worst, {sum(o > most for o in off)} above {most} %")


def model_of(hearth, run, folder):
    """(its file, whether it is ours to remove); None: it is not to be had here."""
    if run.shape == "stories260K":
        path = os.path.join(os.environ.get("HEARTH_FIXTURES", "/nonexistent"), "models", "stories260K-f32.gguf")
        return (path if os.path.exists(path) else None), False
    path = os.path.join(folder, f"{run.shape}-{run.type}.gguf")
    if not os.path.exists(path):
        subprocess.run([hearth, "dev", "synth", path, "--shape", run.shape, "--type", run.type], check=True,
                       stderr=subprocess.DEVNULL)
    return path, True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--csv", help="write the rows there, anew")
    parser.add_argument("--keep", help="a folder for what is measured")
    parser.add_argument("--models", help="a folder for the models, which stay there")
    parser.add_argument("--only", default="", help="of combinations whose name has this")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no combination after that long")
    options = parser.parse_args()
    hearth, begun = os.path.join(options.build, "hearth"), time.monotonic()
    folder = options.models or os.path.join(options.build, "bench-fit")
    for made in (folder, *([options.keep] if options.keep else [])):
        os.makedirs(made, exist_ok=True)
    runs = [run for run in RUNS if options.only in run.name()]
    rows = []
    for i, run in enumerate(runs):
        if time.monotonic() - begun > options.seconds:
            sys.exit(f"{run.name()} and {len(runs) - i - 1} more: not measured in that time")
        path, ours = model_of(hearth, run, folder)
        machine = Machine(hearth, run)
        if not path or (run.quota and not machine.enter):
            print(f"{run.name()}: left out: "
                  f"{'HEARTH_FIXTURES has no such file' if not path else machine.group.why_not}", file=sys.stderr)
            continue
        for row in rows_of(machine, path, run, options.keep):
            rows.append(row)
            print("  ".join(str(v) for v in row), flush=True)
        machine.close()
        if ours and not options.models and run[:2] not in [r[:2] for r in runs[i + 1:]]:
            os.remove(path)
    if options.csv:
        with open(options.csv, "w", encoding="utf-8", newline="") as f:
            csv.writer(f, lineterminator="\n").writerows([COLUMNS, *rows])
    summary(rows)


if __name__ == "__main__":
    main()
