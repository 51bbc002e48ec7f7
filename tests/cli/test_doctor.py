#!/usr/bin/env python3
"""test_doctor.py: hearth doctor from outside: what it says and in which form, never how good the machine is.

    tests/cli/test_doctor.py build/hearth [unittest arguments]
"""

import json
import os
import re
import unittest

from harness import ROOT, hearth, main

BUILT_IN = os.path.join(ROOT, "models", "tolstoy-4m-q8_0.gguf")
NAMES = ["cores", "quota", "others", "frequency", "heat", "isa", "int8-rate", "caches", "read-rate", "nodes", "memory",
         "memory-limit", "pressure", "swap", "huge-pages", "locked-memory", "disk", "open-files", "hypervisor"]


class Doctor(unittest.TestCase):
    def done(self, *args, env=None):
        result = hearth("doctor", *args, env=env)
        self.assertEqual(result.code, 0, result.err)
        return result

    def test_each_check_is_one_line_and_the_last_says_what_is_next(self):
        lines = self.done().text.splitlines()
        found = [line for line in lines if re.match(r"(fine|note|warning) ", line)]
        self.assertEqual([line.split()[1] for line in found], NAMES)
        counts = re.search(r"(\d+) warnings?, (\d+) notes?, (\d+) fine", lines[-2])
        self.assertEqual(sum(map(int, counts.groups())), len(NAMES))
        self.assertRegex(lines[-1], r"^next: hearth fit --catalogue .* hearth run ")
        for line in lines:
            if line not in found[:] and line not in lines[-3:]:
                self.assertRegex(line, r"^ +what would help ")

    def test_json_has_the_facts_and_the_findings(self):
        o = json.loads(self.done("--json").text)
        self.assertEqual([finding["name"] for finding in o["findings"]], NAMES)
        for finding in o["findings"]:
            self.assertEqual(sorted(finding), ["level", "name", "remedy", "text"])
            self.assertIn(finding["level"], ("fine", "note", "warning"))
            self.assertGreater(len(finding["text"]), 10)
            if finding["level"] != "fine":
                self.assertTrue(finding["remedy"], finding)
        self.assertGreaterEqual(o["cores"]["n_cores"], 1)
        self.assertLessEqual(o["cores"]["n_threads"], o["cores"]["n_cores"])
        self.assertLessEqual(o["memory"]["plan_bytes"], o["memory"]["physical_bytes"])
        self.assertIn(o["isa"], o["isas_here"])
        self.assertLessEqual(set(o["isas_here"]), set(o["isas_built"]))
        for value in o["roof"]["read_gb_s"], o["roof"]["int8_gmac_s"]:
            self.assertTrue(value is None or value > 0)
        self.assertGreaterEqual(o["others_percent"], o["stolen_percent"])
        self.assertEqual(o["disk"]["file"], "the program's own file")
        self.assertIn("hearth fit", o["next"])

    def test_the_disk_is_read_where_the_model_lies(self):
        for args, env in (([BUILT_IN], {}), ([], {"HEARTH_MODEL": BUILT_IN})):
            disk = json.loads(self.done(*args, "--json", env=env).text)["disk"]
            self.assertEqual((disk["file"], disk["read_bytes"]), (BUILT_IN, os.path.getsize(BUILT_IN)))

    def test_what_cannot_be_found_out_is_a_finding(self):
        o = json.loads(self.done("no-such-file.gguf", "--json", env={"HEARTH_ISA": "no-such-set"}).text)
        finding = {f["name"]: f for f in o["findings"]}
        self.assertIn("no-such-file.gguf", finding["disk"]["text"])
        self.assertEqual(finding["disk"]["level"], "note")
        self.assertIsNone(o["disk"]["read_mb_s"])
        self.assertIn("HEARTH_ISA", finding["isa"]["remedy"])
        self.assertEqual(finding["isa"]["level"], "warning")
        self.assertIsNone(o["isa"])

    def test_only_bad_usage_fails(self):
        for args in (["--jsn"], ["a", "b"], ["a", "--model", "b"]):
            result = hearth("doctor", *args)
            self.assertEqual((result.code, result.out), (2, b""))


if __name__ == "__main__":
    main()
