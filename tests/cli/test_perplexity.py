#!/usr/bin/env python3
"""test_perplexity.py: perplexity of every fixture model that this build runs, against what another engine measured.

    tests/cli/test_perplexity.py build/hearth [unittest arguments]

Definition and tolerances: README of the fixtures. Seen: at most 0.05 %. What a wrong answer gives: windows of 128
tokens 2.9 % more (f32). It cannot tell f32, f16, bf16 and q8_0 apart: they are within 0.04 % of each other.
"""

import json
import os
import unittest

from harness import FIXTURES, HELD_OUT, hearth, main, model_path, perplexity


@unittest.skipUnless(FIXTURES, "needs HEARTH_FIXTURES")
class Perplexity(unittest.TestCase):
    def test_every_model_that_runs_has_the_perplexity_of_its_golden(self):
        with open(os.path.join(FIXTURES, "goldens", "perplexity.json"), encoding="utf-8") as f:
            goldens = json.load(f)
        self.assertEqual(os.path.join(FIXTURES, goldens["text"]), HELD_OUT)
        n_measured = 0
        for name, golden in sorted(goldens["models"].items()):
            path = model_path(name)
            if hearth("inspect", path).code == 1:  # readable, and a format that this build has no kernels for
                continue
            with self.subTest(model=name):
                got = perplexity(path)
                tolerance = 0.005 if name.startswith("tolstoy-outlier") else 0.003
                self.assertLess(abs(got["perplexity"] / golden["perplexity"] - 1), tolerance)
                # The spread is nearly that of the golden too; half the tokens would make it 1.4 times as large.
                self.assertLess(abs(got["standard_error"] / golden["standard_error"] - 1), 0.01)
                n_measured += 1
        self.assertGreaterEqual(n_measured, 10)


if __name__ == "__main__":
    main()
