#!/usr/bin/env python3
"""test_quantize.py: `hearth quantize` from outside.

    tests/cli/test_quantize.py build/hearth [unittest arguments]
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import gguf_writer
from harness import CLEAN_ENV, FIXTURES, hearth, main, program

TYPES = ("F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K_S Q3_K_M Q3_K_L Q4_K_S Q4_K_M Q5_K_S Q5_K_M Q6_K IQ4_NL"
         " IQ4_XS TQ1_0 TQ2_0 MXFP4 Q1_0 Q2_0").split()
MODEL = os.path.join(FIXTURES, "models", "tolstoy-4m-f32.gguf")


@unittest.skipUnless(FIXTURES, "HEARTH_FIXTURES is not set")
class QuantizeTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="hearth-quantize-")
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def quantize(self, name, *args, model=MODEL, code=0):
        done = hearth("quantize", model, self.path(name), *args)
        self.assertEqual(done.code, code, done.err)
        return done

    def read(self, name):
        with open(self.path(name), "rb") as f:
            return f.read()

    def test_every_type_makes_a_file_that_is_described_and_answers(self):
        for kind in TYPES:
            with self.subTest(kind):
                self.quantize(kind, "--type", kind)
                self.assertIn("runs here      yes", hearth("inspect", self.path(kind)).text)
                answer = hearth("run", self.path(kind), "-p", "It was in the evening", "-n", "8", "--temp", "0")
                self.assertEqual(answer.code, 0, answer.err)

    def test_files_have_the_size_of_published_ones(self):
        for kind in ("q4_0", "q8_0", "q4_k_m", "q6_k", "q2_k", "q3_k_m", "iq4_xs", "tq1_0"):
            self.quantize(kind, "--type", kind)
            peer = os.path.getsize(os.path.join(FIXTURES, "models", f"tolstoy-4m-{kind}.gguf"))
            self.assertLess(abs(peer - len(self.read(kind))), 256, kind)

    def test_the_bytes_do_not_depend_on_threads(self):
        self.quantize("one", "--type", "Q4_K_M", "--threads", "1")
        self.quantize("three", "--type", "Q4_K_M", "--threads", "3")
        self.assertEqual(self.read("one"), self.read("three"))

    def test_tensors_get_other_types_by_name(self):
        done = self.quantize("out", "--type", "Q4_0", "-v", "--tensor", "blk.*.ffn_down.weight=q8_0",
                             "--output-type", "f16")
        rows = {line.split()[0]: line.split()[3] for line in done.text.splitlines() if "->" in line}
        self.assertEqual(rows["blk.3.ffn_down.weight"], "Q8_0")
        self.assertEqual(rows["blk.3.ffn_up.weight"], "Q4_0")
        self.assertEqual(rows["token_embd.weight"], "F16")

    def test_what_exists_or_is_quantized_is_refused(self):
        self.quantize("out", "--type", "Q8_0")
        before = self.read("out")
        self.assertIn("--force", self.quantize("out", "--type", "Q4_0", code=2).err)
        self.assertIn("--requantize", self.quantize("two", "--type", "Q4_0", model=self.path("out"), code=2).err)
        self.assertIn("read", self.quantize("out", "--type", "Q4_0", "--force", "--requantize", model=self.path("out"),
                                            code=2).err)
        self.assertEqual(before, self.read("out"))
        self.quantize("two", "--type", "Q4_0", "--requantize", model=self.path("out"))
        self.assertEqual(sorted(os.listdir(self.folder)), ["out", "two"])

    def test_a_split_set_gives_the_bytes_of_the_whole_file(self):
        first = gguf_writer.split(MODEL, self.path("part"), 3)
        self.quantize("whole", "--type", "Q4_K_M")
        self.quantize("joined", "--type", "Q4_K_M", model=first)
        self.assertEqual(self.read("whole"), self.read("joined"))
        last = self.path("part-00003-of-00003.gguf")
        self.assertIn("open the first part", self.quantize("x", "--type", "Q4_0", model=last, code=3).err)
        self.assertIn("is one of the files that are read",
                      self.quantize("part-00002-of-00003.gguf", "--type", "Q4_0", "--force", model=first, code=2).err)
        os.rename(first, self.path("other.gguf"))
        self.assertIn("00001-of-00003", self.quantize("x", "--type", "Q4_0", model=self.path("other.gguf"), code=3).err)
        os.rename(self.path("other.gguf"), first)
        os.remove(last)
        self.assertIn(last, self.quantize("x", "--type", "Q4_0", model=first, code=3).err)
        self.assertNotIn("x", os.listdir(self.folder))

    def interrupted(self, name, signal_number):
        """Exit status of a run that gets a signal as soon as a file of that name is there; what it said; its files."""
        process = subprocess.Popen([program(), "quantize", MODEL, self.path("out"), "--type", "Q2_K", "--threads", "1"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=CLEAN_ENV)
        while not os.path.exists(self.path(name)) and process.poll() is None:
            time.sleep(0.0002)
        process.send_signal(signal_number)
        said = process.communicate(timeout=60)[1].decode()
        return process.returncode, said, os.listdir(self.folder)

    def test_an_interrupt_leaves_nothing_behind(self):
        for stage, name in (("writing", "out.new.part"), ("reading back", "out.new")):
            for signal_number in (signal.SIGINT, signal.SIGTERM):
                n_caught = 0
                for _ in range(20):  # reading back is done in a twentieth of a second
                    code, said, files = self.interrupted(name, signal_number)
                    if code == 0:
                        self.assertEqual(files, ["out"])
                        os.remove(self.path("out"))
                        continue
                    self.assertEqual((code, files), (130, []), said)
                    self.assertIn("interrupted; nothing is left", said)
                    self.assertNotIn("\r", said)
                    n_caught += 1
                    break
                self.assertEqual(n_caught, 1, stage)

    def test_an_interrupt_leaves_what_was_there(self):
        with open(self.path("out"), "wb") as f:
            f.write(b"mine")
        process = subprocess.Popen([program(), "quantize", MODEL, self.path("out"), "--type", "Q2_K", "--force"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=CLEAN_ENV)
        while not os.path.exists(self.path("out.new.part")) and process.poll() is None:
            time.sleep(0.0002)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        self.assertEqual((process.returncode, os.listdir(self.folder)), (130, ["out"]))
        self.assertEqual(self.read("out"), b"mine")

    def test_a_dry_run_writes_nothing(self):
        self.assertIn("nothing was written", self.quantize("out", "--type", "Q4_K_M", "--dry-run").text)
        self.assertEqual(os.listdir(self.folder), [])


if __name__ == "__main__":
    main()
