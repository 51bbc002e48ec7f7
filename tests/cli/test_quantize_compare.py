#!/usr/bin/env python3
"""test_quantize_compare.py: `hearth quantize --compare` from outside.

    tests/cli/test_quantize_compare.py build/hearth [unittest arguments]
"""

import csv
import json
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import unittest

from harness import CLEAN_ENV, FIXTURES, HELD_OUT, hearth, main, model_path, program

MODEL = model_path("tolstoy-4m-f16")


@unittest.skipUnless(FIXTURES, "HEARTH_FIXTURES is not set")
class QuantizeCompareTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="hearth-compare-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.temporary, self.kept = os.path.join(self.folder, "tmp"), os.path.join(self.folder, "kept")
        os.mkdir(self.temporary)

    def compare(self, *args, model=MODEL, code=0):
        done = hearth("quantize", model, "--compare", "--windows", "1", *args, env={"TMPDIR": self.temporary})
        self.assertEqual(done.code, code, done.err)
        self.assertEqual(os.listdir(self.temporary), [])
        return done

    def test_figures_are_those_of_the_file_that_is_kept(self):
        got = json.loads(self.compare("--types", "Q8_0,q2_k", "--text", HELD_OUT, "--keep", self.kept, "--json").text)
        self.assertEqual(sorted(os.listdir(self.kept)), ["tolstoy-4m-f16-Q2_K.gguf", "tolstoy-4m-f16-Q8_0.gguf"])
        self.assertEqual([one["type"] for one in got["candidates"]], ["Q8_0", "Q2_K"])
        for one in got["candidates"]:
            alone = hearth("perplexity", one["path"], HELD_OUT, "--kld", MODEL, "--limit", "1", "--json")
            want = json.loads(alone.text)
            self.assertEqual(one["file_bytes"], os.path.getsize(one["path"]))
            self.assertEqual(one["kld_mean_nats"], want["kld"]["mean"])
            self.assertEqual(one["kld_standard_error_nats"], want["kld"]["standard_error"])
            self.assertEqual(one["kld_p99_nats"], want["kld"]["p99"])
            self.assertEqual(one["same_top_share"], want["kld"]["same_top"])
            self.assertEqual(one["perplexity"], want["perplexity"])
            self.assertEqual(one["perplexity_standard_error"], want["standard_error"])
            self.assertEqual(got["in"]["perplexity"], want["kld"]["reference_perplexity"])
            self.assertEqual(got["n_scored_tokens"], want["n_scored_tokens"])
            for key in ("prefill_tokens_per_s", "decode_tokens_per_s", "prefill_times_in", "decode_times_in",
                        "planned_bytes", "bits_per_weight"):
                self.assertGreater(one[key], 0, key)
            self.assertLess(one["planned_bytes"], got["in"]["planned_bytes"])
        self.assertEqual(got["text"], HELD_OUT)
        self.assertEqual((got["advice"]["knee"], got["advice"]["take"], got["advice"]["next_smaller"]),
                         (None, "Q8_0", "Q2_K"))
        self.assertIn("two candidates have no knee", got["advice"]["why"])

    def test_rows_have_a_head_and_one_for_each(self):
        rows = list(csv.DictReader(self.compare("--types", "Q4_0,Q3_K_M", "--csv").text.splitlines()))
        self.assertEqual([row["type"] for row in rows], ["IN", "Q4_0", "Q3_K_M"])
        self.assertEqual(rows[0]["file_bytes"], str(os.path.getsize(MODEL)))
        self.assertEqual(rows[0]["kld_mean_nats"], "")
        self.assertGreater(float(rows[2]["kld_mean_nats"]), float(rows[1]["kld_mean_nats"]))

    def test_the_table_names_the_text_and_says_what_to_take(self):
        done = self.compare("--types", "Q8_0,Q5_K_M,Q2_K")
        self.assertIn("text: built-in, 1 windows of 256 tokens", done.text)
        self.assertIn("divergence (nats)", done.text)
        self.assertRegex(done.text, r"\ntake (Q8_0|Q5_K_M) \(")

    def test_the_same_distributions_have_no_divergence_and_in_is_kept(self):
        got = json.loads(self.compare("--types", "F16", "--json").text)
        self.assertEqual((got["candidates"][0]["kld_mean_nats"], got["candidates"][0]["kld_p99_nats"]), (0, 0))
        self.assertEqual(got["candidates"][0]["perplexity"], got["in"]["perplexity"])
        self.assertEqual((got["advice"]["knee"], got["advice"]["take"]), (None, None))

    def test_usual_types_are_those_smaller_than_in(self):
        q4 = model_path("tolstoy-4m-q4_k_m")
        self.assertIn("--requantize", self.compare(model=q4, code=2).err)
        done = self.compare("--requantize", "--csv", model=q4)
        for kind in ("Q8_0", "Q6_K", "Q5_K_M"):
            self.assertIn(f"{kind} is left out: it is not smaller than IN", done.err)
        types = [row["type"] for row in csv.DictReader(done.text.splitlines())]
        self.assertEqual(types[-2:], ["Q3_K_M", "Q2_K"])
        self.assertNotIn("Q6_K", types)

    def test_what_cannot_be_meant_is_refused(self):
        for given, said in ((("--types", "Q4_0,Q9"), "'Q9'"), (("--types", "Q4_0,"), "''"),
                            (("--types", "Q4_0,q4_0"), "Q4_0 twice"), (("--type", "Q4_0"), "--types"),
                            (("--json", "--csv"), "exclude"), (("out.gguf",), "IN alone"),
                            (("--dry-run",), "--dry-run")):
            with self.subTest(given):
                self.assertIn(said, self.compare(*given, code=2).err)
        done = hearth("quantize", MODEL, "out", "--type", "Q4_0", "--windows", "3")
        self.assertEqual(done.code, 2)
        self.assertIn("--windows goes with --compare", done.err)

    def test_what_is_there_is_not_replaced(self):
        os.mkdir(self.kept)
        there = os.path.join(self.kept, "tolstoy-4m-f16-Q4_0.gguf")
        with open(there, "wb") as f:
            f.write(b"mine")
        self.assertIn("--force", self.compare("--types", "Q8_0,Q4_0", "--keep", self.kept, code=2).err)
        self.assertEqual((os.listdir(self.kept), os.path.getsize(there)), ([os.path.basename(there)], 4))
        self.compare("--types", "Q4_0", "--keep", self.kept, "--force", "--csv")
        self.assertGreater(os.path.getsize(there), 1000000)

    def start(self, *args, **options):
        return subprocess.Popen([program(), "quantize", MODEL, "--compare", *args], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, env={**CLEAN_ENV, "TMPDIR": self.temporary}, **options)

    def test_an_interrupt_leaves_nothing_behind(self):
        """While IN predicts; while a candidate is written, and after: a line on standard error says which it is."""
        for stage in ("IN: predicting", "writing", "2): predicting", "measuring"):
            process = self.start("--types", "Q8_0,Q2_K", "--text", HELD_OUT, "--windows", "40")
            for line in process.stderr:
                if stage in line.decode():
                    break
            self.assertEqual(len(os.listdir(self.temporary)), 1, stage)
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=100)[1].decode()
            self.assertEqual((process.returncode, os.listdir(self.temporary)), (130, []), stage + said)
            self.assertIn("interrupted", said, stage)

    def test_a_failure_leaves_nothing_behind(self):
        """No file may be longer than 4 MB: the logits of a window fit, a Q8_0 file does not."""
        process = self.start("--types", "Q8_0", "--windows", "1", restore_signals=False,
                             preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4000000, 4000000)))
        said = process.communicate(timeout=100)[1].decode()
        self.assertEqual((process.returncode, os.listdir(self.temporary)), (3, []), said)
        self.assertIn("Q8_0 (1 of 1): writing", said)


if __name__ == "__main__":
    main()
