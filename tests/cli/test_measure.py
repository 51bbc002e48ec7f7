#!/usr/bin/env python3
"""test_measure.py: hearth perplexity and hearth imatrix from outside.

    tests/cli/test_measure.py build/hearth [unittest arguments]
"""

import json
import math
import os
import shutil
import tempfile
import unittest

from harness import FIXTURES, ROOT, hearth, main

BUILT_IN = os.path.join(ROOT, "models", "tolstoy-4m-q8_0.gguf")
TEXT = "".join(f"Prince number {i} rode along the line of his {i * i} troops, and nobody knew why he smiled.\n"
               for i in range(60))


class MeasureTest(unittest.TestCase):
    """A text of some windows, and a tiny model of another vocabulary."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="hearth-measure-")
        cls.text = cls.path("text.txt")
        with open(cls.text, "w", encoding="ascii") as f:
            f.write(TEXT)
        cls.tiny = cls.path("tiny.gguf")
        made = hearth("dev", "synth", "--shape", "tiny", cls.tiny)
        if made.code != 0:
            raise RuntimeError(made.err)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @classmethod
    def path(cls, name):
        return os.path.join(cls.folder, name)

    def done(self, result, code=0):
        self.assertEqual(result.code, code, result.err)
        return result

    def refused(self, result, code, *words):
        self.done(result, code)
        self.assertEqual(result.out, b"")
        for word in words:
            self.assertIn(word, result.err)

    def measure(self, *args):
        return json.loads(self.done(hearth("perplexity", *args, "--json")).text)


class Perplexity(MeasureTest):
    def test_it_is_exp_of_the_mean_over_the_windows(self):
        got = self.measure(BUILT_IN, self.text, "--limit", "4")
        ids = hearth("tokenize", "--ids", BUILT_IN, stdin=TEXT.encode()).text.split()
        self.assertEqual(got["n_text_tokens"], len(ids))
        self.assertEqual((got["n_windows"], len(got["window_nll"])), (4, 4))
        self.assertEqual(got["n_scored_tokens"], 4 * 127)
        mean = sum(got["window_nll"]) / (4 * 127)
        self.assertAlmostEqual(got["mean_nll"], mean, places=12)
        self.assertAlmostEqual(got["perplexity"], math.exp(mean), places=9)
        self.assertGreater(got["standard_error"], 0)

    def test_windows_do_not_depend_on_each_other_nor_on_threads(self):
        base = self.measure(BUILT_IN, self.text, "--limit", "5", "--threads", "1")
        other = self.measure(BUILT_IN, self.text, "--limit", "3", "--threads", "2")
        self.assertEqual(base["window_nll"][:3], other["window_nll"])
        alone = self.measure(BUILT_IN, self.text, "--limit", "3", "--kld", BUILT_IN)  # one in flight
        self.assertEqual(alone["window_nll"], other["window_nll"])

    def test_a_window_of_any_length_scores_from_one_after_its_middle(self):
        for n, scored in (4, 1), (5, 2), (64, 31), (101, 50):
            got = self.measure(BUILT_IN, self.text, "--limit", "2", "--window", str(n))
            self.assertEqual(got["n_scored_tokens"], 2 * scored)
            self.assertEqual(got["n_window_tokens"], n)

    def test_the_model_may_be_left_out_and_the_text_come_from_standard_input(self):
        named = hearth("perplexity", BUILT_IN, self.text, "--limit", "1")
        for args in (["-"], ["--model", BUILT_IN, "-"]):
            got = hearth("perplexity", *args, "--limit", "1", stdin=TEXT.encode())
            self.assertEqual(self.done(got).text, named.text)
        self.assertRegex(named.text, r"^perplexity \d+\.\d{4} \+/- \d+\.\d{4}\n$")
        self.assertRegex(named.err, r"127 tokens scored in 1 windows of 256, .* s, \d+ tokens/s")

    def test_what_cannot_be_is_refused_in_one_sentence(self):
        short = self.path("short.txt")
        with open(short, "w", encoding="ascii") as f:
            f.write("Well, Prince.")
        self.refused(hearth("perplexity"), 2, "TEXT is needed")
        self.refused(hearth("perplexity", BUILT_IN, short), 2, "short.txt", "tokens", "256", "--window")
        self.refused(hearth("perplexity", BUILT_IN, self.path("none.txt")), 3, "none.txt")
        self.refused(hearth("perplexity", BUILT_IN, self.text, "--window", "3"), 2, "--window", "4")
        self.refused(hearth("perplexity", BUILT_IN, self.text, "--kld", self.path("none.gguf")), 3, "none.gguf")

    def test_a_window_beyond_the_trained_context_is_said(self):
        done = self.done(hearth("perplexity", BUILT_IN, self.text, "--limit", "1", "--window", "512"))
        self.assertIn("longer than the model was trained for (256)", done.err)


class Divergence(MeasureTest):
    def test_a_model_has_none_from_itself(self):
        got = self.measure(BUILT_IN, self.text, "--kld", BUILT_IN, "--limit", "2")
        kld = got["kld"]
        for key in ("mean", "standard_error", "median", "p90", "p99", "max", "mean_probability_difference",
                    "rms_probability_difference"):
            self.assertEqual(kld[key], 0, key)
        self.assertEqual(kld["same_top"], 1)
        self.assertEqual(kld["reference_perplexity"], got["perplexity"])

    @unittest.skipUnless(FIXTURES, "needs HEARTH_FIXTURES")
    def test_it_grows_as_the_format_gets_coarser(self):
        def model(kind):
            return os.path.join(FIXTURES, "models", f"tolstoy-4m-{kind}.gguf")
        means = []
        for kind in "f16", "q8_0", "q6_k", "q4_0":
            got = self.measure(model(kind), self.text, "--kld", model("f32"), "--limit", "2")
            kld = got["kld"]
            self.assertLessEqual(kld["median"], kld["p90"])
            self.assertLessEqual(kld["p90"], kld["p99"])
            self.assertLessEqual(kld["p99"], kld["max"])
            means.append(kld["mean"])
            self.assertEqual(kld["reference_window_nll"],
                             self.measure(model("f32"), self.text, "--limit", "2")["window_nll"])
        self.assertEqual(means, sorted(means))
        self.assertGreater(means[0], 0)

    def test_another_vocabulary_is_refused(self):
        self.refused(hearth("perplexity", BUILT_IN, self.text, "--kld", self.tiny, "--limit", "1"), 2, "vocabulary")


if __name__ == "__main__":
    main()
