#!/usr/bin/env python3
"""test_same_bits.py: one digest for one model and prompt, whatever computes it (contract 1).

    tests/cli/test_same_bits.py build/hearth [unittest arguments]
    tests/cli/test_same_bits.py build/hearth --remake     write tests/golden/digests.tsv and prompt.tsv anew

The goldens stand under an arithmetic revision: a change of bits raises ARITHMETIC_REVISION in
kernel/kernel.h and remakes the file, visibly.
"""

import os
import re
import sys
import unittest

import harness
from harness import FIXTURES, ROOT, hearth, main

GOLDENS = os.path.join(ROOT, "tests", "golden", "digests.tsv")
PROMPT_IDS = os.path.join(ROOT, "tests", "golden", "prompt.tsv")  # for tests/cross, which has no tokenizer
N_STEPS = 24
PROMPT = "It was in the evening that the prince rode along the line of his troops, and nobody knew why he smiled."
BUILT_IN = "tolstoy-4m-q8_0"
MODELS = [BUILT_IN, "stories260K-f32", "tolstoy-4m-f16", "tolstoy-4m-bf16", "tolstoy-4m-q4_0", "tolstoy-4m-q4_k_m",
          "tolstoy-4m-q6_k", "tolstoy-outlier-q4_k_m", "tolstoy-4m-q4_1", "tolstoy-4m-q5_0", "tolstoy-4m-q5_1",
          "tolstoy-4m-q2_k", "tolstoy-4m-q3_k_m", "tolstoy-4m-q5_k_m", "tolstoy-4m-iq4_nl", "tolstoy-4m-iq4_xs",
          "tolstoy-4m-tq1_0", "tolstoy-4m-tq2_0"]
KV_TYPES = ["bf16", "q8"]  # beside f16, in the built-in model
WAYS = [("-t", "1", "--speculate", "off"), ("-t", "2"), ("-t", "2", "--chunk", "7", "--speculate", "8"),
        ("-t", "1", "--chunk", "1", "--speculate", "3"), ("-t", "1", "--threads-prefill", "3")]


def path_of(model):
    if model == BUILT_IN:
        return os.path.join(ROOT, "models", model + ".gguf")
    return os.path.join(FIXTURES, "models", model + ".gguf")


def version():
    return hearth("version").text


def digest(model, *how, isa=None):
    done = hearth("run", path_of(model), "--raw", "-p", PROMPT, "-n", str(N_STEPS), "--temp", "0", "--ignore-eos",
                  "--digest", *how, env={"HEARTH_ISA": isa} if isa else None)
    found = re.search("^digest ([0-9a-f]{64})$", done.err, re.MULTILINE)
    return found[1] if found else done.err


def revision():
    return re.search(r"arithmetic revision\s+(\d+)", version())[1]


def goldens():
    with open(GOLDENS, encoding="utf-8") as f:
        rows = [line.split() for line in f if not line.startswith("#")]
    return {name: (rev, value) for rev, name, value in rows}


def kv_golden(kv_type):
    """Its row's name in the goldens."""
    return f"{BUILT_IN}/kv-{kv_type}"


def family(model):
    """Models of one family share a vocabulary."""
    return model.split("-")[0]


def prompt_ids(model):
    """The prompt's token ids, as strings."""
    with open(PROMPT_IDS, encoding="utf-8") as f:
        return {name: ids for name, *ids in (line.split() for line in f if not line.startswith("#"))}[family(model)]


class SameBits(unittest.TestCase):
    def isas(self):
        names = re.search(r"runs here: ([a-z0-9 ]+)\)", version())[1].split()
        self.assertIn("scalar", names)
        return names

    def check(self, model, golden=None, kv_type="f16"):
        rev, want = goldens()[golden or model]
        self.assertEqual(revision(), rev, "raise the revision and remake the goldens together")
        for isa in self.isas():
            for how in WAYS:
                with self.subTest(model=model, isa=isa, kv_type=kv_type, how=how):
                    self.assertEqual(digest(model, "--kv-type", kv_type, *how, isa=isa), want)

    def test_the_built_in_model_on_every_instruction_set_thread_count_and_chunk(self):
        self.check(BUILT_IN)

    def test_every_type_of_keys_and_values_on_every_instruction_set_thread_count_and_chunk(self):
        for kv_type in KV_TYPES:
            self.check(BUILT_IN, kv_golden(kv_type), kv_type)

    @unittest.skipUnless(FIXTURES, "needs HEARTH_FIXTURES")
    def test_every_format_on_every_instruction_set_thread_count_and_chunk(self):
        for model in MODELS[1:]:
            self.check(model)

    def test_an_instruction_set_that_cannot_run_is_an_error_that_lists_those_that_can(self):
        done = hearth("run", "-p", "x", "-n", "1", env={"HEARTH_ISA": "abacus"})
        self.assertEqual((done.code, done.text), (2, ""))
        for isa in ["abacus", *self.isas()]:
            self.assertIn(isa, done.err)


def remake():
    with open(GOLDENS, "w", encoding="utf-8") as f:
        f.write("# Digests of every step's logits: tests/cli/test_same_bits.py --remake, hearth itself.\n")
        f.write("# arithmetic revision, model, SHA-256\n")
        for model in MODELS:
            f.write(f"{revision()}\t{model}\t{digest(model, '-t', '1', isa='scalar')}\n")
        for kv_type in KV_TYPES:
            got = digest(BUILT_IN, "-t", "1", "--kv-type", kv_type, isa="scalar")
            f.write(f"{revision()}\t{kv_golden(kv_type)}\t{got}\n")
    with open(PROMPT_IDS, "w", encoding="utf-8") as f:
        f.write("# The prompt of digests.tsv as token ids: tests/cli/test_same_bits.py --remake, hearth itself.\n")
        f.write("# family of models, ids\n")
        for model in {family(m): m for m in reversed(MODELS)}.values():
            ids = hearth("tokenize", path_of(model), "--ids", "--bos", stdin=PROMPT.encode()).text.split()
            f.write(f"{family(model)}\t{' '.join(ids)}\n")


if __name__ == "__main__":
    if "--remake" in sys.argv:
        harness.HEARTH = os.path.abspath(sys.argv[1])
        remake()
    else:
        main()
