#!/usr/bin/env python3
"""test_chat.py: conversations, typed on a terminal (tmux) and read from a script.

    tests/cli/test_chat.py build/hearth [unittest arguments]

Nothing here waits for a fixed time: what is expected on the screen is polled for, with much patience.
"""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import time
import unittest

from harness import CLEAN_ENV, PATIENCE_S, ROOT, hearth, main, program

FEW = ("-n", "8", "--seed", "1")
ENDLESS = "Once upon a time"  # the tiny model's most probable answer to it goes on until its context is full
# The answer begins inside thinking, and a random model does not get out of it.
THINKING = b"""{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>
{{ m.content }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>
<think>
{% endif %}"""
SWITCHED = THINKING.replace(b"<think>\n", b"{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}")


class ChatTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="hearth-chat-")
        cls.tiny = os.path.join(cls.folder, "tiny.gguf")
        made = hearth("dev", "synth", "--shape", "tiny", cls.tiny)
        if made.code != 0:
            raise RuntimeError(made.err)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def path(self, name):
        return os.path.join(self.folder, self.id().rsplit(".", 1)[-1] + "-" + name)

    def file(self, name, data):
        with open(self.path(name), "wb") as f:
            f.write(data)
        return self.path(name)

    def kept(self, receipt):
        """(prompt tokens, of them kept, answer tokens) of a printed receipt."""
        found = re.findall(r"n_prompt_tokens (\d+), n_cached_tokens (\d+)(?s:.*?)n_output_tokens (\d+)", receipt)
        self.assertTrue(found, receipt)
        return tuple(int(n) for n in found[-1])


class Script(ChatTest):
    """Standard input is no terminal."""

    def talk(self, *lines, args=FEW, model=None, code=0, **more):
        text = "\n".join(lines) + "\n"
        done = hearth("chat", *([model] if model else []), *args, stdin=text.encode(), **more)
        self.assertEqual(done.code, code, done.err)
        self.assertNotIn("ERROR: AddressSanitizer", done.err)
        return done

    def saved(self, *lines, **more):
        """The conversation after these lines, as /save writes it, and what the program said."""
        path = self.path("saved.json")
        done = self.talk(*lines, "/save! " + path, **more)
        with open(path, encoding="utf-8") as f:
            return json.load(f)["messages"], done

    def test_the_answers_alone_are_on_standard_output(self):
        messages, done = self.saved("Hello there", "And then?")
        self.assertEqual([m["role"] for m in messages], ["user", "assistant"] * 2)
        answers = [m["content"] for m in messages if m["role"] == "assistant"]
        want = "".join(a if a.endswith("\n") else a + "\n" for a in answers if a)
        self.assertEqual(done.text, want)
        self.assertIn("built-in", done.err)
        self.assertIn("context", done.err)
        self.assertNotIn("> ", done.err)

    def test_the_second_turn_does_not_compute_the_first_again(self):
        done = self.talk("It was in the evening", "/receipt", "And the prince?", "/receipt", "/timing on", "Well")
        first = self.kept(done.err.split("\nreceipt")[1])
        second = self.kept(done.err)
        self.assertEqual(first[1], 0)
        self.assertGreater(second[1], 0)
        self.assertGreaterEqual(second[1], sum(first[::2]) - 4, done.err)
        self.assertRegex(done.err, r"prompt \d+ tokens in .*, \d+ of \d+ prompt tokens kept")

    def test_the_same_seed_gives_the_same_conversation(self):
        lines = ("Hello", "And then?", "/retry", "Why?")
        self.assertEqual(self.talk(*lines).out, self.talk(*lines, args=(*FEW, "-t", "1")).out)
        first, second = self.talk("Hello", "/retry").out, self.talk("Hello").out
        self.assertEqual(first, second * 2)

    def test_a_retry_draws_a_new_seed_unless_one_was_set(self):
        done = self.talk("Hello", "/receipt", "/retry", "/receipt", args=("-n", "4"))
        seeds = re.findall(r"seed +(\d+) \((\w+)\)", done.err)
        self.assertEqual([s[1] for s in seeds], ["drawn", "drawn"])
        self.assertNotEqual(seeds[0], seeds[1])
        done = self.talk("Hello", "/set seed 7", "/retry", "/receipt", "/set seed default", "/retry", "/receipt",
                         args=("-n", "4"))
        self.assertEqual(re.findall(r"seed +(\d+) \(request\)", done.err), ["7"])

    def test_undo_drop_and_clear(self):
        turns = ("one", "two", "three")
        said = lambda messages: [m["content"] for m in messages if m["role"] != "assistant"]  # noqa: E731
        self.assertEqual(said(self.saved(*turns, "/undo")[0]), ["one", "two"])
        self.assertEqual(said(self.saved(*turns, "/drop")[0]), ["two", "three"])
        self.assertEqual(said(self.saved("/system be", *turns, "/clear", "four")[0]), ["be", "four"])
        for command in ("/undo", "/drop", "/retry", "/receipt", "/edit", "/save x"):
            self.talk(command, code=2)

    def test_the_system_message_is_set_and_taken_away(self):
        messages, done = self.saved("/system", "/system be kind", "/system", "Hello", model=self.tiny)
        self.assertEqual(messages[0], {"role": "system", "content": "be kind"})
        self.assertIn("no system message", done.err)
        self.assertIn("system: be kind", done.err)
        messages, _ = self.saved("Hello", "/system -", args=(*FEW, "--system", "be kind"))
        self.assertEqual(messages[0]["role"], "user")
        messages, _ = self.saved("Hello", args=(*FEW, "--system", "be kind"))
        self.assertEqual(messages[0], {"role": "system", "content": "be kind"})

    def test_messages_of_many_lines(self):
        messages, _ = self.saved("one\\", "two", '"""', "/three", "", "four\\", '"""', "//help me")
        self.assertEqual([m["content"] for m in messages if m["role"] == "user"],
                         ["one\ntwo", "/three\n\nfour\\", "/help me"])

    def test_a_message_without_its_end_is_not_sent(self):
        self.assertIn("not sent", self.talk("Hello", '"""', "half", code=2).err)
        done = hearth("chat", *FEW, stdin=b"no newline at the end")
        self.assertEqual(done.code, 0)
        self.assertNotEqual(done.text, "")

    def test_what_is_not_utf8_is_not_sent(self):
        done = hearth("chat", *FEW, stdin=b"ab\xff\n/tokens\n")
        self.assertEqual((done.code, done.text), (2, ""))
        self.assertIn("byte 2 is 0xff", done.err)
        self.assertIn("empty", done.err)

    def test_parameters_are_set_checked_and_shown(self):
        done = self.talk("/set temp 0.25", "/set top-k 7", "/set max_tokens 3", "/params", "Hello", "/receipt",
                         "/set temperature default", "/params", model=self.tiny)
        self.assertRegex(done.err, r"temperature +0\.25 +set")
        self.assertRegex(done.err, r"top_k +7 +set")
        self.assertRegex(done.err, r"max_tokens +3 +set")
        self.assertRegex(done.err, r"temperature +0\.8 +default")
        self.assertIn("temperature 0.25 (request)", done.err)
        self.assertIn("max_tokens 3", done.err)
        for line, words in (("/set temperature hot", ("temperature", "'hot'", "0 to 100")),
                            ("/set tempratur 1", ("did you mean temperature",)), ("/set", ("/set temperature",))):
            done = self.talk(line, code=2)
            for word in words:
                self.assertIn(word, done.err)

    def test_the_order_of_samplers_is_set_and_shown(self):
        done = self.talk("/set samplers top_k;temp", "Hello", "/receipt", "/params", "/set samplers default", "/params",
                         model=self.tiny)
        self.assertRegex(done.err, r"samplers +top_k;temperature \(request\)")
        self.assertRegex(done.err, r"samplers +top_k;temperature \(set\)")
        self.assertRegex(done.err, r"samplers +penalties;dry;\S+;temperature \(default\)")
        self.assertIn("no sampler 'x'", self.talk("/set samplers x", code=2).err)

    def test_unknown_commands_name_the_nearest(self):
        self.assertIn("did you mean /retry?", self.talk("/rety", code=2).err)
        self.assertIn("/help", self.talk("/zzzzzz", code=2).err)
        self.assertIn("takes nothing", self.talk("/undo twice", code=2).err)
        self.assertIn("/save", self.talk("/load! x", code=2).err)

    def test_every_command_is_in_the_list_and_in_the_manual(self):
        listed = re.findall(r"^  (/\w+)", self.talk("/help").err, re.MULTILINE)
        self.assertGreaterEqual(len(listed), 17)
        manual = hearth("help", "chat").text
        for name in listed:
            self.assertIn("    " + name, manual)

    def test_a_conversation_is_saved_and_loaded(self):
        path = self.path("talk.json")
        one = self.talk("/system be", "Hello", "/save " + path, "And then?")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        two = self.talk("/load " + path, "And then?")
        self.assertEqual(one.text.splitlines()[-len(two.text.splitlines()):], two.text.splitlines())
        self.assertIn("/save!", self.talk("Hello", "/save " + path, code=2).err)
        self.talk("Hello", "/save! " + path)
        self.talk("/load " + self.path("nothing"), code=3)
        self.talk("/load " + self.tiny, code=3)
        with open(path, "rb") as f:
            prompt = hearth("apply-template", stdin=f.read())
        self.assertEqual(prompt.code, 0, prompt.err)
        self.assertIn("Hello", prompt.text)

    def test_a_loaded_question_is_answered_by_retry(self):
        path = self.file("question.json", b'[{"role": "user", "content": "Hello"}]')
        done = self.talk("/load " + path, "/retry")
        self.assertIn("/retry", done.err)
        self.assertEqual(done.text, self.talk("Hello").text)

    def test_the_prompt_marks_special_tokens_and_escapes_control_bytes(self):
        err = self.talk("a <|eot_id|> b\x1b[2Jc\x07 ä", "/prompt", model=self.tiny).err
        self.assertIn("[[<|eot_id|>]]", err)
        self.assertIn("a <|eot_id|> b\\x1b[2Jc\\x07 ä[[<|eot_id|>]]", err)
        self.assertNotIn("\x1b", err)

    def test_tokens_are_counted(self):
        err = self.talk("/tokens", "Hello", "/tokens", args=(*FEW, "-c", "128")).err
        self.assertIn("128 tokens fit", err)
        used, left = re.search(r"(\d+) tokens in 2 messages; 128 fit, so (\d+) are left", err).groups()
        self.assertEqual(int(used) + int(left), 128)

    def test_a_full_context_leaves_the_conversation_as_it_was(self):
        long = "word " * 200
        done = self.talk("Hello", "/tokens", long, "/tokens", args=(*FEW, "-c", "64"), code=2)
        counts = re.findall(r"\d+ tokens in 2 messages", done.err)
        self.assertEqual(len(counts), 2, done.err)
        self.assertEqual(counts[0], counts[1])
        for word in ("64", "as it was", "/drop", "/undo", "/clear", "--ctx"):
            self.assertIn(word, done.err)

    def test_an_answer_cut_by_its_length_says_so(self):
        self.assertIn("the answer is cut: max_tokens 8", self.talk("Hello").err)

    def test_a_model_without_a_template_is_refused(self):
        with open(self.tiny, "rb") as f:
            bare = self.file("bare.gguf", f.read().replace(b"tokenizer.chat_template", b"tokenizer.chat_nothing_"))
        done = self.talk("Hello", model=bare, code=2)
        self.assertIn("--chat-template", done.err)
        template = self.file("own.jinja", b"{% for m in messages %}{{ m.content }}\n{% endfor %}")
        self.assertNotEqual(self.talk("Hello", model=bare, args=(*FEW, "--chat-template", template)).text, "")

    def test_what_the_template_cannot_do_is_refused(self):
        self.assertIn("no switch", self.talk("Hello", args=("--thinking",), model=self.tiny, code=2).err)
        self.assertIn("no switch", self.talk("/thinking on", model=self.tiny, code=2).err)
        self.assertIn("thinking is default", self.talk("/thinking", model=self.tiny).err)

    def test_thinking_is_kept_apart_and_shown_only_when_asked_for(self):
        template = self.file("thinking.jinja", THINKING)
        how = (*FEW, "--chat-template", template)
        messages, quiet = self.saved("Hello", args=how, model=self.tiny)
        self.assertEqual(quiet.text, "")
        self.assertEqual(messages[1]["content"], "")
        thought = messages[1]["reasoning_content"]
        self.assertNotEqual(thought, "")
        self.assertNotIn(thought, quiet.err)
        shown = self.talk("Hello", args=(*how, "--show-thinking"), model=self.tiny)
        self.assertIn("\n" + thought + "\n", shown.err)
        self.assertEqual(shown.text, "")
        self.assertNotIn("\x1b", shown.err)

    def test_thinking_is_switched(self):
        template = self.file("switched.jinja", SWITCHED)
        path = self.file("question.json", b'[{"role": "user", "content": "Hello"}]')
        how, load = (*FEW, "--chat-template", template), "/load " + path
        self.assertNotIn("</think>", self.talk(load, "/prompt", args=how, model=self.tiny).err)
        self.assertIn("</think>", self.talk(load, "/prompt", args=(*how, "--no-thinking"), model=self.tiny).err)
        err = self.talk(load, "/thinking off", "/prompt", "/thinking default", "/prompt", args=how, model=self.tiny).err
        self.assertEqual(err.count("</think>"), 1, err)

    def test_a_closed_reader_is_no_mistake(self):
        run = subprocess.Popen([program(), "chat", self.tiny, "--temp", "0"], stdin=subprocess.PIPE, env=CLEAN_ENV,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        run.stdout.close()
        with run.stderr:
            try:
                run.stdin.write(b"Hello\nHello\n")
                run.stdin.close()
            except BrokenPipeError:
                pass
            run.stderr.read()
        self.assertEqual(run.wait(PATIENCE_S), 0)

    def test_sigint_stops_an_answer_and_the_rest_is_read(self):
        for _ in range(50):  # an answer may have ended before the signal came
            run = subprocess.Popen([program(), "chat", self.tiny, "--temp", "0", "-t", "1"], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env={**CLEAN_ENV, "HEARTH_ISA": "scalar"})
            run.stdin.write(ENDLESS.encode() + b"\n")
            run.stdin.flush()
            run.stdout.read(1)
            run.send_signal(signal.SIGINT)
            _, err = run.communicate(b"/tokens\n", PATIENCE_S)
            if run.returncode == 130 and b"is kept" in err:
                self.assertIn(b"tokens in 2 messages", err)
                return
        self.fail(err)

    def test_sigterm_ends_it_between_answers(self):
        run = subprocess.Popen([program(), "chat", *FEW], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, env=CLEAN_ENV)
        run.stdin.write(b"Hello\n")
        run.stdin.flush()
        self.assertNotEqual(run.stdout.read(1), b"")
        run.send_signal(signal.SIGTERM)
        self.assertEqual(run.wait(PATIENCE_S), 130)
        run.stdin.close()
        run.stdout.close()


class Screen:
    """A program on a terminal of 120 by 40, in a tmux server of its own."""

    started = 0
    env = CLEAN_ENV  # with a folder for tmux's sockets, which it leaves behind

    def __init__(self, *args):
        Screen.started += 1
        self.server = ["tmux", "-u", "-f", "/dev/null", "-L", f"hearth-test-{os.getpid()}-{Screen.started}"]
        command = " ".join("'" + a + "'" for a in args)
        self.tmux("new-session", "-d", "-x", "120", "-y", "40", f"{command}; echo ended with $?; exec cat")

    def tmux(self, *args):
        return subprocess.run([*self.server, *args], env=self.env, capture_output=True, timeout=PATIENCE_S,
                              check=True).stdout.decode("utf-8", "replace")

    def close(self):
        subprocess.run([*self.server, "kill-server"], env=self.env, capture_output=True, check=False)

    def text(self):
        """All that was printed; lines that were wrapped are whole again."""
        return self.tmux("capture-pane", "-p", "-J", "-S", "-").rstrip("\n ") + "\n"

    def wait(self, wanted):
        """Until wanted (a pattern, or a function of the text) is there; returns the text."""
        ready = wanted if callable(wanted) else re.compile(wanted, re.MULTILINE).search
        end = time.monotonic() + PATIENCE_S
        while True:
            text = self.text()
            if ready(text):
                return text
            if time.monotonic() > end:
                raise AssertionError(f"{wanted} did not come:\n{text}")
            time.sleep(0.02)

    def keys(self, *names):
        self.tmux("send-keys", *names)

    def type(self, text):
        """Without Enter; returns when it can be seen."""
        self.tmux("send-keys", "-l", text)
        return self.wait(lambda screen: last_line(screen).endswith(text.strip()))

    def enter(self):
        """Until there is an empty prompt below what is there now; returns what came in between."""
        before = self.text()
        self.keys("Enter")
        after = self.wait(lambda screen: last_line(screen) == ">" and len(screen) > len(before))
        return after[len(before):]

    def say(self, text):
        self.type(text)
        return self.enter()


def last_line(screen):
    return screen.rstrip().split("\n")[-1].rstrip()


@unittest.skipUnless(shutil.which("tmux"), "needs tmux")
class Terminal(ChatTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        Screen.env = {**CLEAN_ENV, "TMUX_TMPDIR": cls.folder}

    def start(self, *args, isa=None):
        screen = Screen(*(["env", "HEARTH_ISA=" + isa] if isa else []), program(), "chat", *args)
        self.addCleanup(screen.close)
        screen.wait(r"^> ?$")
        return screen

    def ends(self, screen, code=0):
        screen.wait(f"^ended with {code}$")

    def test_two_turns_and_their_commands(self):
        screen = self.start(*FEW)
        self.assertIn("/help", screen.text())
        screen.say("It was in the evening")
        first = self.kept(screen.say("/receipt"))
        self.assertIn("timing is on", screen.say("/timing on"))
        self.assertRegex(screen.say("And the prince?"), r"tok/s.*\d+ of \d+ prompt tokens kept")
        second = self.kept(screen.say("/receipt"))
        self.assertGreater(second[1], 0)
        self.assertGreaterEqual(second[1], sum(first[::2]) - 4)
        self.assertIn("4 messages", screen.say("/tokens"))
        self.assertIn("And the prince?", screen.say("/prompt"))
        screen.say("/retry")
        self.assertIn("4 messages", screen.say("/tokens"))
        self.assertIn("2 messages stay", screen.say("/undo"))
        screen.say("/system be kind")
        self.assertIn("be kind", screen.say("/system"))
        path = self.path("talk.json")
        self.assertIn("3 messages", screen.say("/save " + path))
        self.assertIn("/save!", screen.say("/save " + path))
        screen.say("/clear")
        self.assertIn("3 messages", screen.say("/load " + path))
        screen.keys("C-d")
        self.ends(screen)

    def test_run_without_a_prompt_is_a_conversation(self):
        screen = Screen(program(), "run", self.tiny, *FEW, "--system", "be kind")
        self.addCleanup(screen.close)
        screen.wait(r"^> ?$")
        screen.say("Hello")
        self.assertIn("3 messages", screen.say("/tokens"))
        screen.keys("C-d")
        self.ends(screen)
        screen = Screen(program(), "run", self.tiny, "--json")
        self.addCleanup(screen.close)
        self.assertIn("there is no prompt", screen.wait("^ended with 2$"))

    def test_quit_ends_with_0(self):
        screen = self.start(*FEW)
        screen.type("/quit")
        screen.keys("Enter")
        self.ends(screen)

    def test_tab_completes_commands_parameters_and_files(self):
        screen = self.start(*FEW)
        screen.type("/rec")
        screen.keys("Tab")
        screen.wait(r"^> /receipt *$")
        screen.keys("C-c")
        screen.wait(r"^> /receipt \^C$")
        screen.type("/t")
        screen.keys("Tab")
        screen.wait(r"^/tokens +/timing +/thinking$")
        screen.keys("C-u")
        screen.wait(lambda s: last_line(s) == ">")
        screen.type("/set min")
        screen.keys("Tab")
        screen.wait(r"^> /set min_p *$")
        screen.keys("C-u")
        screen.wait(lambda s: last_line(s) == ">")
        path = self.file("unmistakable.json", b"[]")
        screen.type("/load " + path[:-9])
        screen.keys("Tab")
        screen.wait(lambda s: last_line(s).endswith(path))

    def test_ctrl_c_stops_an_answer_and_the_program_lives(self):
        screen = self.start(self.tiny, "--temp", "0", "-t", "1", isa="scalar")  # slow: 2,000 tokens take seconds
        for _ in range(50):  # an answer may have ended before the key came
            n_before = screen.type(ENDLESS).count("^C")
            screen.keys("Enter")
            screen.wait(lambda s: not last_line(s).endswith("> " + ENDLESS))
            screen.keys("C-c")
            screen.wait(lambda s: last_line(s) == ">" and s.count("^C") > n_before)  # noqa: B023
            if "interrupted; what came until then is kept" in screen.text():
                break
            screen.say("/clear")
        else:
            self.fail("no answer could be interrupted:\n" + screen.text())
        screen.say("/set max_tokens 4")
        self.assertIn("2 messages", screen.say("/tokens"))
        screen.say("/retry")
        self.assertIn("max_tokens 4", screen.say("/receipt"))
        self.assertIn("2 messages", screen.say("/tokens"))

    def test_ctrl_c_clears_the_line(self):
        screen = self.start(*FEW)
        screen.type("not this")
        screen.keys("C-c")
        screen.wait(lambda s: "not this^C" in s and last_line(s) == ">")
        screen.type("nor this\\")
        screen.keys("Enter")
        screen.wait(r"^\. ?$")
        screen.keys("C-c")
        screen.wait(lambda s: last_line(s) == ">")
        self.assertIn("the conversation is empty", screen.say("/tokens"))

    def test_thinking_is_dimmed(self):
        template = self.file("thinking.jinja", THINKING)
        screen = self.start(self.tiny, *FEW, "--chat-template", template)
        screen.say("Hello")
        self.assertRegex(screen.tmux("capture-pane", "-p", "-e", "-S", "-"), "\x1b\\[2m")
        self.assertIn("2 messages", screen.say("/tokens"))

    def test_the_last_message_comes_back_to_be_changed(self):
        screen = self.start(*FEW)
        screen.say("Hello wörld")
        screen.type("/edit")
        screen.keys("Enter")
        screen.wait(r"^edit> Hello wörld *$")
        screen.keys("BSpace", "BSpace")
        screen.wait(r"^edit> Hello wör *$")
        screen.enter()
        prompt = screen.say("/prompt")
        self.assertIn("Hello wör\n", prompt)
        self.assertNotIn("Hello wörld", prompt)
        screen.type("/edit")
        screen.keys("Enter")
        screen.wait(r"^edit> Hello wör *$")
        screen.keys("C-c")
        screen.wait(lambda s: last_line(s) == ">")
        self.assertIn("2 messages", screen.say("/tokens"))

    def test_a_message_of_many_lines_is_typed_and_pasted(self):
        screen = self.start(*FEW)
        screen.type("one")
        screen.keys("M-Enter")
        screen.type("two")
        screen.enter()
        self.assertIn("one\ntwo", screen.say("/prompt"))
        screen.tmux("set-buffer", "three\nfour\n/five")
        screen.tmux("paste-buffer", "-p")
        screen.wait(lambda s: last_line(s) == "/five")
        screen.enter()
        self.assertIn("three\nfour\n/five", screen.say("/prompt"))
        self.assertIn("4 messages", screen.say("/tokens"))

    def test_the_arrow_keys_bring_back_what_was_typed_and_only_history_stores_it(self):
        path = self.path("history")
        screen = self.start(*FEW, "--history", path)
        screen.say("Hello wörld")
        screen.keys("C-d")
        self.ends(screen)
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        screen = self.start(*FEW, "--history", path)
        screen.keys("Up")
        screen.wait(r"^> Hello wörld *$")
        other = self.file("other", b"mine")
        refused = hearth("chat", "--history", other, stdin=b"")
        self.assertEqual(refused.code, 0)  # without a terminal nothing is typed, so nothing is stored
        with open(other, "rb") as f:
            self.assertEqual(f.read(), b"mine")
        screen = Screen(program(), "chat", "--history", other)
        self.addCleanup(screen.close)
        self.assertIn("is not a history", screen.wait("^ended with 3$"))

    def test_a_smaller_terminal_does_not_disturb(self):
        screen = self.start(*FEW)
        screen.type("Hello")
        screen.tmux("resize-window", "-x", "60", "-y", "20")
        screen.type(" there")
        screen.enter()
        self.assertIn("Hello there", screen.say("/prompt"))

    def test_the_terminal_is_as_it_was_after_sigterm(self):
        path = self.path("pid")
        screen = Screen("sh", "-c", f'echo $$ >{path}; exec "$0" "$@"', program(), "chat", *FEW)
        self.addCleanup(screen.close)
        screen.wait(r"^> ?$")
        screen.type("half")
        with open(path, encoding="ascii") as f:
            os.kill(int(f.read()), signal.SIGTERM)
        self.ends(screen, 130)
        screen.keys("e", "c", "h", "o", "e", "d")
        screen.wait("^echoed$")


if __name__ == "__main__":
    main()
