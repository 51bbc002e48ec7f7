#!/usr/bin/env python3
"""test_measure.py: hearth perplexity and hearth imatrix from outside.

    tests/cli/test_measure.py build/hearth [unittest arguments]
"""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from gguf_reader import Gguf
from harness import CLEAN_ENV, FIXTURES, PATIENCE_S, ROOT, hearth, main, program

sys.path.insert(0, os.path.join(ROOT, "tests", "model"))
import golden  # noqa: E402  # pylint: disable=wrong-import-position

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
        n = self.measure(BUILT_IN, self.text, "--limit", "1")["n_text_tokens"]
        self.assertIn(f"the last {n - 256} of the text's {n} tokens are left out", named.err)
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

    def test_an_interrupt_ends_it_and_reports_nothing(self):
        long_text = self.path("long.txt")
        with open(long_text, "w", encoding="ascii") as f:
            f.write(TEXT * 100)
        for args in (["perplexity", BUILT_IN, long_text], ["perplexity", BUILT_IN, long_text, "--kld", BUILT_IN],
                     ["imatrix", BUILT_IN, long_text, "-o", self.path("interrupted.gguf")]):
            # A delayed signal may come before or while it computes; both end it the same way.
            with subprocess.Popen([program(), *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  env=CLEAN_ENV) as process:
                time.sleep(0.5)
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=PATIENCE_S)
            self.assertEqual((process.returncode, out), (130, b""), err)
        self.assertEqual([f for f in os.listdir(self.folder) if f.startswith("interrupted")], [])

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


class ImportanceMatrix(MeasureTest):
    N_WINDOWS, N_TOKENS, LAYERS = 3, 64, 5

    def make(self, name, *more, model=BUILT_IN):
        out = self.path(name)
        self.done(hearth("imatrix", model, self.text, "-o", out, "--window", str(self.N_TOKENS), "--limit",
                         str(self.N_WINDOWS), *more))
        return out

    def test_it_has_sums_and_counts_of_every_matrix_in_the_agreed_form(self):
        got = Gguf(self.make("form.gguf"))
        self.assertEqual(got.values, {"general.type": "imatrix", "imatrix.datasets": ["text.txt"],
                                      "imatrix.chunk_count": self.N_WINDOWS, "imatrix.chunk_size": self.N_TOKENS})
        matrices = [f"blk.{i}.{part}.weight" for i in range(self.LAYERS)
                    for part in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")]
        matrices.append("token_embd.weight")  # it is the output matrix too
        want = [f"{m}.{part}" for m in matrices for part in ("in_sum2", "counts")]
        self.assertEqual(sorted(got.tensors), sorted(want))
        for m in matrices:
            n = 768 if "ffn_down" in m else 256
            self.assertEqual(got.tensors[m + ".in_sum2"][:2], ([n, 1], 0))
            self.assertEqual(got.tensors[m + ".counts"][:2], ([1, 1], 0))
            self.assertTrue(all(x > 0 for x in got.row(m + ".in_sum2")), m)
            n_scored = self.N_TOKENS - (m == "token_embd.weight")  # nothing follows a window's last token
            self.assertEqual(got.row(m + ".counts"), [self.N_WINDOWS * n_scored])
        for a, b in ("attn_q", "attn_k"), ("attn_q", "attn_v"), ("ffn_gate", "ffn_up"):  # one input
            self.assertEqual(got.row(f"blk.3.{a}.weight.in_sum2"), got.row(f"blk.3.{b}.weight.in_sum2"))

    def test_the_first_sums_are_those_of_normed_embeddings(self):
        """Before the first layer nothing but the token decides: computed here from the model file alone."""
        model, got = Gguf(BUILT_IN), Gguf(self.make("sums.gguf"))
        ids = hearth("tokenize", "--ids", BUILT_IN, stdin=TEXT.encode()).text.split()
        weight, sums = model.row("blk.0.attn_norm.weight"), [0.0] * 256
        for token in ids[:self.N_WINDOWS * self.N_TOKENS]:
            x = model.row("token_embd.weight", int(token))
            scale = 1 / (sum(v * v for v in x) / len(x) + model.values["llama.attention.layer_norm_rms_epsilon"])
            for i, v in enumerate(x):
                sums[i] += v * v * scale * weight[i] * weight[i]
        for want, value in zip(sums, got.row("blk.0.attn_q.weight.in_sum2")):
            self.assertLess(abs(value / want - 1), 1e-5)  # f32 rounding, seen 1.3e-7; one token more: 3e-2

    def test_the_bytes_do_not_depend_on_threads(self):
        files = []
        for threads in "1", "2", "3":
            with open(self.make(f"threads{threads}.gguf", "--threads", threads), "rb") as f:
                files.append(f.read())
        self.assertEqual(files[0], files[1])
        self.assertEqual(files[0], files[2])

    def test_an_expert_has_the_tokens_that_chose_it(self):
        """The one that all tokens have reads what each token's experts read."""
        g = golden.read("qwen2moe")
        model, text = self.path("experts.gguf"), self.path("lines.txt")
        golden.write(g, model)
        key = "qwen2moe."
        n_experts, used = g["metadata"][key + "expert_count"], g["metadata"][key + "expert_used_count"]
        with open(text, "w", encoding="ascii") as f:
            f.write("".join("\nx"[i * i % 7 % 2] for i in range(400)))  # the vocabulary has one of them
        files = []
        for threads in "1", "2", "3":
            out = self.path(f"experts{threads}.gguf")
            self.done(hearth("imatrix", model, text, "-o", out, "--window", "64", "--limit", "3", "--threads", threads))
            with open(out, "rb") as f:
                files.append(f.read())
        self.assertEqual(len(set(files)), 1)
        got = Gguf(self.path("experts1.gguf"))
        def of(layer, name, part):
            """A row for each matrix of the tensor."""
            whole = f"blk.{layer}.{name}.weight.{part}"
            return [got.row(whole, i) for i in range(got.tensors[whole][0][1])]
        for layer in range(g["metadata"][key + "block_count"]):
            counts, all_tokens = of(layer, "ffn_up_exps", "counts"), of(layer, "ffn_up_shexp", "counts")
            self.assertEqual((len(counts), sum(sum(counts, []))), (n_experts, used * all_tokens[0][0]))
            self.assertEqual(counts, of(layer, "ffn_down_exps", "counts"))
            self.assertGreater(len(set(sum(counts, []))), 1)
            sums, shared = of(layer, "ffn_up_exps", "in_sum2"), of(layer, "ffn_up_shexp", "in_sum2")
            self.assertEqual(sums, of(layer, "ffn_gate_exps", "in_sum2"))
            for column, all_experts in zip(zip(*sums), shared[0]):
                self.assertLess(abs(sum(column) / (used * all_experts) - 1), 1e-5)  # f32 rounding
            for row, count in zip(of(layer, "ffn_down_exps", "in_sum2"), counts):
                self.assertEqual(any(row), count[0] > 0)

    def test_windows_begin_with_bos_where_the_file_asks_for_it(self):
        """So a window holds one token of text less, and as many tokens."""
        text = self.path("letters.txt")
        with open(text, "w", encoding="ascii") as f:
            f.write("abcdefgh " * 8)
        n = len(hearth("tokenize", "--ids", self.tiny, stdin=("abcdefgh " * 8).encode()).text.split())
        with_bos = hearth("tokenize", "--ids", "--bos", self.tiny, stdin=b"a").text.split()
        without = hearth("tokenize", "--ids", self.tiny, stdin=b"a").text.split()
        self.assertEqual(len(with_bos), len(without) + 1, "the tiny model asks for BOS")
        out = self.path("bos.gguf")
        self.done(hearth("imatrix", self.tiny, text, "-o", out, "--window", str(n + 1)))
        got = Gguf(out)
        self.assertEqual(got.values["imatrix.chunk_count"], 1)
        self.assertEqual(got.row("blk.0.attn_q.weight.counts"), [n + 1])
        self.refused(hearth("imatrix", self.tiny, text, "-o", out, "--window", str(n + 2)), 2, "a longer text")

    def test_what_cannot_be_is_refused_and_leaves_no_file(self):
        out = self.path("never.gguf")
        self.refused(hearth("imatrix"), 2, "TEXT is needed")
        self.refused(hearth("imatrix", BUILT_IN, self.text), 2, "--output is needed")
        self.refused(hearth("imatrix", BUILT_IN, self.path("none.txt"), "-o", out), 3, "none.txt")
        self.refused(hearth("imatrix", BUILT_IN, self.text, "--limit", "1", "-o", self.path("no/folder.gguf")), 3,
                     "folder.gguf")
        self.assertFalse(os.path.exists(out))


if __name__ == "__main__":
    main()
