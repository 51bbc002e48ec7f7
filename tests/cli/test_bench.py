#!/usr/bin/env python3
"""test_bench.py: hearth bench from outside: what it says, never how fast.

    tests/cli/test_bench.py build/hearth [unittest arguments]
"""

import csv
import json
import os
import unittest

from harness import ROOT, hearth, main

BUILT_IN = os.path.join(ROOT, "models", "tolstoy-4m-q8_0.gguf")
TINY = ["--runs", "1", "--tokens", "4", "--threads", "2"]
LISTS = ["--prefill", "8,16", "--decode", "0,32", "--batch", "1,3"]


class Bench(unittest.TestCase):
    def done(self, result, code=0):
        self.assertEqual(result.code, code, result.err)
        return result

    def test_json_has_roofs_load_memory_and_a_list_each(self):
        got = json.loads(self.done(hearth("bench", BUILT_IN, "--json", *TINY, *LISTS)).text)
        self.assertEqual(sorted(got["roof"]), ["f32_gmac_s", "int8_gmac_s", "read_gb_s"])
        self.assertEqual(got["file_bytes"], os.path.getsize(BUILT_IN))
        for value in [*got["roof"].values(), got["load_ms"], got["first_token_ms"]]:
            self.assertGreater(value, 0)
        self.assertGreater(got["peak_rss_bytes"], 1 << 20)
        self.assertLess(got["peak_rss_bytes"], 200 << 20, "the memory that the roofs are measured with is in it")
        self.assertEqual(sorted(got["huge_pages"]), ["kv", "weights", "workspace"])
        for use in got["huge_pages"].values():
            self.assertLessEqual(use["huge_bytes"], use["resident_bytes"])
        self.assertGreater(got["huge_pages"]["workspace"]["resident_bytes"], 0)
        self.assertEqual([sorted(row) for row in got["prefill"]], 2 * [["n", "roof_gmac_s", "roof_share", "tok_s"]])
        self.assertEqual([sorted(row) for row in got["decode"]], 2 * [["ctx", "roof_gb_s", "roof_share", "tok_s"]])
        self.assertEqual([sorted(row) for row in got["batch"]], 2 * [["n", "roof_gb_s", "tok_s"]])
        self.assertEqual([row["n"] for row in got["prefill"]], [8, 16])
        self.assertEqual([row["ctx"] for row in got["decode"]], [0, 32])
        self.assertEqual([row["n"] for row in got["batch"]], [1, 3])
        for row in got["prefill"] + got["decode"] + got["batch"]:
            self.assertGreater(row["tok_s"], 0)
            self.assertGreater(row.get("roof_share", 1), 0)
        self.assertEqual((got["n_threads"], got["n_runs"], got["kv_type"]), (2, 1, "f16"))
        self.assertGreaterEqual(got["others_percent"], got["stolen_percent"])

    def test_the_built_in_model_is_measured_as_far_as_it_reaches(self):
        done = self.done(hearth("bench", "--json", *TINY, "--batch", "none"))
        got = json.loads(done.text)
        self.assertEqual([row["n"] for row in got["prefill"]], [128])
        self.assertEqual([row["ctx"] for row in got["decode"]], [0])
        self.assertEqual(got["batch"], [])
        for what in "prefill 512", "prefill 8192", "decode 2048":
            self.assertIn(f"{what} is left out: the model was trained for 256 tokens", done.err)
        self.assertIn("measuring decode 0", done.err)

    def test_csv_has_a_row_for_each_figure(self):
        done = self.done(hearth("bench", BUILT_IN, "--csv", *TINY, *LISTS))
        rows = list(csv.reader(done.text.splitlines()))
        self.assertEqual(rows[0], ["benchmark", "value", "unit", "low", "high", "runs", "roof", "others"])
        self.assertEqual([row[0] for row in rows[1:]],
                         ["memory roof", "int8 roof", "f32 roof", "load", "first token", "peak memory", "prefill 8",
                          "prefill 16", "decode 0", "decode 32", "batch 1", "batch 3"])
        for row in rows[1:]:
            self.assertEqual(len(row), 8)
            self.assertGreater(float(row[1]), 0)

    def test_the_table_has_a_line_for_each_figure(self):
        text = self.done(hearth("bench", BUILT_IN, *TINY, "--prefill", "8", "--decode", "none", "--batch", "2")).text
        self.assertRegex(text, r"\nprefill 8 .* GMAC/s .* % ")
        self.assertRegex(text, r"\nbatch 2 .* GB/s .* % ")
        self.assertNotIn("decode", text)
        self.assertRegex(text, r"\n\d+ % of the machine went to others")

    def test_what_cannot_be_is_refused_in_one_sentence(self):
        for args, words in ((["--batch", "64"], ("--batch", "64", "from 1 to 63")),
                            (["--prefill", "1,x"], ("--prefill", "1,x")),
                            (["--json", "--csv"], ("--json", "--csv"))):
            done = self.done(hearth("bench", *args), 2)
            self.assertEqual(done.out, b"")
            for word in words:
                self.assertIn(word, done.err)
        self.done(hearth("bench", "no-such-file.gguf"), 3)


if __name__ == "__main__":
    main()
