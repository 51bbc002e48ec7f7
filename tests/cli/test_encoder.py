#!/usr/bin/env python3
"""test_encoder.py: models that write no text say so, and what they cannot hold is refused.

    tests/cli/test_encoder.py build/hearth [unittest arguments]
"""

import os
import sys
import tempfile
import unittest

from harness import ROOT, hearth, main

sys.path.insert(0, os.path.join(ROOT, "tests", "model"))
import golden  # noqa: E402

NO_TEXT = "makes embeddings, it does not write text"


class Encoder(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def file(self, metadata=None, tensors=None):
        path = os.path.join(self.folder.name, "bert.gguf")
        golden.write(golden.flipped(golden.read("bert"), {"metadata": metadata or {}, "tensors": tensors or {}}), path)
        return path

    def refused(self, result, *texts, code=2):
        self.assertEqual(result.code, code, result.err)
        for text in texts:
            self.assertIn(text, result.err)

    def test_whoever_wants_text_is_told_that_there_is_none(self):
        path = self.file()
        self.refused(hearth("run", path, "hello"), NO_TEXT)
        self.refused(hearth("bench", path, "--runs", "1"), NO_TEXT)
        self.refused(hearth("perplexity", path, "-", "--window", "64", stdin=b"hello " * 200), NO_TEXT)

    def test_inspect_says_that_it_runs(self):
        done = hearth("inspect", self.file())
        self.assertEqual(done.code, 0, done.err)
        self.assertIn("bert (WordPiece", done.text)

    def test_there_are_no_positions_beyond_the_learned_ones(self):
        path = self.file()
        self.refused(hearth("run", path, "hello", "--ctx", "257"), "257", "256 positions")
        self.refused(hearth("run", path, "hello", "--ctx", "256"), NO_TEXT)

    def test_a_file_that_contradicts_its_architecture_is_refused(self):
        for metadata, tensors, named in (({"bert.attention.causal": True}, {}, "bert.attention.causal"),
                                         ({"bert.context_length": 257}, {}, "position_embd.weight"),
                                         ({}, {"position_embd.weight": None}, "position_embd.weight")):
            self.refused(hearth("run", self.file(metadata, tensors), "hello"), named, code=3)


if __name__ == "__main__":
    main()
