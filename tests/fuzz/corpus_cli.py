#!/usr/bin/env python3
"""corpus_cli.py: every file of tests/golden/gguf through the real program.

    tests/fuzz/corpus_cli.py build/hearth

`hearth inspect FILE` under a limit on address space and on time must end with the exit status of the file's
verdict, and say why in one sentence: on standard error when the file is refused, else in its report.
Speaks TAP when CMOCKA_MESSAGE_OUTPUT says so, as the unit tests do.
"""

import os
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDER = os.path.join(ROOT, "tests", "golden", "gguf")
# Row 1 of the reliability table: 64 MB beside 4 times the metadata; the rest is the program and its libraries.
ADDRESS_SPACE_BYTES = 320 << 20
PATIENCE_S = 2
EXIT = {"bad": 3, "set_bad": 3, "vocab_bad": 1, "model_bad": 1, "ok": 1, "runs": 0}
ENV = {k: v for k, v in os.environ.items() if not k.startswith("HEARTH_")}


def inspect(program, path, limited):
    def limit():
        if limited:
            resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    done = subprocess.run([program, "inspect", path], capture_output=True, env=ENV, check=False,
                          timeout=PATIENCE_S if limited else 20 * PATIENCE_S, preexec_fn=limit)
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def problem(program, limited, file, verdict, words):
    """What is wrong with the answer for one file; "" when nothing is."""
    try:
        code, out, err = inspect(program, os.path.join(FOLDER, file), limited)
    except subprocess.TimeoutExpired:
        return "takes too long"
    if code != EXIT[verdict]:
        return f"exit status {code}, should be {EXIT[verdict]}: {err or out}"
    if code != 3:
        why = [line for line in out.splitlines() if line.startswith("runs here")]
        if err or len(why) != 1 or (why[0].split()[-1] == "yes") != (code == 0):
            return f"says {why}, and on standard error {err!r}"
        return "" if words == "-" or words in why[0] else f"{why[0]!r} lacks {words!r}"
    if out or not err.startswith("hearth: ") or not err.endswith("\n") or not err[:-1].isprintable():
        return f"is no single sentence: {err!r}, and on standard output {out!r}"
    return "" if words in err else f"{err!r} lacks {words!r}"


def read_manifest():
    with open(os.path.join(FOLDER, "expect.tsv"), encoding="utf-8") as f:
        rows = [line.rstrip("\n").split("\t") for line in f if not line.startswith("#")]
    listed = {row[0] for row in rows}
    later = [f for f in sorted(os.listdir(FOLDER)) if f.endswith(".gguf") and f not in listed]
    return rows, later


def main():
    program = os.path.abspath(sys.argv[1])
    rows, later = read_manifest()
    # A sanitizer's program needs terabytes of address space.
    limited = inspect(program, os.path.join(FOLDER, "model_ok_llama.gguf"), True)[0] == 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        problems = list(pool.map(lambda row: problem(program, limited, *row), rows))
        codes = list(pool.map(lambda f: inspect(program, os.path.join(FOLDER, f), limited)[0], later))
    groups = {}
    for (file, verdict, _), what in zip(rows, problems):
        groups.setdefault(verdict, []).append(f"{file}: {what}" if what else "")
    # Most say that they are a later part; one is a file of its own that lies there by mistake.
    groups["later part of a set"] = ["" if c in (1, 3) else f"{f}: exit status {c}" for f, c in zip(later, codes)]
    print(f"1..{len(groups)}")
    for n, (name, found) in enumerate(groups.items(), 1):
        wrong = [w for w in found if w]
        for what in wrong:
            print(f"# {what}")
        memory = "" if limited else ", no memory limit"
        print(f"{'not ok' if wrong else 'ok'} {n} - {len(found)} files, {name}{memory}")
    return 1 if any(w for found in groups.values() for w in found) else 0


if __name__ == "__main__":
    sys.exit(main())
