#!/usr/bin/env python3
"""test_pages.py: the pages for man, and completion in bash, zsh and fish.

    tests/cli/test_pages.py build/hearth

bash, zsh and fish run the completion as they would for a person; what is not installed is skipped. The completion of
zsh is called with its helpers replaced by ones that say what they were given.
"""

import os
import re
import shutil
import subprocess
import tempfile
import unittest

from harness import hearth, main


def table():
    """{command: [(spellings, value)]} of the manual."""
    found, command = {}, None
    for line in hearth("help", "--markdown").text.splitlines():
        head = re.match(r"## (?:hearth (.*)|Options of every command)$", line)
        if head:
            command = head[1] or ""
            found[command] = []
        row = re.match(r"\| ((?:`-[^`]+` )+)\| ((?:[^|\\]|\\.)*) \|", line)
        if row:
            found[command].append((re.findall(r"`([^`]+)`", row[1]), row[2].replace("\\|", "|").strip()))
    return found


class Pages(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="hearth-pages-")
        self.addCleanup(shutil.rmtree, self.folder)

    def page(self, *words, name):
        done = hearth("help", *words)
        self.assertEqual((done.code, done.err), (0, ""))
        path = os.path.join(self.folder, name)
        with open(path, "wb") as f:
            f.write(done.out)
        return path, done.text

    def run_shell(self, argv, stdin=""):
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=60, check=False,
                              cwd=self.folder)
        self.assertEqual((done.returncode, done.stderr), (0, ""), argv)
        return done.stdout


class Man(Pages):
    def formatted(self, path):
        """The page as a terminal shows it, in one line of words; any warning is a failure."""
        if not shutil.which("groff"):
            self.skipTest("there is no groff")
        for width in ("80n", "60n", "140n"):
            done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-P-c", "-P-b", "-P-u", f"-rLL={width}", path],
                                  capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
        return re.sub(r"\s+", " ", done.stdout.replace("‐\n", ""))

    def test_the_manual_has_every_command_and_option(self):
        path, _ = self.page("--man", name="hearth.1")
        text = self.formatted(path)
        n = 0
        for command, options in table().items():
            self.assertIn("hearth " + command if command else "OPTIONS OF EVERY COMMAND", text)
            for spellings, _ in options:
                self.assertIn(", ".join(spellings), text)
                n += 1
        self.assertGreater(n, 150)
        for words in ("NAME hearth - run language models", "EXIT STATUS", "HEARTH_ISA", "130",
                      "/etc/hearth/hearth.toml"):
            self.assertIn(words, text)

    def test_the_page_of_settings_has_every_key_of_presets(self):
        path, _ = self.page("--man-settings", name="hearth.toml.5")
        text = self.formatted(path)
        for words in ("NAME hearth.toml - settings of hearth", '[model."qwen3-0.6b-q8_0"]', "system = TEXT",
                      "top-k = X", "ctx = N", 'alias = ["small", "large"]', r"(with \n, \t, \", \\, \uXXXX)"):
            self.assertIn(words, text)

    def test_man_itself_finds_nothing_wrong(self):
        if not shutil.which("man"):
            self.skipTest("there is no man")
        for words, name in ((["--man"], "hearth.1"), (["--man-settings"], "hearth.toml.5")):
            path, _ = self.page(*words, name=name)
            done = subprocess.run(["man", "--warnings=all", "-P", "cat", "-l", path], capture_output=True, text=True,
                                  timeout=60, check=False, env={**os.environ, "MANWIDTH": "80"})
            self.assertEqual((done.returncode, done.stderr), (0, ""))


class Completion(Pages):
    """What each shell must offer; a shell's class says how it is asked."""

    shell = None

    def words(self, *typed):
        """What is offered for the last word."""
        raise NotImplementedError

    def check(self):
        self.assertEqual(set(self.words("")) & {"run", "chat", "serve", "dev", "help"},
                         {"run", "chat", "serve", "dev", "help"})
        self.assertEqual(set(self.words("inspe")), {"inspect"})
        for first in {c.split()[0] for c in table() if " " in c}:
            want = {c.split()[1] for c in table() if c.startswith(first + " ")}
            self.assertEqual(set(self.words(first, "")), want)
        for command, options in table().items():
            if not command:
                continue
            want = {s for spellings, _ in options + table()[""] for s in spellings if s.startswith("--")}
            got = {w for w in self.words(*command.split(), "--") if w != "--help"}
            self.assertEqual(got, want, command)
        self.assertEqual(set(self.words("run", "--kv-type", "")), {"f16", "bf16", "q8", "f32"})
        self.assertEqual(set(self.words("run", "--kv-type", "b")), {"bf16"})
        self.assertEqual(self.words("run", "--ctx", ""), [])


@unittest.skipUnless(shutil.which("bash"), "there is no bash")
class Bash(Completion):
    def words(self, *typed):
        path, _ = self.page("--completion", "bash", name="c.bash")
        script = f'. {path}; COMP_WORDS=(hearth "$@"); COMP_CWORD=$#; _hearth; printf "%s\\n" "${{COMPREPLY[@]}}"'
        return [w for w in self.run_shell(["bash", "--norc", "-c", script, "bash", *typed]).split("\n") if w]

    def test_it_completes_commands_options_and_choices(self):
        self.check()

    def test_values_may_follow_an_equals_sign_as_bash_takes_them_apart(self):
        self.assertEqual(set(self.words("run", "--kv-type", "=", "b")), {"bf16"})
        self.assertEqual(set(self.words("run", "--kv-type", "=")), {"f16", "bf16", "q8", "f32"})
        self.assertEqual(set(self.words("run", "--kv_type", "q")), {"q8"})

    def test_names_of_files_are_completed_where_files_belong(self):
        for name in ("a b.gguf", "ab.jinja"):
            with open(os.path.join(self.folder, name), "w", encoding="ascii"):
                pass
        self.assertEqual(set(self.words("run", "a")), {"a b.gguf", "ab.jinja"})
        self.assertEqual(set(self.words("serve", "--chat-template", "ab")), {"ab.jinja"})
        self.assertEqual(self.words("run", "--system", "a"), [])
        self.assertEqual(set(self.words("help", "chat")), {"chat"})


@unittest.skipUnless(shutil.which("zsh"), "there is no zsh")
class Zsh(Completion):
    STUBS = r"""
_describe() { print -rl -- ${${(P)2}%%:*} }
compadd() { print -rl -- "$@" }
_arguments() {
    local spec previous=$words[CURRENT-1]
    for spec in "${@[2,-1]}"; do
        local name=${${${spec#\*}%%\[*}%[=+]}
        if [[ $name == $previous && $spec == *:*:* ]]; then
            [[ $spec == *'('*')' ]] && print -rl -- ${=${${spec##*\(}%\)}}
            return 0
        fi
    done
    for spec in "${@[2,-1]}"; do
        [[ $spec == (\*|)-* ]] && print -r -- ${${${spec#\*}%%\[*}%[=+]}
    done
    return 0
}
"""

    def words(self, *typed):
        path, _ = self.page("--completion", "zsh", name="_hearth")
        script = f'{self.STUBS}\nwords=(hearth "$@"); CURRENT=$#words; . {path}'
        found = self.run_shell(["zsh", "-f", "-c", script, "zsh", *typed]).split()
        return [w for w in found if w.startswith(typed[-1])]

    def test_it_completes_commands_options_and_choices(self):
        self.check()

    def test_zsh_itself_reads_the_file(self):
        path, text = self.page("--completion", "zsh", name="_hearth")
        self.run_shell(["zsh", "-n", path])
        self.assertTrue(text.startswith("#compdef hearth\n"))


@unittest.skipUnless(shutil.which("fish"), "there is no fish")
class Fish(Completion):
    def words(self, *typed):
        path, _ = self.page("--completion", "fish", name="hearth.fish")
        line = " ".join(["hearth", *typed])
        found = self.run_shell(["fish", "--no-config", "-c", f"source {path}; complete -C '{line}'"])
        return [w.split("\t")[0] for w in found.splitlines()]

    def test_it_completes_commands_options_and_choices(self):
        self.check()


del Completion, Pages  # they hold no tests of their own

if __name__ == "__main__":
    main()
