#!/usr/bin/env python3
"""test_verify.py: models that were broken on purpose are named by `hearth verify`, and healthy ones are left in peace.

    tests/cli/test_verify.py build/hearth [unittest arguments]
"""

import hashlib
import json
import os
import struct
import tempfile
import unittest

from gguf_reader import Gguf
from gguf_writer import pair, rewrite, split
from harness import FIXTURES, ROOT, hearth, main, model_path

F32_KIND = 6
STATE = tempfile.TemporaryDirectory()
BYTE_TOKEN, UNUSED = 6, 5


def verify(*args, state=None):
    """Exit code and report."""
    done = hearth("verify", *args, "--json", env={"XDG_STATE_HOME": state or STATE.name})
    assert done.code in (0, 1), done.err
    return done.code, json.loads(done.text)


def alphabet():
    """The characters that byte-level BPE writes bytes as, by its published definition."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(b) if b in printable else chr(next(others)) for b in range(256)]


def as_byte_level(g, path, pre):
    """A SentencePiece model with the same pieces as a byte-level BPE one, under a pre-tokenizer."""
    letters = alphabet()
    pieces, scores, kinds = (g.values["tokenizer.ggml." + k] for k in ("tokens", "scores", "token_type"))
    tokens, taken = [], {}
    for i, piece in enumerate(pieces):
        if kinds[i] == BYTE_TOKEN:
            byte = int(piece[3:5], 16)
            whole = bytes([byte]).decode("ascii", "replace").replace(" ", "\u2581")
            word = f"[unused {i}]" if whole in pieces else letters[byte]
        else:
            word = "".join(letters[b] for b in piece.replace("\u2581", " ").encode())
        tokens.append(word)
        taken.setdefault(word, i)
    merges = []
    for i, word in enumerate(tokens):
        if kinds[i] == 1 and len(word) > 1:
            merges += [(-scores[i], f"{word[:k]} {word[k:]}") for k in range(1, len(word))
                       if word[:k] in taken and word[k:] in taken]
    merges.sort(key=lambda m: m[0])
    kind_list = [UNUSED if t.startswith("[unused") else 1 if k == BYTE_TOKEN else k for t, k in zip(tokens, kinds)]
    raw_kinds = (struct.pack("<Q", 25) + b"tokenizer.ggml.token_type" + struct.pack("<IIQ", 9, 5, len(kind_list))
                 + struct.pack(f"<{len(kind_list)}i", *kind_list))
    return rewrite(g, path, {
        "tokenizer.ggml.model": pair("tokenizer.ggml.model", "gpt2"),
        "tokenizer.ggml.pre": pair("tokenizer.ggml.pre", pre),
        "tokenizer.ggml.tokens": pair("tokenizer.ggml.tokens", tokens),
        "tokenizer.ggml.token_type": raw_kinds,
        "tokenizer.ggml.merges": pair("tokenizer.ggml.merges", [m for _, m in merges])})


class Healthy(unittest.TestCase):
    def test_the_built_in_model_is_healthy(self):
        code, report = verify()
        self.assertEqual((code, report["ok"], report["findings"]), (0, True, []))
        self.assertTrue(all(report["checks"].values()))

    @unittest.skipUnless(FIXTURES, "needs HEARTH_FIXTURES")
    def test_no_fixture_model_gives_a_false_alarm(self):
        names = sorted(os.listdir(os.path.join(FIXTURES, "models")))
        for name in names:
            with self.subTest(model=name):
                code, report = verify(model_path(name[:-5]))
                self.assertEqual((code, report["findings"]), (0, []))
        self.assertGreater(len(names), 15)


@unittest.skipUnless(FIXTURES, "needs HEARTH_FIXTURES")
class Broken(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = os.path.join(self.folder.name, "broken.gguf")

    def finding(self, code, path=None, alone=False):
        """The one of this code; the model has a problem. alone: and no other cause is named."""
        exit_code, report = verify(path or self.path)
        found = [f for f in report["findings"] if f["code"] == code]
        self.assertEqual(exit_code, 1, report)
        self.assertFalse(report["ok"])
        self.assertTrue(found, report["findings"])
        if alone:
            others = {f["code"] for f in report["findings"]} - {code, "no-prediction", "poor-prediction"}
            self.assertEqual((len(found), others), (1, set()), report["findings"])
        return found[0]

    def damage(self, model, tensor, at, raw):
        """A copy of a fixture with other bytes at a place in a tensor; returns the place in the file."""
        with open(model_path(model), "rb") as f:
            data = bytearray(f.read())
        place = Gguf(model_path(model)).tensors[tensor][2] + at
        data[place:place + len(raw)] = raw
        with open(self.path, "wb") as f:
            f.write(data)
        return place

    def test_a_nan_scale_is_named_with_its_tensor_its_row_and_its_byte(self):
        nan, inf = b"\x01\x7e", b"\x00\xfc"
        for model, tensor, at, raw, words in (
                # 24 blocks of 34 bytes are a row of 768 values in q8_0; 8 a row of 256
                ("tolstoy-4m-q8_0", "blk.2.ffn_down.weight", (24 * 5 + 7) * 34, nan, "scale of block 7 in row 5"),
                ("tolstoy-4m-q8_0", "token_embd.weight", (8 * 300 + 1) * 34, inf, "scale of block 1 in row 300"),
                ("tolstoy-4m-q4_1", "blk.0.attn_q.weight", 20 * 3 + 2, nan, "minimum of block 3 in row 0"),
                ("tolstoy-4m-q2_k", "blk.4.attn_k.weight", 84 * 9 + 80, nan, "scale of block 0 in row 9"),
                ("tolstoy-4m-tq1_0", "blk.1.ffn_up.weight", 54 * 2 + 52, nan, "scale of block 0 in row 2"),
                ("tolstoy-4m-f32", "blk.3.ffn_norm.weight", 4 * 17, b"\x00\x00\xc0\x7f", "value 17 of row 0"),
                ("tolstoy-4m-bf16", "blk.3.attn_v.weight", 2 * 256, b"\x80\xff", "value 0 of row 1")):
            with self.subTest(model=model, tensor=tensor):
                place = self.damage(model, tensor, at, raw)
                found = self.finding("bad-value" if words.startswith("value") else "bad-scale")
                self.assertEqual(found["where"], tensor)
                self.assertIn(words, found["message"])
                self.assertIn("inf" if raw[-1] in (0xfc, 0xff) else "nan", found["message"])
                self.assertIn(f"byte {place} of the file", found["message"])

    def test_in_a_split_set_the_part_is_said(self):
        self.damage("stories260K-f32", "blk.4.ffn_up.weight", 0, b"\x00\x00\x80\x7f")
        first = split(self.path, os.path.join(self.folder.name, "set"), 3)
        found = self.finding("bad-value", first)
        self.assertEqual(found["where"], "blk.4.ffn_up.weight")
        parts = [Gguf(f"{first[:-19]}0000{i + 1}-of-00003.gguf") for i in range(3)]
        part, = [i for i in range(3) if "blk.4.ffn_up.weight" in parts[i].tensors]
        self.assertGreater(part, 0)
        self.assertIn(f"(part {part + 1} of the set)", found["message"])

    def test_a_scale_with_a_flipped_bit_and_a_hole_are_warned_of(self):
        self.damage("tolstoy-4m-q8_0", "blk.2.ffn_down.weight", 34 * 100, b"\x00\x70")  # 8192
        _, report = verify(self.path)
        self.assertEqual([(f["code"], f["where"]) for f in report["findings"] if f["check"] == "weights"],
                         [("absurd-scale", "blk.2.ffn_down.weight")])
        self.damage("tolstoy-4m-f32", "blk.2.ffn_down.weight", 4096, bytes(128 << 10))
        _, report = verify(self.path)
        self.assertEqual([(f["code"], f["where"]) for f in report["findings"]], [("hole", "blk.2.ffn_down.weight")])

    def test_a_tensor_of_zeros_is_named(self):
        self.damage("tolstoy-4m-f16", "blk.1.attn_v.weight", 0, bytes(2 * 128 * 256))
        self.assertEqual(self.finding("all-zero")["where"], "blk.1.attn_v.weight")

    def test_exchanged_tensors_are_named_with_their_partner(self):
        for model, a, b in (
                ("tolstoy-4m-q8_0", "blk.0.ffn_up.weight", "blk.3.ffn_up.weight"),
                ("tolstoy-4m-q4_k_m", "blk.1.ffn_down.weight", "blk.4.ffn_down.weight"),
                ("tolstoy-4m-q4_0", "blk.1.ffn_gate.weight", "blk.2.ffn_gate.weight"),  # it predicts as well as before
                ("tolstoy-4m-q2_k", "blk.2.ffn_up.weight", "blk.3.ffn_up.weight"),
                ("stories260K-f32", "blk.0.ffn_gate.weight", "blk.4.ffn_gate.weight"),
                ("stories260K-f32", "blk.1.ffn_down.weight", "blk.2.ffn_down.weight"),
                ("tolstoy-4m-q8_0", "blk.2.attn_k.weight", "blk.2.attn_v.weight"),
                ("stories260K-f32", "blk.3.attn_k.weight", "blk.3.attn_v.weight"),
                ("stories260K-f32", "blk.0.attn_q.weight", "blk.1.attn_q.weight"),
                ("stories260K-f32", "blk.2.attn_output.weight", "blk.3.attn_output.weight"),
                ("stories260K-f32", "blk.0.ffn_gate.weight", "blk.4.ffn_gate.weight"),
                ("stories260K-f32", "blk.0.attn_norm.weight", "blk.0.ffn_norm.weight")):
            with self.subTest(model=model, a=a, b=b):
                rewrite(Gguf(model_path(model)), self.path, exchanged=[(a, b)])
                found = self.finding("swapped-tensors", alone=True)
                self.assertEqual(found["where"], a)
                self.assertIn(b, found["message"])

    def test_a_wrong_rope_base_is_named_with_a_better_one(self):
        for model, wrong in (("stories260K-f32", 500000), ("stories260K-f32", 1000000), ("tolstoy-4m-q8_0", 1000000)):
            with self.subTest(model=model, wrong=wrong):
                key = "llama.rope.freq_base"
                rewrite(Gguf(model_path(model)), self.path, {key: pair(key, wrong, F32_KIND)})
                found = self.finding("wrong-rope-base", alone=True)
                self.assertEqual(found["where"], key)
                self.assertIn("a rope base of 10000 ", found["message"])

    def test_a_wrong_pre_tokenizer_is_named_by_the_vocabulary(self):
        for vocabulary, wrong, right, level in (
                ("gpt-2", "starcoder", "gpt-2", "problem"), ("llama-bpe", "gpt-2", "llama-bpe", "problem"),
                ("falcon", "deepseek-llm", "", "problem"), ("gpt-4o", "qwen2", "gpt-4o", "problem"),
                ("qwen2", "gpt-2", "", "problem"), ("llama-bpe", "default", "llama-bpe", "problem"),
                ("gpt-2", "llama-bpe", "gpt-2", "warning"), ("falcon", "starcoder", "", "warning")):
            with self.subTest(vocabulary=vocabulary, wrong=wrong):
                source = Gguf(os.path.join(FIXTURES, "vocab", f"ggml-vocab-{vocabulary}.gguf"))
                rewrite(source, self.path, {"tokenizer.ggml.pre": pair("tokenizer.ggml.pre", wrong)})
                found = self.finding("wrong-pre-tokenizer")
                self.assertEqual((found["where"], found["level"]), ("tokenizer.ggml.pre", level))
                self.assertIn(f'under "{right}' if right else "under", found["message"])

    def test_vocabularies_under_their_own_pre_tokenizer_are_left_in_peace(self):
        folder = os.path.join(FIXTURES, "vocab")
        for name in sorted(os.listdir(folder)):
            if name.endswith(".gguf"):
                with self.subTest(vocabulary=name):
                    _, report = verify(os.path.join(folder, name))
                    self.assertEqual([f["code"] for f in report["findings"] if f["check"] == "tokenizer"], [])

    def test_a_wrong_pre_tokenizer_is_named_by_what_the_model_predicts(self):
        g = Gguf(model_path("tolstoy-4m-q8_0"))
        code, report = verify(as_byte_level(g, self.path, "gpt-2"))
        self.assertEqual((code, report["findings"]), (0, []))
        for wrong in "default", "bloom", "falcon":
            with self.subTest(wrong=wrong):
                found = self.finding("wrong-pre-tokenizer", as_byte_level(g, self.path, wrong))
                self.assertEqual(found["where"], "tokenizer.ggml.pre")
                self.assertIn('with the pre-tokenizer "gpt-2"', found["message"])

    def test_a_damaged_template_is_named(self):
        g, key = Gguf(model_path("tolstoy-4m-q8_0")), "tokenizer.chat_template"
        for template, code in (("{% for m in messages %}{{ m.content }", "does-not-compile"),
                               ("{% for m in messages %}{{ m.contents }}{% endfor %}", "does-not-render")):
            with self.subTest(template=template):
                rewrite(g, self.path, {key: pair(key, template)})
                self.assertEqual(self.finding(code)["where"], key)

    def test_what_makes_embeddings_is_not_asked_to_predict(self):
        g, key = Gguf(model_path("tolstoy-4m-q8_0")), "llama.pooling_type"
        rewrite(g, self.path, {key: pair(key, 1)}, exchanged=[("blk.0.ffn_up.weight", "blk.0.ffn_gate.weight")])
        code, report = verify(self.path)
        self.assertEqual((code, report["findings"], report["bits_per_byte"]), (0, [], None))
        self.assertIn("embeddings", report["checks"]["prediction"])

    def test_weights_that_were_never_trained_predict_nothing(self):
        self.assertEqual(hearth("dev", "synth", "--shape", "tiny", "--type", "Q8_0", self.path).code, 0)
        self.assertIn("something in its weights", self.finding("no-prediction")["message"])

    def test_a_file_that_does_not_run_says_why_and_is_looked_at_all_the_same(self):
        self.damage("tolstoy-4m-q8_0", "blk.2.ffn_down.weight", 0, b"\x01\x7e")
        key = "llama.rope.scaling.type"
        rewrite(Gguf(self.path), self.path, {key: pair(key, "dynamic")})
        self.assertIn(key, self.finding("does-not-run")["message"])
        self.assertEqual(self.finding("bad-scale")["where"], "blk.2.ffn_down.weight")


class Kept(unittest.TestCase):
    def test_the_result_is_kept_under_the_models_identity_for_its_owner_alone(self):
        with tempfile.TemporaryDirectory() as state:
            _, report = verify(state=os.path.join(state, "not", "there", "yet"))
            folder = os.path.join(state, "not", "there", "yet", "hearth", "verified")
            path = os.path.join(folder, report["identity"] + ".json")
            self.assertEqual(os.listdir(folder), [os.path.basename(path)])
            self.assertEqual((os.stat(folder).st_mode & 0o777, os.stat(path).st_mode & 0o777), (0o700, 0o600))
            with open(path, encoding="utf-8") as f:
                self.assertEqual(json.load(f), report)

    def test_it_is_not_kept_when_nobody_wants_that_or_where_it_cannot_be(self):
        with tempfile.TemporaryDirectory() as state:
            verify("--no-keep", state=state)
            self.assertEqual(os.listdir(state), [])
            done = hearth("verify", env={"XDG_STATE_HOME": "/dev/null/no"})
            self.assertEqual(done.code, 0)
            self.assertIn("is not kept", done.err)

    def test_the_digest_of_the_file_is_that_of_its_bytes(self):
        built_in = os.path.join(ROOT, "models", "tolstoy-4m-q8_0.gguf")
        with open(built_in, "rb") as f:
            want = hashlib.sha256(f.read()).hexdigest()
        for words in ([], [built_in]):
            _, report = verify(*words, "--no-keep", "--sha256")
            self.assertEqual(report["sha256"], [want])
        self.assertIn(want, hearth("verify", "--no-keep", "--sha256").text)

    def test_where_only_the_scalar_kernels_are_wanted_it_says_so(self):
        done = hearth("verify", "--no-keep", env={"HEARTH_ISA": "scalar"})
        self.assertEqual(done.code, 0)
        self.assertIn("scalar kernels alone", done.text)

    def test_what_it_says_to_people(self):
        done = hearth("verify", "--no-keep")
        lines = done.text.splitlines()
        self.assertEqual([line.split()[0] for line in lines],
                         ["model", "weights", "tokenizer", "template", "arithmetic", "prediction", "result"])
        self.assertEqual(lines[-1].split()[1], "healthy")


if __name__ == "__main__":
    main()
