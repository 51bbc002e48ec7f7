#!/usr/bin/env python3
"""test_fit.py: hearth fit from outside: what it says, never how fast this machine is.

    tests/cli/test_fit.py build/hearth [unittest arguments]
"""

import csv
import json
import os
import shutil
import subprocess
import tempfile
import unittest

from harness import ROOT, hearth, main

BUILT_IN = os.path.join(ROOT, "models", "tolstoy-4m-q8_0.gguf")
MACHINE = ["--roofs", "80,980,250", "--threads", "2", "--memory", "16"]


class Fit(unittest.TestCase):
    def done(self, result, code=0):
        self.assertEqual(result.code, code, result.err)
        return result

    def test_a_file_and_its_folder_say_the_same(self):
        one = json.loads(self.done(hearth("fit", BUILT_IN, "--json", *MACHINE)).text)
        all_of = json.loads(self.done(hearth("fit", os.path.dirname(BUILT_IN), "--json", *MACHINE)).text)
        self.assertEqual(one["models"], all_of["models"])
        self.assertEqual(one["recommended"], "tolstoy-4m-q8_0.gguf")
        model = one["models"][0]
        self.assertEqual(model["n_context_tokens"], 256, "as it was trained")
        self.assertLess(model["tok_s"]["low"], model["tok_s"]["value"])
        parts = model["memory"]
        self.assertEqual(parts["total_bytes"], sum(parts[k] for k in (
            "weights_bytes", "kv_bytes", "workspace_bytes", "vocabulary_bytes", "program_bytes")))
        self.assertIsNone(model["load_cold_ms"], "the disk of another machine is not known")
        slow, fast = (json.loads(self.done(hearth("fit", BUILT_IN, "--json", *MACHINE, "--disk", rate)).text)
                      for rate in ("1", "1000"))
        self.assertEqual(slow["machine"]["disk_mb_s"], 1)
        self.assertGreater(slow["models"][0]["load_cold_ms"]["value"], fast["models"][0]["load_cold_ms"]["value"])

    def test_roofs_are_measured_unless_they_are_said(self):
        got = json.loads(self.done(hearth("fit", BUILT_IN, "--json", "--threads", "1")).text)["machine"]
        self.assertFalse(got["given"])
        for roof in "read_gb_s", "int8_gmac_s", "f32_gmac_s":
            self.assertGreater(got[roof], 0)
        got = json.loads(self.done(hearth("fit", BUILT_IN, "--json", *MACHINE)).text)["machine"]
        self.assertEqual((got["given"], got["read_gb_s"], got["n_threads"]), (True, 80, 2))

    def test_what_was_recorded_corrects_it(self):
        with tempfile.TemporaryDirectory() as folder:
            def fit(*more):
                got = json.loads(self.done(hearth("fit", BUILT_IN, "--json", "--threads", "2", *more)).text)
                return got["models"][0]
            self.assertIsNone(fit("--record-dir", folder)["recorded"], "nothing yet")
            for _ in range(3):
                self.done(hearth("run", BUILT_IN, "-p", "It was " * 40, "-n", "40", "--ignore-eos", "--threads", "2",
                                 "--speculate", "off", "--record", "receipts", "--record-dir", folder))
            got = fit("--record-dir", folder)
            self.assertEqual(got["recorded"]["n_answers"], 3)
            for key in "decode_times", "prefill_times":
                self.assertGreater(got["recorded"][key], 0)
                self.assertNotEqual(got["recorded"][key], 1)
            self.assertIsNone(fit("--record-dir", folder, "--roofs", "80,980,250")["recorded"], "another machine")
            other = self.done(hearth("fit", BUILT_IN, "--json", "--threads", "1", "--record-dir", folder))
            got = json.loads(other.text)
            self.assertIsNone(got["models"][0]["recorded"], "other threads")

    def test_the_catalogue_is_ranked(self):
        got = json.loads(self.done(hearth("fit", "--catalogue", "--json", *MACHINE)).text)
        self.assertGreaterEqual(len(got["models"]), 40)
        of = {m["name"]: m for m in got["models"]}
        self.assertEqual(of["Llama-3.3-70B Q4_K_M"]["verdict"], "too large")
        self.assertIn("/", of["Qwen3-4B Q4_K_M"]["dimensions_from"])
        order = [m["verdict"] for m in got["models"]]
        self.assertEqual(order, sorted(order, key=["good", "slow", "too large", "not run"].index))

    def test_a_file_adds_models_to_the_catalogue(self):
        row = ('[model."{}"]\narchitecture = "llama"\nlayers = 16\nwidth = 2048\nheads = 32\nkv-heads = 8\n'
               'ffn = 8192\nvocabulary = 128256\ncontext = 131072\ntied = true\n')
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "more.toml")

            def fit(text, code=0):
                with open(path, "w", encoding="utf-8") as f:
                    f.write(text)
                return self.done(hearth("fit", "--catalogue-file", path, "--json", *MACHINE), code)

            of = {m["name"]: m for m in json.loads(fit(row.format("As Llama 1B")).text)["models"]}
            mine, known = of["As Llama 1B Q4_K_M"], of["Llama-3.2-1B Q4_K_M"]
            self.assertEqual(mine["dimensions_from"], path)
            for key in "n_parameters", "memory", "tok_s", "verdict":
                self.assertEqual(mine[key], known[key])
            got = json.loads(fit(row.format("Unknown").replace('"llama"', '"tomorrow"')).text)["models"]
            self.assertEqual((got[-1]["name"], got[-1]["verdict"]), ("Unknown Q4_K_M", "not run"))
            self.assertIn("tomorrow", got[-1]["problem"])
            for text, words in ((row.replace("layers = 16\n", ""), "lacks 'layers'"),
                                (row.replace("layers = 16", "layers = 0"), "more.toml:3: layers is 0"),
                                (row.replace("layers = 16", 'layers = "16"'), "layers must be a whole number"),
                                (row.replace("layers", "layer"), "layer is no dimension"),
                                (row.replace("ffn = 8192\n", ""), "lacks 'ffn'"),
                                (row.replace("kv-heads = 8", "kv-heads = 5"), "KV heads"),
                                ("[models]\n", 'begins with [model.'), ("", "has no row")):
                done = fit(text.replace("{}", "A"), 3)
                self.assertIn(words, done.err)
                self.assertEqual(done.text, "")

    def test_the_table_has_a_reason_and_the_sum_of_what_does_not_fit(self):
        text = self.done(hearth("fit", "--catalogue", "--type", "Q8_0", *MACHINE)).text
        self.assertRegex(text, r"\nrecommended  .*: the largest of these that fits and is fast enough")
        self.assertRegex(text, r"\nsmaller      .*\nlarger       ")
        small = [*MACHINE[:-1], "0.01"]
        text = self.done(hearth("fit", BUILT_IN, *small), 1).text
        self.assertRegex(text, r"does not fit: needs .* \(weights .* \+ KV .* \+ the rest .*\), the budget is 10.2 MiB")
        self.assertIn("None of these can be run here", text)

    def test_csv_has_a_row_for_each_model(self):
        rows = list(csv.reader(self.done(hearth("fit", "--catalogue", "--csv", *MACHINE)).text.splitlines()))
        self.assertGreaterEqual(len(rows), 41)
        self.assertEqual({len(row) for row in rows}, {len(rows[0])})

    @unittest.skipUnless(shutil.which("gnuplot"), "gnuplot is not installed")
    def test_the_rows_become_a_picture(self):
        with tempfile.TemporaryDirectory() as folder:
            rows, picture = os.path.join(folder, "fit.csv"), os.path.join(folder, "fit.svg")
            with open(rows, "w", encoding="utf-8") as f:
                f.write(self.done(hearth("fit", "--catalogue", "--csv", *MACHINE)).text)
            script = os.path.join(ROOT, "examples", "fit.gnuplot")
            done = subprocess.run(["gnuplot", "-c", script, rows, picture], capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            with open(picture, encoding="utf-8") as f:
                text = f.read()
            self.assertIn("Llama-3.2-1B Q4_K_M", text)
            self.assertNotIn("Llama-3.1-405B", text, "it does not fit")

    def test_more_users_and_a_longer_context_take_more_memory(self):
        def memory(*more):
            got = json.loads(self.done(hearth("fit", BUILT_IN, "--json", *MACHINE, *more)).text)
            return got["models"][0]["memory"]["kv_bytes"]
        self.assertEqual(memory("--users", "4"), 4 * memory())
        self.assertEqual(memory(), 2 * memory("--context", "128"))

    def test_what_cannot_be_is_refused_in_one_sentence(self):
        for args, code, words in (([], 2, "--catalogue"), ([BUILT_IN, "--catalogue"], 2, "--catalogue"),
                                  ([BUILT_IN, "--roofs", "80,x"], 2, "80,x"),
                                  ([BUILT_IN, "--json", "--csv"], 2, "--csv"),
                                  (["--catalogue", "--type", "Q9"], 2, "Q9"), (["/nowhere.gguf"], 3, "/nowhere.gguf"),
                                  ([os.path.join(ROOT, "docs"), *MACHINE], 3, "docs")):
            done = self.done(hearth("fit", *args), code)
            self.assertIn(words, done.err)
            self.assertEqual(done.text, "")


if __name__ == "__main__":
    main()
