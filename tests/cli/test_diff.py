#!/usr/bin/env python3
"""test_diff.py: `hearth diff`: where two answers part, and how far apart the distributions are.

    tests/cli/test_diff.py build/hearth [unittest arguments]
"""

import copy
import json
import math
import os
import tempfile
import unittest

from gguf_reader import Gguf
from gguf_writer import pair, write
from harness import FIXTURES, ROOT, hearth, main, model_path

MODEL = os.path.join(ROOT, "models", "tolstoy-4m-q8_0.gguf")
TEMPLATE = ("--chat-template", os.path.join(ROOT, "models", "plain.jinja"))  # the file has none
PROMPT = "The prince rode along the line"
KEYS = {"same", "differs", "vocabulary", "prompt", "first_token", "end_differs", "parting", "text", "divergence",
        "positions", "a", "b"}


def ids_of(text):
    return [int(word) for word in hearth("tokenize", MODEL, "--ids", stdin=text.encode()).text.split()]


def run(*how, prompt=PROMPT):
    done = hearth("run", MODEL, "--raw", "-p", prompt, "--json", *how)
    assert done.code == 0, done.err
    return json.loads(done.text)


def record(*how, prompt=PROMPT, max_tokens=16):
    """A recording of an answer, as `hearth export` writes it, without hashes of logits."""
    answer = run("-n", str(max_tokens), *how, prompt=prompt)
    return {"hearth_recording": 1, "receipt": answer["hearth"], "prompt_ids": ids_of(prompt),
            "request": {"max_tokens": max_tokens, "stop": [], "logit_bias": []}, "output_ids": answer["token_ids"],
            "logits_mixes": None, "end_mix": "0" * 16}


def first_other(a, b):
    for i, (x, y) in enumerate(zip(a, b)):
        if x != y:
            return i
    return None if len(a) == len(b) else min(len(a), len(b))


class Diff(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.q4 = os.path.join(cls.folder.name, "q4.gguf")
        done = hearth("quantize", MODEL, cls.q4, "--type", "Q4_0", "--requantize")
        assert done.code == 0, done.err
        cls.recording = record("--seed", "7", "--ignore-eos")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def path(self, name, recording):
        path = os.path.join(self.folder.name, name + ".json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(recording, f)
        return path

    def diff(self, *how, code):
        done = hearth("diff", *how, "--json")
        self.assertEqual(done.code, code, done.err + done.text)
        said = json.loads(done.text)
        self.assertEqual(set(said), KEYS)
        self.assertEqual(said["same"], code == 0)
        return said

    def diff_recordings(self, a, b, *how, code=1):
        return self.diff(self.path("a", a), self.path("b", b), *how, code=code)

    def ask(self, *how, code, raw=("--raw",)):
        return self.diff("-p", PROMPT, *raw, "-n", "16", "--seed", "7", "--ignore-eos", *how, code=code)

    # ---- one prompt

    def test_the_same_twice_is_the_same_to_the_last_bit(self):
        for how in ((), (MODEL,), (MODEL, MODEL), ("--b", "threads=1"), ("--b", "seed=7"), ("--whole",)):
            with self.subTest(how=how):
                said = self.ask(*how, code=0)
                self.assertEqual((said["first_token"], said["parting"], said["end_differs"]), (None, None, False))
                self.assertEqual(said["positions"]["divergence_nats"], [0.0] * 16)
                self.assertEqual(said["positions"]["same_logits"], [True] * 16)
                self.assertEqual(said["divergence"]["max_nats"], 0)
                self.assertEqual(said["text"]["first_byte"], None)
                for side in "ab":
                    self.assertIs(said[side]["logits_as_recorded"], True)
        self.assertEqual(hearth("diff", "-p", PROMPT, "-n", "16", "--seed", "7", "--ignore-eos").text.splitlines()[-1],
                         "the same: 16 tokens and all logits")

    def test_one_file_under_two_names_is_computed_twice_and_the_same(self):
        other = os.path.join(self.folder.name, "other-name.gguf")
        os.path.exists(other) or os.symlink(MODEL, other)
        said = self.ask(MODEL, other, code=0)
        self.assertEqual(said["positions"]["same_logits"], [True] * 16)

    def test_without_a_seed_both_have_the_one_that_was_drawn(self):
        said = self.diff("-p", PROMPT, "--raw", "-n", "12", code=0)
        self.assertEqual(said["a"]["hearth"]["seed"]["from"], "drawn")
        self.assertEqual(said["differs"], {})

    def test_seeds_part_where_the_answers_of_run_do(self):
        ids = [run("-n", "16", "--seed", seed, "--ignore-eos")["token_ids"] for seed in ("7", "8")]
        said = self.ask("--b", "seed=8", code=1)
        at = first_other(*ids)
        self.assertEqual(said["differs"], {"seed": {"a": 7, "b": 8}})
        self.assertEqual([said["a"]["token_ids"], said["b"]["token_ids"]], ids)
        self.assertEqual((said["first_token"], said["parting"]["token"]), (at, at))
        self.assertEqual(len(said["positions"]["divergence_nats"]), at + 1)  # up to there, and with it
        self.assertEqual(said["divergence"]["max_nats"], 0)  # one model: only the choice is another
        for side, answer in zip("ab", ids):
            self.assertEqual(said["parting"][side]["token_id"], answer[at])
            self.assertEqual(said["parting"][side]["logprob_nats"]["a"], said["parting"][side]["logprob_nats"]["b"])
        self.assertEqual(said["positions"]["a"]["logprob_nats"][at], said["parting"]["a"]["logprob_nats"]["a"])
        whole = self.ask("--b", "seed=8", "--whole", code=1)
        self.assertEqual(whole["positions"]["b"]["token_ids"], ids[0])

    def test_a_parameter_of_b_is_named(self):
        said = self.ask("--b", "temp=0", "--b", "top_k=5", "--b", "samplers=top_k;temperature", code=1)
        self.assertEqual(list(said["differs"]), ["temperature", "top_k", "samplers"])
        self.assertEqual(said["differs"]["top_k"], {"a": 40, "b": 5})
        self.assertEqual(said["differs"]["samplers"]["b"], ["top_k", "temperature"])
        at = said["first_token"]
        self.assertEqual(said["positions"]["a"]["likeliest_ids"][at], said["parting"]["b"]["token_id"])
        done = hearth("diff", "-p", PROMPT, "-n", "16", "--seed", "7", "--ignore-eos", "--b", "temp=0")
        self.assertEqual(done.code, 1)
        self.assertRegex(done.text, r"another temperature: A 0\.\d+, B 0\.0\n")
        self.assertRegex(done.text, rf'token {at}: A ".*" \(\d+\), B ".*" \(\d+\)\n  the model gives A\'s token p 0\.')
        self.assertIn("what parts them is the choice", done.text)

    def test_another_type_of_keys_and_values_is_another_arithmetic(self):
        said = self.ask("--b", "kv-type=q8", "--whole", code=1)
        self.assertEqual(said["differs"], {"kv_type": {"a": "f16", "b": "q8"}})
        # Seen: 7e-5 to 2e-3 at a position. 0 would be one arithmetic for both.
        self.assertGreater(said["divergence"]["mean_nats"], 0)
        self.assertLess(said["divergence"]["max_nats"], 0.02)

    def test_quantizations_diverge(self):
        said = self.ask(MODEL, self.q4, "--whole", code=1)
        self.assertEqual(list(said["differs"]), ["model"])
        self.assertEqual(said["divergence"]["n_positions"], 16)
        nats = said["positions"]["divergence_nats"]
        # Seen: 0.001 to 0.05.
        self.assertTrue(all(0 < v < 0.5 for v in nats), nats)
        self.assertAlmostEqual(said["divergence"]["mean_nats"], sum(nats) / 16, places=12)
        self.assertEqual(said["divergence"]["max_nats"], max(nats))
        self.assertEqual(said["divergence"]["n_same_logits"], 0)
        a, b = said["positions"]["a"], said["positions"]["b"]
        self.assertEqual(a["token_ids"], b["token_ids"])
        for i, same in enumerate(said["positions"]["same_likeliest"]):
            self.assertEqual(same, a["likeliest_ids"][i] == b["likeliest_ids"][i])
        done = hearth("diff", "-p", PROMPT, "-n", "16", "--seed", "7", "--ignore-eos", MODEL, self.q4, "--whole")
        self.assertIn("divergence of B's distributions from A's at 16 positions along A's answer", done.text)
        rows = done.text[done.text.index("  token  divergence"):].splitlines()[1:]
        self.assertEqual([int(row.split()[0]) for row in rows], sorted(range(16), key=lambda i: -nats[i]))

    def test_systems_make_other_prompts(self):
        said = self.ask(*TEMPLATE, "--b", "system=You are old.", raw=(), code=1)
        at = said["prompt"]["first_token"]
        self.assertEqual((said["prompt"]["same"], at), (False, 0))
        self.assertEqual((said["divergence"], said["positions"]["divergence_nats"]), (None, None))
        done = hearth("diff", "-p", PROMPT, *TEMPLATE, "-n", "8", "--seed", "7", "--b", "system=You are old.")
        self.assertIn("the prompts part at token 0: ", done.text)
        self.assertIn("each token after its own prompt", done.text)

    @unittest.skipUnless(FIXTURES, "needs HEARTH_FIXTURES")
    def test_other_vocabularies_compare_texts_and_no_tokens(self):
        said = self.ask(MODEL, model_path("stories260K-f32"), code=1)
        self.assertEqual(said["vocabulary"], {"same": False, "n_tokens": {"a": 2048, "b": 512}, "first_token_id": None})
        for key in ("first_token", "parting", "divergence", "positions", "end_differs"):
            self.assertIsNone(said[key])
        a, b = said["a"]["text"].encode(), said["b"]["text"].encode()
        self.assertEqual(said["text"]["first_byte"], first_other(a, b))
        done = hearth("diff", "-p", PROMPT, "-n", "16", "--seed", "7", MODEL, model_path("stories260K-f32"))
        self.assertEqual(done.code, 1)
        self.assertIn("A has 2048 tokens and B 512: texts are compared, tokens are not", done.text)
        self.assertIn("the texts part at byte ", done.text)

    # ---- recordings

    def test_a_recording_and_itself(self):
        said = self.diff_recordings(self.recording, self.recording, code=0)
        self.assertEqual(said["positions"]["a"]["token_ids"], self.recording["output_ids"])
        self.assertIsNone(said["a"]["logits_as_recorded"])  # it has no hashes to compare with

    def test_positions_agree_with_perplexity(self):
        """One position a window: three tokens, and the fourth is scored."""
        text = "The prince rode along the line of his troops, and nobody knew why he smiled at them so often."
        path = os.path.join(self.folder.name, "text.txt")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        ids = ids_of(text)
        done = hearth("perplexity", self.q4, path, "--kld", MODEL, "--window", "4", "--json")
        self.assertEqual(done.code, 0, done.err)
        windows = json.loads(done.text)
        found = []
        for i in range(windows["n_windows"]):
            recording = copy.deepcopy(self.recording)
            recording["prompt_ids"], recording["output_ids"] = ids[4 * i:4 * i + 3], ids[4 * i + 3:4 * i + 4]
            said = self.diff_recordings(recording, recording, "--model", MODEL, "--model-b", self.q4)
            found.append(said["positions"])
        self.assertGreater(len(found), 4)
        for i, at in enumerate(found):
            self.assertAlmostEqual(-at["b"]["logprob_nats"][0], windows["window_nll"][i], places=5)
            self.assertAlmostEqual(-at["a"]["logprob_nats"][0], windows["kld"]["reference_window_nll"][i], places=5)
        nats = [at["divergence_nats"][0] for at in found]
        self.assertAlmostEqual(sum(nats) / len(nats), windows["kld"]["mean"], places=12)
        self.assertAlmostEqual(max(nats), windows["kld"]["max"], places=12)
        # All in one: the same positions of a longer answer, over more than one chunk of distributions.
        done = hearth("perplexity", self.q4, os.path.join(ROOT, "README.md"), "--kld", MODEL, "--window", "200",
                      "--limit", "1", "--json")
        window = json.loads(done.text)
        with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as f:
            ids = ids_of(f.read())
        recording = copy.deepcopy(self.recording)
        recording["prompt_ids"], recording["output_ids"] = ids[:101], ids[101:200]
        said = self.diff_recordings(recording, recording, "--model", MODEL, "--model-b", self.q4)
        for key in ("mean", "median", "p90", "p99", "max", "standard_error"):
            self.assertAlmostEqual(said["divergence"][key + "_nats"], window["kld"][key], places=12)
        self.assertEqual(said["divergence"]["n_same_likeliest"], round(window["kld"]["same_top"] * 99))

    def test_another_parameter(self):
        other = record("--seed", "7", "--ignore-eos", "--temp", "1.5")
        said = self.diff_recordings(self.recording, other)
        self.assertEqual(list(said["differs"]), ["temperature"])
        self.assertEqual(said["first_token"], first_other(self.recording["output_ids"], other["output_ids"]))

    def test_another_prompt(self):
        other = record("--seed", "7", "--ignore-eos", prompt="The prince rode along his line")
        said = self.diff_recordings(self.recording, other, "--whole")
        at = first_other(self.recording["prompt_ids"], other["prompt_ids"])
        self.assertEqual((said["prompt"]["same"], said["prompt"]["first_token"]), (False, at))
        self.assertEqual(said["prompt"]["b"]["token_id"], other["prompt_ids"][at])
        self.assertEqual((said["divergence"], said["positions"]["divergence_nats"]), (None, None))
        for side, recording in zip("ab", (self.recording, other)):
            alone = self.diff_recordings(recording, recording, code=0)
            self.assertEqual(said["positions"][side], alone["positions"]["a"])

    def test_an_answer_that_was_cut(self):
        cut = copy.deepcopy(self.recording)
        cut["receipt"]["finish"] = {"reason": "cancelled", "detail": "cancelled"}
        cut["output_ids"] = cut["output_ids"][:10]
        for a, b, short in ((cut, self.recording, "a"), (self.recording, cut, "b")):
            said = self.diff_recordings(a, b)
            long = "ab".replace(short, "")
            self.assertEqual(said["first_token"], 10)
            self.assertEqual(said["parting"][short], {"token_id": None, "text": None, "is_end": True,
                                                      "logprob_nats": {"a": None, "b": None}})
            self.assertEqual(said["parting"][long]["token_id"], self.recording["output_ids"][10])
            self.assertLess(said["parting"][long]["logprob_nats"][short], 0)
            self.assertEqual(len(said["positions"]["divergence_nats"]), 11)
        text = hearth("diff", self.path("a", cut), self.path("b", self.recording)).text
        self.assertIn("token 10: A ends: cancelled, B ", text)

    def test_the_end_that_a_model_chose_is_a_token_as_others_are(self):
        wild = ("--seed", "17", "--temp", "100", "--top-k", "0", "--top-p", "1", "--min-p", "0")  # any token may come
        ended = record(*wild, max_tokens=200)
        self.assertEqual(ended["receipt"]["finish"]["reason"], "stop")
        n, eos = len(ended["output_ids"]), int(ended["receipt"]["finish"]["detail"].split()[-1])
        limited = record(*wild, max_tokens=n)  # one token earlier
        said = self.diff_recordings(ended, limited)
        self.assertEqual((said["first_token"], said["parting"]["b"]["token_id"]), (n, None))
        same = self.diff_recordings(ended, ended, code=0)
        self.assertEqual(same["positions"]["a"]["token_ids"], ended["output_ids"] + [eos])
        shorter = copy.deepcopy(ended)
        shorter["output_ids"] = ended["output_ids"][:-1]
        said = self.diff_recordings(ended, shorter)
        self.assertEqual(said["first_token"], n - 1)
        self.assertEqual((said["parting"]["b"]["token_id"], said["parting"]["b"]["is_end"]), (eos, True))
        self.assertLess(said["parting"]["b"]["logprob_nats"]["a"], 0)
        self.assertIn(f"({eos}), its end", hearth("diff", self.path("a", ended), self.path("b", shorter)).text)

    def test_another_end_of_the_same_tokens(self):
        other = copy.deepcopy(self.recording)
        other["receipt"]["finish"] = {"reason": "stop", "detail": "stop text 0"}
        said = self.diff_recordings(self.recording, other)
        self.assertEqual((said["first_token"], said["end_differs"]), (None, True))

    def test_template_and_revision_are_named(self):
        other = copy.deepcopy(self.recording)
        other["receipt"]["template"] = {"sha256": "0" * 64}
        other["receipt"]["arithmetic_revision"] = 0
        said = self.diff_recordings(self.recording, other, code=0)
        self.assertEqual(list(said["differs"]), ["arithmetic_revision", "template"])
        self.assertEqual(said["differs"]["template"], {"a": None, "b": "0" * 64})

    def test_logits_that_are_not_those_recorded(self):
        other = copy.deepcopy(self.recording)
        other["logits_mixes"] = ["1" * 16] * len(other["output_ids"])
        said = self.diff_recordings(self.recording, other)
        self.assertEqual((said["a"]["logits_as_recorded"], said["b"]["logits_as_recorded"]), (None, False))
        text = hearth("diff", self.path("a", self.recording), self.path("b", other)).text
        self.assertIn("B: from token 0 on, logits computed here are not those that were recorded", text)

    def test_models_are_named_where_they_are_not_at_hand(self):
        g = Gguf(MODEL)
        tensors = sorted(g.tensors.items(), key=lambda t: t[1][2])
        ends = [t[1][2] for t in tensors[1:]] + [len(g.data)]
        path = os.path.join(self.folder.name, "another.gguf")
        write(path, [*g.raw_pairs, pair("general.note", "another")],
              [(name, *tensor[:2], g.data[tensor[2]:end]) for (name, tensor), end in zip(tensors, ends)])
        done = hearth("run", path, "--raw", "-p", PROMPT, "-n", "16", "--seed", "7", "--ignore-eos", "--json")
        other = copy.deepcopy(self.recording)
        other["receipt"] = json.loads(done.text)["hearth"]
        files = self.path("a", self.recording), self.path("b", other)
        done = hearth("diff", *files)
        self.assertEqual(done.code, 2)
        self.assertIn("B was answered by another.gguf", done.err)
        self.assertIn("--model-b", done.err)
        self.assertIn("--model-b", hearth("diff", *files, "--model", MODEL).err)  # of A alone
        said = self.diff(*files, "--model-b", path, code=0)
        self.assertEqual(list(said["differs"]), ["model"])
        done = hearth("diff", *files, "--model-b", self.q4)  # named: compared all the same
        self.assertEqual(done.code, 1)
        self.assertIn("B was answered by another model", done.err)

    def test_a_file_moves_no_cursor(self):
        other = copy.deepcopy(self.recording)
        other["receipt"]["model"]["name"] = other["receipt"]["isa"] = "\x1b[2J\x9b"
        other["receipt"]["finish"]["detail"] = "\x1b]0;x\x07"
        other["request"]["stop"] = ["\x1b[2J\x9b"]
        other["output_ids"][0] = ids_of("\x1b")[-1]
        done = hearth("diff", self.path("a", self.recording), self.path("b", other))
        self.assertNotRegex(done.text + done.err, "[\x00-\x09\x0b-\x1f\x7f-\x9f]")
        self.assertIn("\\x1b[2J", done.text)
        other["receipt"]["model"]["identity"] = "\x1b[2J\x9b"
        for how in ((), ("--model-b", MODEL)):
            done = hearth("diff", self.path("a", self.recording), self.path("b", other), *how)
            self.assertIn("B was answered by ", done.err)
            self.assertNotRegex(done.text + done.err, "[\x00-\x09\x0b-\x1f\x7f-\x9f]")

    # ---- what is refused

    def test_mistakes_of_the_line_are_named(self):
        a = self.path("a", self.recording)
        for code, words, *how in (
                (2, "two RECORDINGS are needed",), (2, "two RECORDINGS are needed", a),
                (2, "give models a prompt", MODEL, MODEL), (2, "--seed is for a prompt", a, a, "--seed", "1"),
                (2, "NAME=VALUE", "-p", "x", "--b", "seed"),
                (2, "did you mean temperature?", "-p", "x", "--b", "tmperature=1"),
                (2, "no such option for B", "-p", "x", "--b", "model=x"),
                (2, "from 0 to 100", "-p", "x", "--b", "temp=999"),
                (2, "given twice", "-p", "x", "--b", "temp=1", "--b", "temperature=1"),
                (2, "f16|bf16|q8", "-p", "x", "--b", "kv_type=q9"),
                (2, "no sampler 'x'", "-p", "x", "--b", "samplers=x"),
                (2, "--record-dir is for recordings", "-p", "x", "--record-dir", "y"),
                (2, "two models are named for B", "-p", "x", MODEL, MODEL, "--model-b", MODEL),
                (2, "--system is for conversations", "-p", "x", "--raw", "--system", "y"),
                (3, "A: cannot open", "-p", "x", "/nowhere.gguf"),
                (3, "B: cannot open", "-p", "x", "-n", "1", MODEL, "/no.gguf"),
                (3, "B: cannot open", a, "/nowhere")):
            with self.subTest(how=how):
                done = hearth("diff", *how)
                self.assertEqual(done.code, code, done.err)
                self.assertIn(words, done.err)
                self.assertEqual(done.text, "")

    def test_recordings_without_an_answer_are_refused(self):
        for change, words in (({"output_ids": []}, "nothing was answered"), ({"prompt_ids": []}, "lacks the prompt"),
                              ({"prompt_ids": [1 << 30]}, "ids lie between")):
            done = hearth("diff", self.path("a", self.recording), self.path("b", {**self.recording, **change}))
            self.assertIn(done.code, (2, 3))
            self.assertIn(words, done.err)
        redacted = copy.deepcopy(self.recording)
        redacted["receipt"]["redacted"] = True
        self.assertIn("redacted", hearth("diff", self.path("a", redacted), self.path("b", redacted)).err)
        wrong = copy.deepcopy(self.recording)  # ids that no vocabulary has
        wrong["output_ids"][3] = 1 << 30
        wrong["receipt"]["finish"]["detail"] = "end-of-generation token 2000000000"
        done = hearth("diff", self.path("a", self.recording), self.path("b", wrong), "--whole")
        self.assertNotIn(done.code, (0, -6, -11))

    def test_logprobs_are_logs_of_probabilities(self):
        said = self.ask(MODEL, self.q4, "--whole", code=1)
        for side in "ab":
            for i in range(16):
                token, best = (said["positions"][side][key][i] for key in ("logprob_nats", "likeliest_logprob_nats"))
                self.assertLessEqual(token, best)
                self.assertLess(math.exp(best), 1)


if __name__ == "__main__":
    main()
