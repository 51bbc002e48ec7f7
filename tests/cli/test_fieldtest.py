#!/usr/bin/env python3
"""test_fieldtest.py: `hearth dev fieldtest`: against hearth's own server, which speaks llama-server's wire, and against
one that stands in front of it and answers something else.

    tests/cli/test_fieldtest.py build/hearth [unittest arguments]
"""

import http.server
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

import harness
from api_servers import Hearth
from harness import CLEAN_ENV, ROOT, hearth, main

sys.path.insert(0, os.path.join(ROOT, "tests", "model"))
import golden  # noqa: E402

PLAIN = os.path.join(ROOT, "models", "plain.jinja")
WITH_BOS = "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
TOKENS, CHAT, COMPLETION, VECTORS = "/tokenize", "/apply-template", "/completion", "/v1/embeddings"
FEW = ("-n", "6", "--likeliest", "5")
KINDS = ("tokens", "templates", "log_probabilities", "vectors")
CONTROLS = "[\x00-\x09\x0b-\x1f\x7f-\x9f]"


class Between(http.server.ThreadingHTTPServer):
    """Passes requests on to another server, and its answers back as `change` leaves them: {path: function of (answer,
    request, how many before)} gives an object, bytes, or (status, bytes)."""

    daemon_threads = True
    known = {}  # (address, question): (status, answer), for one test after the other

    def __init__(self, to, change):
        super().__init__(("127.0.0.1", 0), Talk)
        self.to, self.change, self.counts, self.keys = to, change, {}, set()
        self.lock, self.url = threading.Lock(), f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def ask(self, path, body):
        question = (self.to, path, body)
        if question not in self.known:
            try:
                with urllib.request.urlopen(urllib.request.Request(self.to + path, body)) as r:
                    self.known[question] = 200, r.read()
            except urllib.error.HTTPError as e:
                self.known[question] = e.code, e.read()
        return self.known[question]

    def handle_error(self, request, client_address):
        pass  # the other side went away


class Talk(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for the other side's acknowledgement
    wbufsize = -1

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.answer(None)

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["content-length"])))

    def answer(self, body):
        s = self.server
        with s.lock:
            before = s.counts.setdefault(self.path, 0)
            s.counts[self.path] += 1
            s.keys.add(self.headers["authorization"])
        status, said = s.ask(self.path, body)
        if self.path in s.change:
            answer = json.loads(said) if status == 200 else None
            made = s.change[self.path](answer, json.loads(body) if body else None, before)
            made = answer if made is None else made
            status, said = made if isinstance(made, tuple) else (status, made)
        if not isinstance(said, bytes):
            said = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)


def always(*made):
    """A change that says the same whatever was asked."""
    return lambda *_: made if len(made) > 1 else made[0]


def at(*places):
    """The change is made of these answers alone, counted from 0."""
    def only(change):
        return lambda answer, request, before: change(answer, request, before) if before in places else None
    return only


def tops(answer):
    return [t for e in answer["completion_probabilities"] for t in e["top_logprobs"]]


def moved(delta):
    """All log-probabilities, up and down by turns."""
    def change(answer, *_):
        for i, t in enumerate(tops(answer)):
            t["logprob"] = min(0, t["logprob"] + (delta if i % 2 else -delta))
    return change


class FieldTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Hearth("--chat-template", PLAIN).__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def run_it(self, *words, change=None, template=PLAIN, code=0, server=None, env=None):
        to = (server or self.server).url
        with Between(to, change or {}) as peer:
            self.peer = peer
            words = (*words, "--chat-template", template) if template else words
            done = hearth("dev", "fieldtest", "--peer", peer.url, *words, env=env)
        self.assertEqual(done.code, code, done.text + done.err)
        self.assertNotIn("Sanitizer", done.err)
        self.assertNotRegex(done.text + done.err, CONTROLS)
        return done

    def report(self, *words, code=1, **more):
        return json.loads(self.run_it(*FEW, *words, "--json", code=code, **more).text)

    def verdicts(self, report):
        return tuple(report["kinds"][k]["verdict"] for k in KINDS)


class TheSame(FieldTest):
    def test_the_same_model_passes_without_a_difference(self):
        said = self.report(code=0)
        kinds = said["kinds"]
        self.assertEqual((said["verdict"], *self.verdicts(said)), ("passed", "passed", "passed", "passed", None))
        for kind in KINDS[:3]:
            k = kinds[kind]
            self.assertEqual((k["n"], k["n_equal"], k["n_different"], k["n_untested"]), (50, 50, 0, 0))
            self.assertEqual((k["differences"], k["untested"], k["beyond"]), ([], None, None))
        f = kinds["log_probabilities"]["figures"]
        self.assertEqual((f["median"], f["largest"], f["largest_likely"]), (0, 0, 0))
        self.assertEqual((f["n_entries"], f["n_first_equal"], f["n_same"], f["first_parting"]), (1500, 50, 50, None))
        self.assertIn("not for vectors", kinds["vectors"]["nothing"])
        self.assertEqual(said["peer"]["model_path"], "tolstoy-4m-q8_0")
        self.assertEqual(said["model"]["architecture"], "llama")
        self.assertTrue(said["limits"]["quantized"])
        ran = hearth("run", "-p", "x", "-n", "1", "--json")
        self.assertEqual(said["model"]["identity"], re.search(r'"identity": ?"([^"]+)"', ran.text)[1])
        self.assertEqual(self.peer.counts[TOKENS], 150 - 6)  # so many chats have texts of special tokens

    def test_as_text(self):
        text = self.run_it(*FEW).text
        self.assertRegex(text, r"^field test of \d{4}-\d\d-\d\d\n")
        for line in (r"tokens +passed +50 of 50 equal", r"templates +passed +50 of 50 equal",
                     r"log-probabilities +passed +50 of 50 within the limits",
                     r" +continuations of 6 tokens: 50 of 50 equal, 0 more part at a tie", "verdict +passed",
                     r"identity +[0-9a-f]{64}-\d+", r"hearth +\S+, arithmetic revision \d+, \S+",
                     r" +1 prompt is cut to fit the context of 256 tokens"):
            self.assertRegex(text, f"(?m)^{line}$")

    def test_what_a_template_begins_with_may_be_a_token_there(self):
        def without(answer, *_):
            return {"prompt": answer["prompt"].removeprefix("<s>")}
        with tempfile.TemporaryDirectory(prefix="hearth-fieldtest-") as folder:
            path, template = os.path.join(folder, "m.gguf"), os.path.join(folder, "t.jinja")
            golden.write(golden.read("llama"), path)  # it asks for BOS
            with open(template, "w", encoding="utf-8") as f:
                f.write(WITH_BOS)
            with Hearth(path, "--chat-template", template) as server:
                said = self.report(path, code=0, template=template, server=server)
                self.assertEqual(said["kinds"]["templates"]["n_noted"], 0)
                said = self.report(path, code=0, template=template, server=server, change={CHAT: without})
                self.assertEqual(said["kinds"]["templates"]["n_noted"], 50)
                self.assertIn("BOS", said["kinds"]["templates"]["note"])
        with tempfile.NamedTemporaryFile("w", suffix=".jinja") as f:
            f.write(WITH_BOS)
            f.flush()
            with Hearth("--chat-template", f.name) as server:  # this one does not, so that is another prompt
                k = self.report(template=f.name, server=server, change={CHAT: without})["kinds"]["templates"]
                self.assertEqual(k["verdict"], "failed")

    def test_a_file_without_a_template_has_none_to_compare(self):
        with Hearth() as server:
            said = self.report(code=0, template=None, server=server)
        self.assertEqual(said["kinds"]["templates"]["nothing"], "the file has no chat template")
        self.assertIsNone(said["peer"]["same_template"])
        self.assertEqual(said["verdict"], "passed")

    def test_a_key_goes_with_every_question(self):
        with tempfile.NamedTemporaryFile("w") as f:
            f.write("secret-1\n")
            f.flush()
            self.run_it(*FEW, "--key-file", f.name)
        self.assertEqual(self.peer.keys, {"Bearer secret-1"})

    def test_every_key_of_the_report_is_documented(self):
        def keys(o):
            for key, value in o.items() if isinstance(o, dict) else ():
                yield key
                yield from keys(value)
        with open(os.path.join(ROOT, "docs", "fieldtests", "README.md"), encoding="utf-8") as f:
            documented = f.read()
        report = self.report(change={TOKENS: at(2)(lambda *_: {"tokens": [5]})})
        found = {*keys(report), *keys(report["kinds"]["tokens"]["differences"][0])}
        self.assertGreater(len(found), 40)
        for key in found:
            self.assertIn(f"`{key}`", documented)


class Different(FieldTest):
    def failed(self, kind, change, *words):
        """That kind of the report, which alone failed."""
        said = self.report(*words, change=change)
        self.assertEqual(said["verdict"], "failed")
        for k in KINDS[:3]:
            self.assertEqual(said["kinds"][k]["verdict"], "failed" if k == kind else "passed")
        return said["kinds"][kind]

    def test_other_tokens(self):
        def change(answer, *_):
            answer["tokens"][1] += 1
        k = self.failed("tokens", {TOKENS: at(4, 7, 10)(change)})
        self.assertEqual((k["n"], k["n_equal"], k["n_different"]), (50, 47, 3))
        self.assertEqual([d["prompt"] for d in k["differences"]], [3, 5, 7])
        first = k["differences"][0]
        self.assertTrue(first["text"].startswith("Q: What is 17 times 23?\\nA:"))
        here, there = (re.findall(r" (\d+)\(", first[side]) for side in ("here", "there"))
        self.assertEqual(int(there[1]), int(here[1]) + 1)
        self.assertEqual(here[:1] + here[2:], there[:1] + there[2:])

    def test_one_token_more_or_less(self):
        for change in (lambda answer, *_: {"tokens": answer["tokens"] + [7]},
                       lambda answer, *_: {"tokens": answer["tokens"][:-1]}, lambda *_: {"tokens": []}):
            self.assertEqual(self.failed("tokens", {TOKENS: at(0)(change)})["n_equal"], 49)

    def test_more_differences_than_are_shown(self):
        text = self.run_it(*FEW, change={TOKENS: lambda answer, *_: {"tokens": [9] + answer["tokens"]}}, code=1).text
        self.assertRegex(text, r"(?m)^tokens +failed +0 of 50 equal, 50 different$")
        self.assertEqual(text.count("\ntokens, prompt "), 5)
        self.assertIn("\nand 45 more of tokens\n", text)
        self.assertRegex(text, r"(?m)^verdict +failed$")

    def test_another_template(self):
        change = at(1)(lambda answer, *_: {"prompt": answer["prompt"].replace("\n", "\r\n", 1)})
        k = self.failed("templates", {CHAT: change})
        self.assertEqual(k["n_equal"], 49)
        self.assertIn("\\u000d\\n", k["differences"][0]["there"])
        self.assertNotIn("\\u000d", k["differences"][0]["here"])
        self.assertIn('"role":"system"', k["differences"][0]["text"])

    def test_a_template_with_the_same_text_and_other_tokens(self):
        change = lambda answer, request, _: {"tokens": answer["tokens"][1:]} if request["parse_special"] else None
        self.assertEqual(self.failed("templates", {TOKENS: change})["n_equal"], 6)

    def test_log_probabilities_near_by_pass_with_their_difference(self):
        f = self.report(code=0, change={COMPLETION: moved(0.03)})["kinds"]["log_probabilities"]["figures"]
        self.assertAlmostEqual(f["median"], 0.03, 4)
        self.assertAlmostEqual(f["largest_likely"], 0.03, 4)

    def test_log_probabilities_that_all_are_off(self):
        k = self.failed("log_probabilities", {COMPLETION: moved(0.12)})
        self.assertEqual((k["n_equal"], k["n_different"]), (50, 0))
        self.assertIn("the median of all differences is 0.12", k["beyond"])

    def test_one_log_probability_that_is_off(self):
        def change(answer, *_):
            answer["completion_probabilities"][2]["top_logprobs"][0]["logprob"] -= 1.6
        k = self.failed("log_probabilities", {COMPLETION: at(9)(change)})
        self.assertEqual((k["n_equal"], k["n_different"], k["beyond"]), (49, 1, None))
        self.assertRegex(k["differences"][0]["here"], r"^token 3: \d+\(")
        here, there = (float(re.search(r"has (-[\d.]+)", k["differences"][0][s])[1]) for s in ("here", "there"))
        self.assertAlmostEqual(here - there, 1.6, 3)
        self.assertAlmostEqual(k["figures"]["largest"], 1.6, 4)

    def test_a_likely_token_that_is_not_named(self):
        def change(answer, *_):
            top = max((e["top_logprobs"] for e in answer["completion_probabilities"]),
                      key=lambda t: t[0]["logprob"] - t[-1]["logprob"])
            top[0]["id"] = next(i for i in range(9, 2000) if i not in [t["id"] for t in top])
        k = self.failed("log_probabilities", {COMPLETION: at(0)(change)}, "--likeliest", "20")
        self.assertIn("least likely one named", k["differences"][0]["here"])

    def parted(self, place, gap):
        """Another continuation, whose first token is said to be so much likelier."""
        def change(answer, *_):
            entry = answer["completion_probabilities"][place]
            top = entry["top_logprobs"]
            top[0]["logprob"], top[1]["logprob"] = top[1]["logprob"], top[0]["logprob"] + gap
            entry["id"] = answer["tokens"][place] = top[1]["id"]
            for i in range(place + 1, len(answer["tokens"])):
                answer["tokens"][i] = answer["completion_probabilities"][i]["id"] = 7
                moved(3)({"completion_probabilities": [answer["completion_probabilities"][i]]})
        return change

    def first_gaps(self):
        """Of each prompt how much likelier its first token is than the next."""
        found = []
        self.report(code=0, change={COMPLETION: lambda answer, *_: found.append(
            tops(answer)[0]["logprob"] - tops(answer)[1]["logprob"])})
        return found

    def test_partings_at_a_tie_pass_and_others_do_not(self):
        gaps = self.first_gaps()
        near, far = gaps.index(min(gaps)), gaps.index(max(gaps))
        self.assertLess(min(gaps), 0.2)
        said = self.report(code=0, change={COMPLETION: at(near)(self.parted(0, 0))})
        f = said["kinds"]["log_probabilities"]["figures"]
        self.assertEqual((f["n_first_equal"], f["n_first_ties"], f["n_same"], f["n_ties"]), (49, 1, 49, 1))
        self.assertEqual(f["first_parting"], 1)
        self.assertEqual(f["n_entries"], 1500 - 25)  # what follows another token is not compared
        k = self.failed("log_probabilities", {COMPLETION: at(far)(self.parted(0, 0))})
        self.assertIn("; token 1 is ", k["differences"][0]["there"])
        self.assertEqual((k["figures"]["n_first_equal"], k["figures"]["n_first_ties"]), (49, 0))

    def test_a_continuation_that_ends_early(self):
        def change(answer, *_):
            answer["tokens"] = answer["tokens"][:4]
            answer["completion_probabilities"] = answer["completion_probabilities"][:4]
        k = self.failed("log_probabilities", {COMPLETION: at(3)(change)})
        self.assertEqual(k["differences"][0]["there"], "token 5 is none: it ended")

    def test_vectors(self):
        with tempfile.TemporaryDirectory(prefix="hearth-fieldtest-") as folder:
            path = os.path.join(folder, "bert.gguf")
            model = golden.read("bert")
            model["metadata"]["bert.pooling_type"] = 1
            golden.write(model, path)

            def turned(answer, *_):
                answer["data"][0]["embedding"][0] += 0.2
            with Hearth(path) as server:
                said = self.report(path, server=server, template=None, code=0)
                self.assertEqual(self.verdicts(said), ("passed", None, None, "passed"))
                self.assertAlmostEqual(said["kinds"]["vectors"]["farthest"], 0, 12)
                k = self.report(path, server=server, template=None, change={VECTORS: at(5)(turned)})["kinds"]["vectors"]
                self.assertEqual((k["n_equal"], k["n_different"]), (48, 1))
                self.assertIn("1 - cosine is 0.", k["differences"][0]["there"])
                for bad in ({"data": []}, {"data": [{"embedding": [1]}]}, {"data": [{"embedding": ["x"] * 64}]}):
                    said = self.report(path, server=server, template=None, change={VECTORS: always(bad)})
                    self.assertEqual(self.verdicts(said), ("passed", None, None, "incomplete"))


class Untested(FieldTest):
    def untested(self, kind, change, *words):
        """Why; nothing else than that kind is concerned."""
        said = self.report(*words, change=change)
        k = said["kinds"][kind]
        self.assertEqual((said["verdict"], k["verdict"], k["n_different"]), ("incomplete", "incomplete", 0))
        return k["untested"], k["n_equal"], k["n_untested"]

    def test_an_endpoint_that_is_not_there(self):
        no = (404, b'{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}')
        for path, kinds in ((TOKENS, {"tokens", "templates"}), (CHAT, {"templates"}),
                            (COMPLETION, {"log_probabilities"})):
            with self.subTest(path=path):
                said = self.report(change={path: always(*no)})
                self.assertEqual(said["verdict"], "incomplete")
                for kind in KINDS[:3]:
                    k = said["kinds"][kind]
                    self.assertEqual(k["verdict"], "incomplete" if kind in kinds else "passed")
                    if kind in kinds:
                        self.assertRegex(k["untested"], rf"^127[.\d]+:\d+ answers 404 to {path}: File Not Found$")
                self.assertLessEqual(self.peer.counts[path], 6)  # it is not asked for ever
        text = self.run_it(*FEW, change={COMPLETION: always(*no)}, code=1).text
        self.assertRegex(text, r"(?m)^log-probabilities +untested +0 of 50 within the limits, 50 untested\n"
                               r" +untested: 127.*File Not Found$")

    def test_one_answer_that_does_not_come_is_enough(self):
        why, n_equal, n_untested = self.untested("log_probabilities", {COMPLETION: at(17)(always(500, b"{}"))})
        self.assertEqual((n_equal, n_untested), (49, 1))
        self.assertIn("answers 500", why)

    def test_a_conversation_that_one_side_refuses(self):
        why, n_equal, n_untested = self.untested("templates", {CHAT: at(2)(always(
            500, b'{"error":{"message":"Conversation roles must alternate"}}'))})
        self.assertEqual((n_equal, n_untested), (49, 1))
        self.assertIn("roles must alternate", why)
        with tempfile.NamedTemporaryFile("w", suffix=".jinja") as f:
            f.write("{% if messages|length > 1 %}{{ raise_exception('one at a time') }}{% endif %}" + WITH_BOS)
            f.flush()
            k = self.report(template=f.name)["kinds"]["templates"]  # the server has the plain one
            self.assertEqual(k["verdict"], "failed")
            self.assertIn("one at a time", str(k["differences"]))
            with Hearth("--chat-template", f.name) as server:
                k = self.report(template=f.name, server=server, code=0)["kinds"]["templates"]
                self.assertLess(k["n"], 50)
                self.assertEqual(k["n"], k["n_equal"])

    def test_garbage(self):
        for made, words in (
                ({"tokens": "x", "prompt": 5, "completion_probabilities": 7}, "has no"),
                (b"", "with nothing"), (b"[1,2]", "not an object"), (b'{"tokens":[1,', "not JSON"),
                (b"<html>busy</html>", "not JSON"), (b'{"a":1,"a":2}', "a key twice"), (b'{"a":"\xff"}', "not JSON"),
                (b'{"tokens":[99999999999999999999]}', "big integer"),
                (b'{"tokens":' + b"[" * 100000, "nested deeper"),
                (b'{"tokens":[' + b"1," * (1 << 20) + b"1]}", "more values"),
                (b'{"tokens":[' + b"[]," * 900000 + b"1]}", "MiB to read"),
                (b'{"tokens":["' + b"x" * (17 << 20) + b'"]}', "more than 16777216 bytes")):
            with self.subTest(made=str(made)[:60]):
                said = self.report(change={path: always(made) for path in (TOKENS, CHAT, COMPLETION)})
                self.assertEqual(self.verdicts(said), ("incomplete",) * 3 + (None,))
                for kind in KINDS[:3]:
                    k = said["kinds"][kind]
                    self.assertEqual((k["n"], k["n_equal"], k["n_untested"]), (50, 0, 50))
                    self.assertIn(words, k["untested"])
                self.assertLessEqual(sum(self.peer.counts.values()), 2 + 3 * 3)

    def test_entries_of_half_a_character_are_left_out(self):
        """As llama-server does; what belongs together is found again."""
        left_out, left_in = [], []

        def change(answer, *_):
            text = b""
            whole, answer["completion_probabilities"] = answer["completion_probabilities"], []
            for e in whole:
                text += bytes(e["bytes"])
                inside = re.search(rb"([\xc0-\xff]|[\xe0-\xff][\x80-\xbf]|[\xf0-\xff][\x80-\xbf]{2})$", text)
                (left_out if inside else left_in).append(e)
                if not inside:
                    answer["completion_probabilities"].append(e)
        with tempfile.TemporaryDirectory(prefix="hearth-fieldtest-") as folder:
            path = os.path.join(folder, "random.gguf")  # it writes many of them
            self.assertEqual(hearth("dev", "synth", "--shape", "tiny", path).code, 0)
            with Hearth(path) as server:
                said = self.report(path, "-n", "16", server=server, template=None, change={COMPLETION: change}, code=0)
        f = said["kinds"]["log_probabilities"]["figures"]
        self.assertEqual((f["largest"], f["n_same"]), (0, 50))
        self.assertGreater(len(left_out), 5)
        self.assertEqual(f["n_entries"], 5 * len(left_in))

    def test_slow_answers(self):
        def slow(*_):
            time.sleep(1.5)
        start = time.monotonic()
        why, n_equal, n_untested = self.untested("log_probabilities", {COMPLETION: slow}, "--timeout", "1")
        self.assertLess(time.monotonic() - start, 20)
        self.assertEqual((n_equal, n_untested), (0, 50))
        self.assertIn("not whole after 1 s; allow more time (--timeout)", why)

    def test_its_words_move_no_cursor(self):
        evil = json.dumps({"error": {"message": "\x1b[2J\x07 no \u202e \x9b1m"}}).encode()
        text = self.run_it(*FEW, change={CHAT: always(500, evil)}, code=1).text
        self.assertIn("[2J no", text)

        def named(answer, *_):
            answer["build_info"] = "b1\x1b[1m\nverdict passed"
        self.assertIn("build b1 [1m verdict passed,", self.run_it(*FEW, change={"/props": named}).text)


class Page(FieldTest):
    """Reports become the column of real files in docs/models.md."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        where = importlib.util.spec_from_file_location("models_page", os.path.join(ROOT, "tools", "models_page.py"))
        cls.page = importlib.util.module_from_spec(where)
        where.loader.exec_module(cls.page)

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="hearth-fieldtest-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def own(self, **more):
        """As if the template were the file's."""
        said = self.report(**more)
        self.assertEqual(said["model"].pop("template"), "plain.jinja")
        return {**said, "model": {**said["model"], "template": "file"}}

    def put(self, name, report):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as f:
            json.dump(report, f)

    def column(self):
        return re.search(r"^\| `llama` .*\| ([^|]*) \|$", self.page.page(self.folder), re.MULTILINE)[1]

    def test_the_newest_report_on_each_file_counts(self):
        self.assertEqual(self.column(), "untested")
        n_untested = self.page.page(self.folder).count("untested |\n")
        passed = {**self.own(code=0), "date": "2026-11-28"}
        failed = {**self.own(change={TOKENS: always({"tokens": []})}), "date": "2026-12-01"}
        self.put("a.json", passed)
        self.assertEqual(self.column(), "passed (2026-11-28, [tolstoy-4m-q8_0](fieldtests/a.json))")
        self.put("b.json", failed)
        self.assertEqual(self.column(), "failed (2026-12-01, [tolstoy-4m-q8_0](fieldtests/b.json))")
        self.put("c.json", {**passed, "model": {**passed["model"], "file": "another.gguf"}})
        self.assertEqual(self.column(), "passed (2026-11-28, [another.gguf](fieldtests/c.json)), "
                                        "failed (2026-12-01, [tolstoy-4m-q8_0](fieldtests/b.json))")
        self.assertEqual(self.page.page(self.folder).count("untested |\n"), n_untested - 1)

    def test_a_report_that_cannot_be_one_is_refused(self):
        good = self.own(code=0)
        part = self.own(change={COMPLETION: always(404, b"{}")})
        for bad, words in (({**good, "fieldtest": 2}, "form 2"), ({**part, "verdict": "passed"}, "its counts"),
                           ({**good, "verdict": "failed"}, "its counts"), ({**good, "date": "today"}, "into a table"),
                           ({**good, "model": {**good["model"], "architecture": "lama"}}, "no architecture"),
                           ({**good, "model": {**good["model"], "file": "a|b"}}, "into a table"),
                           ({**good, "model": {**good["model"], "template": "x.jinja"}}, "not of the file's own")):
            self.put("a.json", bad)
            self.assertRaisesRegex(ValueError, words, self.column)
        self.put("a.json", part)
        self.assertTrue(self.column().startswith("incomplete ("))


class Refused(FieldTest):
    def test_the_line(self):
        for words, code, said in (((), 2, "--peer is needed"),
                                  (("--peer", "no url at all"), 2, "is no address of a server"),
                                  (("--peer", "ftp://127.0.0.1/"), 2, "is no address of a server"),
                                  (("--peer", "http://u:p@127.0.0.1/"), 2, "name or password"),
                                  (("--peer", "http://127.0.0.1:1", "-n", "513"), 2, "513"),
                                  (("--peer", "http://127.0.0.1:1", "--likeliest", "1"), 2, "--likeliest"),
                                  (("nowhere.gguf", "--peer", "http://127.0.0.1:1"), 3, "nowhere.gguf"),
                                  (("--peer", "http://127.0.0.1:1"), 3, "no connection")):
            with self.subTest(words=words):
                done = hearth("dev", "fieldtest", *words)
                self.assertEqual(done.code, code, done.err)
                self.assertIn(said, done.err)
                self.assertEqual(done.text, "")

    def test_a_key_does_not_go_where_others_read_it(self):
        with tempfile.NamedTemporaryFile("w") as f:
            f.write("secret-1\n")
            f.flush()
            done = hearth("dev", "fieldtest", "--peer", "http://192.0.2.1", "--key-file", f.name)
        self.assertEqual(done.code, 2)
        self.assertIn("not sent over http", done.err)

    def test_who_does_not_answer_as_a_llama_server(self):
        for made, code, words in (((401, b'{"error":{"message":"Invalid API Key"}}'), 3, "check the key (--key-file)"),
                                  ((503, b'{"error":{"message":"Loading model"}}'), 3, "503 to /props: Loading model"),
                                  ((404, b"<html>nginx</html>"), 3, "answers 404 to /props"),
                                  ((302, b""), 3, "points to nothing"),
                                  ((200, b"<html>hello</html>"), 3, "as a llama-server does"),
                                  ((200, b'{"hello": 1}'), 3, "is a llama-server there?")):
            with self.subTest(made=made):
                done = self.run_it(change={"/props": always(*made)}, code=code)
                self.assertIn(words, done.err)
                self.assertEqual(done.text, "")

    def test_another_model(self):
        def said(key, value):
            def change(answer, *_):
                answer["data"][0]["meta"][key] = value
            return change
        for key, words in (("n_vocab", "tokens in its vocabulary"), ("n_embd", "values of its embedding"),
                           ("n_params", "its parameters"), ("size", "bytes of its weights")):
            done = self.run_it(change={"/v1/models": said(key, 1234)}, code=2)
            self.assertIn(f"serves another model: {words} are 1234 there", done.err)
        done = self.run_it(change={"/v1/models": lambda answer, *_: {"data": answer["data"] * 3}}, code=2)
        self.assertIn("it has 3 models; start it with the one file alone", done.err)

    def test_a_server_that_does_not_say_what_its_model_is(self):
        done = self.run_it(*FEW, change={"/v1/models": always(404, b"{}")})
        self.assertIn("it is not known whether that is the same model", done.err)
        self.assertIn("it does not say what the vocabulary", done.text)
        self.run_it(*FEW, change={"/v1/models": lambda answer, *_: {"data": [{"id": "x"}]}})
        self.run_it(change={"/v1/models": always({"data": {}})}, code=3)

    def test_another_template_is_said(self):
        def change(answer, *_):
            answer["chat_template"] += " "
        text = self.run_it(*FEW, change={"/props": change}).text
        self.assertIn("its chat template is another text than the file's", text)

    def test_a_shorter_context_there(self):
        def change(answer, *_):
            answer["default_generation_settings"]["n_ctx"] = 64
        asked = []
        note = lambda answer, request, _: asked.append(len(request["prompt"]))
        text = self.run_it(*FEW, change={"/props": change, COMPLETION: note}).text
        self.assertRegex(text, r"\d+ prompts are cut to fit the context of 64 tokens")
        self.assertEqual(max(asked), 64 - 6)

    def test_a_connection_that_ends(self):
        with socket.create_server(("127.0.0.1", 0)) as s:
            def hang_up():
                while True:
                    try:
                        c = s.accept()[0]
                    except OSError:
                        return
                    c.recv(65536)
                    c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
                    c.close()
            threading.Thread(target=hang_up, daemon=True).start()
            done = hearth("dev", "fieldtest", "--peer", f"http://127.0.0.1:{s.getsockname()[1]}")
            s.shutdown(socket.SHUT_RDWR)
        self.assertEqual(done.code, 3)
        self.assertIn("the connection ended before the answer did", done.err)

    def test_an_interrupt_ends_it(self):
        asked = threading.Event()

        def slow(*_):
            asked.set()
            time.sleep(5)
        with Between(self.server.url, {COMPLETION: slow}) as peer:
            process = subprocess.Popen([harness.program(), "dev", "fieldtest", "--peer", peer.url], env=CLEAN_ENV,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.assertTrue(asked.wait(harness.PATIENCE_S))
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=4)
        self.assertEqual((process.returncode, out), (130, b""))
        self.assertIn(b"interrupted", err)


if __name__ == "__main__":
    main()
