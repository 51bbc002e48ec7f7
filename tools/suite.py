#!/usr/bin/env python3
"""suite.py: build, run every test, count test functions, and say what happened.

    tools/suite.py            the everyday suite: release tests, the rules of the house, the first run's
                              transcript, the address and undefined-behaviour sanitizers, unsigned overflow, aarch64
    tools/suite.py san        every test under those sanitizers, the slow ones too; not the campaigns
    tools/suite.py long       the campaigns: tests that take minutes each, on the release build
    tools/suite.py tsan       the tests of threads under the thread sanitizer
    tools/suite.py lint       the rules of the house
    tools/suite.py overflow   the parsers, with checks of unsigned overflow and of conversions that lose bits (clang)
    tools/suite.py aarch64    compile the library for aarch64, and run its arithmetic under an emulator

A test program that speaks TAP (all cmocka programs do, when told) counts for each of its test functions;
another counts for one, and skips with exit status 77. What fails is shown in full; what is skipped is
listed with its reason. The last line is `N passed, N failed`, with `, N skipped` where something was.
"""

import difflib
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
N_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

# Tests whose name says that they start threads: what the thread sanitizer looks at.
THREADED = re.compile(r"base|recorder|thread|pool|queue|engine|stream|equal|batch|public|map|readahead|http")

SANITIZER_ENV = {
    # No detect_stack_use_after_return: gcc 12's fake stack does not keep 64-byte alignment, so
    # AVX-512 code faults on its own locals (GCC bug 110027).
    "ASAN_OPTIONS": "detect_leaks=1:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}
TAP_ENV = {"CMOCKA_MESSAGE_OUTPUT": "TAP"}
# Beyond what the language forbids: what is defined, and in a parser is a mistake all the same.
UNSIGNED_CHECKS = "-fsanitize=undefined,unsigned-integer-overflow,unsigned-shift-base,implicit-conversion"
SANITIZER_PATIENCE = 6  # times the timeout of the plain build


class Outcome:
    """What one program said: its test functions by verdict."""

    def __init__(self, name, seconds, output):
        self.name, self.seconds, self.output = name, seconds, output
        self.passed, self.failed, self.skipped = 0, [], []  # count; names; (name, reason)


class Tally:
    """Counts of the whole run; prints as results come in."""

    def __init__(self):
        self.passed, self.failed, self.skipped = 0, [], []
        self.lock = threading.Lock()

    def add(self, outcome):
        with self.lock:
            self.passed += outcome.passed
            self.failed += [f"{outcome.name}: {what}" for what in outcome.failed]
            self.skipped += [(f"{outcome.name}: {what}", why) for what, why in outcome.skipped]
            counts = [f"{outcome.passed} passed"]
            counts += [f"{len(outcome.failed)} FAILED"] if outcome.failed else []
            counts += [f"{len(outcome.skipped)} skipped"] if outcome.skipped else []
            verdict = "FAIL" if outcome.failed else "ok  " if outcome.passed else "skip"
            print(f"  {verdict} {outcome.name:34} {', '.join(counts):28} {outcome.seconds:6.2f} s", flush=True)
            if outcome.failed:
                print(indent(outcome.output), flush=True)

    def finish(self):
        print()
        if self.skipped:
            print("Skipped:")
            for what, why in self.skipped:
                print(f"  {what}: {why}")
        if self.failed:
            print("Failed:")
            for what in self.failed:
                print(f"  {what}")
        last = f"{self.passed} passed, {len(self.failed)} failed"
        print(last + (f", {len(self.skipped)} skipped" if self.skipped else ""), flush=True)
        return 1 if self.failed or not self.passed else 0


def indent(text):
    return "\n".join("    | " + line for line in text.rstrip("\n").split("\n"))


def heading(text):
    print(f"\n== {text}", flush=True)


# ---------------------------------------------------------------- running one program

TAP_LINE = re.compile(r"^(not ok|ok)\s+(\d+)(?:\s*-)?\s*(.*)$")
TAP_PLAN = re.compile(r"^1\.\.(\d+)\s*$", re.MULTILINE)


def read_tap(outcome):
    """Fill the outcome from TAP; returns false when there is none. cmocka writes `not ok 3 # SKIP name` for
    a skipped test, and what the test printed before it is the reason."""
    said, seen = [], 0
    for line in outcome.output.splitlines():
        m = TAP_LINE.match(line)
        if not m:
            if line.strip() and not line.startswith(("#", "1..")):
                said.append(line.strip())
            continue
        seen += 1
        verdict, _, rest = m.groups()
        skip = re.match(r"(.*?)#\s*SKIP\s*(.*)$", rest)
        if skip:
            name, words = skip[1].strip(), skip[2].strip()
            if name:
                outcome.skipped.append((name, words or "no reason given"))
            else:
                outcome.skipped.append((words, said[-1] if said else default_reason()))
        elif verdict == "ok":
            outcome.passed += 1
        else:
            outcome.failed.append(rest.strip() or f"test {m[2]}")
        said = []
    planned = sum(int(n) for n in TAP_PLAN.findall(outcome.output))
    if seen < planned:
        outcome.failed.append(f"ended after {seen} of {planned} tests")
    elif planned == 0 and seen == 0 and TAP_PLAN.search(outcome.output):
        outcome.failed.append("holds no test")
    return seen > 0 or planned > 0 or bool(outcome.failed)


def default_reason():
    return "no reason given" if os.environ.get("HEARTH_FIXTURES") else "needs HEARTH_FIXTURES"


def run_program(name, args, timeout_s, env=None, cwd=ROOT):
    start = time.monotonic()
    try:
        done = subprocess.run(args, cwd=cwd, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout_s)
        status, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired as late:
        status, output = "timeout", late.stdout or b""
    outcome = Outcome(name, time.monotonic() - start, output.decode("utf-8", "replace"))
    spoke = read_tap(outcome)
    if status == "timeout":
        outcome.failed.append(f"did not end within {timeout_s} s")
    elif not spoke and status == 0:
        outcome.passed = 1
    elif not spoke and status == 77:
        last = outcome.output.strip().split("\n")[-1]
        outcome.skipped.append(("all of it", last or default_reason()))
    elif status != 0 and not outcome.failed:
        outcome.failed.append(f"killed by signal {-status}" if status < 0 else f"exit status {status}")
    return outcome


# ---------------------------------------------------------------- builds and their tests

def build(tally, folder, *options, env=None):
    """Build; false, and one failure, when it does not. A warning of the compiler is a failure too."""
    start, output, shown = time.monotonic(), [], 0
    process = subprocess.Popen(["tools/build.sh", folder, *options], cwd=ROOT, env={**os.environ, **(env or {})},
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    for line in process.stdout:
        output.append(line)
        m = re.match(r"\[(\d+)/(\d+)\]", line)
        if m and int(m[2]) > 20 and int(m[1]) * 4 // int(m[2]) > shown:
            shown = int(m[1]) * 4 // int(m[2])
            print(f"  building {m[1]} of {m[2]}", flush=True)
    outcome = Outcome(f"build ({folder})", 0, "".join(output))
    if process.wait() != 0:
        outcome.failed.append("does not build")
    elif any(re.search(r":\d+: warning:|: warning: ", line) for line in output):
        outcome.failed.append("the compiler warns")
    else:
        outcome.passed = 1
    outcome.seconds = time.monotonic() - start
    tally.add(outcome)
    return process.returncode == 0


def meson_tests(folder):
    with open(os.path.join(ROOT, folder, "meson-info", "intro-tests.json"), encoding="utf-8") as f:
        return json.load(f)


def run_tests(tally, folder, label, wanted=lambda t: True, env=None, patience=1):
    """All tests of a build folder that are wanted, side by side where they may be."""
    tests = [t for t in meson_tests(folder) if wanted(t)]
    if not tests:
        none = Outcome(f"{label}tests", 0, "")
        none.skipped.append(("all", f"{folder} has none of this kind"))
        tally.add(none)

    def run(test):
        suite = (test["suite"] or ["test"])[0].split(":")[-1]
        given = {**test["env"], **TAP_ENV, **(env or {})}
        timeout_s = (test["timeout"] or 3600) * patience
        workdir = test["workdir"] or os.path.join(ROOT, folder)
        tally.add(run_program(f"{label}{suite}/{test['name']}", test["cmd"], timeout_s, given, workdir))

    # The longest first, as far as their timeouts tell: else one of them is left at the end, and a core with nothing.
    together = sorted((t for t in tests if t["is_parallel"]), key=lambda t: -(t["timeout"] or 3600))
    with ThreadPoolExecutor(N_CORES + 1) as pool:  # one more than can compute: tests of servers wait half of the time
        list(pool.map(run, together))
    for test in tests:
        if not test["is_parallel"]:
            run(test)


def is_in(test, suite):
    return any(s.split(":")[-1] == suite for s in test["suite"])


def is_of_parsers(test):
    return is_in(test, "parsers")


def is_slow(test):
    return is_in(test, "slow") or is_long(test)


def is_long(test):
    return is_in(test, "long")


def release(tally):
    heading("the release build and its tests")
    if build(tally, "build"):
        run_tests(tally, "build", "", lambda t: not is_long(t))


def long(tally):
    heading("the campaigns on the release build")
    if build(tally, "build"):
        run_tests(tally, "build", "", is_long)


def sanitized(tally, folder, kind, wanted, *options):
    if build(tally, folder, f"-Db_sanitize={kind}", "-Dbuildtype=debugoptimized", "-Db_lundef=false", *options):
        label = kind.split(",")[0] + ": "
        run_tests(tally, folder, label, wanted, SANITIZER_ENV, SANITIZER_PATIENCE)


def san(tally, slow=True):
    heading("the address and undefined-behaviour sanitizers")
    # Without b_pie a program of these, with all its tables of places, starts in two thirds of the time.
    sanitized(tally, "build-san", "address,undefined", lambda t: not is_long(t) if slow else not is_slow(t),
              "-Db_pie=false")


def tsan(tally):
    heading("the thread sanitizer")
    sanitized(tally, "build-tsan", "thread", lambda t: THREADED.search(t["name"]) and not is_slow(t))


def overflow(tally):
    """What reads the bytes of strangers, where arithmetic may wrap only in functions that say so (WRAPS)."""
    heading("unsigned overflow in the parsers")
    probe = ["clang", UNSIGNED_CHECKS, "-x", "c", "-o", "/dev/null", "-"]
    if not shutil.which("clang") or subprocess.run(probe, input=b"int main(void) { return 0; }", capture_output=True,
                                                   check=False).returncode != 0:
        here = Outcome("overflow/parsers", 0, "")
        here.skipped.append(("all of it", "there is no clang with a runtime of its sanitizers here"))
        tally.add(here)
        return
    compiler = os.environ.get("CC", "").replace("gcc", "clang")
    env = {"CC": compiler if compiler.endswith("clang") else "clang", "TARGETS": "parsers"}
    if build(tally, "build-overflow", "-Dbuildtype=release", "-Db_lundef=false", f"-Dc_args={UNSIGNED_CHECKS}",
             f"-Dc_link_args={UNSIGNED_CHECKS}", env=env):
        run_tests(tally, "build-overflow", "overflow: ", is_of_parsers, SANITIZER_ENV, SANITIZER_PATIENCE)


def lint(tally):
    heading("the rules of the house")
    tally.add(run_program("lint/self-test", ["tools/lint.py", "--self-test", "--tap"], 120))
    tally.add(run_program("lint/rules", ["tools/lint.py", "--tap"], 120))


def aarch64(tally):
    """The library compiles for aarch64; its arithmetic, run by an emulator, gives this machine's bits."""
    heading("aarch64")
    here = Outcome("aarch64/compiles", 0, "")
    if not shutil.which("aarch64-linux-gnu-gcc"):
        here.skipped.append(("the library", "there is no aarch64-linux-gnu-gcc here"))
        tally.add(here)
        return
    here = run_program("aarch64/compiles", ["tools/aarch64.sh", "build-aarch64"], 900)
    if re.search(r": warning: ", here.output):
        here.failed.append("the compiler warns")
    tally.add(here)
    if here.failed:
        return
    programs = sorted(glob.glob(os.path.join(ROOT, "build-aarch64", "tests", "*_*")))
    here = Outcome("aarch64/runs", 0, "")
    if not programs:
        here.skipped.append(("the checks", "there is no static C library for aarch64 here"))
    elif not shutil.which("qemu-aarch64"):
        here.skipped.append(("the checks", "there is no qemu-aarch64 here"))
    if here.skipped:
        tally.add(here)
        return
    jobs = [(os.path.basename(path), ["qemu-aarch64", "-cpu", "max", path]) for path in programs]
    for name, command in jobs:
        if name == "check_matrix":
            command.append("3")  # one sample in three: formats x tables grow, and the emulator is slow
    logits = ["tests/cross/test_logits.py", "build-aarch64/tests/logits", "--under", "aarch64"]
    jobs.insert(1, ("test_logits", logits))
    with ThreadPoolExecutor(N_CORES) as pool:
        list(pool.map(lambda job: tally.add(run_program(f"aarch64/{job[0]}", job[1], 600, TAP_ENV)), jobs))


# ---------------------------------------------------------------- the first run

def mask_figures(text):
    """Numbers, the units after them and the name of the instruction set depend on the machine. The answer
    does not, and stays: the same bits everywhere are a contract."""
    masked = []
    for line in text.splitlines():
        if re.search(r"\d (ms|s|tok/s|GB/s|tokens/s)\b", line):
            line = re.sub(r"\d+(\.\d+)?", "#", line)
            line = re.sub(r"# (ms|s)\b", "# s", line)
            line = re.sub(r"# (B|KB|MB|GB|KiB|MiB|GiB)\b", "# B", line)
            line = re.sub(r"\b(scalar|sse\w*|avx\w*|neon\w*|sve\w*|amx\w*)\b", "ISA", line)
        masked.append(line)
    return masked


def first_run(tally):
    heading("the first run")
    outcome = Outcome("first run/transcript", 0, "")
    transcript = os.path.join(ROOT, "docs", "first-run.txt")
    if not os.path.exists(os.path.join(ROOT, "build", "hearth")):
        outcome.skipped.append(("docs/first-run.txt", "build/hearth does not exist yet"))
        tally.add(outcome)
        return
    if not os.path.exists(transcript):
        outcome.failed.append("docs/first-run.txt does not exist: tools/first_run.sh build/hearth >docs/first-run.txt")
        tally.add(outcome)
        return
    start = time.monotonic()
    env = {name: value for name, value in os.environ.items() if not name.startswith("HEARTH_")}  # options, too
    done = subprocess.run(["tools/first_run.sh", "build/hearth"], cwd=ROOT, env=env, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    outcome.seconds = time.monotonic() - start
    with open(transcript, encoding="utf-8") as f:
        want = mask_figures(f.read())
    got = mask_figures(done.stdout.decode("utf-8", "replace"))
    outcome.output = "\n".join(difflib.unified_diff(want, got, "docs/first-run.txt", "now", lineterm=""))
    if done.returncode != 0:
        outcome.failed.append(f"exit status {done.returncode}")
    elif outcome.output:
        command = "tools/first_run.sh build/hearth >docs/first-run.txt"
        outcome.failed.append(f"differs from docs/first-run.txt; if it should: {command}")
    else:
        outcome.passed = 1
    tally.add(outcome)


def everyday(tally):
    release(tally)
    lint(tally)
    first_run(tally)
    san(tally, slow=False)
    overflow(tally)
    aarch64(tally)


PARTS = {"everyday": everyday, "san": san, "tsan": tsan, "long": long, "lint": lint, "overflow": overflow,
         "aarch64": aarch64}


def main():
    wanted = sys.argv[1:] or ["everyday"]
    if len(wanted) != 1 or wanted[0] not in PARTS:
        print(__doc__)
        return 2
    fixtures = os.environ.get("HEARTH_FIXTURES")
    if fixtures:
        os.environ["HEARTH_FIXTURES"] = os.path.abspath(fixtures)
        if not os.path.isdir(fixtures):
            print(f"HEARTH_FIXTURES={fixtures} is not a folder; set it to the folder of fixtures, or unset it")
            return 2
    elif wanted[0] not in ("lint", "aarch64"):
        print("HEARTH_FIXTURES is not set: tests that need those files are skipped, and listed at the end.")
    tally, start = Tally(), time.monotonic()
    PARTS[wanted[0]](tally)
    print(f"\n{time.monotonic() - start:.0f} s on {N_CORES} cores")
    return tally.finish()


if __name__ == "__main__":
    sys.exit(main())
