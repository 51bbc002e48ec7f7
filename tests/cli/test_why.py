#!/usr/bin/env python3
"""test_why.py: `hearth why`: where an answer's time went, and how each of its tokens was chosen.

    tests/cli/test_why.py build/hearth [unittest arguments]
"""

import json
import math
import os

from harness import hearth, main
from test_replay import MODEL, TEMPLATE, Recorded, record


class Why(Recorded):
    def why(self, recording, *how):
        done = hearth("why", self.path(recording), "--json", *how)
        self.assertTrue(done.text, done.err)
        return done.code, json.loads(done.text)

    def test_every_token_is_told(self):
        code, said = self.why(self.recording)
        self.assertEqual((code, said["exact"], said["end"]), (0, True, None))
        self.assertEqual([t["id"] for t in said["tokens"]], self.recording["output_ids"])
        self.assertEqual([t["index"] for t in said["tokens"]], list(range(24)))
        self.assertEqual([t["id"] for t in said["prompt"]], self.recording["prompt_ids"])
        for t in said["tokens"]:
            self.assertIn(t["id"], [a["id"] for a in t["alternatives"]])
            self.assertLessEqual(len(t["alternatives"]), 6)
            self.assertNotIn("steps", t)
            self.assertTrue(0 <= t["draw"] < 1)
            best = max(a["logprob"] for a in t["alternatives"])
            self.assertEqual(t["rank"] == 0, t["logprob"] == best)
            self.assertIsNotNone(t["final_logprob"])  # it came

    def test_one_token_has_its_steps(self):
        code, said = self.why(self.recording, "--token", "7", "--top", "12")
        self.assertEqual(code, 0)
        self.assertEqual([t["index"] for t in said["tokens"]], [7])
        token = said["tokens"][0]
        steps = token["steps"]
        self.assertEqual([s["name"] for s in steps], ["model", "penalties", "top_k", "top_p", "min_p", "temperature"])
        self.assertEqual([s["n_candidates"] for s in steps][:3], [2048, 2048, 40])
        self.assertEqual([s["temperature"] for s in steps], [1, 1, 1, 1, 1, 0.9])
        for before, after in zip(steps, steps[1:]):
            self.assertEqual(after["n_removed"], before["n_candidates"] - after["n_candidates"])
            for p, q in zip(before["logprobs"], after["logprobs"]):
                self.assertTrue(q is None or p is not None)  # what is gone does not come back
        for i, a in enumerate(token["alternatives"]):
            gone = [s["name"] for s in steps if s["logprobs"][i] is None]
            self.assertEqual(a["removed_by"], gone[0] if gone else None)
            self.assertEqual(a["logprob"], steps[0]["logprobs"][i])
            self.assertEqual(a["final_logprob"], steps[-1]["logprobs"][i])
        left = [q for q in steps[-1]["logprobs"] if q is not None]
        if len(left) == steps[-1]["n_candidates"]:
            self.assertAlmostEqual(sum(math.exp(q) for q in left), 1, 4)
            self.assertAlmostEqual(-sum(math.exp(q) * q for q in left) / math.log(2), steps[-1]["entropy_bits"], 3)

    def test_the_token_that_ended_it(self):
        recording = json.loads(json.dumps(self.recording))
        recording["request"]["logit_bias"] = [[2, 100]]  # EOS comes first, which is not what was recorded
        recording["receipt"]["ignore_eos"] = False
        code, said = self.why(recording)
        self.assertEqual((code, said["tokens"]), (1, []))
        self.assertEqual((said["end"]["index"], said["end"]["id"]), (0, 2))
        done = hearth("why", self.path(recording), "--token", "0")
        self.assertIn("the end, in place of token 0 is ", done.text)
        self.assertIn("logit_bias changed what is likely", done.text)
        done = hearth("why", self.path(self.recording), "--token", "24")
        self.assertEqual(done.code, 2)
        self.assertIn("the answer has 24 tokens", done.err)

    def test_a_text_that_ended_it_is_named(self):
        recording = record("--temp", "0.8", "--seed", "3", "-n", "400", max_tokens=400)
        self.assertEqual(recording["receipt"]["finish"]["detail"], "stop text 0")
        self.assertIn("stop text 0: the template's end of an answer\n", hearth("why", self.path(recording)).text)
        recording["request"]["stop"] = ["\n\x1b"]
        self.assertIn('stop text 0: "\\n\\x1b"\n', hearth("why", self.path(recording)).text)

    def test_as_text(self):
        done = hearth("why", self.path(self.recording))
        self.assertEqual(done.code, 0)
        lines = done.text.splitlines()
        labels = [line.split()[0] for line in lines if line and not line[0].isspace()]
        self.assertEqual([name for name in labels if name != "prompt"],
                         ["request", "model", "verdict", "time", "context", "cache", "end"])
        bar = next(line for line in lines if line.startswith("time"))
        self.assertRegex(bar, r"^time +\[[qmtkcpdswno]{60}\] ")
        head = next(i for i, line in enumerate(lines) if line.split()[:2] == ["token", "text"])
        rows = lines[head + 1:]
        self.assertEqual([int(row.split()[0]) for row in rows], list(range(24)))
        recording = json.loads(json.dumps(self.recording))
        recording["prompt_ids"].insert(0, 1)
        text = hearth("why", self.path(recording)).text
        self.assertIn("prompt   \u27e6<s>\u27e7The general was old.\n", text.replace("\u27e7 The", "\u27e7The"))
        done = hearth("why", self.path(self.recording), "--token", "3")
        self.assertRegex(done.text, r"\* \"")
        self.assertIn("removed by ", done.text)
        self.assertIn("drew it", done.text)

    def test_parts_of_the_time_are_all_of_it(self):
        _, said = self.why(self.recording)
        parts = {k: v for k, v in said["time"].items() if k != "total_ms"}
        self.assertAlmostEqual(sum(parts.values()), said["time"]["total_ms"], 6)
        recording = json.loads(json.dumps(self.recording))
        recording["receipt"].update(queue_ms=10, wake_ms=4, tokenize_ms=1, sample_ms=5, total_ms=200)
        recording["receipt"].update(template={"ms": 2}, disk={"n_tokens": 64, "ms": 20}, preemption={"n": 1, "ms": 7})
        recording["receipt"]["prefill"]["ms"] = 60
        recording["receipt"]["decode"]["ms"] = 100
        recording["receipt"]["withheld"] = {"throttled_ms": 0, "no_processor_ms": 30, "slow_reader_ms": 50}
        _, said = self.why(recording)
        self.assertEqual(said["time"], {
            "queue_ms": 6, "wake_ms": 4, "template_ms": 2, "tokenize_ms": 1, "cache_ms": 20, "prefill_ms": 40,
            "decode_ms": 38, "sampling_ms": 5, "pages_ms": 7, "network_ms": 50, "other_ms": 27, "total_ms": 200})
        self.assertIn("15 % of the time the engine was ready and had no processor", said["trouble"])
        self.assertIn("25 % of the time its events were not read", said["trouble"])
        self.assertNotIn("quota", said["trouble"])

    def explained(self, prefix, **more):
        recording = json.loads(json.dumps(self.recording))
        recording["receipt"]["prefix"] = prefix
        recording["receipt"].update(more)
        n = len(recording["prompt_ids"])
        recording["receipt"]["prefill"].update(n_prompt_tokens=n, n_computed_tokens=9, ms=12.5)
        return self.why(recording)[1]["prefix"]

    def test_why_the_prompt_was_not_known(self):
        ids = self.recording["prompt_ids"]
        said = self.explained({"n_tokens": 1, "end": "differs", "id": ids[1], "kept_id": ids[2]})
        self.assertIn(f"Token 1 is \"", said)
        self.assertIn(f"({ids[1]}), where what is kept has \"", said)
        self.assertIn(f"({ids[2]}).", said)
        self.assertIn("another system prompt", said)
        self.assertIn("Reading the other 9 took 12.5 ms.", said)
        said = self.explained({"n_tokens": len(ids) - 2, "end": "differs", "id": ids[-2], "kept_id": None})
        self.assertIn("an earlier turn was edited", said)
        said = self.explained({"n_tokens": 12, "end": "differs", "id": ids[12], "kept_id": None},
                              truncation={"n_dropped_messages": 2, "n_full_prompt_tokens": 999})
        self.assertIn("the oldest turns were left out", said)
        for end, words in (("whole", "All that can be known was"), ("new", "Nothing that is kept begins so"),
                           ("ended", "What is kept ends there"), ("evicted", "--kv-tokens"),
                           ("no page", "none free to copy"), ("no state", "no recurrent state"),
                           ("not asked for", "wanted all of it computed")):
            self.assertIn(words, self.explained({"n_tokens": 4, "end": end, "id": 1, "kept_id": None}))

    def test_a_changed_date_is_the_likely_cause(self):
        done = hearth("tokenize", MODEL, "--ids", stdin=b"It is day 12 of the war, and 13 men are here. They wait.")
        ids = [int(word) for word in done.text.split()]
        recording = json.loads(json.dumps(self.recording))
        recording["prompt_ids"] = ids
        recording["receipt"]["prefix"] = {"n_tokens": 4, "end": "differs", "id": ids[4], "kept_id": None}
        self.assertIn("a date, a counter or an id", self.why(recording)[1]["prefix"])

    def test_another_answer_is_said(self):
        recording = json.loads(json.dumps(self.recording))
        recording["output_ids"][5] += 1
        done = hearth("why", self.path(recording), "--json")
        said = json.loads(done.text)
        self.assertEqual((done.code, said["exact"], len(said["tokens"])), (1, False, 6))
        self.assertIn("this is not the recorded answer", done.err)
        done = hearth("why", self.path(recording), "--token", "9")
        self.assertEqual(done.code, 1)
        self.assertIn("token 9 is behind the place where they part", done.err)
        self.assertIn("this is not the recorded answer", done.err)

    def test_a_prompt_moves_no_cursor(self):
        recording = json.loads(json.dumps(self.recording))
        ids = hearth("tokenize", MODEL, "--ids", stdin=b"a\xc2\x9b[2J\x1b[2J\xff").text.split()
        recording["prompt_ids"] = [int(word) for word in ids]  # U+009B in two tokens
        done = hearth("why", self.path(recording))
        self.assertNotRegex(done.text + done.err, "[\x00-\x09\x0b-\x1f\x7f-\x9f]")
        self.assertIn("\\xc2\\x9b[2J\\x1b[2J\\xff", done.text)

    def test_figures_of_strangers(self):
        recording = json.loads(json.dumps(self.recording))
        recording["receipt"].update(total_ms=1e308, queue_ms=-1e300, sample_ms="x", template=None)
        recording["receipt"]["prefix"] = {"n_tokens": 1e300, "end": "differs", "id": 1, "kept_id": 10**15}
        code, said = self.why(recording)
        self.assertEqual((code, said["time"]["queue_ms"]), (0, 0))
        self.assertEqual(hearth("why", self.path(recording)).code, 0)

    def test_what_run_and_chat_recorded(self):
        folder = os.path.join(self.folder.name, "record")
        kept = ("--record", "full", "--record-dir", folder)
        plain = hearth("run", MODEL, "--raw", "-p", "The prince", "--seed", "3", "-n", "12", "--json")
        done = hearth("run", MODEL, "--raw", "-p", "The prince", "--seed", "3", "-n", "12", "--json", *kept)
        self.assertEqual(json.loads(done.text)["token_ids"], json.loads(plain.text)["token_ids"])
        said = json.loads(hearth("why", "last", MODEL, "--record-dir", folder, "--json").text)
        self.assertEqual([t["id"] for t in said["tokens"]], json.loads(done.text)["token_ids"])
        self.assertTrue(said["exact"])
        talk = hearth("chat", MODEL, *TEMPLATE, "-n", "9", *kept, stdin=b"Hello\nWho are you?\n")
        self.assertEqual(talk.code, 0, talk.err)
        self.assertEqual(hearth("run", MODEL, "--raw", "-p", "It", "-n", "2", "--record-dir", folder).code, 0)
        rows = [json.loads(line) for line in hearth("log", "--record-dir", folder, "--json").text.splitlines()]
        self.assertEqual([row["source"] for row in rows], ["run", "chat", "chat"])  # and not what was not asked for
        self.assertEqual({row["model"] for row in rows}, {"tolstoy-4m-q8_0"})
        for row in rows:
            done = hearth("replay", str(row["id"]), MODEL, *TEMPLATE, "--record-dir", folder)
            self.assertIn("and the bits of all logits", done.text, done.err)
        done = hearth("run", MODEL, "--raw", "-p", "It", "-n", "2", "--record", "full", "--record-dir", "/proc/no")
        self.assertEqual((done.code, len(done.text) > 0), (0, True))  # it is said, and the answer comes
        self.assertIn("nothing is recorded", done.err)

    def test_a_redacted_recording_and_bad_words(self):
        self.assertEqual(hearth("why").code, 2)
        self.assertEqual(hearth("why", self.path(self.recording), "--top", "51").code, 2)
        done = hearth("why", "999", "--record-dir", self.folder.name)
        self.assertNotEqual(done.code, 0)
        recording = json.loads(json.dumps(self.recording))
        recording["prompt_ids"] = recording["output_ids"] = recording["logits_mixes"] = None
        done = hearth("why", self.path(recording))
        self.assertNotEqual(done.code, 0)


if __name__ == "__main__":
    main()
