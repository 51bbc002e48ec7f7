#!/usr/bin/env python3
"""test_arch_engine.py: each architecture that writes text in the engine: reuse, turns, neighbours, cancel, preemption.

    tests/model/test_arch_engine.py ARCH_ENGINE [START...]     goldens whose name starts so; else all

Each golden becomes a file, and arch_engine.c asks it for answers that must have the same bits. Goldens of architectures
that this build does not know are skipped, by name. Speaks TAP.
"""

import os
import subprocess
import sys
import tempfile

import golden  # noqa: I001  (puts tests/cli into the path)
import harness

N_CTX = 256  # as in arch_engine.c


def main():
    program, starts = os.path.abspath(sys.argv[1]), tuple(sys.argv[2:]) or ("",)
    failed, n = False, 0
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.gguf")
        for name in golden.names():
            g = golden.read(name)
            if not name.startswith(starts) or "hidden" in g["runs"][0]["rows"][0]:  # an embedder writes no text
                continue
            key = g["metadata"]["general.architecture"] + ".context_length"
            g["metadata"][key] = max(N_CTX, g["metadata"][key])
            golden.write(g, path)
            done = subprocess.run([program, path], capture_output=True, text=True, timeout=harness.PATIENCE_S,
                                  env=harness.CLEAN_ENV, check=False)
            n += 1
            if "is not supported" in done.stdout + done.stderr:
                print(f"ok {n} - {name} # SKIP this build does not know it", flush=True)
                continue
            right = done.returncode == 0
            failed |= not right
            print(f"{'ok' if right else 'not ok'} {n} - {name}", flush=True)
            if not right:
                print("".join(f"# {line}\n" for line in (done.stdout + done.stderr).splitlines()), flush=True)
    print(f"1..{n}")
    return 1 if failed or not n else 0


if __name__ == "__main__":
    sys.exit(main())
