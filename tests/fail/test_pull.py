#!/usr/bin/env python3
"""test_pull.py: `hearth pull`, `list`, `import --find` and `rm` while one call to the system fails.

    tests/fail/test_pull.py build/hearth build/tests/fail/libfail.so [--all] [NAME...]

Each is run once to count its calls, then again and again with call k failing (fail.c): memory, or a call that files
need, once, or from there on, as on a full disk. Every run ends with an exit status of the manual and, when it failed,
with a sentence. What it pulled is absent or right under its final name; and the next one, when nothing fails, goes on
from there and brings all of it.

Only MOST calls of each kind are tried, spread evenly, with --all ALL_MOST. Speaks TAP.
"""

import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "store"))
from hub_server import Hub  # noqa: E402

PATIENCE_S, MOST, ALL_MOST, EXITS = 60, 4, 150, (0, 1, 2, 3, 4)
NAME = "hf/tolstoy/tiny-gguf/tiny-Q4_K_M.gguf"
ENV = {**{k: v for k, v in os.environ.items()
          if not k.startswith(("HEARTH_", "LD_PRELOAD", "FAIL_", "XDG_")) and not k.endswith("_proxy")},
       "HEARTH_CONFIG": "none"}
# (kind, how, from there on)
KINDS = [("memory", "", "0"), ("memory", "", "1"), ("file", "EIO", "0"), ("file", "EINTR", "0"), ("file", "short", "0"),
         ("file", "ENOSPC", "1")]
with open(os.path.join(ROOT, "tests", "golden", "gguf", "model_ok_llama.gguf"), "rb") as model:
    MODEL = model.read()
BODY = b"GGUF" + random.Random(1).randbytes(300000)


def pulled(folder, program, hub):
    """A store with one model, and a cache of llama.cpp with another."""
    subprocess.run([program, *pull(hub)], cwd=folder, env={**ENV, "HOME": folder}, check=True, capture_output=True)
    os.makedirs(os.path.join(folder, ".cache", "llama.cpp"))
    with open(os.path.join(folder, ".cache", "llama.cpp", "m.gguf"), "wb") as f:
        f.write(MODEL)


def half(folder, program, hub):
    """Some of the model is there."""
    hub.faults = ["drop:150000"] + ["503"] * 3
    done = subprocess.run([program, *pull(hub), "--retries", "2"], cwd=folder, env={**ENV, "HOME": folder}, check=False,
                          capture_output=True)
    assert done.returncode == 3, done
    hub.faults = []


def pull(hub, *words):
    # fail.c writes its count at the end
    return ["pull", "hf:tolstoy/tiny-gguf", "--hub", hub.url, "--store-dir", "s", "--retry-wait", "1", "--no-sandbox",
            *words]


# name: what is there before, and the words.
SCENARIOS = {
    "pull": (None, pull),
    "pull goes on": (half, pull),
    "pull --plan": (None, lambda hub: pull(hub, "--plan")),
    "pull what is there": (pulled, pull),
    "list": (pulled, lambda hub: ["list", "--json", "--store-dir", "s"]),
    "import --find": (pulled, lambda hub: ["import", "--find", "--all", "--store-dir", "s"]),
    "rm": (pulled, lambda hub: ["rm", "hf:tolstoy/tiny-gguf", "--store-dir", "s"]),
}


class Job:
    def __init__(self, program, shim, name, kind):
        self.program, self.shim, self.name, self.kind = program, shim, name, kind
        self.before, self.words = SCENARIOS[name]

    def run(self, k):
        """(what is wrong, calls)"""
        kind, how, on = self.kind
        folder = tempfile.mkdtemp(prefix="hearth-fail-")
        count = os.path.join(folder, "count")
        try:
            with Hub({"tiny-Q4_K_M.gguf": BODY if self.name == "pull goes on" else MODEL}) as hub:
                if self.before:
                    self.before(folder, self.program, hub)
                env = {**ENV, "HOME": folder, "FAIL_KIND": kind, "FAIL_AT": str(k), "FAIL_HOW": how, "FAIL_ON": on,
                       "FAIL_COUNT": count, "LD_PRELOAD": self.shim}
                done = subprocess.run([self.program, *self.words(hub)], cwd=folder, env=env, check=False,
                                      capture_output=True, timeout=PATIENCE_S)
                wrong = self.look(folder, hub, done)
            calls = 0
            if os.path.exists(count):
                with open(count, encoding="ascii") as f:
                    calls = int(f.read())
            return f"call {k}: {wrong}" if wrong else "", calls
        except subprocess.TimeoutExpired:
            return f"call {k}: does not end", 0
        finally:
            shutil.rmtree(folder)

    def is_right(self, folder, hub):
        path = os.path.join(folder, "s", NAME)
        if not os.path.exists(path):
            return None
        with open(path, "rb") as f:
            return f.read() == hub.files["tiny-Q4_K_M.gguf"]

    def look(self, folder, hub, done):
        err = done.stderr.decode("utf-8", "replace")
        there = self.is_right(folder, hub)
        if done.returncode not in EXITS:
            return f"exit status {done.returncode}, {err[-200:]!r}"
        if done.returncode != 0 and not re.search(r"^hearth: .{10}", err, re.MULTILINE):
            return f"exit status {done.returncode} without a sentence: {err!r}"
        if there is False:
            return "a file under its final name is not what it must be"
        if done.returncode == 0 and self.words == pull and not there:
            return "says that all is well, and nothing is there"
        again = subprocess.run([self.program, *pull(hub)], cwd=folder, env={**ENV, "HOME": folder}, check=False,
                               capture_output=True, timeout=PATIENCE_S)
        if again.returncode != 0 or not self.is_right(folder, hub):
            return f"the next pull fails: {again.stderr.decode()[-300:]!r} after {err[-200:]!r}"
        left = os.listdir(os.path.join(folder, "s", "partial"))
        return f"leaves {left} behind" if left else ""


def check(job, pool, everything, turn):
    wrong, n = job.run(0)
    if wrong or n == 0:
        return n, 0, [wrong or "no call was counted"]
    step = max(1, n / (ALL_MOST if everything else MOST))
    ks = sorted({min(n, int(1 + i * step + turn * 7 % max(1, int(step)))) for i in range(int(n / step))})
    return n, len(ks), [w for w, _ in pool.map(job.run, ks) if w]


def main():
    words = [w for w in sys.argv[1:] if w != "--all"]
    if len(words) < 2:
        sys.exit(__doc__)
    program, shim = (os.path.abspath(w) for w in words[:2])
    wanted = [Job(program, shim, name, kind) for name in SCENARIOS if not words[2:] or name in words[2:]
              for kind in KINDS]
    print(f"1..{len(wanted)}", flush=True)
    bad = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for i, job in enumerate(wanted, 1):
            n, tried, wrong = check(job, pool, "--all" in sys.argv, i)
            for what in wrong[:20]:
                print(f"# {what}")
            bad += bool(wrong)
            what = f"{job.name}: {' '.join(job.kind[:2]).strip()}{' from there on' if job.kind[2] == '1' else ''}"
            print(f"{'not ok' if wrong else 'ok'} {i} - {what}, {tried} of {n} calls", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
