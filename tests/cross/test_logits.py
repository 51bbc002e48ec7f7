#!/usr/bin/env python3
"""test_logits.py: the bits of logits.c, built for some machine, against tests/golden/digests.tsv.

    tests/cross/test_logits.py LOGITS                     built for this machine
    tests/cross/test_logits.py LOGITS --under aarch64     built for that one, under its emulator

What the goldens say of the whole program holds for the model layer alone, whatever computes it: every
instruction set of every CPU in CPUS, in chunks and by several threads.
"""

import hashlib
import os
import re
import subprocess
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "cli"))
import harness  # noqa: E402
from test_same_bits import BUILT_IN, MODELS, N_STEPS, goldens, path_of, prompt_ids  # noqa: E402

# Per emulator: its CPUs, and the instruction sets each can run, best first.
CPUS = {"aarch64": {"max": ["neoni8mm", "neondot", "neonbase", "scalar"],
                    "neoverse-n1": ["neondot", "neonbase", "scalar"],
                    "cortex-a72": ["neonbase", "scalar"]}}
UNDER = None
WAYS = [(512, 1), (7, 2), (1, 1)]  # tokens a chunk, threads
PATIENCE_S = 100


def emulated(cpu):
    return [f"qemu-{UNDER}", "-cpu", cpu] if cpu else []


def run(cpu, model, chunk=512, threads=1, isa=None):
    """(SHA-256 of the logits, instruction set); the error in place of both when it fails."""
    args = [path_of(model), N_STEPS, chunk, threads, *prompt_ids(model)]
    env = {**harness.CLEAN_ENV, **({"HEARTH_ISA": isa} if isa else {})}
    done = subprocess.run([*emulated(cpu), harness.program(), *map(str, args)], capture_output=True, check=False,
                          timeout=PATIENCE_S, env=env)
    said = done.stderr.decode("utf-8", "replace")
    found = re.search(r"^isa (\w+)$", said, re.MULTILINE)
    if done.returncode != 0 or not found:
        return said, said
    return hashlib.sha256(done.stdout).hexdigest(), found[1]


class Logits(unittest.TestCase):
    def machines(self):
        """(CPU, instruction sets); this machine: the one that is chosen."""
        return CPUS[UNDER].items() if UNDER else [(None, [run(None, BUILT_IN)[1]])]

    def check(self, model):
        _, want = goldens()[model]
        cpu, isas = next(iter(self.machines()))
        for isa in isas:
            for chunk, threads in WAYS if model == BUILT_IN else WAYS[1:2]:
                with self.subTest(model=model, isa=isa, chunk=chunk, threads=threads):
                    self.assertEqual(run(cpu, model, chunk, threads, isa), (want, isa))

    def test_each_cpu_takes_the_best_it_can_run_and_computes_the_same_bits(self):
        for cpu, isas in self.machines():
            with self.subTest(cpu=cpu):
                self.assertEqual(run(cpu, BUILT_IN), (goldens()[BUILT_IN][1], isas[0]))

    def test_what_a_cpu_cannot_run_is_refused_with_what_it_can(self):
        for cpu, isas in self.machines():
            for isa in {"abacus", *next(iter(self.machines()))[1]} - set(isas):
                with self.subTest(cpu=cpu, isa=isa):
                    said = run(cpu, BUILT_IN, isa=isa)[0]
                    self.assertIn(f'HEARTH_ISA is "{isa}"', said)
                    self.assertIn(" ".join(isas), said)

    def test_the_built_in_model_on_every_instruction_set_in_chunks_and_by_threads(self):
        self.check(BUILT_IN)

    @unittest.skipUnless(harness.FIXTURES, "needs HEARTH_FIXTURES")
    def test_every_format_on_every_instruction_set(self):
        for model in MODELS:
            if model != BUILT_IN:
                self.check(model)


if __name__ == "__main__":
    if "--under" in sys.argv:
        at = sys.argv.index("--under")
        UNDER = sys.argv[at + 1]
        del sys.argv[at:at + 2]
    harness.main()
