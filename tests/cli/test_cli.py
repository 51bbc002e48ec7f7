#!/usr/bin/env python3
"""test_cli.py: the program from outside.

    tests/cli/test_cli.py build/hearth [unittest arguments]
"""

import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import unittest

from harness import CLEAN_ENV, FIXTURES, PATIENCE_S, ROOT, hearth, main, program

sys.path.insert(0, os.path.join(ROOT, "tests", "model"))
import golden  # noqa: E402  # pylint: disable=wrong-import-position

PROMPT = "It was in the evening"


class CliTest(unittest.TestCase):
    """Two files for all tests: a tiny model with a chat template, and the same with another architecture."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="hearth-cli-")
        cls.tiny = os.path.join(cls.folder, "tiny.gguf")
        made = hearth("dev", "synth", "--shape", "tiny", cls.tiny)
        if made.code != 0:
            raise RuntimeError(made.err)
        with open(cls.tiny, "rb") as f:
            data = f.read()
        five = struct.pack("<Q", 5)
        cls.unknown = cls.file("unknown.gguf", data.replace(five + b"llama", five + b"zebra"))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @classmethod
    def file(cls, name, data):
        path = os.path.join(cls.folder, name)
        with open(path, "wb") as f:
            f.write(data)
        return path

    def done(self, result, code=0):
        self.assertEqual(result.code, code, result.err)
        self.assertNotIn("ERROR: AddressSanitizer", result.err)
        return result

    def refused(self, result, code, *words):
        """Nothing on standard output, and the sentence has these words."""
        self.done(result, code)
        self.assertEqual(result.out, b"")
        for word in words:
            self.assertIn(word, result.err)


class Help(CliTest):
    def test_alone_it_prints_a_page_with_commands_and_exit_codes(self):
        page = self.done(hearth()).text
        for word in ("run", "inspect", "tokenize", "exit codes", "130"):
            self.assertIn(word, page)
        self.assertEqual(page, self.done(hearth("help")).text)
        self.assertEqual(page, self.done(hearth("--help")).text)

    def test_every_command_has_a_page(self):
        for name in re.findall(r"^  (\S+(?: \S+)?) {2,}\S", hearth("help").text.split("exit codes")[0], re.MULTILINE):
            if name.startswith("hearth"):
                continue
            words = name.split()
            page = self.done(hearth("help", *words)).text
            self.assertTrue(page.startswith(f"hearth {name}"), page)
            self.assertEqual(page, self.done(hearth(*words, "--help")).text)

    def test_the_manual_in_the_tree_is_the_one_the_program_prints(self):
        with open(os.path.join(ROOT, "docs", "cli.md"), encoding="utf-8") as f:
            self.assertEqual(f.read(), self.done(hearth("help", "--markdown")).text,
                             "remake it: build/hearth help --markdown >docs/cli.md")

    def test_the_tables_of_the_api_are_the_ones_the_program_prints(self):
        tables = self.done(hearth("help", "--api")).text.strip().split("\n\n")
        self.assertEqual(len(tables), 8)
        with open(os.path.join(ROOT, "docs", "api.md"), encoding="utf-8") as f:
            page = f.read()
        for table in tables:
            for line in table.split("\n"):
                self.assertIn("\n" + line + "\n", page, "put it into docs/api.md: build/hearth help --api")

    def test_an_unknown_command_names_the_nearest(self):
        self.refused(hearth("rum"), 2, "rum", "hearth run")
        self.refused(hearth("model.gguf"), 2, "hearth run model.gguf")
        self.refused(hearth("dev"), 2, "dev synth")

    def test_an_unknown_option_names_the_nearest(self):
        self.refused(hearth("run", "--tempreature", "1", "-p", "x"), 2, "--tempreature", "--temperature")
        self.refused(hearth("inspect", "--jsn"), 2, "--json")

    def test_a_bad_value_is_told_with_its_range(self):
        self.refused(hearth("run", "-p", "x", "--top-p", "1.5"), 2, "--top-p", "'1.5'", "0 to 1")
        self.refused(hearth("run", "-p", "x", "-n", "many"), 2, "-n", "'many'", "1 to")

    def test_version_and_env(self):
        self.assertRegex(self.done(hearth("version")).text, r"^hearth \d+\.\d+\.\d+\n")
        self.assertEqual(hearth("--version").text, hearth("version").text)
        listed = self.done(hearth("env", env={"HEARTH_TEMPERATURE": "0.25"})).text
        self.assertRegex(listed, r"HEARTH_TEMPERATURE +0\.25 ")
        self.assertRegex(listed, r"HEARTH_MODEL +- ")

    def test_models_that_cannot_be_served_together_are_refused_at_once(self):
        other = self.file("other.gguf", b"GGUF")
        for words, said in ((["--alias", "a", "--alias", "b"], "--alias is given 2 times, for 1 model;"),
                            ([self.tiny], "are one file; name each model once"),
                            ([other, "--alias", "x", "--alias", "x"], "would both be called 'x'; give each a name"),
                            ([other, "--alias", "other"], "would both be called 'other'"),
                            ([other, "--chat-template", "t.jinja"], "--chat-template is for one model"),
                            ([other, "--model", self.tiny], "two models are named")):
            self.refused(hearth("serve", self.tiny, *words), 2, said, "usage: hearth serve [MODEL ...]")
        self.refused(hearth("serve", self.tiny, other, "--port", "0"), 3, "other.gguf")
        self.refused(hearth("serve", self.tiny, self.unknown, "--port", "0"), 3, "unknown.gguf", "zebra")

    def test_a_variable_that_nothing_reads_is_reported(self):
        self.assertIn("HEARTH_TEMPRATURE", hearth("version", env={"HEARTH_TEMPRATURE": "1"}).err)
        self.assertNotIn("HEARTH_TEMPERATURE", hearth("version", env={"HEARTH_TEMPERATURE": "1"}).err)


class InspectTemplate(CliTest):
    CHATML = (b"{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
              b"{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")

    def test_it_shows_a_conversation_with_special_tokens_marked(self):
        page = self.done(hearth("inspect", self.tiny, "--template")).text
        self.assertIn("What is 2 + 2?[[<|eot_id|>]]", page)
        self.assertIn("answer ends    <|eot_id|>", page)
        self.assertNotIn("\033", page)
        o = json.loads(self.done(hearth("inspect", self.tiny, "--template", "--json")).text)
        self.assertEqual(o["from"], "file")
        self.assertTrue(o["system"])
        self.assertEqual(o["answer_end"], "<|eot_id|>")
        self.assertEqual({f["level"] for f in o["findings"]}, {"note"})
        whole = json.loads(self.done(hearth("inspect", self.tiny, "--json")).text)
        self.assertEqual(whole["template"], o)

    def test_a_template_of_another_vocabulary_is_a_problem(self):
        template = self.file("chatml.jinja", self.CHATML)
        r = self.done(hearth("inspect", self.tiny, "--template", "--chat-template", template), 1)
        self.assertIn("problem  unreachable-stop: ", r.text)
        self.assertIn("warning  unknown-special: ", r.text)
        short = self.done(hearth("inspect", self.tiny, "--chat-template", template)).text
        self.assertIn("1 problem, 1 warning (--template)", short)
        asked = self.done(hearth("run", self.tiny, "x", "-n", "2", "--chat-template", template))
        self.assertIn("would not stop", asked.err)

    def test_a_file_without_a_template_says_so(self):
        bare = os.path.join(FIXTURES, "vocab", "ggml-vocab-qwen2.gguf")
        if not FIXTURES:
            self.skipTest("needs HEARTH_FIXTURES")
        self.assertIn("none", self.done(hearth("inspect", bare, "--template")).text)
        self.assertEqual(self.done(hearth("inspect", bare, "--template", "--json")).text, "null\n")

    def test_control_characters_of_a_template_do_not_reach_the_terminal(self):
        template = self.file("evil.jinja", b"\x1b[2J{{ messages | map(attribute='content') | join('\x1b[1m') }}")
        r = hearth("inspect", self.tiny, "--template", "--chat-template", template)
        self.assertNotIn(b"\x1b", r.out)
        self.assertIn("\\x1b", r.text)


class Run(CliTest):
    def answer(self, *args, **more):
        return self.done(hearth("run", *args, "--seed", "1", "-n", "12", **more))

    def test_the_answer_alone_is_on_standard_output(self):
        plain, as_json = self.answer("-p", PROMPT), self.answer("-p", PROMPT, "--json")
        self.assertEqual(plain.text, json.loads(as_json.text)["text"])
        self.assertFalse(plain.text.startswith(PROMPT))
        self.assertIn("tok/s", plain.err)
        self.assertIn("context", plain.err)

    def test_standard_error_says_which_model(self):
        self.assertIn("built-in", self.answer("-p", PROMPT).err)
        named = self.answer(self.tiny, PROMPT, "--raw")
        self.assertIn(self.tiny, named.err)
        by_env = self.answer("-p", PROMPT, "--raw", env={"HEARTH_MODEL": self.tiny})
        self.assertIn("HEARTH_MODEL", by_env.err)
        self.assertEqual(named.out, by_env.out)
        line_wins = self.answer(self.tiny, PROMPT, "--raw", env={"HEARTH_MODEL": "/nowhere"})
        self.assertEqual(named.out, line_wins.out)

    def test_the_field_s_spellings_mean_the_same(self):
        want = self.answer(self.tiny, PROMPT, "--raw", "--ctx", "64", "--threads", "2", "--temperature", "0.5")
        same = self.done(hearth("run", "-m", self.tiny, "-p", PROMPT, "--raw", "-c", "64", "-t", "2", "--temp", "0.5",
                                "-s", "1", "--n-predict", "12"))
        self.assertEqual(want.out, same.out)
        self.assertEqual(want.out, self.answer("--model=" + self.tiny, PROMPT, "--raw", "--ctx_size", "64",
                                               "--temp=0.5").out)

    def test_same_seed_same_answer_however_it_is_computed(self):
        prompt = PROMPT * 10
        want = self.answer("-p", prompt, "--digest", "-t", "1")
        for how in (["-t", "2"], ["-t", "3", "--chunk", "1"], ["--chunk", "7"]):
            got = self.answer("-p", prompt, "--digest", *how)
            self.assertEqual(want.out, got.out)
            self.assertEqual(re.search("digest .*", want.err)[0], re.search("digest .*", got.err)[0])

    def test_json_has_the_documented_keys(self):
        o = json.loads(self.answer("-p", PROMPT, "--json", "--top_k", "7").text)
        self.assertEqual(set(o), {"text", "token_ids", "finish_reason", "hearth"})
        self.assertEqual(o["finish_reason"], "length")
        self.assertEqual(len(o["token_ids"]), 12)
        receipt = o["hearth"]
        with open(os.path.join(ROOT, "docs", "receipt.md"), encoding="utf-8") as f:
            documented = f.read()
        for key in receipt:
            self.assertIn(f"`{key}`", documented)
        self.assertEqual(receipt["sampling"]["top_k"], {"value": 7, "from": "request"})
        self.assertEqual(receipt["sampling"]["top_p"], {"value": 0.95, "from": "default"})
        self.assertEqual(receipt["seed"], {"value": 1, "from": "request"})
        self.assertEqual(receipt["decode"]["n_output_tokens"], 12)

    def test_drafts_change_the_receipt_and_nothing_of_the_answer(self):
        repeats = ("-p", "Now it is and now it was and now it is and now it was and now", "-n", "90", "--temp", "0",
                   "--ignore-eos", "--digest", "--json")
        answers = {}
        for how in ("off", "auto", "1", "4", "16"):
            answers[how] = json.loads(hearth("run", "--raw", *repeats, "--speculate", how).text)
            self.assertEqual(answers[how]["token_ids"], answers["off"]["token_ids"])
            self.assertEqual(answers[how]["digest"], answers["off"]["digest"])
            said = answers[how]["hearth"]["speculation"]
            self.assertEqual(said["setting"], int(how) if how.isdigit() else how)
            self.assertLessEqual(said["n_accepted_tokens"], said["n_draft_tokens"])
        self.assertEqual(answers["off"]["hearth"]["speculation"]["n_draft_tokens"], 0)
        self.assertGreater(answers["4"]["hearth"]["speculation"]["n_accepted_tokens"], 5)
        err = hearth("run", "--raw", *repeats[:-1], "--speculate", "4").err
        self.assertRegex(err, r"end: max_tokens 90, \d+ of \d+ drafted tokens right")

    def test_a_length_of_drafts_that_cannot_be_is_refused(self):
        for command in (("run", "-p", PROMPT, "-n", "2"), ("chat",)):
            for text in ("0", "17", "-1", "on", "4x", ""):
                done = hearth(*command, "--speculate=" + text)
                self.assertEqual((done.code, done.text), (2, ""))
                self.assertIn("must be auto, off or a number from 1 to 16", done.err)

    def test_the_digest_is_the_same_in_both_forms(self):
        o = json.loads(self.answer("-p", PROMPT, "--json", "--digest").text)
        self.assertRegex(o["digest"], r"^[0-9a-f]{64}$")
        self.assertEqual(o["digest"], o["hearth"]["digest"])
        self.assertIn(f"\ndigest {o['digest']}\n", self.answer("-p", PROMPT, "--digest").err)

    def test_the_type_of_keys_and_values_is_in_the_receipt_and_in_the_bits(self):
        digests = set()
        for kv_type in "f16", "bf16", "q8":
            o = json.loads(self.answer("-p", PROMPT, "--json", "--digest", "--kv-type", kv_type).text)
            self.assertEqual(o["hearth"]["memory"]["kv_type"], kv_type)
            digests.add(o["digest"])
        self.assertEqual(len(digests), 3)
        done = hearth("run", "-p", PROMPT, "--kv-type", "q9")
        self.assertEqual((done.code, done.text), (2, ""))
        self.assertIn("f16|bf16|q8", done.err)

    def test_the_receipt_is_printed_when_asked_for(self):
        self.assertNotIn("arithmetic_revision", self.answer("-p", PROMPT).err)
        err = self.answer("-p", PROMPT, "--receipt").err
        for word in ("arithmetic_revision", "1 (request)", "top_k 40 (default)", "kv_bytes"):
            self.assertIn(word, err)

    def test_weights_are_in_memory_when_asked_for(self):
        model = os.path.join(ROOT, "models", "tolstoy-4m-q8_0.gguf")
        ask = ("run", model, "--raw", "-p", PROMPT, "-n", "2", "--json")
        receipts = [json.loads(hearth(*ask, *how).text)["hearth"] for how in ((), ("--preload",))]
        self.assertEqual([r["weights"] for r in receipts], [{"preloaded": False, "locked": False},
                                                            {"preloaded": True, "locked": False}])
        self.assertEqual(receipts[0]["load"]["weights_ms"], 0)
        self.assertGreaterEqual(receipts[1]["load"]["weights_ms"], 0)
        r = hearth(*ask, "--lock")
        if r.code == 0:
            self.assertEqual(json.loads(r.text)["hearth"]["weights"], {"preloaded": True, "locked": True})
        else:  # this process may not
            self.assertEqual(r.code, 4)
            self.assertRegex(r.err, r"cannot lock 4 MiB of weights in memory, the limit on locked memory is \d+ KiB; ")
        r = hearth("perplexity", model, "-", "--preload", "--limit", "1", "--window", "16", stdin=PROMPT.encode() * 9)
        self.assertEqual(r.code, 0, r.err)

    def test_the_order_of_samplers_and_the_breakers_are_the_lines(self):
        ask = ("-p", PROMPT, "--json", "--samplers", "dry;Typical;temp", "--typical", "0.9", "--dry-multiplier", "0.8",
               "--dry-sequence-breaker", "\\n", "--dry-sequence-breaker", "zz##zz")
        first, again = (json.loads(self.answer(*ask).text) for _ in range(2))
        self.assertEqual(first["token_ids"], again["token_ids"])
        receipt = first["hearth"]
        self.assertEqual(receipt["samplers"], {"value": ["dry", "typ_p", "temperature"], "from": "request"})
        self.assertEqual(receipt["dry_sequence_breakers"], {"value": ["\n", "zz##zz"], "from": "request"})
        self.assertEqual(receipt["sampling"]["dry_multiplier"], {"value": 0.8, "from": "request"})
        notes = "\n".join(receipt["notes"])
        self.assertIn("does not name them: top_k top_p min_p", notes)
        self.assertIn("has dry_sequence_breaker 1 in it", notes)
        receipt = json.loads(self.answer("-p", PROMPT, "--json", "--dry-sequence-breaker", "none").text)["hearth"]
        self.assertEqual(receipt["dry_sequence_breakers"], {"value": [], "from": "request"})
        self.assertEqual((receipt["samplers"]["from"], len(receipt["samplers"]["value"])), ("default", 9))

    def test_samplers_that_do_not_exist_are_refused(self):
        for words, said in ((("--samplers", "top_k;mirostat"), "no sampler 'mirostat'"),
                            (("--samplers", "top_k;top-k"), "stands twice"),
                            (("--mirostat", "1"), "use 2, or 0"),
                            (("--dry-sequence-breaker", ""), "must have 1 to 63")):
            r = hearth("run", "-p", PROMPT, "-n", "4", *words)
            self.assertNotEqual(r.code, 0)
            self.assertIn(said, r.err)
            self.assertEqual(r.out, b"")

    def test_mirostat_is_the_same_again_and_says_what_it_puts_aside(self):
        ask = ("-p", PROMPT, "--json", "--mirostat", "2", "--mirostat-ent", "3")
        first, again = (json.loads(self.answer(*ask).text) for _ in range(2))
        self.assertEqual(first["token_ids"], again["token_ids"])
        self.assertIn("because mirostat is on: top_k top_p min_p", "\n".join(first["hearth"]["notes"]))

    def test_a_seed_is_drawn_and_told_when_none_is_given(self):
        o = json.loads(self.done(hearth("run", "-p", PROMPT, "-n", "4", "--json")).text)
        self.assertEqual(o["hearth"]["seed"]["from"], "drawn")
        again = hearth("run", "-p", PROMPT, "-n", "4", "--seed", str(o["hearth"]["seed"]["value"]))
        self.assertEqual(again.text, o["text"])

    def test_standard_input_is_appended_to_the_prompt_byte_for_byte(self):
        want = self.answer("-p", PROMPT + " the old\n").out
        self.assertEqual(want, self.answer("-p", PROMPT, stdin=b" the old\n").out)
        self.assertEqual(want, self.answer(stdin=(PROMPT + " the old\n").encode()).out)
        self.assertNotEqual(want, self.answer("-p", PROMPT + " the old").out)

    def test_one_word_alone_is_the_model(self):
        self.refused(hearth("run", "Once upon a time"), 2, "no prompt")
        self.refused(hearth("run", "Once upon a time", stdin=b"x"), 3, "Once upon a time", "-p")

    def test_what_cannot_be_meant_is_refused(self):
        self.refused(hearth("run"), 2, "no prompt")
        self.refused(hearth("run", self.tiny, "a", "-p", "b"), 2, "two prompts")
        self.refused(hearth("run", self.tiny, "a", "-m", self.tiny), 2, "two models")
        self.refused(hearth("run", "a", "b", "c"), 2, "'c'")

    def test_options_come_from_the_environment_and_the_line_wins(self):
        env = {"HEARTH_TEMPERATURE": "0.25", "HEARTH_TOP_K": "5", "HEARTH_JSON": "1", "HEARTH_N_PREDICT": "3"}
        o = json.loads(self.done(hearth("run", "-p", PROMPT, "--top-k", "6", env=env)).text)
        self.assertEqual(len(o["token_ids"]), 3)
        self.assertEqual(o["hearth"]["sampling"]["temperature"], {"value": 0.25, "from": "request"})
        self.assertEqual(o["hearth"]["sampling"]["top_k"]["value"], 6)
        self.refused(hearth("run", "-p", "x", env={"HEARTH_CTX": "big"}), 2, "HEARTH_CTX", "'big'")

    def test_the_prompt_goes_through_the_files_template(self):
        answer = json.loads(self.done(hearth("run", self.tiny, "hello", "-n", "8", "--seed", "1", "--json")).text)
        prompt = json.loads(self.done(hearth("apply-template", self.tiny, "--json",
                                             stdin=b'[{"role": "user", "content": "hello"}]')).text)
        self.assertIn("hello", prompt["prompt"])
        self.assertNotEqual("hello", prompt["prompt"])
        self.assertEqual(answer["hearth"]["prefill"]["n_prompt_tokens"], len(prompt["token_ids"]))
        self.assertEqual(answer["hearth"]["template"]["from"], "file")
        raw = json.loads(self.done(hearth("run", self.tiny, "hello", "--raw", "-n", "8", "--json")).text)
        self.assertLess(raw["hearth"]["prefill"]["n_prompt_tokens"], len(prompt["token_ids"]))
        self.assertIsNone(raw["hearth"]["template"])

    def test_options_of_templates_need_one(self):
        self.refused(hearth("run", self.tiny, "hello", "--no-thinking"), 2, "no switch")
        self.refused(hearth("run", self.tiny, "hello", "--raw", "--system", "x"), 2, "--system", "--raw")
        self.refused(hearth("run", "-p", "hello", "--thinking"), 2, "--thinking", "--chat-template")
        self.refused(hearth("run", self.tiny, "hello", "--special"), 2, "--special", "--raw")

    def test_thinking_is_no_part_of_the_answer(self):
        template = self.file("think.jinja", b"{% for m in messages %}{{ m.content }}\n{% endfor %}"
                             b"{{ '<think></think>' if enable_thinking is false else '<think>' }}")
        ask = ["run", self.tiny, "hello", "-n", "8", "--seed", "1", "--ignore-eos", "--chat-template", template]
        quiet = self.done(hearth(*ask))
        self.assertEqual(quiet.out, b"")
        shown = self.done(hearth(*ask, "--show-thinking"))
        self.assertEqual(shown.out, b"")
        self.assertGreater(len(shown.err), len(quiet.err))
        self.assertNotIn("\033", shown.err)
        told = json.loads(self.done(hearth(*ask, "--json")).text)
        self.assertEqual(told["text"], "")
        self.assertTrue(told["thinking"])
        self.assertEqual(told["hearth"]["decode"]["n_thinking_tokens"], 8)
        at_once = json.loads(self.done(hearth(*ask, "--json", "--no-thinking")).text)
        self.assertTrue(at_once["text"])
        self.assertNotIn("thinking", at_once)
        self.assertEqual(at_once["hearth"]["decode"]["n_thinking_tokens"], 0)

    def test_what_the_template_says_is_passed_on(self):
        template = self.file("raise.jinja", b"{{ raise_exception('only on Sundays') }}")
        self.refused(hearth("run", self.tiny, "hello", "--chat-template", template), 1, "only on Sundays", "line 1")
        broken = self.file("broken.jinja", b"{% if %}")
        self.refused(hearth("run", self.tiny, "hello", "--chat-template", broken), 3, "line 1 column")

    def test_files_that_are_no_models_are_refused(self):
        self.refused(hearth("run", os.path.join(self.folder, "absent.gguf"), "x"), 3, "absent.gguf")
        self.refused(hearth("run", self.folder, "x"), 3)
        self.refused(hearth("run", self.file("text.gguf", b"not a model at all"), "x"), 3)
        self.refused(hearth("run", self.unknown, "x", "--raw"), 3, "zebra")

    def test_a_context_that_does_not_fit_into_memory_is_refused_with_the_sum(self):
        r = hearth("run", self.tiny, "x", "--raw", "--ctx", str(1 << 30))
        self.assertIn(r.code, (2, 4), r.err)
        self.assertEqual(r.out, b"")

    def test_a_prompt_longer_than_the_context_is_an_error_with_the_numbers(self):
        self.refused(hearth("run", "-p", PROMPT * 200), 1, "256", "--ctx")
        o = hearth("run", "-p", PROMPT * 200, "--json")
        self.assertEqual(o.code, 1)
        self.assertEqual(json.loads(o.text)["finish_reason"], "error")
        self.assertIn("256", json.loads(o.text)["error"])

    def test_a_full_disk_is_an_error(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([program(), "run", "-p", PROMPT, "-n", "4"], stdin=subprocess.DEVNULL, stdout=full,
                                  stderr=subprocess.PIPE, env=CLEAN_ENV, timeout=PATIENCE_S, check=False)
        self.assertEqual(done.returncode, 3)
        self.assertIn(b"standard output", done.stderr)


def start_blocked(*args):
    """Start a run whose answer is more than its pipe holds: it is in the middle for as long as nobody reads.
    Returns the process once it has begun to answer, and the reading end."""
    import fcntl
    reader, writer = os.pipe()
    fcntl.fcntl(writer, getattr(fcntl, "F_SETPIPE_SZ", 1031), 4096)
    process = subprocess.Popen([program(), "run", *args], stdin=subprocess.DEVNULL, stdout=writer,
                               stderr=subprocess.PIPE, env=CLEAN_ENV)
    os.close(writer)
    first = os.read(reader, 1)
    return process, reader, first


class Interrupted(CliTest):
    def args(self):
        return [self.tiny, PROMPT, "--raw", "--ignore-eos", "--seed", "1", "-n", "1900"]

    def finish(self, process):
        _, err = process.communicate(timeout=PATIENCE_S)
        return process.returncode, err.decode()

    def test_ctrl_c_prints_what_came_and_ends_with_130(self):
        process, reader, text = start_blocked(*self.args())
        process.send_signal(signal.SIGINT)
        with open(reader, "rb") as rest:
            text += rest.read()
        code, err = self.finish(process)
        self.assertEqual(code, 130, err)
        self.assertIn("interrupted", err)
        self.assertIn("tok/s", err)
        whole = self.done(hearth("run", *self.args())).out
        self.assertTrue(whole.startswith(text))
        self.assertLess(len(text), len(whole))

    def test_a_second_ctrl_c_ends_at_once(self):
        process, reader, _ = start_blocked(*self.args())
        process.send_signal(signal.SIGINT)
        while process.poll() is None:  # nobody reads: only the second one can end it
            try:
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)
        self.assertEqual(process.returncode, 130)
        process.stderr.close()
        os.close(reader)

    def test_a_reader_that_goes_away_ends_the_run_quietly(self):
        process, reader, _ = start_blocked(*self.args())
        os.close(reader)
        code, err = self.finish(process)
        self.assertEqual(code, 0, err)
        self.assertNotIn("cannot write", err)

    def test_json_after_ctrl_c_is_whole_and_says_cancelled(self):
        process = subprocess.Popen([program(), "run", *self.args(), "--json"], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=CLEAN_ENV)
        while b"context" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_S)
        if process.returncode == 0:
            self.skipTest("the answer was finished before the signal came")
        self.assertEqual(process.returncode, 130, err)
        if out:
            self.assertEqual(json.loads(out)["finish_reason"], "cancelled")


class Inspect(CliTest):
    def test_the_built_in_model_runs_here(self):
        page = self.done(hearth("inspect"))
        for word in ("architecture   llama", "parameters", "Q8_0", "context", "per token", "tokenizer",
                     "chat template  none", "memory", "runs here      yes"):
            self.assertIn(word.lower(), page.text.lower())
        self.assertIn("built-in", page.err)
        # What the machine has free and what the program has touched differ from one call to the next.
        free = re.compile(r"[0-9.]+ MiB of [0-9.]+ GiB: ")
        self.assertRegex(page.text, free)
        self.assertEqual(free.sub("N of N: ", page.text), free.sub("N of N: ", self.done(hearth("show")).text))

    def test_a_guessed_pre_tokenizer_is_warned_about(self):
        for name, n in (("ok_vocab_bpe_no_pre", 1), ("ok_vocab_bpe", 0)):
            path = os.path.join(ROOT, "tests", "golden", "gguf", name + ".gguf")
            self.assertEqual("names no pre-tokenizer" in hearth("inspect", path).text, n == 1)
            self.assertEqual(len(json.loads(hearth("inspect", path, "--json").text)["warnings"]), n)

    def test_tokens_of_the_beginning_the_end_and_the_gap_are_shown(self):
        qwen = os.path.join(FIXTURES, "vocab", "ggml-vocab-qwen2.gguf") if FIXTURES else None
        if not qwen:
            self.skipTest("needs HEARTH_FIXTURES")
        self.assertRegex(hearth("inspect", qwen).text, "tokens +BOS 151643, EOS 151645, fim_prefix 151659, fim_suffix")
        o = json.loads(hearth("inspect", qwen, "--json").text)
        self.assertEqual(o["tokens"], {"bos": 151643, "eos": 151645, "fim_prefix": 151659, "fim_suffix": 151661,
                                       "fim_middle": 151660, "fim_pad": 151662, "fim_rep": 151663, "fim_sep": 151664})
        self.assertIsNone(o["pooling"])

    def test_json_says_the_same(self):
        o = json.loads(self.done(hearth("inspect", self.tiny, "--json")).text)
        self.assertEqual(o["architecture"], "llama")
        self.assertTrue(o["runs"])
        self.assertEqual(o["problem"], "")
        self.assertEqual(o["shape"]["n_layers"], 2)
        self.assertEqual(o["file_bytes"], os.path.getsize(self.tiny))
        self.assertIn("<|start_header_id|>", o["chat_template"])
        for key in ("n_parameters", "types", "kv_bytes_per_token", "tokenizer", "n_ctx_train_tokens"):
            self.assertTrue(o[key], key)
        for key in ("weights_bytes", "kv_bytes", "workspace_bytes", "budget_bytes", "n_ctx_tokens", "n_threads",
                    "reason"):
            self.assertIn(key, o["plan"])

    def test_a_plan_for_another_context(self):
        plan = json.loads(self.done(hearth("inspect", self.tiny, "--json", "--ctx", "128", "-t", "1")).text)["plan"]
        self.assertEqual((plan["n_ctx_tokens"], plan["n_threads"]), (128, 1))

    def test_the_plan_is_a_table_that_adds_up(self):
        page = self.done(hearth("inspect", self.tiny, "--plan", "-t", "1")).text
        for word in ("weights", "KV", "workspace", "vocabulary", "program", "requests", "total", "budget", "left"):
            self.assertRegex(page, rf"\n  {word} +[0-9.]+ ")
        self.assertIn("threads 1: as asked", page)
        self.assertIn("it fits", page)
        plan = json.loads(self.done(hearth("inspect", self.tiny, "--json")).text)["plan"]
        parts = ("weights_bytes", "kv_bytes", "workspace_bytes", "vocabulary_bytes", "program_bytes",
                 "request_bytes")
        self.assertEqual(sum(plan[part] for part in parts), plan["total_bytes"])
        self.assertEqual(sorted(plan["longest_ctx_tokens"]), ["bf16", "f16", "f32", "q8"])

    def test_what_does_not_fit_is_shown_with_what_would(self):
        args = (self.tiny, "--ctx", str(1 << 30))
        page = self.done(hearth("inspect", *args, "--plan"), 1).text
        self.assertRegex(page, r"\n  missing +[0-9.]+ \wiB   total - budget")
        self.assertRegex(page, r"runs here +no: KV .* \+ workspace .* = .*, but the budget is ")
        n = int(re.search(r"it does not fit; instead would\n  --ctx (\d+) --kv-type f16", page).group(1))
        self.done(hearth("inspect", self.tiny, "--ctx", str(n)))
        plan = json.loads(self.done(hearth("inspect", *args, "--json"), 1).text)["plan"]
        self.assertEqual(plan["longest_ctx_tokens"]["f16"], n)

    def test_experts_windows_and_states_are_named_where_a_model_has_them(self):
        for name, said, shape in (
                ("glm4moe", ["experts +8 of FFN 32, a token has 3; FFN 32 for all tokens; none in 1 of"],
                 {"n_experts": 8, "n_dense_layers": 1}),
                ("gemma3", [r"window +6 of 7 layers see 16 tokens"], {"n_window_tokens": 16}),
                ("lfm2", [r"state +\d of \d layers keep one instead of keys and values: 1.50 KiB a sequence"], {}),
                ("llama", [], {})):
            path = self.file(name + ".gguf", b"")
            golden.write(golden.read(name), path)
            text, o = hearth("inspect", path).text, json.loads(hearth("inspect", path, "--json").text)
            for pattern in said:
                self.assertRegex(text, pattern)
            self.assertEqual(len(re.findall("^(experts|window|state) ", text, re.MULTILINE)), len(said), text)
            self.assertLessEqual(shape.items(), o["shape"].items())
            self.assertEqual("state_bytes" in o["shape"], name == "lfm2")

    def test_a_plan_for_another_type_of_keys_and_values(self):
        for kv_type, of_32 in ("f16", 64), ("bf16", 64), ("q8", 34), ("f32", 128):
            o = json.loads(self.done(hearth("inspect", self.tiny, "--json", "--ctx", "128", "--kv-type", kv_type)).text)
            shape, plan = o["shape"], o["plan"]
            per_token = 2 * shape["n_layers"] * shape["n_kv_heads"] * shape["head_dim"] // 32 * of_32
            self.assertEqual((o["kv_bytes_per_token"], plan["kv_bytes"]), (per_token, 128 * per_token))
            self.assertEqual(plan["kv_type"], kv_type)
            self.assertIn(f"({kv_type})", hearth("inspect", self.tiny, "--kv-type", kv_type).text)

    def test_a_file_that_cannot_run_is_described_and_ends_with_1(self):
        r = self.done(hearth("inspect", self.unknown), 1)
        self.assertIn("zebra", r.text)
        self.assertRegex(r.text, r"runs here +no: ")
        o = json.loads(self.done(hearth("inspect", self.unknown, "--json"), 1).text)
        self.assertFalse(o["runs"])
        self.assertIn("zebra", o["problem"])

    def test_damaged_files_end_with_3(self):
        with open(self.tiny, "rb") as f:
            data = f.read()
        for name, damaged in (("empty", b""), ("magic", b"GGUF"), ("noise", bytes(range(256)) * 64),
                              ("header", data[:4000]), ("half", data[:len(data) // 2]),
                              ("counts", data[:8] + b"\xff" * 16 + data[24:])):
            self.refused(hearth("inspect", self.file(name + ".gguf", damaged)), 3, "hearth: ")

    @unittest.skipUnless(FIXTURES, "needs HEARTH_FIXTURES")
    def test_a_vocabulary_without_tensors_is_described_and_does_not_run(self):
        r = self.done(hearth("inspect", os.path.join(FIXTURES, "vocab", "ggml-vocab-llama-bpe.gguf")), 1)
        self.assertIn("llama-bpe", r.text)


class Tokenize(CliTest):
    def ids(self, text, *args, model=None):
        line = self.done(hearth("tokenize", model or self.tiny, "--ids", *args, stdin=text)).text
        self.assertTrue(line.endswith("\n") and line.count("\n") == 1)
        return [int(n) for n in line.split()]

    def test_ids_stand_on_one_line(self):
        self.assertEqual(self.ids(b""), [])
        ids = self.ids(b"one two\nthree")
        self.assertGreater(len(ids), 2)

    def test_standard_input_counts_byte_for_byte(self):
        self.assertNotEqual(self.ids(b"end"), self.ids(b"end\n"))
        self.assertEqual(len(self.ids(b"\x00")), 1)
        self.assertGreaterEqual(len(self.ids(b"\xff\xfe\x00a\r\n")), 4)

    def test_the_long_form_has_the_same_ids_and_the_text(self):
        text = "Two words,\tÄ\n".encode()
        lines = self.done(hearth("tokenize", self.tiny, stdin=text)).text.splitlines()
        self.assertEqual([int(line.split()[0]) for line in lines], self.ids(text))
        shown = "".join(re.match(r' *\d+  "(.*)"$', line)[1] for line in lines)
        back = re.sub(rb"\\x([0-9a-f]{2})", lambda m: bytes([int(m[1], 16)]), shown.encode())
        self.assertEqual(back.replace(b"\\n", b"\n").replace(b"\\t", b"\t"), text)

    def test_special_tokens_are_text_unless_asked_for(self):
        text = b"<|eot_id|>"
        self.assertGreater(len(self.ids(text)), 1)
        self.assertEqual(self.ids(text, "--special"), [1024 + 9])

    def test_bos_comes_only_when_asked_for(self):
        plain = self.ids(b"hello")
        self.assertEqual(self.ids(b"hello", "--bos"), [1024, *plain])

    def test_any_architecture_will_do(self):
        self.assertEqual(self.ids(b"hello there"), self.ids(b"hello there", model=self.unknown))

    def test_the_built_in_model_is_used_when_none_is_named(self):
        r = self.done(hearth("tokenize", "--ids", stdin=b"hello"))
        self.assertIn("built-in", r.err)
        self.assertRegex(r.text, r"^\d+( \d+)*\n$")

    @unittest.skipUnless(FIXTURES, "needs HEARTH_FIXTURES")
    def test_published_ids(self):
        for name in ("llama-bpe", "llama-spm"):
            base = os.path.join(FIXTURES, "vocab", f"ggml-vocab-{name}.gguf")
            with open(base + ".inp", "rb") as f:
                texts = f.read().split(b"\n__ggml_vocab_test__\n")
            with open(base + ".out", encoding="ascii") as f:
                wanted = [[int(n) for n in line.split()] for line in f]
            for text, want in list(zip(texts, wanted))[::6]:
                self.assertEqual(self.ids(text, model=base), want, text)


class Synth(CliTest):
    def test_bytes_do_not_depend_on_threads_and_types_are_taken_in_any_case(self):
        out = os.path.join(self.folder, "again.gguf")
        self.done(hearth("dev", "synth", "--shape", "tiny", "--type", "q4_k_m", "-t", "3", out))
        with open(out, "rb") as f, open(self.tiny, "rb") as g:
            self.assertEqual(f.read(), g.read())

    def test_every_type_runs(self):
        for name in ("Q4_K_M", "Q8_0", "Q4_0", "F16"):
            out = os.path.join(self.folder, f"type-{name}.gguf")
            self.done(hearth("dev", "synth", "--shape", "tiny", "--type", name, out))
            self.done(hearth("run", out, "--raw", "hello", "-n", "3"))

    def test_what_is_missing_is_said(self):
        self.refused(hearth("dev", "synth", "x.gguf"), 2, "--shape", "llama-3.2-1b")
        self.refused(hearth("dev", "synth", "--shape", "tiny"), 2, "OUT")
        self.refused(hearth("dev", "synth", "--shape", "tiny", "--type", "Q9", "x.gguf"), 2, "Q4_K_M")
        self.refused(hearth("dev", "synth", "--shape", "tiny", "/nowhere/x.gguf"), 3, "/nowhere/x.gguf")


if __name__ == "__main__":
    main()
