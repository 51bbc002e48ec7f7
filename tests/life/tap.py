"""tap.py: tests of the program as functions, run one after the other, with TAP as their result."""

import os
import sys
import tempfile
import traceback

from manager import make_model

TESTS = []


class Skip(Exception):
    pass


def test(function):
    """function(program, model, everything): its name is a sentence; what it returns is a figure."""
    TESTS.append(function)
    return function


def main():
    words = [w for w in sys.argv[2:] if w != "--all"]
    program, everything = os.path.abspath(sys.argv[1]), "--all" in sys.argv
    wanted = [t for t in TESTS if not words or any(w in t.__name__ for w in words)]
    print(f"1..{len(wanted)}", flush=True)
    bad = 0
    with tempfile.TemporaryDirectory(prefix="hearth-life-") as folder:
        model = make_model(program, folder)
        for i, t in enumerate(wanted, 1):
            name = t.__name__.replace("_", " ")
            try:
                said = t(program, model, everything)
                print(f"ok {i} - {name}{': ' + said if said else ''}", flush=True)
            except Skip as why:
                print(f"ok {i} - {name} # SKIP {why}", flush=True)
            except Exception:  # noqa: BLE001  (told below, and the others run)
                bad += 1
                print("# " + traceback.format_exc().replace("\n", "\n# "))
                print(f"not ok {i} - {name}", flush=True)
    return 1 if bad else 0
