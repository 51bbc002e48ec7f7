#!/usr/bin/env python3
"""test_embed.py: hearth embed: vectors of texts, each the same alone and among others.

    tests/cli/test_embed.py build/hearth [unittest arguments]
"""

import json
import math
import os
import sys
import tempfile
import unittest

from harness import ROOT, hearth, main

sys.path.insert(0, os.path.join(ROOT, "tests", "model"))
import golden  # noqa: E402

MEAN, CLS, LAST = 1, 2, 3


class Embed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        for arch, pooling in (("bert", MEAN), ("qwen3", LAST)):
            g = golden.read(arch)
            g["metadata"][f"{arch}.pooling_type"] = pooling
            golden.write(g, cls.path(arch))

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def path(cls, name):
        return os.path.join(cls.folder.name, name + ".gguf")

    def vectors(self, *words, stdin=""):
        r = hearth("embed", *words, stdin=stdin.encode())
        self.assertEqual(r.code, 0, r.err)
        return r.text.splitlines()

    def test_each_text_has_the_same_line_alone_and_among_others(self):
        texts = [" ".join(f"t{5 + (i * 7 + k) % 90}" for k in range(1 + i * 5 % 60)) for i in range(150)]
        for name in ("bert", "qwen3"):
            for threads in ("1", "2"):
                together = self.vectors(self.path(name), "--threads", threads, stdin="\n".join(texts) + "\n")
                self.assertEqual(len(together), 150)
                for i in (0, 7, 149):
                    self.assertEqual(self.vectors(self.path(name), texts[i]), [together[i]])
            values = [float(v) for v in together[3].split()]
            self.assertEqual(len(values), 64)
            self.assertAlmostEqual(math.hypot(*values), 1, places=6)

    def test_json_dimensions_and_vectors_as_the_model_makes_them(self):
        with open(os.path.join(self.folder.name, "texts"), "w", encoding="utf-8") as f:
            f.write("t5 t6\nt7")
        lines = self.vectors(self.path("bert"), "t9", "--file", f.name, "--json", "--normalize", "none")
        objects = [json.loads(line) for line in lines]
        self.assertEqual([o["index"] for o in objects], [0, 1, 2])
        self.assertEqual([o["n_tokens"] for o in objects], [3, 4, 3])
        raw = objects[1]["embedding"]
        part = self.vectors("-m", self.path("bert"), "t5 t6", "--dimensions", "8")[0].split()
        for got, want in zip(part, raw):
            self.assertAlmostEqual(float(got), want / math.hypot(*raw[:8]), places=6)
        self.assertEqual(len(part), 8)

    def test_pooling_is_the_files_unless_said(self):
        text = "t5 t6 t7"
        of = {p: self.vectors(self.path("bert"), text, "--pooling", p)[0] for p in ("model", "mean", "cls", "last")}
        self.assertEqual(of["model"], of["mean"])
        self.assertEqual(len(set(of.values())), 3)
        r = hearth("embed", self.path("bert"), text, "--receipt")
        self.assertIn("embedded, pooling mean", r.err)
        self.assertIn("1 text, 5 tokens", r.err)

    def test_what_cannot_be_is_refused(self):
        for words, status, said in (
                ((self.path("bert"), "t5", "--dimensions", "65"), 2, "vectors of this model have 64 values"),
                ((self.path("bert"), "t5", "t6 " * 300), 2, "text 2: the prompt has 302 tokens, the context holds 256"),
                ((os.path.join(ROOT, "models", "tolstoy-4m-q8_0.gguf"), "text"), 2, "says no pooling"),
                ((self.path("bert"), "t5", "--pooling", "rank"), 2, "--pooling")):
            r = hearth("embed", *words)
            self.assertEqual(r.code, status, (words, r.err))
            self.assertIn(said, r.err)
            self.assertEqual(len(r.text.splitlines()), said.startswith("text 2"))
        r = hearth("embed", self.path("bert"), stdin=b"")
        self.assertIn("there is no text", r.err)
        r = hearth("run", self.path("bert"), "t5")
        self.assertIn("embeddings", r.err)


if __name__ == "__main__":
    main()
