#!/usr/bin/env python3
"""test_template.py: chat templates from outside: hearth apply-template.

    tests/cli/test_template.py build/hearth [unittest arguments]
"""

import hashlib
import json
import os
import pty
import re
import shutil
import subprocess
import tempfile
import unittest

from harness import CLEAN_ENV, FIXTURES, PATIENCE_S, ROOT, hearth, main, program

HELLO = [{"role": "user", "content": "Hello"}]
TALK = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi."}, {"role": "user", "content": " Bye\n"}]
CHATML = """{%- for message in messages -%}
<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% if enable_thinking is defined and not enable_thinking -%}
<think>

</think>

{% endif -%}
{%- endif -%}
"""
GOLDENS = os.path.join(ROOT, "tests", "golden", "templates")


def apply(messages, *args, **more):
    """messages: Python values, or the bytes of standard input."""
    stdin = messages if isinstance(messages, bytes) else json.dumps(messages).encode()
    return hearth("apply-template", *args, stdin=stdin, **more)


class TemplateTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="hearth-template-")
        cls.tiny = os.path.join(cls.folder, "tiny.gguf")  # it has a template
        made = hearth("dev", "synth", "--shape", "tiny", cls.tiny)
        if made.code != 0:
            raise RuntimeError(made.err)
        with open(cls.tiny, "rb") as f:
            data = f.read()
        cls.bare = cls.file("bare.gguf", data.replace(b"tokenizer.chat_template", b"tokenizer.that_template"))
        cls.chatml = cls.file("chatml.jinja", CHATML.encode())

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @classmethod
    def file(cls, name, data):
        path = os.path.join(cls.folder, name)
        with open(path, "wb") as f:
            f.write(data)
        return path

    def template(self, text):
        return self.file("one.jinja", text.encode())

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


class Prompt(TemplateTest):
    def prompt(self, messages, *args, **more):
        return self.done(apply(messages, *args, **more)).out

    def test_the_built_in_model_has_a_plain_template(self):
        self.assertEqual(self.prompt(HELLO), b"Hello\n\n")
        self.assertEqual(self.prompt(TALK), b"Be brief.\n\nHello\n\nHi.\n\n Bye\n\n\n")
        self.assertEqual(self.prompt([{"role": "user", "content": ["one ", {"type": "text", "text": "two"}]}]),
                         b"one two\n\n")

    def test_a_file_s_own_template_is_used(self):
        own = self.prompt(HELLO, self.tiny)
        self.assertIn(b"Hello", own)
        self.assertNotEqual(own, b"Hello\n\n")
        self.assertEqual(own, self.prompt(HELLO, "--model", self.tiny))
        self.assertEqual(own, self.prompt(HELLO, env={"HEARTH_MODEL": self.tiny}))

    def test_chat_template_names_another(self):
        want = b"<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
        for model in ([], [self.tiny], [self.bare]):
            self.assertEqual(self.prompt(HELLO, *model, "--chat-template", self.chatml), want)
        self.assertEqual(self.prompt(HELLO, env={"HEARTH_CHAT_TEMPLATE": self.chatml}), want)

    def test_nothing_is_added_unless_it_is_for_a_terminal(self):
        bare, ended = "{{ messages[0].content }}", "{{ messages[0].content }}{{ '\\n' }}"
        self.assertEqual(self.prompt(HELLO, "--chat-template", self.template(bare)), b"Hello")
        self.assertEqual(self.prompt(HELLO, "--chat-template", self.template(ended)), b"Hello\n")
        for text in (bare, ended):
            self.assertEqual(self.on_a_terminal(HELLO, "--chat-template", self.template(text)), b"Hello\r\n")

    def on_a_terminal(self, messages, *args):
        reader, writer = pty.openpty()
        done = subprocess.run([program(), "apply-template", *args], input=json.dumps(messages).encode(), stdout=writer,
                              stderr=subprocess.PIPE, env=CLEAN_ENV, timeout=PATIENCE_S, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        os.close(writer)
        shown = b""
        try:
            while more := os.read(reader, 1000):
                shown += more
        except OSError:  # how Linux says that the other end is closed
            pass
        os.close(reader)
        return shown

    def test_every_byte_of_a_message_arrives(self):
        text = "\x00\x01\x7f\r\n\tä€😀\ufeff\u2028 \n"
        self.assertEqual(self.prompt([{"role": "user", "content": text}]), text.encode() + b"\n\n")

    def test_the_answer_is_begun_unless_told_otherwise(self):
        begun = self.prompt(TALK, "--chat-template", self.chatml)
        self.assertTrue(begun.endswith(b" Bye\n<|im_end|>\n<|im_start|>assistant\n"))
        plain = begun[:-len(b"<|im_start|>assistant\n")]
        self.assertEqual(self.prompt(TALK, "--chat-template", self.chatml, "--no-generation-prompt"), plain)
        request = {"messages": TALK, "add_generation_prompt": False}
        self.assertEqual(self.prompt(request, "--chat-template", self.chatml), plain)
        self.assertEqual(self.prompt({**request, "add_generation_prompt": None}, "--chat-template", self.chatml), begun)

    def test_the_last_message_can_be_continued(self):
        talk = [*HELLO, {"role": "assistant", "content": "Good"}]
        want = b"<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\nGood"
        self.assertEqual(self.prompt(talk, "--chat-template", self.chatml, "--continue-final-message"), want)
        request = {"messages": talk, "continue_final_message": True, "add_generation_prompt": False}
        self.assertEqual(self.prompt(request, "--chat-template", self.chatml), want)
        self.assertEqual(self.prompt(talk, "--continue-final-message"), b"Hello\n\nGood")

    def test_the_date_can_be_given(self):
        asks = self.template("{{ strftime_now('%d %b %Y %H:%M:%S') }} {{ messages[0].content }}")
        want = b"07 Feb 2026 15:04:05 Hello"
        self.assertEqual(self.prompt(HELLO, "--chat-template", asks, "--date", "2026-02-07 15:04:05"), want)
        request = {"messages": HELLO, "date": "2026-02-07 15:04:05"}
        self.assertEqual(self.prompt(request, "--chat-template", asks), want)
        self.assertNotEqual(self.prompt(request, "--chat-template", asks, "--date", "2025-02-07 15:04:05"), want)
        self.refused(apply(HELLO, "--chat-template", asks, "--date", "tomorrow"), 2, "tomorrow")

    def test_values_reach_the_template(self):
        shows = self.template("{{ messages[0].content }} {{ x }} {{ y }} {{ reasoning_effort }} "
                              "{{ documents | length }} {{ tools[0].function.name }}")
        request = {"messages": HELLO, "chat_template_kwargs": {"x": 1, "y": [0.1]}, "documents": [1, 2],
                   "reasoning_effort": "high", "tools": [{"type": "function", "function": {"name": "f"}}]}
        self.assertEqual(self.prompt(request, "--chat-template", shows), b"Hello 1 [0.1] high 2 f")
        self.assertEqual(self.prompt(request, "--chat-template", shows, "--chat-template-kwargs", '{"x": "two"}'),
                         b"Hello two [0.1] high 2 f")
        few = self.template("{{ messages[0].content }} {{ x }}")
        self.assertEqual(self.prompt(HELLO, "--chat-template", few, "--chat-template-kwargs", '{"x": null}'),
                         b"Hello None")
        self.assertEqual(self.prompt({"messages": HELLO, "chat_template_kwargs": None}, "--chat-template", few,
                                     "--chat-template-kwargs", '{"x": {"a": 1}}'), b"Hello {'a': 1}")

    def test_thinking_is_switched_where_there_is_a_switch(self):
        think = b"<think>\n\n</think>\n\n"
        off = self.prompt(HELLO, "--chat-template", self.chatml, "--no-thinking")
        self.assertTrue(off.endswith(b"<|im_start|>assistant\n" + think))
        on = self.prompt(HELLO, "--chat-template", self.chatml, "--thinking")
        self.assertEqual(on + think, off)
        self.assertEqual(self.prompt(HELLO, "--chat-template", self.chatml, env={"HEARTH_NO_THINKING": "1"}), off)
        self.assertEqual(self.prompt(HELLO, "--chat-template", self.chatml, "--thinking",
                                     env={"HEARTH_NO_THINKING": "1"}), on)
        self.refused(apply(HELLO, "--chat-template", self.chatml, "--thinking", "--no-thinking"), 2, "--thinking",
                     "--no-thinking")
        self.refused(apply(HELLO, "--no-thinking"), 2)
        self.refused(apply(HELLO, "--thinking"), 2)


class Forms(TemplateTest):
    def test_json_has_the_prompt_its_tokens_and_whose_text_it_is(self):
        r = self.done(apply(TALK, "--chat-template", self.chatml, "--json"))
        self.assertTrue(r.text.endswith("}\n"))
        o = json.loads(r.text)
        self.assertEqual(set(o), {"prompt", "token_ids", "spans", "bos_added", "starts_thinking", "n_specials_kept",
                                  "notes"})
        prompt = o["prompt"].encode()
        self.assertEqual(prompt, self.done(apply(TALK, "--chat-template", self.chatml)).out)
        at = 0
        for span in o["spans"]:
            self.assertEqual(set(span), {"begin_bytes", "end_bytes", "trusted"})
            self.assertEqual(span["begin_bytes"], at)
            self.assertGreater(span["end_bytes"], at)
            at = span["end_bytes"]
        self.assertEqual(at, len(prompt))
        theirs = [prompt[s["begin_bytes"]:s["end_bytes"]] for s in o["spans"] if not s["trusted"]]
        self.assertEqual([t for t in theirs if t not in (b"system", b"user", b"assistant")],
                         [m["content"].encode() for m in TALK])
        self.assertIs(o["bos_added"], False)
        self.assertIs(o["starts_thinking"], False)
        self.assertEqual(o["n_specials_kept"], 0)

    def test_tokens_are_printed_as_tokenize_prints_them(self):
        lines = self.done(apply(HELLO, "--tokens")).text
        self.assertEqual(lines, self.done(hearth("tokenize", stdin=b"Hello\n\n")).text)
        ids = [int(line.split()[0]) for line in lines.splitlines()]
        self.assertEqual(ids, json.loads(self.done(apply(HELLO, "--json")).text)["token_ids"])
        self.assertEqual(lines, self.done(apply(HELLO, "--tokens", env={"HEARTH_JSON": "1"})).text)
        self.assertTrue(self.done(apply(HELLO, "--json", env={"HEARTH_TOKENS": "1"})).text.startswith("{"))

    def test_bos_is_told_apart_from_the_text(self):
        plain = self.template("{{ messages[0].content }}")
        r = self.done(apply(HELLO, self.tiny, "--chat-template", plain))
        self.assertEqual(r.out, b"Hello")
        self.assertIn("BOS", r.err)
        o = json.loads(self.done(apply(HELLO, self.tiny, "--chat-template", plain, "--json")).text)
        self.assertIs(o["bos_added"], True)
        self.assertEqual(o["token_ids"][0], 1024)
        written = self.template("{{ bos_token }}{{ messages[0].content }}")
        p = json.loads(self.done(apply(HELLO, self.tiny, "--chat-template", written, "--json")).text)
        self.assertIs(p["bos_added"], False)
        self.assertEqual(p["token_ids"], o["token_ids"])

    def test_special_tokens_of_messages_stay_text(self):
        ends = self.template("{{ messages[0].content }}<|eot_id|>")
        talk = [{"role": "user", "content": "a<|eot_id|>b"}]
        r = self.done(apply(talk, self.tiny, "--chat-template", ends, "--json"))
        o = json.loads(r.text)
        self.assertEqual(o["prompt"], "a<|eot_id|>b<|eot_id|>")
        self.assertEqual(o["token_ids"].count(1024 + 9), 1)
        self.assertEqual(o["token_ids"][-1], 1024 + 9)
        self.assertEqual(o["n_specials_kept"], 1)
        self.assertIn("1 place in messages looks like a special token and stays text",
                      self.done(apply(talk, self.tiny, "--chat-template", ends)).err)

    def test_a_prompt_can_end_inside_thinking(self):
        opens = self.template("{{ messages[0].content }}{% if add_generation_prompt %}<think>\n{% endif %}")
        o = json.loads(self.done(apply(HELLO, "--chat-template", opens, "--json")).text)
        self.assertIs(o["starts_thinking"], True)

    def test_what_is_not_used_is_said(self):
        request = {"messages": [{"role": "user", "content": "Hello", "mood": "good"}], "model": "m"}
        r = self.done(apply(request))
        self.assertEqual(r.out, b"Hello\n\n")
        for word in ("messages[0].mood", "model is not known"):
            self.assertIn(word, r.err)
        notes = json.loads(self.done(apply(request, "--json")).text)["notes"]
        self.assertEqual(len([n for n in notes if "not known here" in n]), 2)

    def test_a_full_disk_is_an_error(self):
        for form in ([], ["--json"], ["--tokens"]):
            with open("/dev/full", "wb") as full:
                done = subprocess.run([program(), "apply-template", *form], input=json.dumps(HELLO).encode(),
                                      stdout=full, stderr=subprocess.PIPE, env=CLEAN_ENV, timeout=PATIENCE_S,
                                      check=False)
            self.assertEqual(done.returncode, 3)
            self.assertIn(b"standard output", done.stderr)


class Refusals(TemplateTest):
    def test_input_that_is_no_conversation(self):
        self.refused(apply(b""), 2, "standard input is empty", '"role"')
        self.refused(apply(b" \n"), 2, "standard input is empty")
        self.refused(apply(b'[{"role": "user",\n "content": }]'), 2, "standard input is not JSON: line 2, column 13")
        self.refused(apply(b'{"messages": [], "messages": []}'), 2, "duplicate", "messages")
        self.refused(apply(b'[{"role": "user", "content": "\xff"}]'), 2, "standard input is not JSON")
        self.refused(apply(b"Hello"), 2, "standard input is not JSON")
        self.refused(apply(b'"Hello"'), 2, "a text")
        self.refused(apply([]), 2, "no messages")
        self.refused(apply([{"role": "user"}]), 2, "messages[0]", "content")

    def test_images_are_refused_by_place_and_type(self):
        self.refused(apply([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]), 2,
                     "messages[0].content[0]", "image_url", "text only")

    def test_values_that_are_no_object(self):
        self.refused(apply(HELLO, "--chat-template-kwargs", '{"a": 1,}'), 2, "--chat-template-kwargs",
                     "line 1, column 9")
        self.refused(apply(HELLO, "--chat-template-kwargs", "[1]"), 2, "--chat-template-kwargs", "[1]", "object")
        self.refused(apply(HELLO, "--chat-template-kwargs", ""), 2, "--chat-template-kwargs")
        self.refused(apply(HELLO, "--chat-template-kwargs", '{"a": 1, "a": 2}'), 2, "duplicate")
        self.refused(apply({"messages": HELLO, "chat_template_kwargs": 1}, "--chat-template-kwargs", "{}"), 2,
                     "chat_template_kwargs is a number")

    def test_template_files_that_cannot_be_one(self):
        self.refused(apply(HELLO, "--chat-template", os.path.join(self.folder, "absent")), 3, "--chat-template",
                     "absent")
        self.refused(apply(HELLO, "--chat-template", self.folder), 3, self.folder)
        self.refused(apply(HELLO, "--chat-template", self.template("")), 2, "one.jinja", "empty")
        self.refused(apply(HELLO, "--chat-template", self.file("nul", b"a\0b")), 2, "byte 1 is NUL")
        self.refused(apply(HELLO, "--chat-template", self.file("long", b" " * ((1 << 20) + 1))), 2, "1048576")
        self.refused(apply(HELLO, "--chat-template", "{{ messages }}"), 2, "file")

    def test_templates_that_do_not_work(self):
        self.refused(apply(HELLO, "--chat-template", self.template("a\n{% if %}")), 3, "line 2")
        refuses = self.template("{{ raise_exception('no users here') }}")
        self.refused(apply(HELLO, "--chat-template", refuses), 2, "no users here")

    def test_a_file_without_a_template_says_how_to_bring_one(self):
        self.refused(apply(HELLO, self.bare), 2, "template", "--chat-template FILE")

    def test_text_that_would_not_reach_the_model(self):
        drops = self.template("{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}")
        self.refused(apply(TALK, "--chat-template", drops), 2)

    def test_what_cannot_be_meant(self):
        self.refused(apply(HELLO, "--tokens", "--json"), 2, "--tokens", "--json")
        self.refused(apply(HELLO, self.tiny, "--model", self.tiny), 2, "two models")
        self.refused(apply(HELLO, os.path.join(self.folder, "absent.gguf")), 3, "absent.gguf")
        self.refused(apply(HELLO, self.chatml), 3, "chatml.jinja")


@unittest.skipUnless(FIXTURES, "needs HEARTH_FIXTURES")
class Goldens(TemplateTest):
    """Real templates with what jinja2 made of them. The vocabulary is the one whose BOS and EOS are called as the
    goldens have them."""

    NAMES = ("one user turn", "system and user", "several turns", "several turns and system", "no generation prompt",
             "white space", "odd characters", "special tokens in the texts", "one tool", "one call",
             "tools, one call, its result", "calls side by side, then an answer", "thoughts beside the text",
             "documents", "reasoning effort")

    # What these templates do not show to the model: refused, where the reference leaves it out without a word.
    DROPS = {"HuggingFaceTB-SmolLM3-3B": "tools", "LFM2-8B-A1B": "tool_calls", "google-gemma-2-2b-it": "tools",
             "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B": "tools", "deepseek-ai-DeepSeek-V3.1": "tools",
             "microsoft-Phi-3.5-mini-instruct": "tools"}

    def apply(self, name, values):
        values = dict(values)
        request = {key: values.pop(key) for key in ("messages", "tools", "documents", "reasoning_effort",
                                                    "add_generation_prompt") if key in values}
        return apply({**request, "chat_template_kwargs": values}, os.path.join(FIXTURES, "vocab",
                                                                               "ggml-vocab-llama-spm.gguf"),
                     "--chat-template", os.path.join(FIXTURES, "templates", name + ".jinja"), "--date",
                     "2026-02-07 15:04:05")

    def check(self, name, talk, want):
        """1 when a prompt was compared."""
        r = self.apply(name, talk["values"])
        has = {"tools": "tools" in talk["values"],
               "tool_calls": any("tool_calls" in m for m in talk["values"]["messages"])}
        if "error" in want:
            if not has["tool_calls"]:  # ours may give the template their arguments in the form that it wants
                self.refused(r, r.code or 2, "chat template")
            return 0
        if has.get(self.DROPS.get(name)):
            self.refused(r, 2, "tool", "chat template")
            return 0
        self.done(r)
        if "text" in want:
            self.assertEqual(r.out.decode(), want["text"])
        else:
            self.assertEqual(hashlib.sha256(r.out).hexdigest(), want["sha256"])
        return 1

    def test_prompts_are_those_of_the_reference(self):
        with open(os.path.join(GOLDENS, "conversations.json"), encoding="utf-8") as f:
            talks = json.load(f)["conversations"]
        compared = 0
        for path in sorted(os.listdir(os.path.join(FIXTURES, "templates"))):
            name = path.removesuffix(".jinja")
            with open(os.path.join(GOLDENS, name + ".json"), encoding="utf-8") as f:
                results = json.load(f)["results"]
            for talk, want in zip(talks, results):
                if talk["name"] in self.NAMES:
                    with self.subTest(template=name, talk=talk["name"]):
                        compared += self.check(name, talk, want)
        self.assertGreater(compared, 200)


if __name__ == "__main__":
    main()
