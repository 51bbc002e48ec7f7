#!/usr/bin/env python3
"""test_settings.py: the settings file: where it is found, what of it a command takes, what is refused.

    tests/cli/test_settings.py build/hearth
"""

import json
import os
import re
import shutil
import tempfile
import unittest

from harness import ROOT, hearth, main

BUILTIN = "tolstoy-4m-q8_0"


class SettingsTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="hearth-settings-")
        self.addCleanup(shutil.rmtree, self.folder)

    def file(self, text, name="s.toml"):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def done(self, result, code=0):
        self.assertEqual(result.code, code, result.err)
        self.assertNotIn("AddressSanitizer", result.err)
        return result

    def refused(self, text, *words, code=2, command=("run", "-p", "x")):
        """Any command refuses the file, in a sentence with these words and FILE:LINE, before it does anything."""
        path = self.file(text)
        result = self.done(hearth(*command, "--config", path), code)
        self.assertEqual(result.out, b"")
        self.assertRegex(result.err, rf"^hearth: {re.escape(path)}:\d+: ")
        for word in words:
            self.assertIn(word, result.err)
        self.assertEqual(result.err, self.done(hearth("config", "--config", path), code).err)

    def values(self, *words, env=None):
        """{command or preset: {option: (value, from, where)}} of `hearth config --json`."""
        found = json.loads(self.done(hearth("config", *words, "--json", env=env)).text)
        return {c["name"]: {o["name"]: (o["value"], o["from"], o["where"]) for o in c["options"]}
                for c in found["values"]}


class Precedence(SettingsTest):
    def test_the_line_wins_over_the_environment_over_the_file(self):
        path = self.file("ctx = 100\n[run]\ntemperature = 0.5\nctx = 200\n")
        env = {"HEARTH_TEMPERATURE": "0.25"}
        words = ("run", "--raw", "-p", "It was", "-n", "2", "--json", "--config", path)

        def receipt(*more, env=None):
            found = json.loads(self.done(hearth(*words, *more, env=env)).text)["hearth"]
            return found["sampling"]["temperature"]["value"], found["n_ctx_tokens"]
        self.assertEqual(receipt(), (0.5, 200))
        self.assertEqual(receipt(env=env), (0.25, 200))
        self.assertEqual(receipt("--temp", "0.75", "-c", "50", env=env), (0.75, 50))

    def test_every_option_of_every_command_can_stand_in_the_file(self):
        known = {}
        for name in re.findall(r"(?m)^## hearth (.*)$", hearth("help", "--markdown").text):
            if name not in ("help", "version", "env", "config"):
                known["hearth " + name] = self.values(*name.split())["hearth " + name]
        self.assertGreater(len(known), 8)
        page = hearth("help", "--markdown").text
        n = 0
        for command, options in known.items():
            for option in options:
                spelled = option.replace("_", "-")
                row = re.search(rf"(?ms)^## {command}$.*?^\| `--{spelled}`[^|]*\| ((?:[^|\\]|\\.)*) \|[^\n]*\| "
                                r"([^\n]*) \|$", page)
                self.assertTrue(row, (command, option))
                value, help_text = row.groups()
                limits = re.search(r"\((-?[\d.]+) to ", help_text)
                text = limits[1] if limits and value.strip() else "true" if not value.strip() else \
                    f'"{value.split(chr(92))[0]}"'
                section = ".".join(command.split()[1:])
                path = self.file(f"[{section}]\n{option} = {text}\n")
                found = self.values(*command.split()[1:], "--config", path)[command][option]
                self.assertEqual(found[1:], ("file", f"{path}:2"), (command, option, text))
                n += 1
        self.assertGreater(n, 150)

    def test_a_section_wins_over_what_stands_above_all_and_is_for_its_command(self):
        path = self.file("threads = 1\nctx = 100\n[serve]\nctx = 200\n[dev.synth]\nseed = 7\n")
        found = self.values("--config", path)
        self.assertEqual(found["hearth serve"]["ctx"], (200, "file", path + ":4"))
        self.assertEqual(found["hearth chat"]["ctx"], (100, "file", path + ":2"))
        self.assertEqual(found["hearth dev synth"],
                         {"threads": (1, "file", path + ":1"), "seed": (7, "file", path + ":6")})

    def test_names_are_those_of_options_in_any_spelling(self):
        path = self.file("ctx_size = 64\ntop-k = 3\n")
        found = self.values("run", "--config", path)["hearth run"]
        self.assertEqual((found["ctx"][0], found["top_k"][0]), (64, 3))

    def test_a_list_may_be_one_text(self):
        for text, want in (('"a"', ["a"]), ('["a", "b"]', ["a", "b"]), ("[]", [])):
            path = self.file(f"[serve]\nalias = {text}\n")
            self.assertEqual(self.values("serve", "--config", path)["hearth serve"]["alias"][0], want)

    def test_a_flag_can_be_false(self):
        path = self.file("[run]\nreceipt = false\n")
        self.assertEqual(self.values("run", "--config", path)["hearth run"]["receipt"][:2], (False, "file"))

    def test_a_model_of_the_file_is_used_and_said(self):
        path = self.file('model = "/nowhere.gguf"\n')
        result = self.done(hearth("inspect", "--config", path), 3)
        self.assertIn("/nowhere.gguf", result.err)
        named = self.done(hearth("run", "-p", "x", "--config", path), 3).err
        self.assertIn("that file was named by the settings file", named)


class Place(SettingsTest):
    def run_at(self, *words, **env):
        return self.done(hearth("run", "--raw", "-p", "It", "-n", "1", *words, env={"HEARTH_CONFIG": "", **env}))

    def test_the_users_file_is_found_and_said(self):
        env = {"XDG_CONFIG_HOME": self.folder}
        self.assertNotIn("settings:", self.run_at(**env).err)
        path = self.file("ctx = 40\n", "hearth/hearth.toml")
        result = self.run_at(**env)
        self.assertIn(f"settings: {path}\n", result.err)
        self.assertIn("context 40 tokens", result.err)
        self.assertNotIn("settings:", self.run_at("--config", "none", **env).err)
        self.assertNotIn("settings:", self.run_at(**{**env, "HEARTH_CONFIG": "none"}).err)
        other = self.file("ctx = 50\n")
        self.assertIn("context 50 tokens", self.run_at("--config", other, **{**env, "HEARTH_CONFIG": "none"}).err)

    def test_home_is_the_place_without_xdg(self):
        path = self.file("ctx = 40\n", ".config/hearth/hearth.toml")
        self.assertIn(f"settings: {path}\n", self.run_at(HOME=self.folder, XDG_CONFIG_HOME="").err)
        relative = self.run_at(HOME=self.folder, XDG_CONFIG_HOME="not/absolute")
        self.assertIn(f"settings: {path}\n", relative.err)

    def test_a_file_of_the_working_folder_is_not_read_and_that_is_said(self):
        self.file("[serve]\ninsecure-no-auth = true\n", "hearth.toml")
        was = os.getcwd()
        os.chdir(self.folder)
        self.addCleanup(os.chdir, was)
        env = {"HEARTH_CONFIG": "", "XDG_CONFIG_HOME": "/nowhere"}
        result = self.done(hearth("config", env=env))
        self.assertIn("hearth.toml in this folder is not read by itself; --config hearth.toml reads it", result.err)
        self.assertNotIn("insecure", result.text)
        self.assertIn("insecure-no-auth", self.done(hearth("config", "--config", "hearth.toml")).text)

    def test_a_file_that_is_not_there_is_an_error(self):
        for words, code in ((["--config", "/nowhere/h.toml"], 3), (["--config", ""], 2),
                            (["--config", self.folder], 3)):
            self.assertIn("--config", self.done(hearth("run", "-p", "x", *words), code).err)
        self.assertIn("/nowhere/h.toml", self.done(hearth("config", env={"HEARTH_CONFIG": "/nowhere/h.toml"}), 3).err)

    def test_help_works_whatever_the_file_says(self):
        path = self.file("broken")
        for command in ("help", "version", "env"):
            self.assertEqual(self.done(hearth(command, "--config", path)).err, "")
        self.done(hearth("run", "--help", "--config", path))


class Refusals(SettingsTest):
    def test_what_does_not_exist_is_refused_with_the_nearest(self):
        self.refused("treads = 1\n", "no option treads of any command", "did you mean threads?")
        self.refused("\n[serve]\nprot = 1\n", ":3: ", "no option prot of hearth serve", "did you mean port?")
        self.refused("[serve]\ntemperature = 1.0\n", "no option temperature of hearth serve")
        self.refused("[srve]\n", ":1: ", "[srve]", "did you mean [serve]?")
        self.refused("[help]\n", "[help] is no command that has settings")
        self.refused("[dev.sinth]\n", "[dev.sinth]")
        self.refused("[run.x]\n", "[run.x]")
        self.refused("config = 'other.toml'\n", "no option config")
        self.refused("[model.x]\ntemprature = 1\n", "no option temprature of a model; did you mean temperature?")
        self.refused("[model.x]\nport = 1\n", "no option port of a model")
        self.refused("[model]\n", "[model] names no model")

    def test_values_are_of_the_options_type_and_in_its_range(self):
        self.refused('ctx = "4096"\n', "ctx must be a whole number, without quotes")
        self.refused("ctx = 0\n", "ctx: '0' is not a whole number from 1 to")
        self.refused("ctx = 1.5\n", "ctx must be a whole number")
        self.refused("[run]\ntemperature = true\n", "temperature must be a number")
        self.refused("[run]\ntop_p = 1.5\n", "top_p: '1.5' is not a number from 0 to 1")
        self.refused("[run]\njson = 1\n", "json must be true or false")
        self.refused("[run]\nkv-type = 'f17'\n", "kv-type: 'f17' is not one of f16")
        self.refused("[run]\nsystem = true\n", "system must be a text in quotes")
        self.refused("[serve]\nalias = 1\n", "alias must be a text in quotes, or a list")
        self.refused("[serve]\nalias = [" + "'a'," * 17 + "]\n", "alias has 17 texts; give at most 16")

    def test_an_option_stands_there_once(self):
        self.refused("ctx = 1\nctx-size = 2\n", ":2: ", "ctx-size is the same option as ctx in line 1")
        self.refused("[run]\ntop_k = 1\ntop-k = 2\n", ":3: ", "top-k is the same option as top_k in line 2")

    def test_a_damaged_file_is_refused_by_every_command(self):
        self.refused("ctx\n", "there is no =", code=3)
        self.refused("[serve\n", "this is no section", code=3, command=("serve", "--port", "0"))


class Presets(SettingsTest):
    TEXT = f'[run]\ntemperature = 0.5\nctx = 100\n[model."{BUILTIN}"]\ntemperature = 0.25\nctx = 60\n' \
           'samplers = "top_k;temperature"\ndry-sequence-breaker = ["\\n"]\n'

    def receipt(self, *more, env=None):
        words = ("run", "--raw", "-p", "It was", "-n", "1", "--json", "--config", self.path)
        result = self.done(hearth(*words, *more, env=env))
        return json.loads(result.text)["hearth"], result.err

    def test_a_models_preset_wins_over_the_command_and_loses_to_line_and_environment(self):
        self.path = self.file(self.TEXT)
        found, said = self.receipt()
        self.assertEqual(found["sampling"]["temperature"], {"value": 0.25, "from": "preset"})
        self.assertEqual(found["samplers"], {"value": ["top_k", "temperature"], "from": "preset"})
        self.assertEqual(found["dry_sequence_breakers"], {"value": ["\n"], "from": "preset"})
        self.assertEqual(found["n_ctx_tokens"], 60)
        self.assertIn(f'preset: [model."{BUILTIN}"] of {self.path}: ctx, samplers, dry-sequence-breaker, '
                      'temperature\n', said)
        found, said = self.receipt("--temperature", "0.75", env={"HEARTH_CTX": "70"})
        self.assertEqual(found["sampling"]["temperature"], {"value": 0.75, "from": "request"})
        self.assertEqual(found["n_ctx_tokens"], 70)
        self.assertIn(": samplers, dry-sequence-breaker\n", said)

    def test_it_is_for_its_model_alone(self):
        tiny = os.path.join(self.folder, "tiny.gguf")
        self.done(hearth("dev", "synth", "--shape", "tiny", tiny))
        self.path = self.file(self.TEXT)
        found, said = self.receipt("--model", tiny)
        self.assertEqual(found["sampling"]["temperature"], {"value": 0.5, "from": "request"})
        self.assertNotIn("preset:", said)
        self.path = self.file("[model.tiny]\ntemperature = 0.125\n")
        self.assertEqual(self.receipt("--model", tiny)[0]["sampling"]["temperature"]["value"], 0.125)

    def test_system_template_and_thinking_come_from_it(self):
        template = self.file("{% for m in messages %}{{ m.role }}={{ m.content }};{% endfor %}"
                             "{{ colour }}{% if enable_thinking %}T{% else %}F{% endif %}", "t.jinja")
        path = self.file(f'[model.{BUILTIN}]\nsystem = "Be brief."\nchat-template = "{template}"\n'
                         "chat-template-kwargs = '{\"colour\": \"red\"}'\nthinking = true\n"
                         "[chat]\nno-thinking = true\n")
        said = self.done(hearth("chat", "--config", path, stdin=b"/prompt\n", env={"HEARTH_MAX_TOKENS": "1"})).err
        self.assertIn("system=Be brief.;redT", said)
        said = self.done(hearth("chat", "--config", path, "--no-thinking", "--system", "No.", stdin=b"/prompt\n")).err
        self.assertIn("system=No.;redF", said)

    def test_config_shows_presets_and_what_a_model_gets(self):
        path = self.file(self.TEXT)
        found = self.values("--config", path)
        self.assertEqual(found[f'[model."{BUILTIN}"]']["ctx"], (60, "preset", path + ":6"))
        run = self.values("run", f"/any/where/{BUILTIN}.gguf", "--config", path)["hearth run"]
        self.assertEqual(run["temperature"], (0.25, "preset", path + ":5"))
        serve = self.values("serve", BUILTIN, "--config", path)
        self.assertEqual(serve["hearth serve"]["ctx"], (60, "preset", path + ":6"))
        self.assertEqual(serve[f'[model."{BUILTIN}"]']["temperature"], (0.25, "preset", path + ":5"))
        self.assertEqual(self.values("run", "--config", path)["hearth run"]["temperature"], (0.5, "file", path + ":2"))
        self.assertIn('have no preset [model."x"]', self.done(hearth("config", "run", "x", "--config", path)).err)


class Config(SettingsTest):
    def test_a_models_pin_is_no_list_of_names(self):
        path = self.file('[serve]\npin = "x"\n[model.m]\npin = true\nkeep-alive = 2.5\n')
        done = self.done(hearth("config", "serve", "m.gguf", "--config", path))
        self.assertRegex(done.text, rf"(?m)^  pin +x +{re.escape(path)}:2$")
        self.assertRegex(done.text, rf"(?m)^  keep-alive +2.5 +{re.escape(path)}:5 \(preset\)$")
        self.assertRegex(done.text, rf"(?m)^  pin +true +{re.escape(path)}:4 \(preset\)$")

    def test_it_shows_value_and_origin_of_every_option(self):
        path = self.file("[run]\nmax-tokens = 5\n")
        page = self.done(hearth("config", "run", "--config", path, env={"HEARTH_CTX_SIZE": "77"})).text
        self.assertTrue(page.startswith(f"settings: {path}\n\nhearth run\n"), page)
        self.assertRegex(page, rf"(?m)^  max-tokens +5 +{re.escape(path)}:2$")
        self.assertRegex(page, r"(?m)^  ctx +77 +HEARTH_CTX_SIZE$")
        self.assertRegex(page, r"(?m)^  top_k +40 +default$")
        self.assertEqual(len(re.findall(r"(?m)^  ", page)), len(self.values("run")["hearth run"]))

    def test_without_a_file_it_says_where_it_looked(self):
        said = self.done(hearth("config", env={"HEARTH_CONFIG": "", "XDG_CONFIG_HOME": self.folder})).text
        self.assertIn(f"no file is read; looked for {self.folder}/hearth/hearth.toml /etc/hearth/hearth.toml", said)
        self.assertEqual(json.loads(self.done(hearth("config", "--json")).text), {"file": None, "values": []})

    def test_what_it_cannot_show_is_refused(self):
        for words in (["rum"], ["help"], ["run", "a", "b"], ["config"]):
            self.assertIn("hearth config", self.done(hearth("config", *words), 2).err)

    def test_the_example_of_the_docs_is_one(self):
        with open(os.path.join(ROOT, "docs", "settings.md"), encoding="utf-8") as f:
            examples = re.findall(r"(?ms)^```toml\n(.*?)^```$", f.read())
        self.assertGreaterEqual(len(examples), 1)
        for text in examples:
            self.done(hearth("config", "--config", self.file(text)))


if __name__ == "__main__":
    main()
