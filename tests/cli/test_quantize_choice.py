#!/usr/bin/env python3
"""test_quantize_choice.py: which tensor `hearth quantize` gives which type, on a small file of 16 layers.

    tests/cli/test_quantize_choice.py build/hearth [unittest arguments]
"""

import os
import shutil
import struct
import tempfile
import unittest

import gguf_writer
from gguf_reader import Gguf
from gguf_writer import F16, F32, pair
from harness import hearth, main

N_LAYERS, WIDTH, BF16 = 16, 256, 30


def matrix(name, kind=F16):
    return name, [WIDTH, 4], kind, bytes(WIDTH * 4 * {F32: 4, F16: 2, BF16: 2}[kind])


def vector(name, kind, value=1.5):
    packed = {F32: lambda: struct.pack("<f", value), F16: lambda: struct.pack("<e", value),
              BF16: lambda: struct.pack("<f", value)[2:]}[kind]()
    return name, [WIDTH], kind, packed * WIDTH


class QuantizeChoiceTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="hearth-quantize-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.model, self.out = self.path("model.gguf"), self.path("out.gguf")
        layers = [[vector(f"blk.{i}.attn_norm.weight", F16), vector(f"blk.{i}.attn_q.bias", BF16),
                   matrix(f"blk.{i}.attn_v.weight"), matrix(f"blk.{i}.ffn_down.weight"),
                   matrix(f"blk.{i}.ffn_gate_inp.weight", F32)] for i in range(N_LAYERS)]
        gguf_writer.write(self.model, [pair("general.architecture", "llama"), pair("llama.block_count", N_LAYERS)],
                          [matrix("token_embd.weight"), vector("output_norm.weight", F32, 0.5), *sum(layers, [])])

    def path(self, name):
        return os.path.join(self.folder, name)

    def quantize(self, *args, code=0):
        done = hearth("quantize", self.model, self.out, "--force", *args)
        self.assertEqual(done.code, code, done.err)
        return done

    def types(self, *args):
        """Name -> type as --dry-run --verbose tells it."""
        done = self.quantize("--dry-run", "--verbose", *args)
        return {line.split()[0]: line.split()[3] for line in done.text.splitlines() if "->" in line}

    def matrix_of_importance(self, kind="imatrix", tensor="blk.0.ffn_down.weight"):
        path = self.path("imatrix.gguf")
        gguf_writer.write(path, [pair("general.type", kind), pair("imatrix.datasets", ["letters.txt", "more.txt"]),
                                 pair("imatrix.chunk_count", 7), pair("imatrix.chunk_size", 256)],
                          [(tensor + ".in_sum2", [WIDTH, 1], F32, struct.pack("<f", 2) * WIDTH),
                           (tensor + ".counts", [1, 1], F32, struct.pack("<f", 1))])
        return path

    def test_the_importance_matrix_is_recorded_as_clients_know_it(self):
        self.quantize("--type", "Q4_0", "--imatrix", self.matrix_of_importance())
        made = {k: v for k, v in Gguf(self.out).values.items() if k.startswith("quantize.")}
        self.assertEqual(made, {"quantize.imatrix.file": "imatrix.gguf", "quantize.imatrix.dataset": "letters.txt",
                                "quantize.imatrix.entries_count": 1, "quantize.imatrix.chunks_count": 7})
        self.model, self.out = self.out, self.path("again.gguf")  # made without one: then it says nothing of any
        self.quantize("--type", "Q8_0", "--requantize")
        self.assertFalse([k for k in Gguf(self.out).values if k.startswith("quantize.")])

    def test_what_is_no_importance_matrix_of_the_model_is_refused(self):
        for given, said in (({"kind": "model"}, "general.type is 'model'"), ({"tensor": "blk.99"}, "of another model")):
            path = self.matrix_of_importance(**given)
            self.assertIn(said, self.quantize("--type", "Q4_0", "--imatrix", path, code=3).err)

    def test_the_first_layers_depend_on_an_importance_matrix_as_in_published_files(self):
        by_importance = "--imatrix", self.matrix_of_importance()
        for mix, alone, aided in (("IQ4_XS", "Q5_K", "IQ4_XS"), ("IQ4_NL", "Q5_K", "IQ4_NL"), ("Q4_0", "Q4_0", "Q4_1"),
                                  ("Q5_0", "Q5_0", "Q5_1"), ("Q4_K_S", "Q5_K", "Q5_K")):
            with self.subTest(mix):
                without, given = self.types("--type", mix), self.types("--type", mix, *by_importance)
                for layer in (0, 1):  # an eighth of 16
                    self.assertEqual(without[f"blk.{layer}.ffn_down.weight"], alone)
                    self.assertEqual(given[f"blk.{layer}.ffn_down.weight"], aided)
                self.assertEqual(without["blk.2.ffn_down.weight"], given["blk.2.ffn_down.weight"])

    def test_files_say_what_they_mostly_are(self):
        for mix, number in (("MXFP4", 38), ("Q1_0", 40), ("Q2_0", None), ("Q4_K_M", 15), ("F16", 1)):
            self.quantize("--type", mix)
            self.assertEqual(Gguf(self.out).values.get("general.file_type"), number, mix)

    def test_norms_and_vectors_in_half_precision_become_f32(self):
        self.quantize("--type", "Q8_0")
        made = Gguf(self.out)
        for name, value in (("blk.3.attn_norm.weight", 1.5), ("blk.3.attn_q.bias", 1.5), ("output_norm.weight", 0.5)):
            self.assertEqual(made.tensors[name][1], F32)
            self.assertEqual(made.row(name), [value] * WIDTH)
        self.assertEqual(made.tensors["blk.3.ffn_gate_inp.weight"][1], F32)
        self.assertEqual(self.types("--type", "Q8_0", "--tensor", "output_norm.weight=bf16")["output_norm.weight"],
                         "BF16")

    def test_types_by_name_may_be_given_in_one_option_or_in_several(self):
        types = self.types("--type", "Q4_0", "--tensor", "blk.*.ffn_down.weight=q8_0,blk.1?.attn_v.weight=f16",
                           "--tensor", "blk.3.*.weight=q6_K")
        self.assertEqual(types["blk.2.ffn_down.weight"], "Q8_0")
        self.assertEqual(types["blk.3.ffn_down.weight"], "Q6_K")  # the last that fits
        self.assertEqual(types["blk.12.attn_v.weight"], "F16")
        self.assertEqual(types["blk.1.attn_v.weight"], "Q4_0")

    def test_types_by_name_that_cannot_be_meant_are_refused(self):
        for given, said in ((("a=q8_0,a=q6_K",), "twice, q8_0 and q6_K"), (("*=q8_0", "*=q8_0"), "twice"),
                            (("blk.16.*=q8_0",), "blk.16.* fits none"), (("blk",), "'blk' is not PATTERN=TYPE"),
                            (("=q8_0",), "is not PATTERN=TYPE"), (("*=q8_0,",), "'' is not PATTERN=TYPE"),
                            (("*.ffn_down.weight=q9_9",), "q9_9 is not a type"),
                            (("blk.0.ffn_down.weight=iq2_s",), "iq2_s is not a type")):
            with self.subTest(given):
                options = sum((["--tensor", words] for words in given), [])
                self.assertIn(said, self.quantize("--type", "Q4_0", *options, code=2).err)
                self.assertFalse(os.path.exists(self.out))


if __name__ == "__main__":
    main()
