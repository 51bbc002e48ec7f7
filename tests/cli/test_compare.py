#!/usr/bin/env python3
"""test_compare.py: `hearth compare`: the same prompts to a model here and to a server elsewhere.

    tests/cli/test_compare.py build/hearth [unittest arguments]
"""

import csv
import io
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import unittest
import urllib.request

import harness
from api_servers import Delay, Fake, Hearth, answer, chunk, stream
from harness import CLEAN_ENV, ROOT, hearth, main

PROMPT = "The prince rode along the line"
STEERED = ("--temp", "0", "--seed", "1", "-n", "16")
TEMPLATE = os.path.join(ROOT, "models", "plain.jinja")  # the file has none
TLS = os.path.join(ROOT, "tests", "http", "tls")
DELAY_S = 0.3
SIDES = ("local", "api")
CONTROLS = "[\x00-\x09\x0b-\x1f\x7f-\x9f]"


def compare(api, *words, prompt=PROMPT, model="m", **more):
    prompts = ("-p", prompt) if prompt is not None else ()
    named = ("--api-model", model) if model else ()
    return hearth("compare", "--api", api, *named, *prompts, *STEERED, *words, **more)


class CompareTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="hearth-compare-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def file(self, text, name="file"):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def done(self, result, code=0):
        self.assertEqual(result.code, code, result.err)
        self.assertNotIn("Sanitizer", result.err)
        self.assertNotRegex(result.text + result.err, CONTROLS)
        return result

    def json(self, *words, code=0, **more):
        return json.loads(self.done(compare(*words, "--json", **more), code).text)


class AgainstHearth(CompareTest):
    @classmethod
    def setUpClass(cls):
        cls.server = Hearth("--chat-template", TEMPLATE).__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def test_the_same_model_says_the_same_and_waits_for_the_network(self):
        with Delay(self.server.port, DELAY_S) as far:
            said = self.json(far.url, "-p", "It was a cold evening", "--runs", "2", model=None)
        self.assertEqual((said["form"], said["n_runs"], len(said["prompts"])), ("text", 2, 2))
        self.assertEqual(said["given"], {"max_tokens": 16, "seed": 1, "temperature": 0})
        self.assertEqual(said["api"]["model"], "tolstoy-4m-q8_0")
        self.assertEqual(said["api"]["answered_model"], "tolstoy-4m-q8_0")
        self.assertEqual(said["api"]["server"], far.url.removeprefix("http://"))
        for p in said["prompts"]:
            local, api = p["local"], p["api"]
            self.assertTrue(p["divergence"]["same"])
            self.assertEqual(local["text"], api["text"])
            self.assertEqual((local["n_ok"], api["n_ok"], api["n_same_text"], api["n_failed"]), (2, 2, 2, 0))
            for key in ("n_prompt_tokens", "n_output_tokens"):
                self.assertEqual(local[key], api[key])
            self.assertGreaterEqual(api["first_token_ms"], 1000 * DELAY_S)
            self.assertGreater(local["resident_bytes"], 1 << 20)
            self.assertEqual((local["price_amount"], api["resident_bytes"], api["price_amount"]), (0, None, None))
            self.assertGreater(local["tokens_per_s"], 0)
            for side in (local, api):
                for run in side["runs"]:
                    self.assertLessEqual(run["first_token_ms"] + run["write_ms"], run["total_ms"] + 0.001)
                    self.assertEqual((run["finish_reason"], run["n_output_tokens_from"]), ("length", "count"))

    def test_every_key_is_documented(self):
        def keys(o, path=()):
            if isinstance(o, list):
                o = {None: o[0]} if o else {}
            for key, value in o.items() if isinstance(o, dict) else ():
                if key and path[:1] != ("given",):
                    yield key
                yield from keys(value, (*path, key) if key else path)
        settings = self.file('[price."m"]\ninput_per_million = 1\noutput_per_million = 1\ncurrency = "USD"\n'
                             'date = "2026-11-01"\n')
        found = set(keys(self.json(self.server.url, "--config", settings)))
        self.assertGreater(len(found), 40)
        with open(os.path.join(ROOT, "docs", "compare.md"), encoding="utf-8") as f:
            documented = f.read()
        for key in found:
            self.assertIn(f"`{key}`", documented)

    def test_each_side_begins_with_every_other_question(self):
        said = self.json(self.server.url, "-p", "It was", "-p", "And so", "--runs", "2")
        first = [[p[side]["runs"][run]["was_first"] for run in range(2) for p in said["prompts"]] for side in SIDES]
        self.assertEqual(first[0], [True, False] * 3)
        self.assertEqual(first[1], [False, True] * 3)

    def test_a_prompt_that_comes_again_is_computed_again_here(self):
        said = self.json(self.server.url, "--runs", "3")["prompts"][0]
        self.assertEqual([r["n_cached_tokens"] for r in said["local"]["runs"]], [0, 0, 0])
        self.assertGreater(said["api"]["runs"][2]["n_cached_tokens"], 0)

    def test_conversations_go_through_the_template_of_each_side(self):
        words = ("--chat-template", TEMPLATE, "--system", "The general was old.")
        said = self.json(self.server.url, *words)
        self.assertEqual(said["form"], "chat")
        self.assertTrue(said["prompts"][0]["divergence"]["same"])
        refused = self.done(compare(self.server.url, "--system", "x"), 2)
        self.assertIn("the file has none (--chat-template)", refused.err)

    def test_sampling_is_for_both(self):
        said = self.json(self.server.url, "--temp", "0.9", "--top-k", "7", "--samplers", "top_k;temperature",
                         "--dry-sequence-breaker", "x")
        self.assertEqual(said["given"], {"max_tokens": 16, "seed": 1, "temperature": 0.9, "top_k": 7,
                                         "samplers": ["top_k", "temperature"], "dry_sequence_breakers": ["x"]})
        self.assertTrue(said["prompts"][0]["divergence"]["same"])

    def test_a_preset_is_for_the_model_here(self):
        settings = self.file('[model."tolstoy-4m-q8_0"]\ntop_k = 3\n')
        said = self.json(self.server.url, "--config", settings)
        self.assertNotIn("top_k", said["given"])

    def test_every_way_to_write_the_address(self):
        for end in ("", "/", "/v1", "/v1/", "/v1/completions", "/v1/chat/completions"):
            with self.subTest(end=end):
                self.assertEqual(self.json(self.server.url + end)["prompts"][0]["api"]["n_failed"], 0)

    def test_as_text(self):
        done = self.done(compare(self.server.url, "-p", "It was \x1b[2J\na \u00e9", "-n", "24"))
        self.assertRegex(done.text, r"(?m)^ +waiting +writing +total +tok/s +prompt +output +memory +price$")
        lines = re.findall(r"(?m)^  local .* [\d.]+ MiB +0(, [\d.]+ J)?$", done.text)
        self.assertEqual(len(lines), 3)  # and the median
        self.assertEqual(done.text.count("  the same text ("), 2)
        self.assertIn("'It was \\x1b[2J\\na \u00e9'", done.text)
        self.assertIn("median of 2 prompts", done.text)
        self.assertRegex(done.text, r"energy not available|\n  local .* 0, [\d.]+ J\n")
        bars = re.findall(r"(?m)^(1 local|1 api|2 local|2 api|local|api) +(\.*#*) [\d.]+ m?s$", done.text)
        self.assertEqual([b[0] for b in bars], ["1 local", "1 api", "2 local", "2 api", "local", "api"])
        table = done.text.split("\n\n", 1)[1]
        self.assertLessEqual(max(map(len, table.splitlines())), 80)

    def test_as_csv(self):
        done = self.done(compare(self.server.url, "--csv", "--runs", "2"))
        rows = list(csv.DictReader(io.StringIO(done.text)))
        self.assertEqual([(r["prompt"], r["run"], r["side"], r["status"]) for r in rows],
                         [("1", run, side, "ok") for run in "12" for side in SIDES])
        self.assertEqual(rows[0]["n_output_tokens"], rows[1]["n_output_tokens"])
        self.assertEqual(rows[1]["resident_bytes"], "")

    def test_tls_with_a_certificate_of_ones_own(self):
        cert = os.path.join(TLS, "cert.pem")
        with Hearth("--tls-cert", cert, "--tls-key", os.path.join(TLS, "key.pem")) as server:
            url = f"https://localhost:{server.port}"
            key = self.file("secret-of-mine\n")
            said = self.json(url, "--ca-file", cert, "--key-file", key)
            self.assertTrue(said["prompts"][0]["divergence"]["same"])
            error = self.json(url, "--key-file", key, code=1)["prompts"][0]["api"]["error"]
            self.assertIn("its certificate is not trusted", error)
            self.assertIn("no connection", self.json(url.replace("localhost", "127.0.0.1").replace(
                str(server.port), "1"), code=1)["prompts"][0]["api"]["error"])


class AgainstOthers(CompareTest):
    def ask(self, *says, words=(), code=0, model="m", **more):
        """What compare says of a server that says this, and what it was asked."""
        with Fake(*says) as fake:
            said = self.json(fake.url, *words, code=code, model=model, **more)
        return said["prompts"][0], fake.asked

    def local_text(self):
        return hearth("run", "--raw", "-p", PROMPT, *STEERED).text

    def test_where_the_texts_part(self):
        text = self.local_text()
        at = text.index(" ", 10) + 2
        there = text[:at] + "\u00e9\u00e9 and so on"
        p, _ = self.ask(answer(stream(there[:7], there[7:20], there[20:])))
        self.assertEqual(p["api"]["text"], there)
        word = text[at - 1:].split()[0]
        self.assertEqual(p["divergence"], {"same": False, "at_byte": at, "at_char": at, "local_word": word,
                                           "api_word": text[at - 1] + "\u00e9\u00e9"})
        with Fake(answer(stream(there))) as fake:
            done = self.done(compare(fake.url))
        self.assertIn(f"the texts part after {at} characters ({at} bytes): '{word}' here, ", done.text)

    def test_an_answer_that_ends_earlier(self):
        text = self.local_text()
        p, _ = self.ask(answer(stream(text[:9])))
        self.assertEqual((p["divergence"]["at_byte"], p["divergence"]["same"]), (9, False))

    def test_what_is_asked(self):
        _, asked = self.ask(answer(stream("a")), words=("--chat-template", TEMPLATE, "--system", "Be brief."))
        line, headers, body = asked[0]
        self.assertEqual(line, "POST /v1/chat/completions HTTP/1.1")
        self.assertEqual((headers["content-type"], headers["accept"]), ("application/json", "text/event-stream"))
        self.assertNotIn("authorization", headers)
        self.assertEqual(body, {"model": "m", "max_tokens": 16, "seed": 1, "temperature": 0, "stream": True,
                                "stream_options": {"include_usage": True},
                                "messages": [{"role": "system", "content": "Be brief."},
                                             {"role": "user", "content": PROMPT}]})

    def test_tokens_are_the_servers_or_pieces(self):
        usage = {"prompt_tokens": 11, "completion_tokens": 40, "prompt_tokens_details": {"cached_tokens": 8},
                 "completion_tokens_details": {"reasoning_tokens": 30}}
        p, _ = self.ask(answer(stream("a", "b", usage=usage)))
        self.assertEqual([p["api"][k] for k in ("n_prompt_tokens", "n_cached_tokens", "n_output_tokens",
                                                "n_thinking_tokens")], [11, 8, 40, 30])
        p, _ = self.ask(answer(stream("a", "b", "c")))
        self.assertEqual((p["api"]["n_prompt_tokens"], p["api"]["n_output_tokens"]), (None, 3))
        self.assertEqual(p["api"]["runs"][0]["n_output_tokens_from"], "pieces")

    def test_thinking_is_apart(self):
        for name in "reasoning_content", "reasoning":
            event = {"choices": [{"delta": {name: "hm"}}]}
            p, _ = self.ask(answer(f"data: {json.dumps(event)}\n\n" + stream("a")))
            self.assertEqual((p["api"]["thinking"], p["api"]["text"]), ("hm", "a"))

    def test_lines_may_end_otherwise_and_comments_come_between(self):
        body = ": ping\r\n\r\n" + stream("a", "b", end="").replace("\n", "\r\n")
        self.assertEqual(self.ask(answer(body))[0]["api"]["text"], "ab")

    def test_a_limit_of_another_name(self):
        refuse = {"error": {"message": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."}}
        p, asked = self.ask(answer(json.dumps(refuse), "400 Bad Request", "application/json"), answer(stream("a")),
                            words=("--runs", "2"))
        self.assertEqual(p["api"]["n_ok"], 2)
        self.assertEqual([("max_tokens" in a[2], a[2].get("max_completion_tokens")) for a in asked],
                         [(True, None), (False, 16), (False, 16)])

    def test_the_only_model_is_asked_for(self):
        def models(*names):
            return answer(json.dumps({"data": [{"id": n} for n in names]}), kind="application/json")
        _, asked = self.ask(models("only"), answer(stream("a")), model=None)
        self.assertEqual((asked[0][0], asked[1][2]["model"]), ("GET /v1/models HTTP/1.1", "only"))
        with Fake(models("one", "two\x1b")) as fake:
            done = self.done(compare(fake.url, model=None), 2)
            self.assertIn("has 2 models: one, two; say which one (--api-model)", done.err)
        with Fake(answer("<html>", kind="text/html")) as fake:
            self.assertIn("text/html where a list of models was asked for",
                          self.done(compare(fake.url, model=None), 1).err)

    # ---- what goes wrong ----

    def fails(self, say, *words, options=()):
        """The other side still answers, both prompts are asked, and the sentence names the server."""
        with Fake(say) as fake:
            done = self.done(compare(fake.url, "-p", "It was", *options), 1)
        self.assertIn("hearth: prompt 1, api: 127.0.0.1:", done.err)
        self.assertEqual(len(re.findall(r"(?m)^  local .* MiB", done.text)), 3, done.text)
        self.assertEqual(done.text.count("failed: 127.0.0.1:"), 2)
        self.assertEqual(done.err.count("hearth: prompt"), 1)
        self.assertIn("1 more answer failed with words that were said before", done.err)
        for word in words:
            self.assertIn(word, done.err)
        return done

    def test_a_status_is_said_with_the_servers_own_words(self):
        def error(message):
            return json.dumps({"error": {"message": message, "type": "x"}})
        json_type = "application/json"
        self.fails(answer(error("no such\x1b[2J key"), "401 Unauthorized", json_type), "answered 401: no such [2J key",
                   "--key-file")
        self.fails(answer(error("slow down"), "429 Too Many Requests", json_type, "Retry-After: 20\r\n"),
                   "answered 429: slow down", "asks to wait 20 s")
        self.fails(answer("<html><body>down", "502 Bad Gateway", "text/html"),
                   "answered 502; that is the server's fault")
        self.fails(answer('{"detail": "no model"}', "404 Not Found", json_type), "answered 404: no model",
                   "--api-model")
        self.fails(answer('{"error": "' + "x" * 5000 + '"}', "400 Bad Request", json_type), "xxx...")
        self.fails(answer("plain words", "500 Oops", "text/plain"), "answered 500: plain words")
        self.fails(answer("half", "500 Oops", "text/plain", length=100), "answered 500: half")

    def test_a_redirect_is_not_followed(self):
        with Fake(answer(stream("a"))) as other:
            done = self.fails(answer("", "307 Temporary Redirect", "text/plain", f"Location: {other.url}/v1\r\n"),
                              "answered 307 and points to http://127.0.0.1:", "is not followed")
            self.assertEqual(other.asked, [])
        self.assertIn(str(other.port), done.err)

    def test_what_is_no_stream(self):
        self.fails(answer("<html>", kind="text/html"), "answered with text/html where a stream of events was asked for")
        self.fails(answer('{"choices": []}', kind="application/json"), "application/json")
        self.fails(answer("data: {no\x1b json}\n\n"), "an event that is no JSON object: '{no json}'")
        self.fails(answer('data: {"error": {"message": "out of memory"}}\n\n'), "ended the answer: out of memory")
        self.fails(b"SSH-2.0-OpenSSH\r\n", "does not speak HTTP")
        self.fails(answer(b"data: \xff\xfe\n\n"), "no JSON object: '??'")

    def test_a_stream_that_is_cut(self):
        self.fails(answer(chunk("a")), "the stream ended after 1 pieces of text")
        self.fails(answer(chunk("a"), length=10000), "the connection ended before the answer did")
        self.fails(lambda connection, request: None, "the connection ended before the answer did")

    def test_an_answer_without_end(self):
        def huge(connection, _):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
            piece = (chunk("a" * 60000) * 16).encode()
            while True:
                connection.sendall(piece)

        def long_line(connection, _):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: ")
            while True:
                connection.sendall(b"x" * 65536)

        def headers(connection, _):
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while True:
                connection.sendall(b"A: " + b"x" * 1000 + b"\r\n")
        self.fails(huge, "more than 67108864 bytes")
        self.fails(long_line, "a line of the stream has more than 1048576 bytes")
        self.fails(headers, "headers of its answer have more than 65536 bytes")

    def test_an_answer_that_does_not_come(self):
        def drip(connection, _):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
            while not self.over.wait(0.05):
                connection.sendall(b": ping\n\n")

        def silence(connection, _):
            self.over.wait(harness.PATIENCE_S)
        self.over = threading.Event()
        for say in drip, silence:
            self.fails(say, "the answer was not whole after 1 s", "--timeout", options=("--timeout", "1"))
        self.over.set()

    def test_nobody_listens(self):
        with socket.create_server(("127.0.0.1", 0)) as s:
            port = s.getsockname()[1]
        done = self.done(compare(f"http://127.0.0.1:{port}"), 1)
        self.assertIn(f"127.0.0.1:{port}: no connection: Connection refused", done.err)
        self.assertRegex(done.text, r"(?m)^  local .* MiB")
        self.assertIn("no connection", self.done(compare(f"http://127.0.0.1:{port}", model=None), 1).err)

    def test_an_interrupt_ends_it_with_what_there_is(self):
        def silence(connection, _):
            self.asked.set()
            self.over.wait(harness.PATIENCE_S)
        self.asked, self.over = (threading.Event() for _ in range(2))
        with Fake(silence) as fake:
            words = ("compare", "--api", fake.url, "--api-model", "m", "-p", PROMPT, *STEERED)
            process = subprocess.Popen([harness.program(), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                       env=CLEAN_ENV)
            self.assertTrue(self.asked.wait(harness.PATIENCE_S))
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=harness.PATIENCE_S)
            self.over.set()
        self.assertEqual(process.returncode, 130, err)
        self.assertRegex(out.decode(), r"(?m)^  local .* MiB")
        self.assertIn(b"interrupted", err)

    # ---- keys ----

    def test_a_key_is_sent_and_not_shown(self):
        key = "sk-canary-0123456789"
        path = self.file(f"# of the team\n\n  {key}  \nanother\n")
        echo = json.dumps({"error": {"message": f"the key {key} is wrong"}})
        event = "data: " + echo + "\n\n"
        refused = answer(echo, "401 No", "application/json")
        for say, code in ((answer(stream("a")), 0), (refused, 1), (answer(event), 1)):
            with Fake(say) as fake:
                for how in (), ("--json",), ("--csv",):
                    done = self.done(compare(fake.url, "--key-file", path, *how), code)
                    self.assertNotIn(key, done.text + done.err)
            self.assertEqual({a[1]["authorization"] for a in fake.asked}, {f"Bearer {key}"})

    def test_a_long_key_is_not_shown_in_part(self):
        key = "sk-" + "canary-0123456789" * 10
        path = self.file(key + "\n")
        echo = json.dumps({"error": {"message": "x" * 100 + f" the key {key} is wrong"}})
        redirect = answer("", "302 Found", "text/plain", f"Location: https://example.invalid/?key={key}\r\n")
        said = [answer(echo, "401 No", "application/json"), answer("data: " + echo + "\n\n"), redirect,
                answer(f"the key {key}", "500 No", "text/plain"), answer("data: " + key + "\n\n"),
                answer("x", "200 OK", f"text/{key}"), answer(stream(key))]
        for say in said:
            with Fake(say) as fake:
                done = compare(fake.url, "--key-file", path, "--json")
                self.assertNotIn("canary", done.text + done.err)

    def test_a_key_goes_to_no_other_machine_in_the_clear(self):
        path = self.file("sk-1\n")
        for host in "192.0.2.1", "example.invalid", "127.example.invalid", "localhost.invalid":
            done = self.done(compare(f"http://{host}", "--key-file", path), 2)
            self.assertIn(f"{host}: a key is not sent over http", done.err)

    def test_this_machine_is_asked_without_a_proxy(self):
        with Fake(answer(stream("a"))) as fake, Fake(answer(stream("b"))) as proxy:
            env = {"http_proxy": proxy.url, "all_proxy": proxy.url}
            self.json(fake.url, "--key-file", self.file("sk-1\n"), env=env)
            self.json(f"http://localhost:{fake.port}", env=env)
            self.assertEqual((len(fake.asked), len(proxy.asked)), (2, 0))
            self.json("http://192.0.2.1", env=env)
            self.assertEqual(proxy.asked[0][0], "POST http://192.0.2.1/v1/completions HTTP/1.1")

    def test_a_file_that_has_no_key(self):
        for text, words in (("", "it has no key"), ("# only a comment\n", "it has no key"),
                            ("x" * 5000, "longer than any key"), ("two words\n", "no key has")):
            done = self.done(compare("http://127.0.0.1:1", "--key-file", self.file(text)), 2)
            self.assertIn(words, done.err)
            self.assertNotIn("two words", done.err)
        self.assertEqual(compare("http://127.0.0.1:1", "--key-file", "/nowhere").code, 3)

    # ---- prices ----

    PRICE = ('[price."m"]\ninput_per_million = 2\ncached_input_per_million = 0.5\noutput_per_million = 8\n'
             'currency = "EUR"\ndate = "2026-11-01"\n')
    USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 400}}

    def test_the_price_is_the_settings(self):
        settings = self.file(self.PRICE)
        with Fake(answer(stream("a", usage=self.USAGE))) as fake:
            said = self.json(fake.url, "--config", settings)
            done = self.done(compare(fake.url, "--config", settings))
        self.assertAlmostEqual(said["prompts"][0]["api"]["price_amount"], (600 * 2 + 400 * 0.5 + 100 * 8) / 1e6)
        self.assertEqual(said["api"]["price"], {"model": "m", "currency": "EUR", "date": "2026-11-01",
                                                "input_per_million_tokens": 2, "cached_input_per_million_tokens": 0.5,
                                                "output_per_million_tokens": 8})
        self.assertIn("a million tokens in 2, out 8 EUR, as of 2026-11-01", done.text)
        self.assertIn("  0.0022 EUR", done.text)
        p, _ = self.ask(answer(stream("a", usage=self.USAGE)), words=("--config", settings), model="another")
        self.assertIsNone(p["api"]["price_amount"])
        p, _ = self.ask(answer(stream("a")), words=("--config", settings))
        self.assertIsNone(p["api"]["price_amount"])

    def test_receipts_say_what_it_would_have_cost(self):
        settings = self.file('equivalent-api = "m"\n' + self.PRICE)
        words = ("run", "-p", PROMPT, "--raw", "-n", "5", "--ignore-eos", "--seed", "1", "--config", settings)
        receipt = json.loads(self.done(hearth(*words, "--json")).text)["hearth"]
        self.assertEqual(receipt["equivalent_api_price"], {
            "amount": round((2 * receipt["prefill"]["n_prompt_tokens"] + 8 * 5) / 1e6, 9), "currency": "EUR",
            "model": "m", "date": "2026-11-01"})
        self.assertRegex(self.done(hearth(*words, "--receipt")).err,
                         r"(?m)^  equivalent_api_price +amount 0\.0000\d+, currency EUR, model m, date 2026-11-01$")
        without = ("run", "-p", PROMPT, "-n", "1", "--json")
        self.assertIsNone(json.loads(hearth(*without).text)["hearth"]["equivalent_api_price"])
        for command in "run", "chat", "serve":
            done = self.done(hearth(command, "--equivalent-api", "x", *(("-p", "x") if command == "run" else ())), 2)
            self.assertIn('--equivalent-api x: the settings have no [price."x"]', done.err)
        with Hearth("--config", settings) as server:
            said = self.json(server.url)["prompts"][0]["api"]
            self.assertEqual(said["n_failed"], 0)
            with urllib.request.urlopen(f"{server.url}/v1/completions", json.dumps({
                    "prompt": PROMPT, "max_tokens": 3, "ignore_eos": True}).encode()) as r:
                self.assertEqual(json.load(r)["hearth"]["equivalent_api_price"]["model"], "m")

    def test_a_price_is_whole_and_dated(self):
        for change, words in ((("date", None), "lacks date"), (("currency", None), "lacks currency"),
                              (("output_per_million", None), "lacks output-per-million"),
                              (("date", '"2026-13-01"'), "date '2026-13-01' is none"),
                              (("date", '"yesterday"'), "is none"), (("input_per_million", "-1"), "is not a number"),
                              (("currency", '"euros and cents"'), "currency"), (("colour", "1"), "there is no option"),
                              (("input_per_million", '"2"'), "must be a number")):
            key, value = change
            lines = [line for line in self.PRICE.splitlines() if not line.startswith(key + " ")]
            path = self.file("\n".join(lines + ([f"{key} = {value}"] if value else [])) + "\n")
            done = self.done(hearth("run", "-p", "x", "--config", path), 2)
            self.assertRegex(done.err, rf"^hearth: {re.escape(path)}:\d+: ")
            self.assertIn(words, done.err)
        self.assertIn("names no model", hearth("run", "-p", "x", "--config", self.file("[price]\n")).err)
        listed = self.done(hearth("config", "--config", self.file(self.PRICE))).text
        self.assertRegex(listed, r'\[price\."m"\]\n  input-per-million +2 +\S+:2')


class Prompts(CompareTest):
    def prompts(self, *words, code=0, stdin=b""):
        with Fake(answer(stream("a"))) as fake:
            done = self.done(compare(fake.url, *words, "--json", prompt=None, stdin=stdin), code)
        return [p["prompt"] for p in json.loads(done.text)["prompts"]] if code == 0 else done.err

    def test_they_come_from_the_line_from_files_and_from_lines(self):
        lines = self.file("one\r\n\n  two  \nthree", "lines")
        whole = self.file("all\nof it\n", "whole")
        model = os.path.join(ROOT, "models", "tolstoy-4m-q8_0.gguf")
        self.assertEqual(self.prompts("-p", "p", "--prompt", "q", "-f", whole, "--prompts", lines),
                         ["p", "q", "all\nof it\n", "one", "  two", "three"])
        self.assertEqual(self.prompts(model, lines, lines), ["one", "  two", "three"] * 2)
        self.assertEqual(self.prompts("--prompts", "-", stdin=b"from outside\n"), ["from outside"])

    def test_what_is_none_is_said(self):
        self.assertIn("there is no prompt", self.prompts(code=2))
        self.assertIn("has no prompt", self.prompts("--prompts", self.file("\n \n"), code=2))
        self.assertIn("--prompt: the prompt is empty", self.prompts("-p", "", code=2))
        self.assertIn("no-such-file", self.prompts("--prompts", "no-such-file", code=3))
        path = os.path.join(self.folder, "bytes")
        with open(path, "wb") as f:
            f.write(b"good\nbad \xff\n")
        self.assertIn(f"{path}:2: the prompt is no UTF-8", self.prompts("--prompts", path, code=2))
        self.assertIn("at most 1000", self.prompts("--prompts", self.file("x\n" * 1001), code=2))
        self.assertIn("20000 answers", self.prompts("--prompts", self.file("x\n" * 1000), "--runs", "20", code=2))

    def test_the_address_is_needed_and_looked_at(self):
        self.assertIn("--api is needed", self.done(hearth("compare", "-p", "x"), 2).err)
        for url, words in (("localhost:8080", "is no address"), ("ftp://x", "is no address"), ("", "is no address"),
                           ("http://user:pw@x", "a user's name or password"), ("http://x/?a=b", "a '?' or '#'"),
                           ("http://x/" + "y" * 3000, "bytes")):
            done = self.done(compare(url), 2)
            self.assertIn(words, done.err)
            self.assertNotIn("pw", done.err)
        self.assertIn("exclude each other", self.done(compare("http://x", "--json", "--csv"), 2).err)


if __name__ == "__main__":
    main()
