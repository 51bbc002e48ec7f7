#!/usr/bin/env python3
"""test_replay.py: `hearth replay`: exact, or what is another is named.

    tests/cli/test_replay.py build/hearth [unittest arguments]
"""

import json
import os
import struct
import tempfile
import unittest

from gguf_reader import Gguf
from gguf_writer import pair, write
from harness import ROOT, hearth, main

MODEL = os.path.join(ROOT, "models", "tolstoy-4m-q8_0.gguf")
TEMPLATE = ["--chat-template", os.path.join(ROOT, "models", "plain.jinja")]  # the file has none
SYSTEM = "The general was old."
QUESTION = "Who rode along the line?"
STEERED = ("--temp", "0.9", "--top-p", "0.9", "--seed", "7", "--repeat-penalty", "1.1", "-n", "24", "--ignore-eos")


def prompt_ids():
    messages = json.dumps([{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}])
    return json.loads(hearth("apply-template", MODEL, *TEMPLATE, "--json", stdin=messages.encode()).text)["token_ids"]


def record(*how, max_tokens=24):
    """A recording of an answer to QUESTION, without hashes of logits."""
    done = hearth("run", MODEL, *TEMPLATE, "--system", SYSTEM, "-p", QUESTION, "--json", *how)
    assert done.code == 0, done.err
    answer = json.loads(done.text)
    return {"hearth_recording": 1, "receipt": answer["hearth"], "prompt_ids": prompt_ids(),
            "request": {"max_tokens": max_tokens, "stop": [], "logit_bias": []}, "output_ids": answer["token_ids"],
            "logits_mixes": None, "end_mix": "0" * 16}


def changed(folder, name, change):
    """The model with `change(bytearray, Gguf)` done to it."""
    g = Gguf(MODEL)
    data = bytearray(g.data)
    change(data, g)
    path = os.path.join(folder, name)
    with open(path, "wb") as f:
        f.write(data)
    return path


class Recorded(unittest.TestCase):
    """With a recording, and a folder for those that a test makes of it."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.recording = record(*STEERED)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def path(self, recording):
        path = os.path.join(self.folder.name, "recording.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(recording, f)
        return path


class Replay(Recorded):
    def replay(self, recording, *how, model=(), env=None):
        done = hearth("replay", self.path(recording), *model, "--json", *how, env=env)
        return done.code, json.loads(done.text) if done.text else done.err

    def test_it_is_exact_whatever_computes_it(self):
        for how, isa in ((), None), (("-t", "1"), "scalar"), (("-t", "2", "--chunk", "3"), "avx2"), \
                (("--speculate", "8"), None), (("--speculate", "off", "--chunk", "1"), None):
            with self.subTest(how=how, isa=isa):
                code, said = self.replay(self.recording, *how, env={"HEARTH_ISA": isa} if isa else None)
                if isa == "avx2" and code == 2:
                    continue  # not on this processor
                self.assertEqual((code, said["exact"], said["n_tokens"], said["differs"]), (0, True, 24, {}))

    def test_as_text(self):
        done = hearth("replay", self.path(self.recording))
        self.assertEqual((done.code, done.text), (0, "exact: 24 tokens\n"))
        self.assertIn("recorded on ", done.err)

    def test_an_answer_that_ended_itself(self):
        recording = record("--temp", "0.8", "--seed", "3", "-n", "400", max_tokens=400)
        self.assertEqual(recording["receipt"]["finish"]["reason"], "stop")
        self.assertEqual(self.replay(recording)[0], 0)
        recording["output_ids"] = recording["output_ids"][:-1]
        code, said = self.replay(recording)
        self.assertEqual((code, said["first_token"]), (1, len(recording["output_ids"])))

    def test_an_answer_that_filled_the_context(self):
        n = len(prompt_ids()) + 9
        recording = record("--seed", "3", "--ignore-eos", "--ctx", str(n), max_tokens=0)
        self.assertIn("context full", recording["receipt"]["finish"]["detail"])
        self.assertEqual(self.replay(recording)[:1], (0,))

    def test_another_token_is_found(self):
        recording = json.loads(json.dumps(self.recording))
        recording["output_ids"][5] += 1
        code, said = self.replay(recording)
        self.assertEqual((code, said["first_token"], said["exact"]), (1, 5, False))
        done = hearth("replay", self.path(recording))
        self.assertRegex(done.text, r'token 5 was ".*" \(\d+\) and is ".*" \(\d+\)')
        self.assertIn("a byte of the weights is another", done.text)

    def test_an_answer_that_was_cut_is_compared_as_far_as_it_goes(self):
        recording = json.loads(json.dumps(self.recording))
        recording["receipt"]["finish"] = {"reason": "cancelled", "detail": "cancelled"}
        recording["output_ids"] = recording["output_ids"][:10]
        self.assertEqual(self.replay(recording)[0], 0)

    def test_nothing_is_not_exact(self):
        recording = json.loads(json.dumps(self.recording))
        recording["receipt"]["finish"] = {"reason": "cancelled", "detail": "cancelled"}
        for mixes in (None, []):
            recording["output_ids"], recording["logits_mixes"] = [], mixes
            code, said = self.replay(recording)
            self.assertEqual(code, 3)
            self.assertIn("nothing was answered", said)

    def test_a_file_moves_no_cursor(self):
        recording = json.loads(json.dumps(self.recording))
        recording["receipt"]["isa"] = recording["receipt"]["model"]["identity"] = "\x1b[2J\x9b"
        recording["receipt"]["finish"]["detail"] = "\x1b]0;x\x07"
        done = hearth("replay", self.path(recording))
        self.assertNotRegex(done.text + done.err, "[\x00-\x09\x0b-\x1f\x7f-\x9f]")
        self.assertIn("\\x1b[2J", done.text)

    def test_a_changed_weight_shows(self):
        def flip(data, g):
            dims, _, at = g.tensors["output_norm.weight"]
            for i in range(dims[0] // 2):  # half of the channels twice as large
                value = struct.unpack_from("<f", data, at + 4 * i)[0]
                struct.pack_into("<f", data, at + 4 * i, 2 * value)
        code, said = self.replay(self.recording, model=[changed(self.folder.name, "byte.gguf", flip), *TEMPLATE])
        self.assertEqual((code, said["exact"], said["differs"]), (1, False, {}))
        self.assertIsNotNone(said["first_token"])

    def test_another_model_is_named(self):
        g = Gguf(MODEL)
        pairs = [*g.raw_pairs, pair("general.note", "another")]
        tensors = sorted(g.tensors.items(), key=lambda t: t[1][2])
        ends = [t[1][2] for t in tensors[1:]] + [len(g.data)]
        path = os.path.join(self.folder.name, "another.gguf")
        write(path, pairs,
              [(name, *tensor[:2], g.data[tensor[2]:end]) for (name, tensor), end in zip(tensors, ends)])
        code, said = self.replay(self.recording, model=[path, *TEMPLATE])
        self.assertEqual((code, said["exact"], list(said["differs"])), (0, True, ["model"]))
        self.assertEqual(said["differs"]["model"]["recorded"], self.recording["receipt"]["model"]["identity"])
        done = hearth("replay", self.path(self.recording), path, *TEMPLATE)
        self.assertIn("another model: recorded with ", done.text)

    def test_another_template_and_revision_are_named(self):
        recording = json.loads(json.dumps(self.recording))
        recording["receipt"]["template"]["sha256"] = "0" * 64
        recording["receipt"]["arithmetic_revision"] = 0
        code, said = self.replay(recording)
        self.assertEqual((code, list(said["differs"])), (0, ["arithmetic_revision", "template"]))

    def test_what_cannot_be_replayed_is_said(self):
        def lacks(key):
            recording = json.loads(json.dumps(self.recording))
            del recording[key]
            return hearth("replay", self.path(recording))
        self.assertIn("lacks output_ids", lacks("output_ids").err)
        self.assertEqual(lacks("prompt_ids").code, 3)
        self.assertIn("hearth_recording", lacks("hearth_recording").err)
        recording = json.loads(json.dumps(self.recording))
        recording["prompt_ids"][0] = 1 << 30
        self.assertIn("ids lie between", hearth("replay", self.path(recording)).err)
        self.assertEqual(hearth("replay").code, 2)
        self.assertEqual(hearth("replay", "/nowhere").code, 3)
        with open(self.path({}), "w", encoding="utf-8") as f:
            f.write("{")
        done = hearth("replay", os.path.join(self.folder.name, "recording.json"))
        self.assertEqual(done.code, 3)
        self.assertIn("no JSON", done.err)


if __name__ == "__main__":
    main()
